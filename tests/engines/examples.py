#!/usr/bin/env python3
"""Run the examples of docs/outputs.md, and check that they print what the page says.

    tests/engines/examples.py [--flowloom COMMAND] [--bless] [--only NAME …]

The page has blocks of Python, each followed by a block of text with its output. --bless writes the outputs into the
page. An example whose package is not installed is skipped and named; --only makes it an error.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "outputs.md"
BLOCK = re.compile(r"### ([^\n]+)\n(?:(?!###).)*?```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
METER = re.compile(r"```sh\n(flowloom meter .*?)\n```", re.DOTALL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=ROOT / "target/debug/flowloom", type=Path)
    parser.add_argument("--bless", action="store_true", help="write the outputs into the page")
    parser.add_argument("--only", nargs="+", help="names of examples that must run")
    arguments = parser.parse_args()
    text = PAGE.read_text()
    failed, ran = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "tests").symlink_to(ROOT / "tests")
        environment = {**os.environ, "TZ": "UTC", "PATH": f"{arguments.flowloom.resolve().parent}:{os.environ['PATH']}"}
        subprocess.run([*METER.search(text)[1].split(), "-q"], cwd=folder, env=environment, check=True)
        for name, code, expected in BLOCK.findall(text):
            wanted = arguments.only and any(name.startswith(only) for only in arguments.only)
            if arguments.only and not wanted:
                continue
            done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True,
                                  text=True)
            if "ModuleNotFoundError" in done.stderr and not wanted:
                print(f"{name}: skipped, {done.stderr.splitlines()[-1]}")
                continue
            printed = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines()) + "\n"
            ran.append(name)
            if done.returncode != 0:
                failed.append(name)
                print(f"{name}: failed\n{done.stderr}")
            elif arguments.bless:
                old = f"```python\n{code}```\n\n```text\n{expected}```"
                text = text.replace(old, f"```python\n{code}```\n\n```text\n{printed}```")
            elif printed != expected:
                failed.append(name)
                print(f"{name}: printed\n{printed}instead of\n{expected}")
    if arguments.bless:
        PAGE.write_text(text)
    print(f"{len(ran)} examples ran: {', '.join(ran)}; {len(failed)} failed")
    sys.exit(bool(failed) or not ran)


if __name__ == "__main__":
    main()
