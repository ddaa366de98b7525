#!/usr/bin/env python3
"""Show the CPU time of `flowloom meter` by function, or the difference between two commands.

    tests/bench/profile.py WORD … [-- WORD …]

WORDs are captures and options of `flowloom meter`. Those of a second command follow `--`. The program samples both
commands with perf, in turn and several times. It prints the CPU time per packet by function, and the difference, as a
table in Markdown. Code of plugins has no function names, so it is one row. Sampling itself takes time, so the numbers
are only meaningful in comparison with each other. The program needs perf (Debian's linux-perf) and the release build
of `make bench`.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOWLOOM = ROOT / "target" / "release" / "flowloom"
TIMES = 9
HERTZ = 8_000
ROWS = 16
PLUGIN = "the plugin"


def samples(line, folder):
    """Run a command. Return its samples by function, and its number of packets."""
    data = folder / "perf.data"
    record = ["perf", "record", "--event", "cpu-clock", "--freq", str(HERTZ), "--output", data]
    summary = subprocess.run([*record, *line], capture_output=True, text=True, check=True).stderr
    script = ["perf", "script", "--input", data, "--fields", "ip,sym,dso"]
    shown = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    counts = Counter()
    for name, file in re.findall(r"^ *[0-9a-f]+ (.*) \((.*)\)$", shown, re.MULTILINE):
        kernel = "kernel: " if "kernel" in file else ""
        name = re.sub(r"::h[0-9a-f]{16}$", "", name)
        counts[PLUGIN if name == "[unknown]" else kernel + name] += 1
    return counts, int(re.search(r"(\d+) metered", summary)[1])


def lower_quarter(numbers):
    """Return the lower quartile. Other load on the machine only increases the times."""
    return sorted(numbers)[TIMES // 4]


def main():
    words = sys.argv[1:]
    if not words:
        sys.exit(__doc__.split("\n\n")[1].strip())
    at = words.index("--") if "--" in words else len(words)
    line = [FLOWLOOM, "meter", "--output", "/dev/null", "--n-dissections", "0"]
    commands = [[*line, *each] for each in (words[:at], words[at + 1 :]) if each]
    taken = [[] for _ in commands]
    with tempfile.TemporaryDirectory() as name:
        for _ in range(TIMES):
            for runs, command in zip(taken, commands, strict=True):
                counts, packets = samples(command, Path(name))
                ns = 1e9 / HERTZ / packets
                runs.append({function: count * ns for function, count in counts.items()})

    functions = {function for runs in taken for run in runs for function in run}
    rows = [
        [function, *(lower_quarter([run.get(function, 0) for run in runs]) for runs in taken)]
        for function in functions
    ]
    rows.append(["all", *(lower_quarter([sum(run.values()) for run in runs]) for runs in taken)])
    head = ["function", "ns a packet"]
    if len(commands) == 2:
        head = ["function", "first, ns a packet", "second", "more"]
        rows = [[*row, row[2] - row[1]] for row in rows]
    total = rows.pop()
    rows.sort(key=lambda row: -row[-1])
    print("| " + " | ".join(head) + " |")
    print("| :-- |" + " --: |" * (len(head) - 1))
    for function, *numbers in [*rows[:ROWS], total]:
        function = function if function == "all" else f"`{function}`"
        print(f"| {function} | " + " | ".join(f"{number:.1f}" for number in numbers) + " |")


if __name__ == "__main__":
    main()
