#!/usr/bin/env python3
"""Runs every runner of `make test`, prints each one's closing lines, and sums them: `N passed, N failed, N skipped`.

A runner that did not run, or ran nothing, fails the whole. Logs lie in target/test-logs. Names given as arguments run only those.
"""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "target" / "test-logs"


def cargo(text):
    found = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.M)
    if not found:
        return None
    passed, failed, ignored = (sum(int(row[at]) for row in found) for at in range(3))
    # Whether a test can run here is known only while it runs, and libtest has no word for that: it counts as passed what
    # returned early. Such a test prints a line past libtest, and is taken out of those that passed.
    skipped = len(set(re.findall(r"SKIPPED: (\w+):", text)))
    return passed - skipped, failed, ignored + skipped


def node(text):
    numbers = [re.search(rf"^(?:#|ℹ) {word} (\d+)$", text, re.M) for word in ("pass", "fail", "skipped")]
    return tuple(int(found.group(1)) for found in numbers) if all(numbers) else None


def pytest(text):
    closing = [line for line in text.splitlines() if re.search(r"\b(passed|failed|error|skipped)\b.* in [\d.]+s", line)]
    if not closing:
        return None
    count = lambda word: sum(int(n) for n in re.findall(rf"(\d+) {word}", closing[-1]))
    return count("passed"), count("failed") + count("errors?"), count("skipped")


def surefire(text):
    found = re.findall(r"Tests run: (\d+), Failures: (\d+), Errors: (\d+), Skipped: (\d+)\s*$", text, re.M)
    if not found:
        return None
    run, failures, errors, skipped = map(int, found[-1])
    return run - failures - errors - skipped, failures + errors, skipped


def check(_):
    """A check has no closing line of its own: that it ended well is its one pass."""
    return 1, 0, 0


# name, command, who reads its closing lines, extra environment
RUNNERS = [
    ("formatting", "cargo fmt --check", check, {}),
    ("lints core", "cargo clippy -q -p kieumau-core --features phone --all-targets --test simulator -- -D warnings", check, {}),
    ("lints server", "cargo clippy -q -p kieumau-server --all-targets -- -D warnings", check, {}),
    ("lints tests", "cargo clippy -q -p kieumau-tests -p kieumau-bindings --all-targets --test faults -- -D warnings", check, {}),
    ("layers", "python3 tests/layers.py", check, {}),
    ("core", "cargo test --no-fail-fast -p kieumau-core --features phone", cargo, {}),
    ("simulator", "cargo test -p kieumau-core --features phone --test simulator -- --nocapture --test-threads=1", cargo, {}),
    ("bindings", "cargo test --no-fail-fast -p kieumau-bindings", cargo, {}),
    ("server on SQLite and PostgreSQL", "cargo test --no-fail-fast -p kieumau-server", cargo, {"postgres": True}),
    ("stories on SQLite", "cargo test --no-fail-fast -p kieumau-tests", cargo, {}),
    # All but those about SQLite's own files (a restored backup), a process' own (TLS, memory) and what ran on both databases above.
    ("stories on PostgreSQL", "cargo test --no-fail-fast -p kieumau-tests " + " ".join(f"--test {name}" for name in (
        "backups", "dossiers", "files", "first_download", "live", "orphans", "pushes", "refusals", "rescue", "stories", "told", "units")),
     cargo, {"postgres": True, "KIEUMAU_STORY_DATABASE": "postgres"}),
    ("phones killed", "cargo test --no-fail-fast -p kieumau-tests --test killed -- --nocapture --test-threads=2", cargo, {}),
    ("faults", "cargo test --no-fail-fast -p kieumau-tests --test faults -- --nocapture --test-threads=2", cargo, {"postgres": True}),
    ("Kotlin", "cd mobile-demo && mvn -B -ntp test", surefire, {}),
    ("Python", "python3 -m pytest -q -rs tests/python", pytest, {"PYTHONPATH": "target/bindings/python"}),
    ("demo", "python3 -m pytest -q -rs tests/demo", pytest, {}),
    ("tus clients", "target/tests-python/bin/python -m pytest -q -rs tests/tus", pytest, {}),
    ("attachments on S3", "cargo test --no-fail-fast -p kieumau-server attachment", cargo, {"s3": True}),
    ("Automerge in JavaScript", "cd tests/automerge && node --test --test-reporter=tap .", node, {}),
    ("pages in Chromium", "cd tests/pages && node --test --test-concurrency=1 --test-reporter=tap .", node, {}),
]


