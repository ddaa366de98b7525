#!/usr/bin/env python3
"""Changes random places of a crate, one at a time, and counts how many changes its own tests notice.

    tests/mutants/run.py [--package NAME] [--count N] [--seed N] [--only REGEX]

cargo-mutants lists the possible changes. The sample is drawn with a seed, so that it can be drawn again. Prints
the share of viable changes that were caught, and lists the others. Fails below 90 %.

The script makes the changes itself, in a copy of the tree: cargo-mutants 27.1 cannot select single changes,
because it always tests those that delete a field.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEAST = 0.9
# Nothing else may be built here: for cargo, a crate in a copy of a workspace is the same crate.
TARGET = ROOT / "target/mutants"
# A change is caught if the tests take this many times as long as without it.
SLOWER = 10
# Is not compiled for tests.
EXCLUDED = "host/plugin/src/fuzzing.rs"
# A crate builds faster without optimisation. The compiler of the plugins needs it.
UNOPTIMISED = [
    f"--config=profile.dev.package.{crate}.{setting}"
    for crate in ("flowloom-core", "flowloom-plugin")
    for setting in ("opt-level=0", "debug=false")
]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--package", default="flowloom-core")
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", default="", help="draw only from changes whose names match")
    options = options.parse_args()
    if shutil.which("cargo-mutants") is None:
        subprocess.run(["cargo", "install", "--locked", "cargo-mutants"], check=True)
    mutants = listed(options.package, options.only)
    sample = random.Random(options.seed).sample(mutants, min(options.count, len(mutants)))

    # Always in the same folder, so that the next run finds what this one has built.
    tree = TARGET / "tree"
    copy(tree)
    tests = ["cargo", *UNOPTIMISED, "test", "--quiet", "--package", options.package, "--lib"]
    run([*tests, "--no-run"], tree)
    start = time.monotonic()
    if run(tests, tree) != 0:
        sys.exit("the tests fail without a change")
    seconds = SLOWER * (time.monotonic() - start)
    caught, missed = 0, []
    for number, mutant in enumerate(sample, 1):
        source = tree / mutant["file"]
        original = source.read_text()
        source.write_text(changed(original, mutant))
        if run([*tests, "--no-run"], tree) != 0:
            result = "unviable"
        else:
            result = {0: "missed", None: "timeout"}.get(run(tests, tree, seconds), "caught")
            missed += [mutant["name"]] * (result == "missed")
            caught += result != "missed"
        source.write_text(original)
        print(f"{number:4} {result:8} {mutant['name']}", flush=True)

    viable = caught + len(missed)
    print(f"\n{options.package}, seed {options.seed}: {len(sample)} of {len(mutants)} mutants, "
          f"{viable} viable, {caught} caught ({100 * caught / max(viable, 1):.1f} %)")
    for name in missed:
        print(f"    not caught: {name}")
    return 0 if caught >= LEAST * viable else 1


def listed(package, only):
    """Returns the possible changes of a package, by name."""
    command = ["cargo", "mutants", "--package", package, "--exclude", EXCLUDED, "--list", "--json"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    mutants = (mutant for mutant in json.loads(output) if re.search(only, mutant["name"]))
    return sorted(mutants, key=lambda mutant: mutant["name"])


def copy(tree):
    """Copies the sources. The copies are newer than all that was built of earlier copies."""
    shutil.rmtree(tree, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, files.split("\0")):
        # Links lead to files and folders that are copied as well.
        if (ROOT / name).is_file() or (ROOT / name).is_symlink():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name, follow_symlinks=False)


def changed(text, mutant):
    """Returns the text of a source file with a change."""
    lines = text.splitlines(keepends=True)

    def offset(place):
        return sum(map(len, lines[: place["line"] - 1])) + place["column"] - 1

    start, end = offset(mutant["span"]["start"]), offset(mutant["span"]["end"])
    return f"{text[:start]}{mutant['replacement']}{text[end:]}"


def run(command, tree, seconds=None):
    """Returns the exit code, or `None` if the command takes longer."""
    env = os.environ | {"CARGO_TARGET_DIR": str(TARGET)}
    process = subprocess.Popen(command, cwd=tree, env=env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


if __name__ == "__main__":
    sys.exit(main())
