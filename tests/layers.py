#!/usr/bin/env python3
"""The import rules of the house, checked: who may use whom.

Each rule is a name, the files it looks at, and what must not stand in them; or a package and what must not be among its
dependencies. Before the tree is judged, each rule is shown a planted breach and has to find it: a rule that cannot fail is none.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

NOUNS = "id hash invalid position stamp patrol observation attachment evidence review reference person period criterion catalogue track".split()

# (name, glob patterns, forbidden pattern, a breach it must find)
SOURCES = [
    ("core nouns do no IO, ask no clock, log nothing",
     [f"core/src/{noun}.rs" for noun in NOUNS] + ["core/src/patrol/*.rs", "core/src/track/*.rs", "core/src/track_file/*.rs"],
     r"\b(std::(fs|net|process|time::(SystemTime|Instant)|env)\b|tokio\b|tracing\b|reqwest\b|sqlx\b)",
     "use std::time::SystemTime;"),
    ("core without the phone does no IO and asks no clock",
     ["core/src/*.rs", "core/src/patrol/*.rs", "core/src/document/*.rs", "core/src/log/**/*.rs", "core/src/header/*.rs"],
     r"\b(std::(fs|net|process|time::(SystemTime|Instant)|env)\b|tokio\b|reqwest\b|sqlx\b)",
     "let now = std::time::SystemTime::now();"),
    ("the simulator opens no socket, asks no clock, sleeps not, and runs nothing of the phone's IO",
     ["core/simulator/*.rs"],
     r"\b(std::(fs|net|process)\b|SystemTime\b|Instant\b|tokio\b|reqwest\b|sqlx\b|kieumau_core::phone\b|sleep\()", "std::thread::sleep(rest);"),
    ("the phone holds no rules of the domain",
     ["core/src/phone/*.rs", "core/src/phone/sync/*.rs"], r"catalogue::(Catalogue|List)\b", "use crate::catalogue::Catalogue;"),
    ("pages read rows only",
     ["server/src/pages/*.rs"], r"\bautomerge\b|kieumau_core::document::(edit|load|read|new)\b", "use automerge::Automerge;"),
    ("what stores and understands knows no template",
     [f"server/src/{name}.rs" for name in "committer own review feed ledger stored".split()]
     + ["server/src/checker/*.rs", "server/src/intake/*.rs", "server/src/sync/*.rs", "server/src/worker/*.rs", "server/src/projection/*.rs"],
     r"\baskama\b|crate::pages\b", "use askama::Template;"),
    ("operations of a change are parsed in workers only",
     ["server/src/*.rs", "server/src/intake/*.rs", "server/src/sync/*.rs", "server/src/pages/*.rs", "server/src/attachment/*.rs", "server/src/checker/*.rs", "server/src/command/*.rs", "server/src/sample/*.rs",
      "server/src/export/*.rs", "server/src/enrolment/*.rs", "server/src/session/*.rs", "server/src/quarantine/*.rs",
      "server/src/rescue/*.rs"],
     r"\bautomerge::|document::(load|edit|read)\(", "automerge::Automerge::load(bytes)"),
    ("bindings know no documents and no SQL",
     ["bindings/src/*.rs"], r"\b(automerge|sqlx)\b", "use automerge::ActorId;"),
    ("tests do not link the server",
     ["tests/Cargo.toml"], r"kieumau-server\s*(=|\.)", "kieumau-server.workspace = true"),
]

# What may stand where the rule above would forbid it, and why.
EXEMPT = {
    # The sample writes documents as a phone would, before any server runs.
    ("operations of a change are parsed in workers only", "server/src/sample/author.rs"),
    # It says how long all the worlds took; no world asks.
    ("the simulator opens no socket, asks no clock, sleeps not, and runs nothing of the phone's IO", "core/simulator/main.rs"),
}

# (package, features on, packages it must not reach)
REACHES = [
    ("kieumau-core", [], {"tokio", "axum", "sqlx", "sqlx-core", "uniffi", "reqwest", "libsqlite3-sys"}),
    # reqwest comes with object_store's S3 client, which speaks to the operator's own bucket and to nothing else.
    ("kieumau-server", [], {"uniffi", "openssl-sys"}),
    ("kieumau-bindings", [], {"axum", "askama"}),
]


BROWSER = "wasm32-unknown-unknown"


def without_tests(text):
    """The part of a source file above its unit tests, without comments."""
    text = text.split("#[cfg(test)]\nmod tests {")[0]
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))


def breaches(name, patterns, forbidden):
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            where = path.relative_to(ROOT).as_posix()
            if path.name in {"tests.rs", "fixture.rs", "setting.rs"} or (name, where) in EXEMPT:
                continue
            for found in re.finditer(forbidden, without_tests(path.read_text())):
                yield f"{where}: {found.group(0)}"


def reached(package, features):
    command = ["cargo", "tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"]
    out = subprocess.run(command + sum((["-F", f] for f in features), []), cwd=ROOT, capture_output=True, text=True, check=True)
    return {line.split()[0] for line in out.stdout.splitlines() if line.strip()}


def checks_for_browser(features):
    """Whether the core type-checks for a browser, where there is no file, no socket and no clock."""
    installed = subprocess.run(["rustup", "target", "list", "--installed"], capture_output=True, text=True)
    if BROWSER not in installed.stdout.split():
        raise SystemExit(f"layers: the target {BROWSER} is missing: run `make tools`")
    command = ["cargo", "check", "-q", "-p", "kieumau-core", "--target", BROWSER]
    return subprocess.run(command + sum((["-F", f] for f in features), []), cwd=ROOT, capture_output=True).returncode == 0


def main():
    broken = []
    for name, patterns, forbidden, breach in SOURCES:
        if not re.search(forbidden, without_tests(breach)):
            broken.append(f"the rule cannot fail: {name}")
        if not any(list(ROOT.glob(pattern)) for pattern in patterns):
            broken.append(f"the rule looks at nothing: {name}")
        broken += [f"{name}: {where}" for where in breaches(name, patterns, forbidden)]
    for package, features, forbidden in REACHES:
        names = reached(package, features)
        if package not in names:
            broken.append(f"cargo tree of {package} says nothing")
        broken += [f"{package} must not reach {name}" for name in sorted(names & forbidden)]
    # The twin of the last rule: with the phone's feature the core does reach what it must not reach without.
    if not {"tokio", "sqlx"} <= reached("kieumau-core", ["phone"]):
        broken.append("cargo tree does not show what the feature `phone` brings")
    if not checks_for_browser([]):
        broken.append(f"core without features does not type-check: cargo check -p kieumau-core --target {BROWSER}")
    # The twin: the phone's half needs sockets and a C library.
    if checks_for_browser(["phone"]):
        broken.append("the check for a browser cannot fail: it takes the phone's half too")
    for line in broken:
        print("layers:", line)
    print(json.dumps({"layers": len(SOURCES) + len(REACHES) + 1, "broken": len(broken)}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
