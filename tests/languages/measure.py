#!/usr/bin/env python3
"""Measure the cost of a plugin in each language, and print a table.

    tests/languages/measure.py --flowloom target/release/flowloom CAPTURE [--repetitions 5]

The program runs all plugins in turn, and repeats this, so that other load on the machine affects all of them
equally. It prints the minimum of each number. "ns per packet" is the wall time of calls into the plugin, as Flowloom
reports it, divided by the number of packets. "load" is the CPU time of a run over an empty capture, minus that of a run
without a plugin.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "first_bytes_stats"
EMPTY = ROOT / "tests/captures/empty.pcap"
HEAD = (
    "| language | size, KB | load, ms | memory, MB | ns per packet, in batches | relative to Rust "
    "| ns per packet, event by event | relative to Rust |"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("--flowloom", default=str(ROOT / "target/release/flowloom"))
    parser.add_argument("--plugins", type=Path, default=ROOT / "target/plugins")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    plugins = sorted(arguments.plugins.glob(f"{NAME}*.wasm"), key=lambda plugin: plugin.stat().st_size)
    found = {plugin: {} for plugin in plugins}
    for _ in range(arguments.repetitions):
        bare, _ = run(arguments.flowloom, EMPTY, None, "auto")
        for plugin, least in found.items():
            load, _ = run(arguments.flowloom, EMPTY, plugin, "auto")
            keep(least, "load", load - bare)
            for calls in ("auto", "per-event"):
                _, report = run(arguments.flowloom, arguments.capture, plugin, calls)
                events, packets, ns, memory = numbers(report)
                keep(least, calls, events * ns / packets)
                keep(least, "memory", memory)
    rust = found[arguments.plugins / f"{NAME}.wasm"]
    print(HEAD)
    print("| :-- | --: | --: | --: | --: | --: | --: | --: |")
    for plugin, least in found.items():
        suffix = plugin.stem.removeprefix(NAME)
        cells = [
            suffix.lstrip("_") or "rust",
            f"{plugin.stat().st_size / 1000:,.0f}",
            f"{1000 * least['load']:,.0f}",
            f"{least['memory'] / 1024:.1f}",
        ]
        for calls in ("auto", "per-event"):
            cells += [f"{least[calls]:,.0f}", f"{least[calls] / rust[calls]:.1f}"]
        print(f"| {' | '.join(cells)} |")


def keep(least, what, value):
    least[what] = min(value, least.get(what, value))


def run(flowloom, capture, plugin, calls):
    """Run Flowloom. Return the CPU time in seconds and the summary."""
    command = [flowloom, "meter", capture, "-o", os.devnull, "--plugin-calls", calls]
    if plugin:
        command += ["--plugin", f"p={plugin}", "--grant", "p=payload:64"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    report = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{report}")
    return usage.ru_utime + usage.ru_stime, report


def numbers(report):
    packets = int(re.search(r"([\d,]+) metered", report)[1].replace(",", ""))
    events, ns, memory = re.search(
        r"([\d,]+) events in [\d,]+ calls, ([\d,]+) ns per event, ([\d,]+) KiB", report
    ).groups()
    events, ns, memory = (int(number.replace(",", "")) for number in (events, ns, memory))
    return events, packets, ns, memory


main()
