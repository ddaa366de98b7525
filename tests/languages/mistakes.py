#!/usr/bin/env python3
"""Check that Flowloom and the SDKs explain the mistakes of a plugin's author.

    tests/languages/mistakes.py [--flowloom COMMAND] [--bless] [LANGUAGE ...]

Each language has one plugin in mistakes/, whose option `mistake` selects a mistake. The script builds the plugin with the SDK
of its language, and meters a capture once for each mistake that the language permits. What the author reads must equal
mistakes/expected/LANGUAGE.txt: the exit code, the lines of standard error, and the values of the first flow.

The script also checks rules that hold for every text: nobody reads a bare `unreachable`, and no text appears twice.

`--bless` writes the expected texts.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "tests/languages/mistakes"
CAPTURE = ROOT / "tests/captures/tls13.pcap"
#: The sources, and the file that has the plugin's code.
SOURCES = {
    "c": ("mistakes.c", "mistakes.c"),
    "go": ("mistakes", "mistakes/main.go"),
    "javascript": ("mistakes.js", "mistakes.js"),
    "python": ("mistakes.py", "mistakes.py"),
    "rust": ("rust", "rust/src/lib.rs"),
    "zig": ("mistakes.zig", "mistakes.zig"),
}
#: Lines of the summary, which have times.
SUMMARY = ("packets ", "flows ", "nDPI ", "plugin ", "time ", "         ")
#: Compiling Python takes 10 s of CPU time.
COMPILE = ["--compile-time", "300"]
#: The part of a text that must not appear twice has at least this number of characters.
REPEATED = 40


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", default=[])
    arguments = parser.parse_args()
    wrong = [language for language in arguments.languages if language not in SOURCES]
    if wrong:
        parser.error(f"unknown language {wrong[0]}; known are {', '.join(SOURCES)}")
    problems = []
    for language in arguments.languages or SOURCES:
        problems += check(arguments.flowloom, language, arguments.bless)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(bool(problems))


def check(flowloom, language, bless):
    """Returns the problems of one language's texts."""
    source, code = SOURCES[language]
    mistakes = re.findall(r"(?:#|//|/\*) mistake: (\w+)", (FOLDER / code).read_text())
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "mistakes.wasm"
        build = [ROOT / f"sdk/{language}/build.sh", plugin, FOLDER / source]
        subprocess.run(build, check=True, env={**os.environ, "FLOWLOOM": flowloom})
        texts = {mistake: run(flowloom, plugin, mistake) for mistake in mistakes}
    problems = []
    for mistake, text in texts.items():
        problems += [f"{language}, {mistake}: {problem}\n{text}" for problem in against_rules(text)]
    text = "".join(f"# {mistake}\n{text}\n" for mistake, text in texts.items())
    expected = FOLDER / f"expected/{language}.txt"
    if bless:
        expected.write_text(text)
        print(f"{language}: {len(texts)} texts written")
    elif not expected.exists() or expected.read_text() != text:
        new = ROOT / f"target/mistakes-{language}.txt"
        new.write_text(text)
        problems.append(f"{language}: {new} differs from {expected.relative_to(ROOT)}")
    else:
        print(f"{language}: {len(texts)} mistakes are explained as expected")
    return problems


def run(flowloom, plugin, mistake):
    """Returns what the author of a plugin reads."""
    command = [flowloom, "meter", str(CAPTURE), "--plugin", f"{plugin},mistake={mistake}", *COMPILE]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "flows.jsonl"
        ended = subprocess.run([*command, "-o", str(output)], capture_output=True, text=True, errors="replace")
        rows = output.read_text().splitlines() if output.exists() else []
    lines = [line for line in ended.stderr.splitlines() if not line.startswith(SUMMARY)]
    # Only the first run of a component compiles it.
    lines = [line for line in lines if not line.startswith(" INFO compiling ")]
    text = "\n".join([f"exit code {ended.returncode}", *lines])
    text = text.replace(str(plugin), "mistakes.wasm").replace(f"{ROOT}/", "")
    if rows:
        udps = json.loads(rows[0]).get("udps", {}).get("mistakes")
        text += f"\nvalues {json.dumps(udps)}"
    return text + "\n"


def against_rules(text):
    """Returns the rules that a text violates."""
    problems = []
    for line in text.splitlines():
        if re.search(r"unreachable", line) and not re.search(r"unreachable.*: \S|\bin \S+\(?", line):
            problems.append("a bare `unreachable`")
    # A text of this length that appears twice is one error that is shown twice.
    for start in range(len(text) - REPEATED):
        part = text[start : start + REPEATED]
        if "\n" not in part and part.strip() == part and part in text[start + 1 :]:
            problems.append(f"the text appears twice: {part!r}")
            break
    return problems


if __name__ == "__main__":
    main()