@contextlib.contextmanager
def postgres():
    """A PostgreSQL of our own in a folder, on a socket only, gone afterwards."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise SystemExit("PostgreSQL is missing: run `make tools`")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kieumau-postgres-"))
    who = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        who = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    run = lambda *command: subprocess.run([*who, str(found[-1] / command[0]), *command[1:]], check=True,
                                          stdout=subprocess.DEVNULL, cwd="/")
    run("initdb", "-D", f"{folder}/data", "-U", "kieumau", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=400"
    run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
    try:
        yield f"postgres:///postgres?host={folder}&user=kieumau"
    finally:
        run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def s3():
    """A bucket that is gone afterwards, as what the server reads of it in its environment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = (LOGS / "moto.log").open("w")
    moto = subprocess.Popen([ROOT / "target/tests-python/bin/moto_server", "-H", "127.0.0.1", "-p", str(port)],
                            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while moto.poll() is None:
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/kieumau", method="PUT"))
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield {"KIEUMAU_TEST_S3": "s3://kieumau/attachments", "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true",
               "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test-access-key", "AWS_SECRET_ACCESS_KEY": "test-secret-key"}
    finally:
        moto.terminate()
        moto.wait()


def run(name, command, read, extra, postgres_url):
    with s3() if extra.get("s3") else contextlib.nullcontext({}) as bucket:
        return run_in({**extra, **bucket}, name, command, read, postgres_url)


def run_in(extra, name, command, read, postgres_url):
    environment = dict(os.environ)
    environment.pop("KIEUMAU_TEST_POSTGRES", None)
    environment.update({key: value for key, value in extra.items() if key not in ("postgres", "s3")})
    if extra.get("postgres"):
        environment["KIEUMAU_TEST_POSTGRES"] = postgres_url
    for variable, binary in (("KIEUMAU", "kieumau"), ("KIEUMAU_PHONE", "phone")):
        environment.setdefault(variable, str(ROOT / "target" / "debug" / binary))
    begun = time.monotonic()
    log = LOGS / f"{name.replace(' ', '-')}.log"
    with log.open("w") as out:
        code = subprocess.run(command, shell=True, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL).returncode
    text = log.read_text(errors="replace")
    counted = read(text) if code == 0 or read is not check else None
    passed, failed, skipped = counted or (0, 0, 0)
    if counted is None or passed + failed == 0 or (code != 0 and failed == 0):
        failed += 1
    took = time.monotonic() - begun
    print(f"── {name}: {passed} passed, {failed} failed, {skipped} skipped ({took:.0f} s)", flush=True)
    closing = re.findall(r"^(?:.*(?:test result:|Tests run:|SKIPPED)|F\d+ |BAD |SILENT |^(?:#|ℹ) (?:pass|fail|skipped)).*$", text, re.M)
    if failed:
        print("\n".join(text.splitlines()[-80:]), flush=True)
    elif closing:
        print("\n".join("   " + line.strip() for line in closing[-12:]), flush=True)
    return passed, failed, skipped


def prove_readers():
    """A reader that takes what was skipped for passed proves nothing: it is shown one before it is believed."""
    log = "test a ... SKIPPED: a: no right to mount\nok\ntest b ... ok\n\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured\n"
    assert cargo(log) == (1, 0, 2), cargo(log)
    assert cargo("error: could not compile") is None


def main():
    prove_readers()
    LOGS.mkdir(parents=True, exist_ok=True)
    # What "stories on SQLite" holds already runs by its own name only.
    chosen = [runner for runner in RUNNERS if runner[0] in (sys.argv[1:] or {name for name, *_ in RUNNERS} - {"phones killed"})]
    totals = [0, 0, 0]
    needs_postgres = any(extra.get("postgres") for *_, extra in chosen)
    with postgres() if needs_postgres else contextlib.nullcontext("") as url:
        for runner in chosen:
            totals = [total + count for total, count in zip(totals, run(*runner, url))]
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main())
