#!/usr/bin/env python3
"""Meter an interface for minutes at a high rate, under adverse conditions.

    tests/soak/run.py [--seconds 600] [--pps RATE] [--meters 2]

The reader of the flows stalls every 10 s. A plugin traps every 5 s. Another plugin is replaced every second.

Without --pps, the program first searches for the highest rate without loss, and runs at 80 % of it. The search doubles
the rate until the kernel drops packets or the sender reaches its limit. Then it takes three bisection steps.

The program checks that memory does not grow, that the counters add up, and that every flow is written once. Otherwise
it exits with 1. It needs root, iproute2 and `make build plugins guests`.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SENDER = ROOT / "target" / "debug" / "send"
PLUGINS = ROOT / "target" / "plugins"
CAPTURE = ROOT / "tests" / "captures" / "tls13.pcap"
FLOWS_PER_LOOP, PACKETS_PER_LOOP = 2, 54
STALL_EVERY_S, STALL_S = 10, 2
TRAP_EVERY_S, RELOAD_EVERY_S = 5, 1
FIRST_PPS, BISECTIONS, SHARE = 5_000, 3, 0.8


class Net:
    """A network namespace with a veth pair."""

    def __init__(self):
        self.name = f"flowloom-soak-{os.getpid()}"

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "add", "near", "type", "veth", "peer", "name", "far")
        for end in "near", "far":
            run(*self.exec, "sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
            run("ip", "-n", self.name, "link", "set", end, "mtu", "65535", "up")
        return self

    def __exit__(self, *_):
        run("ip", "netns", "delete", self.name)

    @property
    def exec(self):
        return "ip", "netns", "exec", self.name

    def replay(self, pps, seconds):
        """Send packets for some seconds. Return the number of packets sent, and the rate."""
        loops = max(1, int(pps * seconds / PACKETS_PER_LOOP))
        report = json.loads(run(
            *self.exec, SENDER, "--interface", "near", "--other-addresses",
            "--pps", pps, "--packets", loops * PACKETS_PER_LOOP, CAPTURE,
        ))  # fmt: skip
        return report["sent"], report["sent"] / report["seconds"]


class Reloader(threading.Thread):
    """A thread that replaces a plugin every second by another generation with the same behaviour."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.component = (PLUGINS / "packet_stats.wasm").read_bytes()
        self.new, self.file = folder / "new", folder / "plugins" / "stats.wasm"
        self.file.parent.mkdir()
        self.versions, self.ends = 0, threading.Event()
        self.replace()

    def replace(self):
        # A custom section with a number changes the bytes of the file, but not the plugin.
        number = self.versions.to_bytes(4)
        self.new.write_bytes(self.component + bytes([0, 6, 1, ord("v")]) + number)
        self.new.rename(self.file)
        self.versions += 1

    def run(self):
        while not self.ends.wait(RELOAD_EVERY_S):
            self.replace()


