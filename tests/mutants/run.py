#!/usr/bin/env python3
"""Changes random places of a crate, one at a time, and counts how many changes its own tests notice.

    tests/mutants/run.py [--package NAME] [--count N] [--seed N]

cargo-mutants makes the changes. The sample is drawn with a seed, so that it can be drawn again. Prints the
share of viable changes that were caught, and lists the others. Fails below 90 %.
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEAST = 0.9


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--package", default="flowloom-core")
    options.add_argument("--count", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    if shutil.which("cargo-mutants") is None:
        subprocess.run(["cargo", "install", "--locked", "cargo-mutants"], check=True)
    mutants = ["cargo", "mutants", "--package", options.package]
    listed = subprocess.run(
        [*mutants, "--list", "--json"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = sorted(mutant["name"] for mutant in json.loads(listed.stdout))
    sample = random.Random(options.seed).sample(names, min(options.count, len(names)))
    with tempfile.TemporaryDirectory() as folder:
        chosen = [f"--re=^{re.escape(name)}$" for name in sample]
        subprocess.run(
            [*mutants, "--output", folder, "--no-times", "--timeout", "300", *chosen,
             "--", "--lib"],
            cwd=ROOT,
        )
        outcomes = json.loads((Path(folder) / "mutants.out/outcomes.json").read_text())["outcomes"]
    results = {"CaughtMutant": [], "MissedMutant": [], "Timeout": [], "Unviable": []}
    for outcome in outcomes:
        if outcome["scenario"] != "Baseline":
            name = outcome["scenario"]["Mutant"]["name"]
            results.setdefault(outcome["summary"], []).append(name)
    caught = len(results["CaughtMutant"]) + len(results["Timeout"])
    viable = caught + len(results["MissedMutant"])
    print(f"\n{options.package}, seed {options.seed}: {len(sample)} of {len(names)} mutants, "
          f"{viable} viable, {caught} caught ({100 * caught / max(viable, 1):.0f} %)")
    for name in results["MissedMutant"]:
        print(f"    not caught: {name}")
    return 0 if caught >= LEAST * viable else 1


if __name__ == "__main__":
    sys.exit(main())
