#!/usr/bin/env python3
"""Find the highest packet rate at which each meter loses no packet.

    tests/bench/live.py [--flowloom COMMAND] [--nfstream-python PYTHON] [--seconds 5] [--rounds 3]

The program sends the same packets over a veth pair to Flowloom with and without plugins, to NFStream and to softflowd.
The rate increases until packets are lost or the sender reaches its limit. Then bisection refines the rate. All meters
run in turn, in another order in every round, so that other load on the machine affects all of them equally.

- Every meter has a buffer of 32 MiB in the kernel.
- A packet is lost if the meter does not count it, whatever dropped it.
- "ns a packet" is the CPU time of the meter with all its threads and processes, at the highest rate without loss.
- The sender (tests/bench/src/bin/send.rs) has its own CPU, on which the kernel also handles the receiving interface.
  The meter uses the other CPUs.

The program needs root, iproute2 and tcpreplay. It needs softflowd for its row, and installs it if apt-get exists. It
prints a table in Markdown.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SENDER = ROOT / "target" / "release" / "send"
PLUGINS = ROOT / "target" / "plugins"
DATA = ROOT / "target" / "bench"
BUFFER = 32 << 20
PACKETS = 200_000
FLOWS = 20_000
FIRST, FACTOR, HALVINGS = 20_000, 1.5, 3
SENDERS, *METERS = sorted(os.sched_getaffinity(0))
SENDERS, METERS = [SENDERS], METERS or [SENDERS]

NFSTREAM = """
import sys
from nfstream import NFPlugin, NFStreamer

class Count(NFPlugin):
    def on_init(self, packet, flow):
        flow.udps.sizes = packet.ip_size
    def on_update(self, packet, flow):
        flow.udps.sizes += packet.ip_size

plugins, dissections, buffer = sys.argv[1] == "plugin", int(sys.argv[2]), int(sys.argv[3])
streamer = NFStreamer(
    source="far", idle_timeout=15, n_dissections=dissections, n_meters=1, snapshot_length=1536,
    socket_buffer_size=buffer, udps=Count() if plugins else None, performance_report=1,
)
for flow in streamer:
    pass
