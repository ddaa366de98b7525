#!/usr/bin/env python3
"""Run docs/plugin-tutorial.md in every language.

    tests/languages/tutorial.py [--flowloom COMMAND] [--bless] [LANGUAGE ...]

The script runs the page from its beginning in an empty folder, word for word:

- `console`: commands after `$ `, with their output. Only the language of `--lang` is replaced.
- `diff`: a change of a file. If the language does not have the file, the change is for another language.
- `text`: what `flowloom plugin dev`, which still runs, prints after the changes before it.

Commands must end as on the page, with the same output. Sizes, times and digests may differ. In other languages than the page's,
lines that depend on the language may differ too. The script prints the times of all steps as a table.

`--bless` writes the output and the table into the page.
"""

import argparse
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/plugin-tutorial.md"
LANGUAGES = ["python", "javascript", "typescript", "rust", "go", "c", "zig"]
OF_PAGE = "python"
BLOCK = re.compile(r"^```(console|diff|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"^\| language \|.*\n(\|.*\n)*", re.MULTILINE)
#: The line that `flowloom plugin dev` prints after each round.
WAITING = "waiting for a change; Ctrl-C ends\n"
#: A round of `dev` takes less time, even if the compiler starts for the first time.
ROUND_SECONDS = 300
#: What may differ between two runs.
VARYING = [
    (r"-?\d[\d.]* ?(ns|µs|ms|s)\b", "TIME"),
    (r"\d[\d.]* (KiB|MiB)\b", "SIZE"),
    (r"\b\d+ bytes\b(?! of)(?=[;,])", "SIZE"),
    (r"\(-?\d[\d.]* to -?\d[\d.]*\)", "(RANGE)"),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
]
#: Lines that depend on the language: its source, and its costs in `flowloom plugin check` and `bench`.
OF_LANGUAGE = ("Created ", "file ", "memory ", "options ", "sha256 ")
#: Lines that are not on the page: compilers print them, and a run that compiles a plugin for the first time. A debug build
#: of Flowloom says that it is one.
UNPRINTED = (" INFO ", "note         this flowloom is a debug build")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", default=[])
    arguments = parser.parse_args()
    flowloom = Path(arguments.flowloom).resolve()
    times = {}
    for language in LANGUAGES if arguments.bless else arguments.languages or LANGUAGES:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(flowloom, Path(folder), language)
            try:
                page = BLOCK.sub(lambda block: run.block(*block.groups()), PAGE.read_text())
            finally:
                run.end_dev()
        times[language] = run.times
        if arguments.bless and language == OF_PAGE:
            PAGE.write_text(page)
        elif run.problems:
            sys.exit("\n".join([f"tutorial.py: {language}:", *run.problems]))
    print(table(times), end="")
    if arguments.bless:
        PAGE.write_text(TABLE.sub(table(times), PAGE.read_text()))


def table(times):
    """Returns the seconds of each step as a table."""
    steps = list(next(iter(times.values())))
    lines = [f"| language | {' | '.join(steps)} |", "|---|" + "--:|" * len(steps)]
    for language, of_language in times.items():
        lines.append(f"| {language} | {' | '.join(f'{of_language[step]:.1f}' for step in steps)} |")
    return "".join(f"{line}\n" for line in lines)


class Run:
    """The commands of the page in a folder, and what they print."""

    def __init__(self, flowloom, folder, language):
        self.language = language
        self.folder = folder / "work"
        self.folder.mkdir()
        commands = folder / "bin"
        commands.mkdir()
        (commands / "flowloom").symlink_to(flowloom)
        self.environment = {
            "FLOWLOOM_TOOLS": str(ROOT / "target/sdk-tools"),
            # Flowloom needs the dependencies of the SDK too, so they are downloaded.
            "CARGO_NET_OFFLINE": "true",
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        }
        # Nothing was compiled before.
        self.environment.pop("CARGO_TARGET_DIR", None)
        self.dev = None
        self.problems = []
        #: Seconds of each step.
        self.times = {}
        self.applied = 0

    def block(self, kind, text):
        """Runs a block of the page, and returns it with the output of this run."""
        if kind == "diff":
            self.change(text)
            return f"```diff\n{text}```"
        if kind == "text":
            if self.dev is None:
                sys.exit(f"tutorial.py: `flowloom plugin dev` does not run before this output:\n{text}")
            output = self.round(f"change {self.applied}")
            self.compare("flowloom plugin dev", text, output)
            return f"```text\n{output}```"
        blessed = ""
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            output = self.command(command)
            self.compare(command, expected, output)
            blessed += f"$ {command}\n{output}"
        return f"```console\n{blessed}```"

    def command(self, command):
        """Runs a command, and returns what it prints."""
        self.end_dev()
        words = command.replace(f"--lang {OF_PAGE}", f"--lang {self.language}")
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        options = {"shell": True, "cwd": self.folder, "env": self.environment, "text": True, **output}
        step = next(word for word in words.split() if word not in ("flowloom", "-q", "plugin"))
        if step == "dev":
            # A new process group, so that the shell ends with it.
            self.dev = subprocess.Popen(f"exec {words}", **options, start_new_session=True)
            return self.round(step)
        start = time.monotonic()
        done = subprocess.run(words, check=False, **options)
        self.times.setdefault(step, time.monotonic() - start)
        if done.returncode:
            sys.exit(f"tutorial.py: {self.language}: {words}\n{done.stdout}")
        return printed(done.stdout)

    def round(self, step):
        """Returns what `flowloom plugin dev` prints until it waits for a change."""
        start = time.monotonic()
        output = ""
        while not output.endswith(WAITING + "\n"):
            ready, _, _ = select.select([self.dev.stdout], [], [], ROUND_SECONDS)
            part = os.read(self.dev.stdout.fileno(), 1 << 16).decode() if ready else ""
            if not part:
                sys.exit(f"tutorial.py: {self.language}: `flowloom plugin dev` does not wait for a change:\n{output}")
            output += part
        self.times[step] = time.monotonic() - start
        return printed(output).rstrip("\n") + "\n"

    def end_dev(self):
        if self.dev is not None:
            self.dev.send_signal(signal.SIGINT)
            self.dev.communicate()
            self.dev = None

    def change(self, diff):
        """Applies a change, if it is for this language."""
        file = self.folder / re.match(r"--- (\S+)\n", diff)[1]
        if file.exists():
            patched = subprocess.run(
                ["git", "apply", "--unidiff-zero", "-p0"], cwd=self.folder, input=diff, text=True, capture_output=True, check=False
            )
            if patched.returncode:
                sys.exit(f"tutorial.py: {self.language}: {patched.stderr}\n{diff}")
            self.applied += 1

    def compare(self, command, expected, output):
        expected, actual = ([same(line) for line in text.splitlines()] for text in (expected, output))
        if self.language == OF_PAGE:
            if expected != actual:
                self.problems += [f"{command} printed", *actual, "expected", *expected]
        else:
            for line in expected:
                if line not in actual and not line.startswith(OF_LANGUAGE):
                    self.problems += [f"{command} did not print", line, "but", *actual]


def printed(output):
    """Returns the lines that the page has."""
    return "".join(line for line in output.splitlines(keepends=True) if not line.startswith(UNPRINTED))


def same(line):
    for pattern, name in VARYING:
        line = re.sub(pattern, name, line)
    return line


if __name__ == "__main__":
    main()
