#!/usr/bin/env python3
"""Shows where the flowloom command spends more time with some options than without them.

    tests/bench/profile.py CAPTURE OPTION …

Samples both commands with perf, in turn and several times over; prints, by function, the processor time
of a packet of each and the difference, as a table in Markdown. Code of plugins has no names: it is one
row. Sampling itself takes time, so that the numbers are for comparing with each other. Needs perf
(Debian's linux-perf) and a release build, as `make bench` leaves it.
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
    """Samples by function, and packets."""
    data = folder / "perf.data"
    record = ["perf", "record", "--event", "cpu-clock", "--freq", str(HERTZ), "--output", data]
    said = subprocess.run([*record, *line], capture_output=True, text=True, check=True).stderr
    script = ["perf", "script", "--input", data, "--fields", "ip,sym,dso"]
    shown = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    counts = Counter()
    for name, file in re.findall(r"^ *[0-9a-f]+ (.*) \((.*)\)$", shown, re.MULTILINE):
        kernel = "kernel: " if "kernel" in file else ""
        name = re.sub(r"::h[0-9a-f]{16}$", "", name)
        counts[PLUGIN if name == "[unknown]" else kernel + name] += 1
    return counts, int(re.search(r"(\d+) metered", said)[1])


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__.split("\n\n")[1].strip())
    capture, *options = sys.argv[1:]
    line = [FLOWLOOM, "meter", "--output", "/dev/null", "--n-dissections", "0"]
    lines = [[*line, capture], [*line, *options, capture]]
    taken = [[], []]
    with tempfile.TemporaryDirectory() as name:
        for _ in range(TIMES):
            for runs, each in zip(taken, lines, strict=True):
                counts, packets = samples(each, Path(name))
                runs.append(counts)

    def cost(runs, function):
        """ns a packet; of all runs the lower quarter's end, as what disturbs one only adds to it."""
        return sorted(run[function] for run in runs)[TIMES // 4] * 1e9 / HERTZ / packets

    functions = set().union(*taken[0], *taken[1])
    rows = [(f, *(cost(runs, f) for runs in taken)) for f in functions]
    rows.sort(key=lambda row: row[1] - row[2])
    print("| function | without, ns a packet | with | more |")
    print("| :-- | --: | --: | --: |")
    for function, without, with_it in rows[:ROWS]:
        print(f"| `{function}` | {without:.1f} | {with_it:.1f} | {with_it - without:.1f} |")
    without, with_it = (sum(row[n] for row in rows) for n in (1, 2))
    print(f"| all | {without:.1f} | {with_it:.1f} | {with_it - without:.1f} |")


if __name__ == "__main__":
    main()
