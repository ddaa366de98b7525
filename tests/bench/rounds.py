#!/usr/bin/env python3
"""Measure one round of a plugin's author in each language: edit, build, test, meter.

    tests/bench/rounds.py [--flowloom COMMAND] [--repetitions 3] [LANGUAGE ...]

Creates a plugin from the template, builds it once, and then repeats: change a line of the plugin, `flowloom plugin build`,
`flowloom plugin test`, and `flowloom meter` of a small capture. The toolchain does not change. Prints the medians in seconds
by the clock, and the targets. The control is the part of the build that is the language's own tool: its time is in the same
run, and Flowloom's part is the rest.

Rust needs the dependencies of the SDK in cargo's cache; other compilers come from target/sdk-tools (make sdk-tools).
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CAPTURE = ROOT / "tests/captures/tls13.pcap"
#: The file that is edited, and the text that begins a comment.
SOURCES = {
    "rust": ("src/lib.rs", "//"),
    "c": ("plugin.c", "//"),
    "zig": ("plugin.zig", "//"),
    "go": ("main.go", "//"),
    "javascript": ("plugin.js", "//"),
    "typescript": ("plugin.ts", "//"),
    "python": ("plugin.py", "#"),
}
#: The targets for build and test together, in seconds. Python's is that of its own tool, and three seconds.
ROUND = {"rust": 3, "c": 3, "zig": 3, "go": 5, "javascript": 4, "typescript": 4, "python": 3}
#: The targets for `plugin test` after a build, and for the first `meter` of the component.
TEST, METER = 3, 0.5
UNITS = {"s": 1, "ms": 1e-3, "µs": 1e-6}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", default=[])
    arguments = parser.parse_args()
    wrong = [language for language in arguments.languages if language not in SOURCES]
    if wrong:
        parser.error(f"unknown language {wrong[0]}; known are {', '.join(SOURCES)}")
    print(f"{'language':<11} {'first':>6} {'tool':>6} {'open':>6} {'build':>6} {'test':>6} {'meter':>6}  build and test")
    missed = 0
    for language in arguments.languages or SOURCES:
        with tempfile.TemporaryDirectory() as folder:
            missed += measure(arguments.flowloom, language, Path(folder), arguments.repetitions)
    print("\nSeconds by the clock, medians. first: the first build. tool: the compiler of the language. open: compile to machine")
    print("code and open. meter: the first run with the component.")
    sys.exit(bool(missed))


def measure(flowloom, language, folder, repetitions):
    """Prints the row of a language. Returns the number of missed targets."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "FLOWLOOM_TOOLS": str(ROOT / "target/sdk-tools"),
        "CARGO_TARGET_DIR": str(folder / "target"),
        "CARGO_NET_OFFLINE": "true",
    }

    def run(*words):
        start = time.monotonic()
        ended = subprocess.run([flowloom, *words], cwd=folder, env=environment, capture_output=True, text=True)
        if ended.returncode:
            sys.exit(f"flowloom {' '.join(words)} failed in {language}:\n{ended.stderr}{ended.stdout}")
        return time.monotonic() - start, ended.stdout

    run("plugin", "new", "mine", "--lang", language)
    first, _ = run("plugin", "build", "mine")
    source, comment = SOURCES[language]
    path = folder / "mine" / source
    rounds = []
    for n in range(repetitions):
        text = path.read_text()
        # The name of an output is in the component, so that each round builds another one.
        text = re.sub(r"by_source\w*", f"by_source{n}", text)
        path.write_text(f"{text}\n{comment} Round {n}.\n")
        build, printed = run("plugin", "build", "mine")
        tool, opened = (seconds(found) for found in re.search(r"built in (\S+); compiled and opened in (\S+)", printed).groups())
        run("plugin", "test", "mine", "--bless")
        test, _ = run("plugin", "test", "mine")
        # A run as a stranger's: another process, the same cache.
        meter, _ = run("meter", str(CAPTURE), "--plugin", "mine/mine.wasm", "-o", "flows.csv")
        rounds.append((tool, opened, build, test, meter))
    tool, opened, build, test, meter = (statistics.median(column) for column in zip(*rounds))
    target = ROUND[language] + (tool if language == "python" else 0)
    results = [
        (build + test, target, "build and test"),
        (test, TEST, "test"),
        (meter, METER, "meter"),
    ]
    missed = [f"{what} {value:.1f} > {limit:.1f}" for value, limit, what in results if value > limit]
    verdict = f"{build + test:.1f} of {target:.1f}: " + ("missed: " + ", ".join(missed) if missed else "met")
    print(
        f"{language:<11} {first:6.1f} {tool:6.1f} {opened:6.1f} {build:6.1f} {test:6.2f} {meter:6.2f}  {verdict}", flush=True
    )
    return len(missed)


def seconds(text):
    """Returns the seconds of a time such as `117.3ms`."""
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", text).groups()
    return float(number) * UNITS[unit]


if __name__ == "__main__":
    main()
