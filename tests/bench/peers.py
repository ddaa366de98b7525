#!/usr/bin/env python3
"""Compare the command `flowloom` with other flow meters, on one capture in one run.

    tests/bench/peers.py [CAPTURE] [--rounds N] [--flowloom FILE] [--nfstream PYTHON] [--cicflowmeter FILE] [--json FILE]

The default capture is the newest `zipf` of tests/bench/run.py. The peers are softflowd, nfpcapd (of nfdump), Argus, ndpiReader, NFStream and cicflowmeter. Those that are not installed are
named and left out. All programs run in turn, several times; slow ones less often. Each also runs on a capture without
packets, and the least CPU time of these runs is subtracted. The table is Markdown: the CPU time of a peer is divided by that
of Flowloom in the same round.

What the programs do is not the same. The column "flows" shows it: they have other timeouts and other rules for the end of a
flow. softflowd and Argus meter and export only. ndpiReader and NFStream also determine applications.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import DATA, FLOWLOOM, ROOT, Command, middle, say, table

# Reads all flows, as a program that writes them would.
NFSTREAM = """
import sys
from nfstream import NFPlugin, NFStreamer
class Count(NFPlugin):
    def on_init(self, packet, flow):
        flow.udps.packets = 1
    def on_update(self, packet, flow):
        flow.udps.packets += 1
everything = sys.argv[1] == "everything"
streamer = NFStreamer(
    source=sys.argv[2],
    n_dissections=20 if everything else 0,
    statistical_analysis=everything,
    splt_analysis=20 if everything else 0,
    udps=[Count()] if sys.argv[1] == "plugin" else [],
    n_meters=1,
)
print(sum(1 for _ in streamer))
"""
NDPI_READER = ["ndpiReader", "-q", "-i"]
EVERYTHING = ["--statistical-analysis", "--splt-analysis", "20"]


def nfstream_line(python, features):
    """Return the command of NFStream, to which a capture is added. `features` is core, plugin or everything."""
    return [python, "-c", NFSTREAM, features]


class Peer:
    """A program that is compared with a run of Flowloom."""

    def __init__(self, name, does, command, beside, flows, is_slow=False):
        self.name, self.does, self.command, self.beside = name, does, command, beside
        self.flows, self.is_slow = flows, is_slow

    def ratios(self):
        """Return the ratios to Flowloom's CPU times in the same rounds."""
        pairs = zip(net(self.command), net(self.beside), strict=False)
        return [own / ours for own, ours in pairs]


def net(command):
    """Return the CPU times of the runs in ns, without the start of the command."""
    start = min(taken.cpu for taken in command.starts)
    return [max(taken.cpu - start, 1) for taken in command.runs]


def ndpi_of_reader():
    """Return the library that ndpiReader is linked with."""
    linked = output(["ldd", shutil.which(NDPI_READER[0])])
    return re.search(r"libndpi\S* => (\S+)", linked)[1]


