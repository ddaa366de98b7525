#!/usr/bin/env python3
"""Measure the Python package beside the command, and plugins in Python beside NFStream's.

    make bench-python        # builds the wheel, and installs it with NFStream into target/bench-python

A capture is metered several times in one run, so that the start of Python does not count. Rounds alternate between all
rows. A row has the median of its rounds, in ns a packet.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time

import flowloom
import flowloom.nfstream


class Count(flowloom.Plugin):
    """Counts the packets of a flow."""

    outputs = [flowloom.Output("packets", int, "Packets of the flow.")]

    def init(self, packet, flow):
        return [1]

    def update(self, state, packet, flow):
        state[0] += 1

    def expire(self, state, flow):
        return {"packets": state[0]}


def nfstream(package, capture):
    """Return functions that run a package with NFStream's interface with one meter: a loop over flows, one with a plugin
    that counts packets, and one into a DataFrame."""

    class NFCount(package.NFPlugin):
        def on_init(self, packet, flow):
            flow.udps.packets = 1

        def on_update(self, packet, flow):
            flow.udps.packets += 1

    def streamer(**more):
        return package.NFStreamer(capture, n_dissections=0, n_meters=1, **more)

    def loop(**more):
        for _ in streamer(**more):
            pass

    return loop, lambda: loop(udps=NFCount()), lambda: streamer().to_pandas()


def rows(options):
    """Return for each row its name, its function, and how often it meters the capture."""
    copies, capture = options.copies, options.capture
    files = [capture] * copies

    def command():
        run = [options.flowloom, "-q", "meter", *files, "--group", "each", "--n-dissections", "0"]
        subprocess.run([*run, "--format", "csv", "--output", "/dev/null"], check=True)

    def flows(**more):
        return flowloom.meter(files, group="each", n_dissections=0, **more)

    def loop(**more):
        for _ in flows(**more):
            pass

    yield "the command, CSV", command, copies
    yield "`to_polars()`", lambda: flows().to_polars(), copies
    yield "`to_pandas()`", lambda: flows().to_pandas(), copies
    yield "a loop over flows", loop, copies
    yield "… with a class that counts", lambda: loop(plugins=Count), copies
    layer_loop, layer_counting, layer_frame = nfstream(flowloom.nfstream, capture)
    yield "`flowloom.nfstream`, a loop over flows", layer_loop, 1
    yield "… with a plugin that counts packets", layer_counting, 1
    yield "… `to_pandas()`", layer_frame, 1
    if options.nfstream:
        import nfstream as original

        original_loop, original_counting, original_frame = nfstream(original, capture)
        yield "NFStream, a loop over flows", original_loop, 1
        yield "… with the plugin", original_counting, 1
        yield "… its `to_pandas()`", original_frame, 1


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def import_time():
    """Return the time of the import in ms: the difference of two processes."""
    times = [[], []]
    for _ in range(15):
        for code, known in zip(("pass", "import flowloom"), times, strict=True):
            known.append(seconds(lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)))
    bare, full = map(statistics.median, times)
    return 1e3 * (full - bare)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture")
    parser.add_argument("--flowloom", default=shutil.which("flowloom"), help="the command")
    parser.add_argument("--copies", type=int, default=20, help="how often Flowloom meters the capture in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nfstream", action="store_true", help="measure NFStream too")
    options = parser.parse_args()
    # NFStream starts processes, and must not draw a progress bar.
    os.environ["PYTHONWARNINGS"] = "ignore"
    jobs = list(rows(options))
    packets = flowloom.meter(options.capture, n_dissections=0)
    list(packets)
    packets = packets.summary["packets_read"]
    times = {name: [] for name, _, _ in jobs}
    for _ in range(options.rounds):
        for name, function, copies in jobs:
            times[name].append(1e9 * seconds(function) / (packets * copies))
    medians = {name: statistics.median(known) for name, known in times.items()}
    first = next(iter(medians.values()))
    print(f"### Python, {os.path.basename(options.capture)}: {packets:,} packets\n")
    print("| run | ns a packet | of the command |\n|---|--:|--:|")
    for name, median in medians.items():
        print(f"| {name} | {median:,.0f} | {median / first:.2f} |")
    print(f"\n`import flowloom` takes {import_time():.0f} ms.")


if __name__ == "__main__":
    main()
