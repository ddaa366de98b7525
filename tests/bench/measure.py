"""Measure commands in turn, and what the benchmarks share: the build, the traffic, and tables in Markdown."""

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


def quartiles(numbers):
    """Return the lower and the upper quartile. The middle half of the numbers is between them."""
    if len(numbers) < 2:
        return numbers[0], numbers[0]
    low, _, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return low, high


def middle(numbers, digits):
    """Return the middle half as text, or an empty text for a single number."""
    if len(numbers) < 2:
        return ""
    low, high = quartiles(numbers)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def ratios(of, to):
    """Return the ratios of corresponding runs."""
    return [one / other for one, other in zip(of, to, strict=True)]


def differences(of, less):
    """Return the differences of corresponding runs."""
    return [one - other for one, other in zip(of, less, strict=True)]


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


def meter(*options, form="csv"):
    """Return the command without dissection, whose cost is that of nDPI."""
    return [*metering(form), "--n-dissections", "0", *options]


def metering(form="csv"):
    """Return the command with dissection."""
    return [FLOWLOOM, "meter", "--output", "/dev/null", "--format", form]


def plugin(name):
    return ["--plugin", PLUGINS / f"{name}.wasm"]


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


def processor():
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()