def newest(name="zipf"):
    """Return the newest capture of this name. `zipf` is like the traffic of a network."""
    found = sorted(DATA.glob(f"{name}.*.pcap"), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit(f"there is no capture in {DATA}: run tests/bench/run.py, or name one")
    return found[-1]


def output(line):
    """Return what a command prints."""
    run = subprocess.run([*map(str, line)], capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(map(str, line))}: exit code {run.returncode}\n{run.stderr[-2000:]}")
    return run.stdout + run.stderr


def number(pattern, text):
    found = re.search(pattern, text)
    if found is None:
        sys.exit(f"cannot find {pattern} in:\n{text}")
    return int(found[1])


def peers(arguments, capture, folder):
    """Return Flowloom's commands and the peers that are installed."""
    meter = [arguments.flowloom, "meter", "--quiet", "--output", "/dev/null", "--format", "csv"]
    core = Command("core", [*meter, "--n-dissections", "0"], [capture])
    dissect = Command("dissection", meter, [capture])
    everything = Command("everything", [*meter, *EVERYTHING], [capture])
    found, missing = [], []

    def add(name, needs, *peer, **options):
        if shutil.which(needs) or Path(needs).exists():
            found.append(Peer(name, *peer, **options))
        else:
            missing.append(name)

    # The records go to a port without a reader.
    softflowd = ["softflowd", "-d", "-n", "127.0.0.1:9", "-r"]
    add(
        "softflowd", "softflowd", "core, exports NetFlow", Command("softflowd", softflowd, [capture]), core,
        lambda: number(r"Flows expired: (\d+)", output([*softflowd, capture])),
    )
    files = folder / "nfpcapd"
    files.mkdir()
    nfpcapd = ["nfpcapd", "-w", files, "-r"]

    def nfdump():
        for file in files.iterdir():
            file.unlink()
        output([*nfpcapd, capture])
        return number(r"Flows: (\d+)", output(["nfdump", "-R", files, "-I"]))

    add("nfpcapd (nfdump)", "nfpcapd", "core, writes files", Command("nfpcapd", nfpcapd, [capture]), core, nfdump)
    argus = ["argus", "-w", "/dev/null", "-r"]

    def racount():
        output(["argus", "-w", folder / "argus", "-r", capture])
        return number(r"sum +(\d+)", output(["racount", "-r", folder / "argus"]))

    add("Argus", "argus", "core, writes records", Command("argus", argus, [capture]), core, racount)
    add(
        "ndpiReader 4.2", "ndpiReader", "applications", Command("ndpiReader", NDPI_READER, [capture]), dissect,
        lambda: number(r"Unique flows: +(\d+)", output(["ndpiReader", "-i", capture])),
    )
    for does, beside, words in [
        ("core", core, "core"),
        ("applications, statistics, SPLT 20", everything, "everything"),
    ]:
        line = nfstream_line(arguments.nfstream, words)
        add(
            "NFStream", arguments.nfstream, does, Command(f"nfstream {words}", line, [capture]), beside,
            lambda line=line: int(output([*line, capture])), is_slow=True,
        )
    flows = folder / "cicflowmeter.csv"
    cic = [arguments.cicflowmeter, "-c", "-f"]

    def cicflowmeter():
        output([*cic, capture, flows])
        return len(flows.read_text().splitlines()) - 1

    add(
        "cicflowmeter", arguments.cicflowmeter, "core and statistics",
        Command("cicflowmeter", cic, [capture], [flows]), everything, cicflowmeter, is_slow=True,
    )
    return [core, dissect, everything], found, missing


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("capture", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--slow-rounds", type=int, default=3)
    parser.add_argument("--flowloom", type=Path, default=FLOWLOOM)
    parser.add_argument("--nfstream", default=str(ROOT / "target/oracle/bin/python"))
    parser.add_argument("--cicflowmeter", default=str(ROOT / "target/peers/bin/cicflowmeter"))
    parser.add_argument("--json", type=Path, help="write the figures for tests/bench/chart.py")
    arguments = parser.parse_args()
    capture = (arguments.capture or newest()).resolve()
    DATA.mkdir(parents=True, exist_ok=True)
    # The start of each program is that on a capture without packets.
    (DATA / "empty.pcap").write_bytes(capture.read_bytes()[:24])
    with tempfile.TemporaryDirectory() as folder:
        own, found, missing = peers(arguments, capture, Path(folder))
        flows = {}
        for peer in found:
            say(f"counting the flows of {peer.name} …")
            flows[peer] = peer.flows()
        # A program that has found nothing has not done the work.
        idle = [peer for peer in found if flows[peer] <= 0]
        found = [peer for peer in found if peer not in idle]
        for turn in range(arguments.rounds):
            say(f"round {turn + 1} of {arguments.rounds} …")
            for command in [*own, *(peer.command for peer in found if not peer.is_slow or turn < arguments.slow_rounds)]:
                command.run()
    shown = output([*own[0].line[:2], *own[0].line[3:]])
    packets = number(r"packets +(\d+) read", shown)
    ours = number(r"flows +(\d+)", shown)
    print(f"### {capture.name}: {packets:,} packets, Flowloom finds {ours:,} flows\n")
    rows = [
        [f"Flowloom, {command.name}", "", f"{min(net(command)) / packets:.0f}", "", "", f"{ours:,}"]
        for command in own
    ]
    figures = []
    for peer in found:
        ratios, least = peer.ratios(), min(net(peer.command)) / packets
        median = statistics.median(ratios)
        shown = [f"{least:.0f}", f"{median:.1f}", middle(ratios, 1), f"{flows[peer]:,}"]
        rows.append([peer.name, peer.does, *shown])
        figures.append({"name": peer.name, "does": peer.does, "cpu": round(median, 2)})
    table(["program", "does", "CPU, ns a packet", "to Flowloom", "middle half", "flows"], rows)
    for command in [*own, *(peer.command for peer in found)]:
        print("    " + " ".join("…" if word == NFSTREAM else word for word in command.line))
    for name in missing:
        print(f"\n{name} is not installed.")
    for peer in idle:
        print(f"\n{peer.name} has found no flows, and is left out.")
    if arguments.json:
        arguments.json.write_text(json.dumps({"capture": capture.name, "packets": packets, "peers": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
