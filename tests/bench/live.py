#!/usr/bin/env python3
"""Finds the highest rate of packets that each meter takes from a virtual wire without losing one.

    tests/bench/live.py [--flowloom COMMAND] [--nfstream-python PYTHON] [--seconds 5] [--rounds 3]

The same packets go over the same pair of interfaces to Flowloom, with and without plugins, to NFStream and
to softflowd, at rates that grow until packets are lost or the sender is at its end; then the rate is halved
in. All take their turns, in another order every round, so that whatever else the machine does falls on
all alike. Every meter has a buffer of 32 MiB in the kernel. A packet is lost that the meter does not count,
whoever dropped it. "ns a packet" is the processor time of the meter, all its threads and processes, at
the highest rate without loss: what it takes where the sender is at its end first. The sender (tests/bench/src/bin/send.rs) has a processor of its own, on which the kernel
also does its part for the receiving end; the meter has the others. Needs root, iproute2, tcpreplay, and
softflowd for its row, which is installed where apt is; prints a table in Markdown.
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
    """A namespace with a virtual wire in it."""

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
        """Packets that were sent, and how many a second; at most so many, if that is not 0."""
        said = json.loads(run(
            *on(SENDERS), *self.exec, SENDER, "--interface", "near", "--pps", pps, "--packets", packets,
            capture,
        ))  # fmt: skip
        return said["sent"], said["sent"] / said["seconds"]


class Meter:
    """A program that meters the far end of the wire."""

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
        """Packets that it has counted, once that number stays or is all."""
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
        """Processor time that it and its children have taken, in s."""
        pid = self.process.pid
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        ticks = 0
        for one in [pid, *" ".join(task.read_text() for task in tasks).split()]:
            # Behind the name, which may have spaces in it.
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
    """A file's lines, without the one that is being written."""
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
        # It brings its counters up to date once a second, by the packets' time. That these few are
        # counted too hides as many lost ones.
        slowly = ["--intf1=near", "--pps=2", "--limit=5"]
        run(*self.net.exec, "tcpreplay", *slowly, capture)

    def stop(self):
        # Its meter is a process of its own, which nobody else ends.
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
        said = run(*self.net.exec, "softflowctl", "-c", self.control(), "statistics")
        received, dropped = map(int, re.findall(r"^Packets (?:received|dropped) by libpcap: (\d+)", said, re.M))
        # Some that it reads it neither processes nor says to ignore.
        return received - dropped


def on(processors):
    """Words before a command that keep it to processors."""
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
    """Packets lost at a rate, the rate that there really was, and ns of processor time a packet."""
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
    """A trial in which the sender kept to the rate: something else may have held it up once, not always."""
    tried = []
    for _ in range(3):
        tried.append(trial(meter, capture, int(pps), seconds))
        lost, rate, _ = tried[-1]
        if lost or rate >= 0.9 * pps:
            return tried[-1]
    return max(tried, key=lambda tried: tried[1])


def search(meter, capture, seconds, first):
    """The highest rate without loss and what a packet cost then, and the lowest rate with loss, which is
    None where there is none at the sender's highest."""
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
    """What was found of each meter in every round."""
    found = {meter: [] for meter in meters}
    for number in range(count):
        for meter in random.sample(meters, len(meters)):
            # From below what it could do before.
            first = 0.5 * found[meter][-1][0] if number and found[meter][-1][0] else FIRST
            found[meter].append(search(meter, capture, seconds, max(1_000, first)))
    return found


def ready(asked):
    """What the run needs is there."""
    if os.geteuid() != 0:
        sys.exit("network namespaces take root")
    if not Path(asked.flowloom).exists():
        sys.exit(f"there is no {asked.flowloom}: cargo build --release, or --flowloom COMMAND")
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
    options.add_argument("--only", nargs="+", help="rows whose names have one of these in them")
    asked = options.parse_args()
    ready(asked)
    # What was started is ended, and what was made is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    capture = traffic()
    with Net() as net:
        stats = ["--plugin", PLUGINS / "packet_stats.wasm"]
        bare = ["--n-dissections", "0"]
        meters = [
            Flowloom("flowloom, core features", net, asked.flowloom, *bare),
            Flowloom("… with packet_stats", net, asked.flowloom, *bare, *stats),
            Flowloom("… with packet_stats, event by event", net, asked.flowloom, *bare, *stats,
                     "--plugin-calls", "per-event"),
            Flowloom("… with applications", net, asked.flowloom),
            Flowloom("… with both", net, asked.flowloom, *stats),
        ]  # fmt: skip
        if Path(asked.nfstream_python).exists():
            for name, *arguments in [
                ("NFStream, core features", "none", 0),
                ("… with a plugin that adds sizes", "plugin", 0),
                ("… with NFStream's applications", "none", 20),
            ]:
                meters.append(NFStream(name, net, asked.nfstream_python, *arguments))
        if shutil.which("softflowd"):
            meters.append(Softflowd("softflowd", net))
        words = asked.only or [""]
        meters = [meter for meter in meters if any(word in meter.name for word in words)]
        sent, most = net.replay(capture, 0, 5 * PACKETS)
        print(f"the sender alone: {most:.0f} packets/s", file=sys.stderr, flush=True)
        found = rounds(meters, capture, asked.seconds, asked.rounds)
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
