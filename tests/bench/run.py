#!/usr/bin/env python3
"""Compare the command `flowloom` with a minimal meter, with native code and with NFStream.

    tests/bench/run.py [--quick] [--captures FILE …] [--nfstream-python PYTHON]

The program builds everything, and generates the traffic, which it keeps in target/bench. It runs all commands in turn,
several times, and prints tables in Markdown. docs/benchmarks.md explains the tables.
"""

import argparse
import hashlib
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PLUGINS = ROOT / "target" / "plugins"
FLOWLOOM = TARGET / "release" / "flowloom"
MINIMAL = TARGET / "release" / "minimal_meter"
NATIVE = TARGET / "release" / "native_stats"
PREPARED = TARGET / "release" / "examples" / "prepared_meters"
SWITCHING = TARGET / "release" / "examples" / "switching"
DATA = TARGET / "bench"


# Plugins that need no grant.
FIVE = ["packet_stats", "slicer", "tcp_health", "beacon", "splt"]


class Command:
    """A command, with measurements of its runs on its captures, and on an empty capture (its start)."""

    def __init__(self, name, before, captures, after=()):
        self.name = name
        self.line = [*map(str, before), *map(str, captures), *map(str, after)]
        self.start_line = [*map(str, before), str(DATA / "empty.pcap"), *map(str, after)]
        self.runs, self.starts = [], []

    def run(self):
        self.starts.append(Measurement(self.start_line))
        self.runs.append(Measurement(self.line))

    def net(self, packets, what="cpu", of=min):
        """Return ns per packet, without the start of the command."""
        start = min(getattr(taken, what) for taken in self.starts)
        return (of(getattr(taken, what) for taken in self.runs) - start) / packets

    def each(self, packets, what="cpu"):
        """Return ns per packet of each run, without the start of the command."""
        start = min(getattr(taken, what) for taken in self.starts)
        return [(getattr(taken, what) - start) / packets for taken in self.runs]

    def start_ms(self):
        return min(taken.cpu for taken in self.starts) / 1e6

    def memory(self):
        return min(taken.memory for taken in self.runs)


class Measurement:
    """A run of a command, with its CPU time (`cpu`) and wall time in ns, and its peak memory in bytes."""

    def __init__(self, line):
        quiet = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)]
        begin = time.perf_counter_ns()
        pid = os.posix_spawnp(line[0], line, os.environ, file_actions=quiet)
        _, status, usage = os.wait4(pid, 0)
        self.wall = time.perf_counter_ns() - begin
        self.cpu = (usage.ru_utime + usage.ru_stime) * 1e9
        self.memory = usage.ru_maxrss * 1024
        if os.waitstatus_to_exitcode(status) != 0:
            sys.exit(f"failed: {shlex.join(line)}")


def interleave(commands, repetitions):
    """Run all commands in turn, so that other load on the machine affects all of them equally."""
    for _ in range(repetitions):
        for command in commands:
            command.run()


def middle(numbers, digits):
    """Return the lower and the upper quartile as text, or an empty text for a single number."""
    if len(numbers) < 2:
        return ""
    low, _, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return f"{low:.{digits}f} to {high:.{digits}f}"


def ratios(of, to):
    """Return the quartiles of the ratios of corresponding runs."""
    return middle([one / other for one, other in zip(of, to, strict=True)], 2)