class Run:
    """A running command."""

    def __init__(self, net, options, flowloom, pps, meters):
        self.folder = Path(tempfile.mkdtemp())
        self.pipe = self.folder / "flows.jsonl"
        self.report = self.folder / "report.jsonl"
        os.mkfifo(self.pipe)
        self.reader = Reader(self.pipe)
        self.reader.start()
        self.reloader = Reloader(self.folder)
        trap_after = max(1, int(TRAP_EVERY_S * pps / PACKETS_PER_LOOP * FLOWS_PER_LOOP / meters))
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen(
                [*net.exec, flowloom, "meter", "far", "--output", self.pipe,
                 "--idle-timeout", "1", "--n-meters", str(meters),
                 "--performance-report", "1", "--performance-report-file", self.report,
                 "--plugins", self.reloader.file.parent, "--watch", "--format", "jsonl",
                 "--plugin-cache", "none",
                 "--plugin", f"{PLUGINS / 'evil.wasm'},mode=silent,at=init,after={trap_after}",
                 *options],
                stdin=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        while "capturing from far" not in (self.folder / "log").read_text():
            if self.process.poll() is not None:
                sys.exit((self.folder / "log").read_text())
            time.sleep(0.01)

    def end(self):
        """End the command. Return the lines of its performance report."""
        self.reloader.ends.set()
        self.process.send_signal(signal.SIGTERM)
        self.exit = self.process.wait(60)
        self.reader.join(60)
        self.log = (self.folder / "log").read_text()
        lines = [json.loads(line) for line in self.report.read_text().splitlines()]
        shutil.rmtree(self.folder)
        return lines


class Reader(threading.Thread):
    """A thread that reads flows, and stalls at intervals."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe = pipe
        self.stalls = False
        self.ids, self.flows, self.packets, self.wrong = set(), 0, 0, 0

    def run(self):
        begin = time.monotonic()
        with open(self.pipe) as lines:
            for line in lines:
                flow = json.loads(line)
                self.flows += 1
                self.ids.add(flow["id"])
                self.packets += flow["bidirectional_packets"]
                self.wrong += flow["udps"]["stats"]["src2dst_count"] != flow["src2dst_packets"]
                if self.stalls and time.monotonic() > begin + STALL_EVERY_S:
                    time.sleep(STALL_S)
                    begin = time.monotonic()


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def sustained(net, make, tried=3):
    """Return 80 % of the highest rate without loss: during a long run, the machine has other load too."""

    def is_good(pps):
        work = make(pps)
        sent, achieved = net.replay(pps, tried)
        dropped = work.end()[-1]["packets_dropped"]["kernel"]
        print(f"{pps} packets/s: {achieved:.0f} sent, {dropped} dropped", flush=True)
        return not dropped and achieved > 0.9 * pps

    good, bad = 0, FIRST_PPS
    while is_good(bad):
        good, bad = bad, 2 * bad
    for _ in range(BISECTIONS):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if is_good(middle) else (good, middle)
    if not good:
        sys.exit(f"packets are lost even at {bad} packets/s")
    return int(SHARE * good)


def check(last, lines, work, sent, log):
    """Yield checks: whether each failed, and its message."""
    dropped = last["packets_dropped"]
    lost = sum(last["flows_lost"].values())
    yield work.exit != 3, f"exit code {work.exit}, expected 3 because a plugin trapped"
    read = last["packets_read"]
    yield read + sum(dropped.values()) != sent, f"{sent} sent, {read} read, {dropped} dropped"
    metered, ignored = last["packets_processed"], last["packets_ignored"]
    yield metered + ignored != read, f"{read} read, {metered} metered, {ignored} ignored"
    reader, ended = work.reader, last["flows_expired"]
    yield reader.flows + lost != ended, f"{ended} flows ended, {reader.flows} read, {lost} lost"
    yield len(reader.ids) != reader.flows, f"{reader.flows} flows, {len(reader.ids)} ids"
    yield not lost and reader.packets != metered, f"{reader.packets} packets in flows, {metered} metered"
    plugins = {plugin["name"]: plugin for plugin in last["plugins"]}
    yield not plugins["evil"]["traps"], "the plugin did not trap"
    yield plugins["stats"]["traps"], "another plugin trapped too"
    yield plugins["stats"]["generations"] < 3, "the plugin was not replaced"
    shed = plugins["stats"]["flows_shed"]
    yield reader.wrong > shed, f"{reader.wrong} flows with wrong values of the plugin, {shed} skipped"
    resident = [line["resident_bytes"] for line in lines[:-1]]
    quarter = len(resident) // 4
    if quarter > 4:
        early = statistics.median(resident[quarter : 2 * quarter])
        late = statistics.median(resident[-quarter:])
        yield late > early * 1.1 + 4e6, f"memory grew from {early:.0f} to {late:.0f} bytes"
    yield "panicked" in log, "the command panicked"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--pps", type=int, help="packets per second; default: searched")
    parser.add_argument("--meters", type=int, default=2)
    parser.add_argument("--flowloom", default=ROOT / "target" / "debug" / "flowloom")
    parser.add_argument("more", nargs="*", help="options of flowloom meter, after --")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: network namespaces need root")
        return
    if not SENDER.exists():
        sys.exit(f"there is no {SENDER}: make build")
    with Net() as net:

        def make(pps):
            return Run(net, arguments.more, arguments.flowloom, pps, arguments.meters)

        pps = arguments.pps or sustained(net, make)
        print(f"| packets a second | {pps} |")
        work = make(pps)
        work.reader.stalls = True
        work.reloader.start()
        sent, achieved = net.replay(pps, arguments.seconds)
        lines = work.end()
        last = lines[-1]
        plugins = {plugin["name"]: plugin for plugin in last["plugins"]}
        resident = [line["resident_bytes"] for line in lines]
        for name, value in {
            "packets sent": f"{sent}, {achieved:.0f} a second",
            "packets read": last["packets_read"],
            "packets dropped": json.dumps(last["packets_dropped"]),
            "flows ended": last["flows_expired"],
            "flows read by the other side": work.reader.flows,
            "flows lost": json.dumps(last["flows_lost"]),
            "flows not dissected": last["flows_undissected"],
            "flows not offered to the other plugin": plugins["stats"]["flows_shed"],
            "versions of the other plugin": plugins["stats"]["generations"],
            "crashes of the plugin": plugins["evil"]["traps"],
            "memory, MB": f"{min(resident) / 1e6:.0f} to {max(resident) / 1e6:.0f}",
        }.items():
            print(f"| {name} | {value} |")
        wrong = [words for is_wrong, words in check(last, lines, work, sent, work.log) if is_wrong]
    for words in wrong:
        print(f"wrong: {words}")
    if wrong:
        print(work.log[-4_000:])
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