"""


class Net:
    """A network namespace with a veth pair."""

    name = f"flowloom-bench-{os.getpid()}"
    exec = ("ip", "netns", "exec", name)

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "link", "add", "near", "type", "veth", "peer", "name", "far")
        for end in "near", "far":
            run(*self.exec, "sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            run("ip", "-n", self.name, "link", "set", end, "mtu", "65535", "up")
        return self

    def __exit__(self, *_):
        run("ip", "netns", "delete", self.name)

    def replay(self, capture, pps, packets):
        """Send packets; 0 means the whole capture once. Return the number of packets sent, and the rate."""
        report = json.loads(run(
            *on(SENDERS), *self.exec, SENDER, "--interface", "near", "--pps", pps, "--packets", packets,
            capture,
        ))  # fmt: skip
        return report["sent"], report["sent"] / report["seconds"]


class Meter:
    """A program that meters the interface `far`."""

    def __init__(self, name, net):
        self.name, self.net = name, net

    def start(self):
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "log"
        with open(self.log, "w") as log:
            line = list(map(str, [*on(METERS), *self.net.exec, *self.line()]))
            self.process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        begin = time.monotonic()
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > begin + 60:
                sys.exit(f"{self.name} does not start:\n{self.log.read_text()}")
            time.sleep(0.1)

    def nudge(self, capture):
        pass

    def counted(self, sent):
        """Wait until the meter has counted all packets, or its count stops. Return the count."""
        last, since = -1, time.monotonic()
        while time.monotonic() < since + 4:
            now = self.count()
            if now >= sent:
                return now
            if now != last:
                last, since = now, time.monotonic()
            time.sleep(0.2)
        return last

    def busy(self):
        """Return the CPU time of the process and its children, in s."""
        pid = self.process.pid
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        ticks = 0
        for one in [pid, *" ".join(task.read_text() for task in tasks).split()]:
            # The fields follow the name, which may contain spaces.
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder)


class Flowloom(Meter):
    def __init__(self, name, net, command, *options):
        super().__init__(name, net)
        self.command, self.options = command, options

    def line(self):
        report = ["--performance-report", "1", "--performance-report-file", self.folder / "report"]
        buffer = ["--socket-buffer-size", BUFFER, "--output", "/dev/null"]
        return [self.command, "meter", "far", *report, *buffer, *self.options]

    def is_ready(self):
        return self.count() is not None

    def count(self):
        report = self.folder / "report"
        lines = whole_lines(report) if report.exists() else []
        return json.loads(lines[-1])["packets_read"] if lines else None


def whole_lines(path):
    """Return the complete lines of a file, which may still be written."""
    return path.read_text().rpartition("\n")[0].splitlines()


class NFStream(Meter):
    def __init__(self, name, net, python, *arguments):
        super().__init__(name, net)
        self.python, self.arguments = python, arguments

    def line(self):
        return [self.python, "-u", "-c", NFSTREAM, *self.arguments, BUFFER]

    def is_ready(self):
        return self.count() is not None

    def count(self):
        lines = [line for line in whole_lines(self.log) if line.startswith("{")]
        if not lines:
            return None
        line = json.loads(lines[-1])
        return line["packets_processed"] + line["packets_ignored"]

    def nudge(self, capture):
        # NFStream updates its counters once per second of packet time. It counts these five packets too, which can
        # hide five lost packets.
        slowly = ["--intf1=near", "--pps=2", "--limit=5"]
        run(*self.net.exec, "tcpreplay", *slowly, capture)

    def stop(self):
        # NFStream does not end its metering process.
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        for pid in children.split():
            os.kill(int(pid), signal.SIGKILL)
        super().stop()


class Softflowd(Meter):
    def line(self):
        return ["softflowd", "-d", "-i", "far", "-p", self.folder / "pid", "-c", self.control(),
                "-6", "-n", "127.0.0.1:9", "-m", 100_000, "-B", BUFFER, "-C", 1536]  # fmt: skip

    def control(self):
        return self.folder / "control"

    def is_ready(self):
        return self.control().exists()

    def count(self):
        report = run(*self.net.exec, "softflowctl", "-c", self.control(), "statistics")
        received, dropped = map(int, re.findall(r"^Packets (?:received|dropped) by libpcap: (\d+)", report, re.M))
        # softflowd does not count all packets that it reads as processed or ignored.
        return received - dropped


def on(processors):
    """Return the start of a command line that restricts a command to these CPUs."""
    return "taskset", "--cpu-list", ",".join(map(str, processors))


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def traffic():
    capture = DATA / "live.pcap"
    if not capture.exists():
        DATA.mkdir(parents=True, exist_ok=True)
        maker = ROOT / "target" / "debug" / "traffic"
        run(maker, "--output", capture, "zipf", "--flows", FLOWS, "--packets", PACKETS)
    return capture


def trial(meter, capture, pps, seconds):
    """Run a meter at a rate. Return the lost packets, the actual rate, and the CPU time per packet in ns."""
    meter.start()
    try:
        before, busy = meter.count(), meter.busy()
        sent, rate = meter.net.replay(capture, pps, int(pps * seconds))
        meter.nudge(capture)
        lost = max(0, sent - (meter.counted(sent + before) - before))
        cost = 1e9 * (meter.busy() - busy) / (sent - lost) if lost < sent else 0
    finally:
        meter.stop()
    print(f"{meter.name}: {rate:.0f} packets/s, {lost} of {sent} lost, {cost:.0f} ns a packet",
          file=sys.stderr, flush=True)  # fmt: skip
    return lost, rate, cost


def at(meter, capture, pps, seconds):
    """Return a trial in which the sender reached the rate. Other load may slow down the sender in single trials."""
    tried = []
    for _ in range(3):
        tried.append(trial(meter, capture, int(pps), seconds))
        lost, rate, _ = tried[-1]
        if lost or rate >= 0.9 * pps:
            return tried[-1]
    return max(tried, key=lambda tried: tried[1])


def search(meter, capture, seconds, first):
    """Return the highest rate without loss, the CPU time per packet at it, and the lowest rate with loss.

    The latter is None if there is no loss at the highest rate of the sender.
    """
    good, cost, bad, pps = 0, 0, None, first
    halvings = 0
    while halvings < HALVINGS:
        halvings += bad is not None
        lost, rate, took = at(meter, capture, pps, seconds)
        if lost:
            bad = min(bad or rate, rate)
        elif rate > good:
            good, cost = rate, took
        if not lost and bad is None and rate < 0.9 * pps:
            break
        pps = pps * FACTOR if bad is None else (good + bad) / 2
    return good, cost, bad


def rounds(meters, capture, seconds, count):
    """Run all rounds. Return the results of each meter."""
    found = {meter: [] for meter in meters}
    for number in range(count):
        for meter in random.sample(meters, len(meters)):
            # Start at half of the previous result.
            first = 0.5 * found[meter][-1][0] if number and found[meter][-1][0] else FIRST
            found[meter].append(search(meter, capture, seconds, max(1_000, first)))
    return found


def ready(given):
    """Check that all requirements are met."""
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    if not Path(given.flowloom).exists():
        sys.exit(f"there is no {given.flowloom}: cargo build --release, or --flowloom COMMAND")
    if not SENDER.exists():
        sys.exit(f"there is no {SENDER}: make bench-live")
    if not shutil.which("softflowd") and shutil.which("apt-get"):
        run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "softflowd")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--flowloom", default=ROOT / "target" / "release" / "flowloom")
    options.add_argument("--nfstream-python", default=ROOT / "target" / "oracle" / "bin" / "python")
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", nargs="+", help="only rows whose names contain one of these words")
    given = options.parse_args()
    ready(given)
    # SIGTERM ends the program through the usual cleanup.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    capture = traffic()
    with Net() as net:
        stats = ["--plugin", PLUGINS / "packet_stats.wasm"]
        bare = ["--n-dissections", "0"]
        meters = [
            Flowloom("flowloom, core features", net, given.flowloom, *bare),
            Flowloom("… with packet_stats", net, given.flowloom, *bare, *stats),
            Flowloom("… with packet_stats, event by event", net, given.flowloom, *bare, *stats,
                     "--plugin-calls", "per-event"),
            Flowloom("… with applications", net, given.flowloom),
            Flowloom("… with both", net, given.flowloom, *stats),
        ]  # fmt: skip
        if Path(given.nfstream_python).exists():
            for name, *arguments in [
                ("NFStream, core features", "none", 0),
                ("… with a plugin that adds sizes", "plugin", 0),
                ("… with NFStream's applications", "none", 20),
            ]:
                meters.append(NFStream(name, net, given.nfstream_python, *arguments))
        if shutil.which("softflowd"):
            meters.append(Softflowd("softflowd", net))
        words = given.only or [""]
        meters = [meter for meter in meters if any(word in meter.name for word in words)]
        sent, most = net.replay(capture, 0, 5 * PACKETS)
        print(f"the sender alone: {most:.0f} packets/s", file=sys.stderr, flush=True)
        found = rounds(meters, capture, given.seconds, given.rounds)
    print("| meter | packets/s without loss | of all rounds | lost packets at | ns a packet |")
    print("| :-- | --: | --: | --: | --: |")
    for meter, results in found.items():
        goods, costs, bads = zip(*results)
        bads = [bad for bad in bads if bad]
        limit = f"{statistics.median(bads):,.0f}" if 2 * len(bads) > len(results) else "not by this sender"
        of_all = f"{min(goods):,.0f} to {max(goods):,.0f}"
        print(f"| {meter.name} | {statistics.median(goods):,.0f} | {of_all} | {limit} | {min(costs):,.0f} |")
    print(f"\nThe sender, with nobody at the other end: {most:,.0f} packets/s.")


if __name__ == "__main__":
    main()
