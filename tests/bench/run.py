#!/usr/bin/env python3
"""Runs `bench` as the table of targets asks: servers on the first core, clients on the second, a PostgreSQL of our own beside them.

Arguments choose among the measures. `BUILD=debug` takes the development build, to try the benchmark itself; its figures are none.
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from run import postgres  # noqa: E402


def main():
    built = ROOT / "target" / os.environ.get("BUILD", "release")
    command = [str(built / "bench"), *sys.argv[1:]]
    # What is logged would be measured with the rest.
    environment = {"RUST_LOG": "error", "KIEUMAU": str(built / "kieumau"), **os.environ}
    if os.sched_getaffinity(0) >= {0, 1}:
        command = ["taskset", "-c", "1", *command]
        environment["KIEUMAU_SERVERS_CORE"] = "0"
    else:
        print("bench: ONE CORE: servers and clients share it, the figures are not those of the table")
    with postgres() as url:
        return subprocess.run(command, cwd=ROOT, env={**environment, "KIEUMAU_TEST_POSTGRES": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
