#!/usr/bin/env python3
"""Finds the highest rate of packets that each meter takes from a virtual wire without losing one.

    tests/bench/live.py [--flowloom COMMAND] [--nfstream-python PYTHON] [--seconds 5]

The same packets go over the same pair of interfaces to Flowloom, with and without plugins, to NFStream and
to softflowd, one after the other, at rates that grow until packets are lost or the sender is at its end;
then the rate is halved in. Every meter has a buffer of 32 MiB in the kernel. A packet is lost that the
meter does not count, whoever dropped it. Needs root, iproute2, tcpreplay, and softflowd for its row;
prints a table in Markdown.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "target" / "plugins"
DATA = ROOT / "target" / "bench"
BUFFER = 32 << 20
PACKETS = 200_000
FLOWS = 20_000
FIRST, FACTOR, HALVINGS = 20_000, 1.5, 3

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
        """Packets that were sent, and how many a second."""
        said = run(
            *self.exec, "tcpreplay", "--preload-pcap", "--intf1=near", f"--pps={pps}",
            f"--loop={-(-packets // PACKETS)}", capture,
        )  # fmt: skip
        sent = int(re.search(r"Successful packets: +(\d+)", said)[1])
        rate = float(re.search(r"Rated: .* ([\d.]+) pps", said)[1])
        return sent, rate


class Meter:
    """A program that meters the far end of the wire."""

    def __init__(self, name, net):
        self.name, self.net = name, net

    def start(self):
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "log"
        with open(self.log, "w") as log:
            line = list(map(str, [*self.net.exec, *self.line()]))
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
        lines = report.read_text().splitlines() if report.exists() else []
        return json.loads(lines[-1])["packets_read"] if lines else None


class NFStream(Meter):
    def __init__(self, name, net, python, *arguments):
        super().__init__(name, net)
        self.python, self.arguments = python, arguments

    def line(self):
        return [self.python, "-u", "-c", NFSTREAM, *self.arguments, BUFFER]

    def is_ready(self):
        return self.count() is not None

    def count(self):
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
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
    """Packets lost at a rate, and the rate that there really was."""
    meter.start()
    before = meter.count()
    sent, rate = meter.net.replay(capture, pps, int(pps * seconds))
    meter.nudge(capture)
    lost = max(0, sent - (meter.counted(sent + before) - before))
    meter.stop()
    print(f"{meter.name}: {rate:.0f} packets/s, {lost} of {sent} lost", file=sys.stderr, flush=True)
    return lost, rate


def search(meter, capture, seconds):
    """The highest rate without loss, and the lowest with; no loss at the sender's highest is None."""
    good, bad, pps = 0, None, FIRST
    while bad is None:
        lost, rate = trial(meter, capture, pps, seconds)
        if lost:
            bad = rate
        else:
            good = max(good, rate)
            if rate < 0.9 * pps:
                return good, None
            pps = int(pps * FACTOR)
    for _ in range(HALVINGS):
        lost, rate = trial(meter, capture, int((good + bad) / 2), seconds)
        if lost:
            bad = min(bad, rate)
        else:
            good = max(good, rate)
    return good, bad


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--flowloom", default=ROOT / "target" / "release" / "flowloom")
    options.add_argument("--nfstream-python", default=ROOT / "target" / "oracle" / "bin" / "python")
    options.add_argument("--seconds", type=float, default=5)
    options.add_argument("--only", help="rows whose names have this in them")
    asked = options.parse_args()
    if os.geteuid() != 0:
        sys.exit("network namespaces take root")
    capture = traffic()
    with Net() as net:
        stats = ["--plugin", PLUGINS / "packet_stats.wasm"]
        bare = ["--n-dissections", "0"]
        meters = [
            Flowloom("flowloom, core features", net, asked.flowloom, *bare),
            Flowloom("… with packet_stats", net, asked.flowloom, *bare, *stats),
            Flowloom("… with packet_stats, event by event", net, asked.flowloom, *bare, *stats,
                     "--plugin-world", "events"),
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
        meters = [meter for meter in meters if not asked.only or asked.only in meter.name]
        found = [(meter.name, *search(meter, capture, asked.seconds)) for meter in meters]
    print("| meter | packets/s without loss | lost packets at |")
    print("| :-- | --: | --: |")
    for name, good, bad in found:
        print(f"| {name} | {good:,.0f} | {f'{bad:,.0f}' if bad else 'not by this sender'} |")


if __name__ == "__main__":
    main()
