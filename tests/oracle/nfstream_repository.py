#!/usr/bin/env python3
"""Run NFStream's own tests and examples with Flowloom, unmodified.

    python3 nfstream_repository.py CHECKOUT --flowloom-python COMMAND [--python PYTHON]

CHECKOUT is a checkout of NFStream's repository, with `tests.py`, `tests` and `examples`. Its tests run with
`flowloom.nfstream` in the place of `nfstream`. Each test must pass, unless NFStream 6.6.0 itself fails it (`--python` is a
Python that has it), or `CANNOT_PASS` gives the reason. The same holds for each capture of the test of nDPI.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

# Tests and examples that cannot pass, with the reason.
CANNOT_PASS = {
    "test_statistical": "a mean is exactly 80.5, and the test accepts less than 80.5 only: NFStream's has a rounding error",
    "examples/wfeatures_pandas.py": "the plugin WFPlugin is not part of flowloom.nfstream",
}
# Captures whose expected results differ, with the reason (docs/nfstream-differences.md).
OTHER_RESULTS = {
    "ajp.pcap": "NFStream meters data of another ethertype as IP",
    "anydesk-2.pcap": "NFStream counts sizes modulo 65,536",
    "fuzz-2021-06-07-c6c72a0a56.pcap": "NFStream counts sizes modulo 65,536",
    "tor.pcap": "NFStream's ids follow the ends of flows",
}

# Runs one test of tests.py, whose folder is the current one.
ONE_TEST = """
import sys
sys.path.insert(0, ".")
import tests
getattr(tests.NFStreamTest, {test!r})()
"""
TIMEOUT = 600


class Programs:
    """NFStream or Flowloom, over a checkout."""

    def __init__(self, checkout: Path, prefix: list[str]) -> None:
        self.checkout = checkout
        self.prefix = prefix

    def run(self, program: Path, *arguments: str) -> tuple[bool, str]:
        """Return whether a program ends well, and what it printed."""
        command = [*without_capture(), *self.prefix, str(program), *arguments]
        try:
            done = subprocess.run(
                command, cwd=self.checkout, capture_output=True, text=True, errors="replace", timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired as error:
            return False, f"no end within {error.timeout:g} s"
        return done.returncode == 0, done.stdout + done.stderr


def without_capture() -> list[str]:
    """Return a command that takes the capability to capture away: a test expects that `lo` cannot be opened."""
    return ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"] if os.geteuid() == 0 else []


def verdicts(printed: str) -> dict[str, bool]:
    """Return the captures of the test of nDPI, and whether their results are the expected ones."""
    return {name: word == "OK" for name, word in re.findall(r"^(\S+\.pcap\S*)\s.*: (OK|KO)$", printed, re.M)}


def last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run NFStream's own tests with Flowloom.")
    add = parser.add_argument
    add("checkout", type=Path)
    add("--flowloom-python", default=sys.executable, metavar="COMMAND", help="Python with Flowloom")
    add("--python", help="Python with NFStream 6.6.0, whose failures are no failures of Flowloom")
    options = parser.parse_args()
    checkout = options.checkout.resolve()
    ours = Programs(checkout, [*shlex.split(options.flowloom_python), "-m", "flowloom.nfstream"])
    theirs = Programs(checkout, [options.python]) if options.python else None
    failed = []
    names = re.findall(r"^    def (test_\w+)\(", (checkout / "tests.py").read_text(), re.M)
    with tempfile.TemporaryDirectory() as folder:
        for test in names:
            program = Path(folder, f"{test}.py")
            program.write_text(ONE_TEST.format(test=test))
            passes, printed = ours.run(program)
            results = verdicts(printed)
            note = ""
            if not passes:
                reference, reference_printed = theirs.run(program) if theirs else (True, "")
                expected = verdicts(reference_printed)
                worse = [
                    name
                    for name, is_right in results.items()
                    if not is_right and expected.get(name, True) and name not in OTHER_RESULTS
                ]
                if test in CANNOT_PASS:
                    note = CANNOT_PASS[test]
                elif results and not worse:
                    note = "where the others differ, NFStream 6.6.0 has other results too, or OTHER_RESULTS has the reason"
                elif not results and not reference:
                    note = f"NFStream 6.6.0 fails it too: {last_line(reference_printed)}"
                else:
                    failed.append(test)
                    note = f"FAILED: {worse or last_line(printed)}"
            if results:
                note = f"{sum(results.values())} of {len(results)} captures have the expected results. {note}"
            print(f"{test}: {'passes' if passes else 'does not pass'}. {note}", flush=True)
        capture = next((checkout / "tests/pcaps").glob("google_ssl.pcap"))
        for example in sorted((checkout / "examples").glob("*.py")):
            copy = Path(folder, capture.name)
            copy.write_bytes(capture.read_bytes())
            passes, printed = ours.run(example, str(copy))
            name = f"examples/{example.name}"
            if not passes and name not in CANNOT_PASS:
                failed.append(name)
            print(f"{name}: {'runs' if passes else 'does not run'}. {CANNOT_PASS.get(name, '')}", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
