#!/usr/bin/env python3
"""Compare the formats of the command `flowloom`: processor time, memory and size of the output.

    tests/bench/formats.py [--before COMMAND] [--repetitions N] [--no-build]

COMMAND is another build of `flowloom`, whose CSV is the control. Without it, CSV of this build is the control, and
the targets are not judged. The program builds the command, generates traffic in target/bench, runs all commands in
turn, and prints tables in Markdown.
"""

import argparse
import os
import platform
import shlex
import statistics
import tempfile
from pathlib import Path

from measure import DATA, FLOWLOOM, Command, Measurement, build, interleave, middle, processor, ratios, table, traffic

FULL = ["--statistical-analysis", "--splt-analysis", "20"]
#: A row: the name, the capture, the format, options, and the largest accepted ratio to the control.
ROWS = [
    ("CSV", "scan", "csv", [], 0.6),
    ("JSON lines", "scan", "jsonl", [], None),
    ("Arrow", "scan", "arrow", [], 0.6),
    ("Parquet, zstd 3", "scan", "parquet", [], 1.0),
    ("CSV", "zipf", "csv", [], None),
    ("Arrow", "zipf", "arrow", [], None),
    ("Parquet, zstd 3", "zipf", "parquet", [], None),
]
MOST_FULL = 1.2


def meter(flowloom, form, *options, output="/dev/null"):
    return [flowloom, "meter", "--output", output, "--format", form, "--n-dissections", "0", *options]


def processor_time(captures, before, repetitions):
    control = before or FLOWLOOM
    controls = {kind: Command("CSV before" if before else "CSV", meter(control, "csv"), [path])
                for kind, path in captures.items()}
    commands = [Command(name, meter(FLOWLOOM, form, *options), [captures[kind]])
                for name, kind, form, options, _ in ROWS]
    full = Command("Parquet with statistics and SPLT 20", meter(FLOWLOOM, "parquet", *FULL), [captures["zipf"]])
    # A control runs directly before the commands that are compared with it.
    order = []
    for kind, of_kind in controls.items():
        order.append(of_kind)
        order += [command for command, row in zip(commands, ROWS, strict=True) if row[1] == kind]
    interleave([*order, full], repetitions)

    rows = []

    def row(name, kind, command, to, most):
        ratio = command.net(1) / to.net(1)
        met = "" if most is None else "met" if ratio <= most else "missed"
        rows.append([name, kind, f"{command.net(1) / 1e9:.3f}", f"{statistics.median(command.each(1)) / 1e9:.3f}",
                     f"{ratio:.2f}", middle(ratios(command.each(1), to.each(1)), 2), "" if most is None else f"at most {most}", met])

    for kind, command in controls.items():
        row(command.name, kind, command, command, None)
        for of_kind, (name, where, *_, most) in zip(commands, ROWS, strict=True):
            if where == kind:
                row(name, kind, of_kind, command, most if before else None)
    parquet = next(command for command, row in zip(commands, ROWS, strict=True)
                   if row[1] == "zipf" and row[2] == "parquet")
    row(full.name + ", to core in Parquet", "zipf", full, parquet, MOST_FULL)
    print("### Processor time\n")
    table(["format", "capture", "s", "median", "to control", "run by run", "target", ""], rows)
    for command in [*controls.values(), *commands, full]:
        print("    " + shlex.join(command.line))
    print()


def size_and_memory(counts):
    """Print the size of files and the peak memory by the number of flows, all of one packet."""
    rows = []
    for count in counts:
        capture = traffic(f"scan-{count}", "scan", "--packets", count)
        for extension in ["csv", "csv.gz", "csv.zst", "jsonl", "arrow", "parquet"]:
            with tempfile.TemporaryDirectory(dir=DATA) as folder:
                path = Path(folder) / f"flows.{extension}"
                line = [FLOWLOOM, "meter", str(capture), "--output", str(path), "--n-dissections", "0"]
                # Few flows are live, so that the memory is that of the output.
                taken = Measurement([str(word) for word in [*line, "--idle-timeout", "0"]])
                rows.append([f"{count:,}", extension, f"{path.stat().st_size / 1e6:.1f}",
                             f"{path.stat().st_size / count:.1f}", f"{taken.memory / 1e6:.0f}"])
    print("### Size and peak memory\n")
    table(["flows", "extension", "MB", "bytes a flow", "peak memory, MB"], rows)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--before", type=Path, help="the build that is the control")
    arguments.add_argument("--repetitions", type=int, default=9)
    arguments.add_argument("--no-build", action="store_true", help="use the existing build")
    given = arguments.parse_args()
    if not given.no_build:
        build()
    DATA.mkdir(exist_ok=True)
    (DATA / "empty.pcap").write_bytes(
        bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    captures = {
        "scan": traffic("scan", "scan", "--packets", 1_000_000),
        "zipf": traffic("zipf", "zipf", "--flows", 100_000, "--packets", 1_000_000),
    }
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}\n")
    processor_time(captures, given.before, given.repetitions)
    size_and_memory([1_000_000, 4_000_000])


if __name__ == "__main__":
    main()