def differences(of, less):
    """Return the quartiles of the differences of corresponding runs."""
    return middle([one - other for one, other in zip(of, less, strict=True)], 1)


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def build():
    say("building …")
    # The packages are built separately. Together, their dependencies would have other features than in other builds.
    for package in [["flowloom-cli"], ["flowloom", "--examples"], ["flowloom-bench"]]:
        cargo = ["cargo", "build", "--release", "--quiet", "-p", *package]
        subprocess.run(cargo, cwd=ROOT, check=True)
    subprocess.run(
        ["plugins/build.sh", "packet_stats", "packet_bytes", *FIVE],
        cwd=ROOT,
        check=True,
        env={**os.environ, "FLOWLOOM": str(FLOWLOOM)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def traffic(name, *arguments):
    """Return a capture, which is generated unless it exists.

    The name of the file contains a hash of the arguments, so that other arguments give another file.
    """
    made_of = hashlib.sha256(repr(list(map(str, arguments))).encode()).hexdigest()[:8]
    path = DATA / f"{name}.{made_of}.pcap"
    if not path.exists():
        say(f"making {path} …")
        made = path.with_suffix(".part")
        maker = TARGET / "release" / "traffic"
        subprocess.run([maker, "--output", made, *map(str, arguments)], check=True)
        made.rename(path)
    return path


def name_of(path):
    """Return the name of a capture, without the hash of its arguments."""
    return path.stem.split(".")[0]


def meter(*options):
    """Return the command without dissection, whose cost is that of nDPI."""
    line = [FLOWLOOM, "meter", "--output", "/dev/null", "--format", "csv"]
    return [*line, "--n-dissections", "0", *options]


def plugin(name):
    return ["--plugin", PLUGINS / f"{name}.wasm"]


def has_option(option):
    shown = subprocess.run([FLOWLOOM, "meter", "--help"], capture_output=True, text=True, check=True)
    return option in shown.stdout


def size_of(path):
    """Return the numbers of packets and flows in the summary."""
    line = [*map(str, meter()), str(path)]
    shown = subprocess.run(line, capture_output=True, text=True, check=True).stderr
    packets, metered = map(int, re.search(r"(\d+) read, (\d+) metered", shown).groups())
    flows = int(re.search(r"flows +(\d+)", shown)[1])
    control = subprocess.run([MINIMAL, path], capture_output=True, text=True, check=True).stdout
    counted = int(control.split()[0])
    # A minimal meter that skips packets would appear fast. It does not support tunnels and unusual headers.
    if abs(counted - metered) > metered / 20:
        sys.exit(f"{path}: the minimal meter counts {counted} packets, flowloom {metered}")
    return packets, flows


def table(head, rows):
    rows = [head, [":--" if n == 0 else "--:" for n in range(len(head))], *rows]
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def whole_commands(path, repetitions):
    """Print the costs per packet of whole commands on one capture.

    Return the results that have targets: those of the meter, and those of plugins.
    """
    packets, flows = size_of(path)
    captures = [path]
    read = Command("bare read", [MINIMAL, "--only-read"], captures)
    minimal = Command("minimal meter", [MINIMAL], captures)
    core = Command("flowloom, core features", meter(), captures)
    stats = Command("… with packet_stats", meter(), captures, plugin("packet_stats"))
    by_event = Command(
        "… with packet_stats, event by event",
        meter("--plugin-calls", "per-event"),
        captures,
        plugin("packet_stats"),
    )
    bytes64 = Command(
        "… with packet_bytes, 64 bytes of each packet",
        meter(),
        captures,
        [*plugin("packet_bytes"), "--grant", "packet_bytes=bytes:64"],
    )
    two = Command("… with two meters", meter("--n-meters", "2"), captures)
    # Commands that are compared run directly one after the other.
    commands = [read, minimal, core, stats, bytes64, two, by_event]
    full = None
    if has_option("--statistical-analysis") and has_option("--splt-analysis"):
        options = ["--statistical-analysis", "--splt-analysis", "20"]
        full = Command("flowloom, with statistics and SPLT 20", meter(*options), captures)
        commands.insert(2, full)
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
        shown = subprocess.run(command.line, capture_output=True, text=True, check=True).stderr
        print(f"    {command.name}: {shown.splitlines()[-1]}")
    print("    " + shlex.join(native_line), "\n", flush=True)

    on = f"({name_of(path)})"
    targets = []
    for of, most in [(core, 2.5), (full, 4)]:
        if not of:
            continue
        for what in ["wall", "cpu"]:
            ratio = of.net(packets, what) / minimal.net(packets, what)
            name = of.name.removeprefix("flowloom, ").removeprefix("with ")
            by = {"wall": "time", "cpu": "processor time"}[what]
            runs = ratios(of.each(packets, what), minimal.each(packets, what))
            name = f"{name}, {by} to the minimal meter {on}"
            targets.append([name, f"{ratio:.2f}", most, "times", runs])
    ratio = two.net(packets) / core.net(packets)
    runs = ratios(two.each(packets), core.each(packets))
    name = f"two meters, processor time to one {on}"
    targets.append([name, f"{ratio:.2f}", 1.1, "times", runs])
    added = stats.net(packets) - core.net(packets)
    more = bytes64.net(packets) - stats.net(packets)
    runs = differences(stats.each(packets), core.each(packets))
    more_runs = differences(bytes64.each(packets), stats.each(packets))
    plugins = [
        [f"packet_stats adds {on}", f"{added:.1f}", 12, "ns a packet", runs],
        [f"packet_stats adds, beyond native {on}", f"{added - native:.1f}", 12, "ns a packet", ""],
        [f"64 bytes of each packet add {on}", f"{more:.1f}", 15, "ns a packet", more_runs],
    ]
    return targets, plugins


def live_flows(counts, packets, repetitions, targets):
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
    growth = nets[counts[-1]][1] / nets[counts[0]][1]
    runs = ratios(spread[counts[-1]], spread[counts[0]])
    name = f"growth from {counts[0]:,} to {counts[-1]:,} live flows"
    targets.append([name, f"{growth:.2f}", 2.5, "times", runs])


def memory(flows, targets):
    """Measure the peak memory of a process with this number of live flows."""
    opening = traffic(f"open-{flows}", "--snaplen", 80, "--rate", 1_000_000, "open", "--flows", flows)
    rows = []
    for what, options, most in [
        ("core features", [], 256),
        ("statistics", ["--statistical-analysis"], 640),
    ]:
        command = Command(what, meter(*options), [opening])
        interleave([command], 1)
        taken = command.memory()
        each = (taken - min(t.memory for t in command.starts)) / flows
        rows.append([what, f"{taken / 1e9:.2f}", f"{each:.0f}"])
        targets.append([f"a live flow, {what}", f"{each:.0f}", most, "bytes", ""])
        if not options:
            targets.append([f"{flows:,} live flows", f"{taken / 1e9:.2f}", 4, "GB", ""])
    print(f"### {flows:,} live flows\n")
    table(["features", "GB", "bytes a flow"], rows)
    print("    " + shlex.join(command.line), "\n", flush=True)


def prepared(path, targets):
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
    name = "two meters over packets in memory, to one"
    targets.append([name, times, -1.8, "times as fast", ratios(ones, twos)])


NFSTREAM = """
import sys
from nfstream import NFPlugin, NFStreamer
class Count(NFPlugin):
    def on_init(self, packet, flow):
        flow.udps.packets = 1
    def on_update(self, packet, flow):
        flow.udps.packets += 1
plugins = [Count()] if sys.argv[1] == "count" else []
sum(1 for _ in NFStreamer(sys.argv[3], n_dissections=int(sys.argv[2]), n_meters=1, udps=plugins))
"""
DISSECTIONS = 20


def start_with_one_packet(commands):
    """NFStream rejects a capture without packets, so that its start, and that of its peers, needs one."""
    one = str(traffic("one", "scan", "--packets", 1))
    for command in commands:
        command.start_line = [one if word.endswith("empty.pcap") else word for word in command.start_line]


def nfstream(path, python, repetitions, targets):
    """Compare with NFStream by wall time, because NFStream uses several processes."""
    packets, flows = size_of(path)
    plain = Command("flowloom", meter(), [path])
    stats = Command("flowloom with packet_stats", meter(), [path], plugin("packet_stats"))
    peers = [
        Command(name, [python, "-c", NFSTREAM, what, 0], [path])
        for name, what in [("NFStream", "none"), ("NFStream with a counting plugin", "count")]
    ]
    commands = [plain, stats, *peers]
    start_with_one_packet(commands)
    interleave(commands, repetitions)
    version = "import nfstream; print(nfstream.__version__)"
    version = subprocess.run([python, "-c", version], capture_output=True, text=True, check=True)
    print(f"### NFStream {version.stdout.strip()}, {name_of(path)}: {packets:,} packets, {flows:,} flows\n")
    rows = [
        [
            command.name,
            f"{command.net(packets, 'wall'):.0f}",
            f"{command.net(packets):.0f}",
            f"{command.net(packets, 'wall') / pair.net(packets, 'wall'):.1f}",
        ]
        for command, pair in zip(commands, [plain, stats, plain, stats], strict=True)
    ]
    table(["command", "wall, ns a packet", "processor", "to flowloom"], rows)
    for peer, pair, least in zip(peers, [plain, stats], [25, 50], strict=True):
        times = peer.net(packets, "wall") / pair.net(packets, "wall")
        targets.append([f"{pair.name}, to {peer.name}", f"{times:.0f}", -least, "times faster", ""])


def dissection(path, python, repetitions):
    """Compare dissection with nDPI's own reader of 4.2, and with NFStream, whose nDPI 5.0 Flowloom loads too."""
    packets, flows = size_of(path)
    engine = "import _lib_engine; print(_lib_engine.__file__)"
    engine = subprocess.run([python, "-c", engine], capture_output=True, text=True, check=True).stdout.strip()
    line = [FLOWLOOM, "meter", "--output", "/dev/null", "--format", "csv", "--n-dissections", DISSECTIONS]
    # With the limit N, the reader dissects N + 1 packets.
    limits = ["-T", DISSECTIONS - 1, "-U", DISSECTIONS - 1]
    bare = Command("flowloom without dissection", meter(), [path])
    nfstream_bare = Command("NFStream without dissection", [python, "-c", NFSTREAM, "none", 0], [path])
    # Each with the command of the same program whose difference is the cost of dissection.
    pairs = [
        (bare, None),
        (Command("… with nDPI 4.2", line, [path]), bare),
        (Command("ndpiReader 4.2", ["ndpiReader", "-q", *limits, "-i"], [path]), None),
        (Command("flowloom with nDPI 5.0", ["env", f"FLOWLOOM_NDPI={engine}", *line], [path]), bare),
        (nfstream_bare, None),
        (Command("… with nDPI 5.0", [python, "-c", NFSTREAM, "none", DISSECTIONS], [path]), nfstream_bare),
    ]
    commands = [command for command, _ in pairs]
    start_with_one_packet(commands)
    interleave(commands, repetitions)
    print(f"### Dissection, {name_of(path)}: {packets:,} packets, {flows:,} flows\n")
    rows = [
        [
            command.name,
            f"{command.net(packets, 'wall'):.0f}",
            f"{command.net(packets):.0f}",
            f"{command.net(packets) - less.net(packets):.0f}" if less else "",
        ]
        for command, less in pairs
    ]
    table(["command", "wall, ns a packet", "processor", "dissection"], rows)


def loading(path, targets):
    """Measure how long a meter waits when a plugin is replaced, and the start with five cached plugins."""
    line = [SWITCHING, path, PLUGINS / "packet_stats.wasm"]
    printed = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    found = dict(line.split() for line in printed.splitlines())
    plain = Command("flowloom", meter(), [path])
    plugins = [word for name in FIVE for word in ("--plugin", str(PLUGINS / f"{name}.wasm"))]
    cache = ["--plugin-cache", str(DATA / "compiled")]
    five = Command("five plugins", meter(), [path], [*plugins, *cache])
    # This run compiles the plugins.
    Measurement(five.start_line)
    for _ in range(9):
        for command in [plain, five]:
            command.starts.append(Measurement(command.start_line))
    start = [min(taken.wall for taken in command.starts) / 1e6 for command in (plain, five)]
    print("### Loading and replacing plugins\n")
    table(
        ["what", "time"],
        [
            ["going over to a new version of packet_stats, median", f"{found['median_us']} µs"],
            ["… the longest of 200", f"{found['longest_us']} µs"],
            ["a block of packets besides, median", f"{found['batch_us']} µs"],
            ["start of the command, no plugin", f"{start[0]:.1f} ms"],
            [f"… with five compiled before ({', '.join(FIVE)})", f"{start[1]:.1f} ms"],
        ],
    )
    longest = float(found["longest_us"]) / 1000
    targets.append(["the longest wait of a meter for a switch", f"{longest:.2f}", 1, "ms", ""])
    targets.append(["start with five compiled plugins", f"{start[1]:.1f}", 50, "ms", ""])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("--quick", action="store_true", help="less traffic, fewer repetitions")
    arguments.add_argument("--repetitions", type=int, help="runs of each command (9; quick: 3)")
    arguments.add_argument("--captures", nargs="+", type=Path, help="captures for the mix")
    arguments.add_argument("--nfstream-python", help="a Python that has NFStream")
    tables = ["whole", "live", "memory", "prepared", "loading", "nfstream", "dissection"]
    arguments.add_argument("--only", nargs="+", default=tables, help="which tables")
    arguments.add_argument("--no-build", action="store_true", help="use the existing build")
    given = arguments.parse_args()
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
    targets = []
    if "whole" in given.only:
        mix = traffic(f"mix{size}", "mix", "--bytes", 300_000_000 // scale, *captures)
        # Three times the packets in a smaller file: the start and the reads have a smaller share.
        short = traffic(
            f"zipf-headers{size}",
            *["--snaplen", 96, "zipf", "--flows", 3 * packets // 10, "--packets", 3 * packets],
        )
        uniform = traffic(f"uniform{size}", "uniform", "--flows", 1_000, "--packets", packets)
        scan = traffic(f"scan{size}", "scan", "--packets", packets)
        for path in [zipf, short, mix]:
            ratios_to_minimal, plugins = whole_commands(path, repetitions)
            targets += [*ratios_to_minimal, *plugins]
        # A few long flows show the cost of a plugin per packet. A scan shows the cost of flows.
        targets += whole_commands(uniform, repetitions)[1]
        whole_commands(scan, repetitions)
    if "live" in given.only:
        counts = [1_000, 100_000, 1_000_000, 5_000_000]
        live_flows(counts[: 3 if given.quick else 4], 3 * packets, min(repetitions, 5), targets)
    if "memory" in given.only:
        memory(10_000_000 // scale, targets)
    if "prepared" in given.only:
        prepared(zipf, targets)
    if "loading" in given.only:
        loading(zipf, targets)
    if "nfstream" in given.only and given.nfstream_python:
        nfstream(zipf, given.nfstream_python, min(repetitions, 3), targets)
    if "dissection" in given.only and given.nfstream_python:
        mix = traffic(f"mix{size}", "mix", "--bytes", 300_000_000 // scale, *captures)
        dissection(mix, given.nfstream_python, min(repetitions, 3))
    print("### Targets\n")
    rows = []
    for what, measured, target, unit, runs in targets:
        met = float(measured) <= target if target > 0 else float(measured) >= -target
        bound = f"at most {target}" if target > 0 else f"at least {-target}"
        rows.append([what, f"{measured} {unit}", runs, bound, "met" if met else "missed"])
    table(["what", "measured", "run by run", "target", ""], rows)


def processor():
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    main()
