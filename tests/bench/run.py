#!/usr/bin/env python3
"""Compare the command `flowloom` with a minimal meter, with native code, with ndpiReader and with NFStream.

    tests/bench/run.py [--quick] [--captures FILE …] [--nfstream-python PYTHON]

The program builds everything, and generates the traffic, which it keeps in target/bench. It runs all commands in turn,
several times, and prints tables in Markdown. The last table compares the measurements with the targets.
docs/benchmarks.md explains the tables.
"""

import argparse
import os
import platform
import re
import shlex
import shutil
import statistics
import subprocess
from pathlib import Path

from measure import DATA, FIVE, MINIMAL, NATIVE, PLUGINS, PREPARED, ROOT, SWITCHING
from measure import Command, Measurement, build, differences, interleave, meter, metering, middle, name_of, plugin
from measure import processor, ratios, size_of, table, traffic
from peers import NDPI_READER, ndpi_of_reader, nfstream_line
from targets import EVERYTHING, FULL, Values

STATISTICS = ["--statistical-analysis", "--splt-analysis", "20"]
ONE_BY_ONE = ["--plugin-calls", "per-event"]
BYTES = [*plugin("packet_bytes"), "--grant", "packet_bytes=bytes:64"]


def whole_commands(path, repetitions, values):
    """Print the costs per packet of whole commands on one capture."""
    packets, flows = size_of(path)
    captures = [path]
    read = Command("bare read", [MINIMAL, "--only-read"], captures)
    minimal = Command("minimal meter", [MINIMAL], captures)
    core = Command("flowloom, core features", meter(), captures)
    parquet = Command("flowloom, core features, Parquet", meter(form="parquet"), captures)
    full = Command("flowloom, with statistics and SPLT 20", meter(*STATISTICS), captures)
    stats = Command("… with packet_stats", meter(), captures, plugin("packet_stats"))
    bytes64 = Command("… with packet_bytes, 64 bytes of each packet", meter(), captures, BYTES)
    two = Command("… with two meters", meter("--n-meters", "2"), captures)
    slicer = Command("… with slicer", meter(), captures, plugin("slicer"))
    numbers = Command("… with packet_stats, event by event", meter(*ONE_BY_ONE), captures, plugin("packet_stats"))
    with_bytes = Command("… with packet_bytes, event by event", meter(*ONE_BY_ONE), captures, BYTES)
    # Commands that are compared run directly one after the other.
    commands = [read, minimal, full, parquet, core, stats, bytes64, two, slicer, numbers, with_bytes]
    interleave(commands, repetitions)
    native_line = [str(NATIVE), str(path)]
    native = min(
        float(subprocess.run(native_line, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )

    print(
        f"### {name_of(path)}: {packets:,} packets, {flows:,} flows,"
        f" {path.stat().st_size / packets:.0f} bytes a packet in the file\n"
    )
    control = minimal.net(packets)
    rows = [
        [
            command.name,
            f"{command.net(packets):.1f}",
            f"{command.net(packets, of=statistics.median):.1f}",
            f"{command.net(packets, 'wall'):.1f}",
            f"{command.net(packets) / control:.2f}",
            f"{command.net(packets, 'wall') / minimal.net(packets, 'wall'):.2f}",
            f"{command.start_ms():.1f}",
        ]
        for command in commands
    ]
    rows.append(["packet_stats' code, native", f"{native:.1f}", *[""] * 5])
    head = ["command", "ns a packet", "median", "wall", "to minimal", "by wall", "start, ms"]
    table(head, rows)
    for command in commands:
        print("    " + shlex.join(command.line))
    for command in [core, two]:
        print(f"    {command.name}: {summary(command.line).splitlines()[-1]}")
    print("    " + shlex.join(native_line), "\n", flush=True)

    on = name_of(path)
    to_minimal = lambda command, what: ratios(command.each(packets, what), minimal.each(packets, what))
    values.add("core, CPU time", on, to_minimal(core, "cpu"))
    values.add("core, elapsed time", on, to_minimal(core, "wall"))
    values.add("core, CSV, CPU time", on, to_minimal(core, "cpu"))
    values.add("core, Parquet, CPU time", on, to_minimal(parquet, "cpu"))
    values.add(f"{FULL}, CPU time", on, to_minimal(full, "cpu"))
    values.add(f"{FULL}, CSV, CPU time", on, to_minimal(full, "cpu"))
    values.add("two meters, CPU time", on, ratios(two.each(packets), core.each(packets)))
    adds = lambda command, control, count: differences(command.each(count), control.each(count))
    values.add("packet_stats adds", on, adds(stats, core, packets))
    values.add("64 bytes of each packet add, in batches", on, adds(bytes64, stats, packets))
    values.add("slicer, which cuts flows, adds", on, adds(slicer, core, packets))
    for what, command in [
        ("event by event, two numbers (packet_stats)", numbers),
        ("event by event, also 64 bytes (packet_bytes)", with_bytes),
    ]:
        values.add(what, on, adds(command, core, events_of(command.line)))
    # Short runs are repeated: the summary rounds the shares.
    line = [*two.line, *[str(path)] * (1_000_000 // packets)]
    values.add("turns of the reading threads, two meters", on, [reading_share(line) for _ in range(repetitions)])


def summary(line):
    return subprocess.run(line, capture_output=True, text=True, check=True).stderr


def events_of(line):
    """Return the number of events that a plugin received, from the summary."""
    return int(re.search(r": (\d+) events in", summary(line))[1])


def reading_share(line):
    """Return the share of the turns in the CPU time of readers and meters, from the last line of the summary.

    Only one reading thread at a time can have its turn.
    """
    busy = summary(line).splitlines()[-1]
    pattern = r"reading threads (\d+) % \((\d+) % in turn\), metering threads (.*) busy"
    reading, turns, meters = re.search(pattern, busy).groups()
    return 100 * int(turns) / (int(reading) + sum(map(int, re.findall(r"\d+", meters))))


def live_flows(counts, packets, repetitions, values):
    """Print the cost per packet by the number of live flows.

    It is the time for captures with packets of live flows, minus the time to open and end the flows.
    """
    # Opening millions of flows takes seconds. The measured part must be long compared with the noise of that time.
    times = 10
    rows, nets, spread = [], {}, {}
    for flows in counts:
        one_ns = ["--snaplen", 80, "--rate", 1_000_000]
        opening = traffic(f"open-{flows}", *one_ns, "open", "--flows", flows)
        more = traffic(
            f"live-{flows}", *one_ns, "uniform", "--flows", flows, "--packets", packets
        )
        if size_of(more)[0] != packets or size_of(opening)[0] != flows:
            sys.exit(f"{more} or {opening} does not have the expected number of packets")
        both = []
        for name, before in [("minimal", [MINIMAL]), ("flowloom", meter())]:
            alone = Command(name, before, [opening])
            all_of_it = Command(name, before, [opening, *[more] * times])
            both.append((alone, all_of_it))
        interleave([command for pair in both for command in pair], repetitions)
        least = lambda command: min(taken.cpu for taken in command.runs)
        nets[flows] = [(least(long) - least(alone)) / (times * packets) for alone, long in both]
        # The difference between each run and the opening run before it shows how reliable the number is.
        alone, long = both[1]
        pairs = zip(long.runs, alone.runs, strict=True)
        each = [(with_all.cpu - without.cpu) / (times * packets) for with_all, without in pairs]
        spread[flows] = each
        opened = [(least(alone) - min(t.cpu for t in alone.starts)) / flows for alone, _ in both]
        memory = [(alone.memory() - min(t.memory for t in alone.starts)) / flows for alone, _ in both]
        smallest = nets[counts[0]]
        rows.append(
            [
                f"{flows:,}",
                *(f"{net:.1f}" for net in nets[flows]),
                middle(spread[flows], 0),
                *(f"{net / first:.2f}" for net, first in zip(nets[flows], smallest, strict=True)),
                # With fewer flows, the start of the process and the measuring process dominate.
                *(f"{each:.0f}" if flows >= 100_000 else "" for each in opened),
                *(f"{each:.0f}" if flows >= 1_000_000 else "" for each in memory),
            ]
        )
    print("### By live flows\n")
    table(
        [
            "live flows",
            "minimal, ns a packet",
            "flowloom, ns a packet",
            "flowloom, run by run",
            "minimal, growth",
            "flowloom, growth",
            "minimal, ns a flow",
            "flowloom, ns a flow",
            "minimal, bytes a flow",
            "flowloom, bytes a flow",
        ],
        rows,
    )
    print("    " + shlex.join(all_of_it.line), "\n", flush=True)
    growth = ratios(spread[counts[-1]], spread[counts[0]])
    if counts[-1] == 5_000_000:
        values.add("growth of the cost of a packet, from 1,000 to 5,000,000 live flows", "", growth)


def memory(flows, values):
    """Measure the peak memory of a process with this number of live flows."""
    opening = traffic(f"open-{flows}", "--snaplen", 80, "--rate", 1_000_000, "open", "--flows", flows)
    rows = []
    for what, options in [("core", []), ("statistics", ["--statistical-analysis"])]:
        command = Command(what, meter(*options), [opening])
        interleave([command], 1)
        taken = command.memory()
        each = (taken - min(t.memory for t in command.starts)) / flows
        rows.append([what, f"{taken / 1e9:.2f}", f"{each:.0f}"])
        values.add(f"a live flow, {what}", "", [each])
        if not options and flows == 10_000_000:
            values.add("ten million live flows, core", "", [taken / 1e9])
    print(f"### {flows:,} live flows\n")
    table(["features", "GB", "bytes a flow"], rows)
    print("    " + shlex.join(command.line), "\n", flush=True)


def prepared(path, values):
    """Compare two meters with one, without reader and writer."""
    line = [str(PREPARED), str(path)]
    shown = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    rounds = [list(map(float, each.split())) for each in shown.splitlines()]
    ones, twos = zip(*rounds, strict=True)
    one, two = min(ones), min(twos)
    times = f"{one / two:.2f}"
    print(f"### Meters over packets in memory, {name_of(path)}\n")
    rows = [["1", f"{one:.1f}", "1.00"], ["2", f"{two:.1f}", times]]
    table(["meters", "ns a packet", "as fast"], rows)
    print("    " + shlex.join(line), "\n", flush=True)
    values.add("two meters over packets in memory", name_of(path), ratios(ones, twos))


DISSECTIONS = 20


def start_with_one_packet(commands):
    """NFStream rejects a capture without packets, so that its start, and that of its peers, needs one."""
    one = str(traffic("one", "scan", "--packets", 1))
    for command in commands:
        command.start_line = [one if word.endswith("empty.pcap") else word for word in command.start_line]


def ndpi_of(python):
    """Return the library with the nDPI 5.0 of NFStream."""
    engine = "import _lib_engine; print(_lib_engine.__file__)"
    return subprocess.run([python, "-c", engine], capture_output=True, text=True, check=True).stdout.strip()


def nfstream(path, python, repetitions, values):
    """Compare with NFStream by elapsed time, because NFStream uses several processes."""
    packets, flows = size_of(path)
    engine = ndpi_of(python)
    # The names of targets, with the commands that are compared.
    pairs = [
        ("core", "core", meter(), []),
        ("one plugin each", "plugin", meter(), plugin("packet_stats")),
        (f"{EVERYTHING}, nDPI 5.0 in both", "everything", [*metering(), *STATISTICS, "--ndpi", engine], []),
    ]
    pairs = [
        (what, Command(f"flowloom, {what}", line, [path], after), Command(f"NFStream, {what}", nfstream_line(python, words), [path]))
        for what, words, line, after in pairs
    ]
    commands = [command for _, *pair in pairs for command in pair]
    start_with_one_packet(commands)
    interleave(commands, repetitions)
    version = "import nfstream; print(nfstream.__version__)"
    version = subprocess.run([python, "-c", version], capture_output=True, text=True, check=True)
    print(f"### NFStream {version.stdout.strip()}, {name_of(path)}: {packets:,} packets, {flows:,} flows\n")
    rows = []
    for what, ours, theirs in pairs:
        by_wall, by_cpu = (ratios(theirs.each(packets, by), ours.each(packets, by)) for by in ["wall", "cpu"])
        rows += [
            [command.name, f"{command.net(packets, 'wall'):.0f}", f"{command.net(packets):.0f}", *more]
            for command, more in [(ours, ["", ""]), (theirs, [middle(by_wall, 1), middle(by_cpu, 1)])]
        ]
        values.add(f"NFStream, {what}, elapsed time", name_of(path), by_wall)
    table(["command", "wall, ns a packet", "CPU time", "to flowloom, wall", "CPU time"], rows)


def dissection(path, python, repetitions, values):
    """Compare with nDPI's own reader, with the nDPI 4.2 that it uses."""
    library = ndpi_of_reader()
    packets, flows = size_of(path)
    bare = Command("flowloom without dissection", meter(), [path])
    applications = Command("… with nDPI 4.2", [*metering(), "--ndpi", library], [path])
    everything = Command(f"… {EVERYTHING}, nDPI 4.2", [*metering(), *STATISTICS, "--ndpi", library], [path])
    reader = Command("ndpiReader 4.2", NDPI_READER, [path])
    # The limits of Flowloom. With the limit N, the reader dissects N + 1 packets.
    limits = ["-T", DISSECTIONS - 1, "-U", DISSECTIONS - 1]
    limited = Command("… with at most 20 packets of a flow", [*NDPI_READER[:-1], *limits, NDPI_READER[-1]], [path])
    commands = [bare, applications, everything, reader, limited]
    if python:
        commands.append(Command("flowloom with nDPI 5.0", [*metering(), "--ndpi", ndpi_of(python)], [path]))
    start_with_one_packet(commands)
    interleave(commands, repetitions)
    print(f"### Dissection, {name_of(path)}: {packets:,} packets, {flows:,} flows\n")
    rows = [
        [
            command.name,
            f"{command.net(packets, 'wall'):.0f}",
            f"{command.net(packets):.0f}",
            middle(ratios(command.each(packets), reader.each(packets)), 2),
            f"{command.start_ms():.1f}",
        ]
        for command in commands
    ]
    table(["command", "wall, ns a packet", "CPU time", "CPU time, to ndpiReader", "start, ms"], rows)
    for command in commands:
        print("    " + shlex.join(command.line))
    print(flush=True)
    to_reader = ratios(everything.each(packets), reader.each(packets))
    values.add(f"{EVERYTHING}, nDPI 4.2, CPU time", name_of(path), to_reader)


def features(paths, repetitions, values):
    """Print what features add per packet, beside packet_stats, which is compiled from Rust."""
    of = lambda name: ["--plugin", ROOT / "plugins" / name / f"{name}.features"]
    rows, lines = [], []
    for path in paths:
        packets, flows = size_of(path)
        core = Command("flowloom, core features", meter(), [path])
        stats = Command("packet_stats, from Rust", meter(), [path], plugin("packet_stats"))
        one = Command("one feature", meter(), [path], ["--feature", "big = count(where ip_size > 1000)"])
        ten = Command("ten features: packet_stats' own", meter(), [path], of("packet_stats"))
        cic = Command("76 features: cicflowmeter", meter(), [path], of("cicflowmeter"))
        commands = [core, stats, one, ten, cic]
        interleave(commands, repetitions)
        lines += [command.line for command in commands]
        control = differences(stats.each(packets), core.each(packets))
        for command in commands[1:]:
            adds = differences(command.each(packets), core.each(packets))
            to_stats = ratios(adds, control)
            rows.append(
                [name_of(path), command.name, middle(adds, 1), middle(to_stats, 2), f"{command.start_ms():.1f}"]
            )
            if command is not stats:
                values.add(f"{command.name} add" + "s" * (command is one), name_of(path), to_stats)
    print("### Features, beside a plugin from Rust\n")
    table(["capture", "features", "add, ns a packet", "times packet_stats", "start, ms"], rows)
    for line in lines:
        print("    " + shlex.join(line))
    print(flush=True)
    plain = Command("no plugin", meter(), [])
    compiled = Command("76 features", meter(), [], [*of("cicflowmeter"), "--plugin-cache", "none"])
    times = []
    for _ in range(25):
        before, after = Measurement(plain.start_line), Measurement(compiled.start_line)
        times.append((after.wall - before.wall) / 1e6)
    values.add("compiling 76 features without a cache, elapsed time", "", times)


def starts(values):
    """Measure the start of the command, by its CPU time on a capture without packets."""
    plugins = [word for name in FIVE for word in plugin(name)]
    plain = Command("no plugin", meter(), [])
    five = Command(f"five compiled before ({', '.join(FIVE)})", meter(), [], [*plugins, "--plugin-cache", DATA / "compiled"])
    rows = []
    # The first run compiles the plugins.
    Measurement(five.start_line)
    for _ in range(25):
        for command in [plain, five]:
            command.starts.append(Measurement(command.start_line))
    for what, command in [("without a plugin", plain), ("with five cached plugins", five)]:
        cpu, wall = ([getattr(taken, by) / 1e6 for taken in command.starts] for by in ["cpu", "wall"])
        rows.append([command.name, middle(cpu, 1), middle(wall, 1)])
        values.add(f"start {what}, CPU time", "", cpu)
    print("### Start of the command\n")
    table(["plugins", "CPU time, ms", "wall"], rows)
    for command in [plain, five]:
        print("    " + shlex.join(command.start_line))
    print(flush=True)


def loading(path, values):
    """Measure how long a meter waits when a plugin is replaced."""
    line = [SWITCHING, path, PLUGINS / "packet_stats.wasm"]
    printed = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found = dict(line.split() for line in printed.splitlines())
    print("### Replacing plugins\n")
    table(
        ["what", "time"],
        [
            ["going over to a new version of packet_stats, median", f"{found['median_us']} µs"],
            ["… the longest of 200", f"{found['longest_us']} µs"],
            ["a block of packets besides, median", f"{found['batch_us']} µs"],
        ],
    )
    longest = float(found["longest_us"]) / 1000
    values.add("the longest wait of a meter for another version of a plugin", name_of(path), [longest])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--quick", action="store_true", help="less traffic, fewer repetitions")
    arguments.add_argument("--repetitions", type=int, help="runs of each command (9; quick: 3)")
    arguments.add_argument("--captures", nargs="+", type=Path, help="captures for the mix")
    oracle = ROOT / "target" / "oracle" / "bin" / "python"
    arguments.add_argument("--nfstream-python", help="a Python that has NFStream (target/oracle/bin/python if it exists)")
    tables = ["whole", "live", "memory", "prepared", "features", "starts", "loading", "nfstream", "dissection"]
    arguments.add_argument("--only", nargs="+", default=tables, help="which tables")
    arguments.add_argument("--no-build", action="store_true", help="use the existing build")
    given = arguments.parse_args()
    python = given.nfstream_python or (str(oracle) if oracle.exists() else None)
    repetitions = given.repetitions or (3 if given.quick else 9)
    scale = 10 if given.quick else 1
    if not given.no_build:
        build()
    DATA.mkdir(exist_ok=True)
    (DATA / "empty.pcap").write_bytes(
        bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000")
    )
    size = "-quick" if given.quick else ""
    packets = 1_000_000 // scale
    captures = given.captures or sorted((ROOT / "tests" / "captures").glob("*.pcap*"))
    zipf = traffic(
        f"zipf{size}", "zipf", "--flows", packets // 10, "--packets", packets
    )
    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}\n")
    values = Values()
    mix = traffic(f"mix{size}", "mix", "--bytes", 300_000_000 // scale, *captures)
    if "whole" in given.only:
        # Three times the packets in a smaller file: the start and the reads have a smaller share.
        short = traffic(
            f"zipf-headers{size}",
            *["--snaplen", 96, "zipf", "--flows", 3 * packets // 10, "--packets", 3 * packets],
        )
        # A few long flows show the cost of a plugin per packet. A scan shows the cost of flows.
        uniform = traffic(f"uniform{size}", "uniform", "--flows", 1_000, "--packets", packets)
        scan = traffic(f"scan{size}", "scan", "--packets", packets)
        for path in [zipf, short, mix, uniform, scan]:
            whole_commands(path, repetitions, values)
    if "live" in given.only:
        counts = [1_000, 100_000, 1_000_000, 5_000_000]
        live_flows(counts[: 3 if given.quick else 4], 3 * packets, min(repetitions, 5), values)
    if "memory" in given.only:
        memory(10_000_000 // scale, values)
    if "prepared" in given.only:
        prepared(zipf, values)
    if "features" in given.only:
        uniform = traffic(f"uniform{size}", "uniform", "--flows", 1_000, "--packets", packets)
        features([uniform, zipf], repetitions, values)
    if "starts" in given.only:
        starts(values)
    if "loading" in given.only:
        loading(zipf, values)
    if "nfstream" in given.only and python:
        nfstream(zipf, python, min(repetitions, 3), values)
    if "dissection" in given.only and shutil.which(NDPI_READER[0]):
        for path in [zipf, mix]:
            dissection(path, python, repetitions, values)
    print("### Targets\n")
    if given.quick:
        print("The targets are for the captures of a complete run.\n")
    values.print()


if __name__ == "__main__":
    main()
