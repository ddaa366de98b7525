"""docs/migrate-from-cicflowmeter.md: its table has all columns, and its examples compute the definitions."""

import math
import re
import statistics
import struct
import sys
from random import Random

import pytest
from conftest import CAPTURES, ROOT
from test_build import componentize
from test_documentation import DOCS, blocks_of, run_examples

sys.path.append(str(ROOT / "tests/truth"))

PAGE = DOCS / "migrate-from-cicflowmeter.md"
SECOND = 10**6
# The columns of CICFlowMeter V4, in its order: FlowFeature.java.
COLUMNS = """Flow ID,Src IP,Src Port,Dst IP,Dst Port,Protocol,Timestamp,Flow Duration,Total Fwd Packet,Total Bwd packets,
Total Length of Fwd Packet,Total Length of Bwd Packet,Fwd Packet Length Max,Fwd Packet Length Min,Fwd Packet Length Mean,
Fwd Packet Length Std,Bwd Packet Length Max,Bwd Packet Length Min,Bwd Packet Length Mean,Bwd Packet Length Std,Flow Bytes/s,
Flow Packets/s,Flow IAT Mean,Flow IAT Std,Flow IAT Max,Flow IAT Min,Fwd IAT Total,Fwd IAT Mean,Fwd IAT Std,Fwd IAT Max,
Fwd IAT Min,Bwd IAT Total,Bwd IAT Mean,Bwd IAT Std,Bwd IAT Max,Bwd IAT Min,Fwd PSH Flags,Bwd PSH Flags,Fwd URG Flags,
Bwd URG Flags,Fwd Header Length,Bwd Header Length,Fwd Packets/s,Bwd Packets/s,Packet Length Min,Packet Length Max,
Packet Length Mean,Packet Length Std,Packet Length Variance,FIN Flag Count,SYN Flag Count,RST Flag Count,PSH Flag Count,
ACK Flag Count,URG Flag Count,CWR Flag Count,ECE Flag Count,Down/Up Ratio,Average Packet Size,Fwd Segment Size Avg,
Bwd Segment Size Avg,Fwd Bytes/Bulk Avg,Fwd Packet/Bulk Avg,Fwd Bulk Rate Avg,Bwd Bytes/Bulk Avg,Bwd Packet/Bulk Avg,
Bwd Bulk Rate Avg,Subflow Fwd Packets,Subflow Fwd Bytes,Subflow Bwd Packets,Subflow Bwd Bytes,FWD Init Win Bytes,
Bwd Init Win Bytes,Fwd Act Data Pkts,Fwd Seg Size Min,Active Mean,Active Std,Active Max,Active Min,Idle Mean,Idle Std,
Idle Max,Idle Min,Label""".replace("\n", "").split(",")
# Flag bits of TCP, from the lowest.
FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
NOT_NUMBERS = ["Flow ID", "Src IP", "Dst IP", "Timestamp"]
TESTED = ["http", "tls12", "tls13", "ssh", "dns", "quic", "ipv6", "idle", "clock", "vlan", "icmp", "tls-clients"]


def test_the_table_has_all_columns():
    assert len(COLUMNS) == 84
    table = PAGE.read_text().split("| column of CICFlowMeter |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.M)
    assert sorted(name for row in rows for name in row.split(", ")) == sorted(COLUMNS)


def moments(prefix, values, suffixes="Mean,Std,Max,Min"):
    names = suffixes.split(",")
    found = {
        "Total": sum(values),
        "Mean": statistics.fmean(values) if values else 0,
        "Std": statistics.stdev(values) if len(values) > 1 else 0,
        "Max": max(values, default=0),
        "Min": min(values, default=0),
    }
    return {f"{prefix} {name}": found[name] for name in names}


def gaps_of(times):
    return [after - before for before, after in zip(times, times[1:])]


def split(items, is_break):
    """Return runs of items: a new one begins where ``is_break`` is true of two neighbours."""
    runs = []
    for item in items:
        if not runs or is_break(runs[-1][-1], item):
            runs.append([])
        runs[-1].append(item)
    return runs


def expected_of(flow):
    """Return the columns of a flow by their definitions, from all of its packets."""
    seen = [
        (packet.time_ns // 1000, packet.direction, packet.packet.payload_size, packet.packet.transport_size, packet)
        for packet in flow.packets
    ]
    times = [time for time, *_ in seen]
    sizes = [size for _, _, size, *_ in seen]
    seconds = (times[-1] - times[0]) / SECOND
    gaps = gaps_of(times)

    def rate(value):
        return value / seconds if seconds else 0

    first = flow.packets[0].packet
    columns = {
        "Src Port": first.src_port,
        "Dst Port": first.dst_port,
        "Protocol": first.protocol,
        "Flow Duration": times[-1] - times[0],
        "Flow Bytes/s": rate(sum(sizes)),
        "Flow Packets/s": rate(len(seen)),
        "Packet Length Variance": statistics.variance(sizes),
        "Average Packet Size": statistics.fmean(sizes),
        **moments("Flow IAT", gaps),
        **moments("Packet Length", sizes),
        **moments("Idle", [gap for gap in gaps if gap > 5 * SECOND]),
    }
    busy = split(times, lambda before, after: after - before > 5 * SECOND)[:-1]
    columns |= moments("Active", [run[-1] - run[0] for run in busy if run[-1] > run[0]])
    for bit, flag in enumerate(FLAGS):
        columns[f"{flag} Flag Count"] = sum(packet.packet.flags >> bit & 1 for *_, packet in seen)
    with_data = [one for one in seen if one[2] > 0]
    bulks = split(with_data, lambda before, after: before[1] != after[1] or after[0] - before[0] > SECOND)
    subflows = sum(gap > SECOND for gap in gaps)
    for direction, side in enumerate(("Fwd", "Bwd")):
        own = [one for one in seen if one[1] == direction]
        own_sizes = [size for _, _, size, *_ in own]
        headers = [transport - size for _, _, size, transport, _ in own]
        own_bulks = [bulk for bulk in bulks if len(bulk) >= 4 and bulk[0][1] == direction]
        bulk_bytes = [sum(size for _, _, size, *_ in bulk) for bulk in own_bulks]
        bulk_time = sum(bulk[-1][0] - bulk[0][0] for bulk in own_bulks)
        windows = [packet.window for *_, packet in own]
        columns |= {
            f"Total {side} " + ("packets" if direction else "Packet"): len(own),
            f"Total Length of {side} Packet": sum(own_sizes),
            f"{side} Segment Size Avg": statistics.fmean(own_sizes) if own else 0,
            f"{side} PSH Flags": sum(packet.packet.flags >> 3 & 1 for *_, packet in own),
            f"{side} URG Flags": sum(packet.packet.flags >> 5 & 1 for *_, packet in own),
            f"{side} Header Length": sum(headers),
            f"{side} Packets/s": rate(len(own)),
            f"Subflow {side} Packets": len(own) / subflows if subflows else 0,
            f"Subflow {side} Bytes": sum(own_sizes) / subflows if subflows else 0,
            f"{side} Bytes/Bulk Avg": statistics.fmean(bulk_bytes) if own_bulks else 0,
            f"{side} Packet/Bulk Avg": statistics.fmean(map(len, own_bulks)) if own_bulks else 0,
            f"{side} Bulk Rate Avg": sum(bulk_bytes) * SECOND / bulk_time if bulk_time else 0,
            **moments(f"{side} Packet Length", own_sizes),
            **moments(f"{side} IAT", gaps_of([time for time, *_ in own]), "Total,Mean,Std,Max,Min"),
        }
        if direction == 0:
            columns["FWD Init Win Bytes"] = windows[0]
            columns["Fwd Act Data Pkts"] = sum(size > 0 for size in own_sizes)
            columns["Fwd Seg Size Min"] = min(headers)
        else:
            columns["Bwd Init Win Bytes"] = next(filter(None, windows), 0)
    columns["Down/Up Ratio"] = columns["Total Bwd packets"] / columns["Total Fwd Packet"]
    return columns


def write_random_flows(path):
    """Write a capture with flags, gaps, windows and bulks that the other captures do not have."""
    random = Random(1)
    records = []
    for flow in range(200):
        is_tcp, time = random.random() < 0.7, 1_700_000_000 * SECOND + flow * 1_000
        count = random.randint(2, 40)
        for number in range(count):
            # Long sequences in one direction, and pauses of about 1 s and 5 s.
            back = number > 0 and (number // random.choice((1, 6))) % 2 == 1
            pauses = (0, 1, 300, 5_000, 90_000, SECOND, SECOND + 1, 2 * SECOND, 5 * SECOND, 5 * SECOND + 1, 7 * SECOND)
            time += random.choices(pauses, (2, 5, 8, 8, 8, 1, 1, 1, 1, 1, 1))[0] if number else 0
            payload = bytes(random.choice((0, 1, 100, 1_400)))
            ports = (1_000 + flow, 80) if not back else (80, 1_000 + flow)
            if is_tcp:
                # SYN, PSH, ACK, URG, ECE and CWR. FIN or RST would end the flow: the last packet may have one.
                flags = random.getrandbits(8) & 0b11111010 | (random.choice((0, 1, 4)) if number == count - 1 else 0)
                window = random.choice((0, 1_000, 64_000))
                words = random.randint(5, 15)
                header = struct.pack("!HHIIBBHHH", *ports, number, 0, words << 4, flags, window, 0, 0)
                transport = header.ljust(4 * words, b"\0") + payload
            else:
                transport = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
            addresses = (b"\xc0\0\2\1", b"\xc0\0\2\2")
            source, destination = addresses[::-1] if back else addresses
            size, protocol = 20 + len(transport), 6 if is_tcp else 17
            packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, protocol, 0, source, destination) + transport
            records.append((time, packet))
    with open(path, "wb") as file:
        # pcap of version 2.4 with packets that begin with their IP header.
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 101))
        for time, packet in sorted(records, key=lambda record: record[0]):
            file.write(struct.pack("<IIII", time // SECOND, time % SECOND, len(packet), len(packet)) + packet)


def test_the_examples_compute_the_definitions(tmp_path, monkeypatch):
    pytest.importorskip("polars")
    import packets as truth

    import flowloom

    examples = run_examples(PAGE, tmp_path, monkeypatch)
    assert sorted([*examples["cic"].columns, "Label"]) == sorted(COLUMNS)
    monkeypatch.setattr(truth, "IDLE_MS", 120_000)
    monkeypatch.setattr(truth, "ACTIVE_MS", 120_000)
    select = examples["columns"] | examples["EXACT"]
    numbers = [name for name in COLUMNS[:-1] if name not in NOT_NUMBERS]
    compared, not_zero = 0, set()
    write_random_flows(tmp_path / "random.pcap")
    for capture in [*(CAPTURES / f"{name}.pcap" for name in TESTED), tmp_path / "random.pcap"]:
        frame = flowloom.meter(capture, plugins=examples["Cic"], **examples["PARAMETERS"]).to_polars()
        rows = frame.select("id", **select).sort("id").to_dicts()
        flows = [
            flow
            for flow in sorted(truth.flows([capture]), key=lambda flow: flow.id)
            if flow.packets[0].packet.protocol in (6, 17) and len(flow.packets) > 1
        ]
        assert [row["id"] for row in rows] == [flow.id for flow in flows], capture
        for row, flow in zip(rows, flows):
            expected = expected_of(flow)
            assert sorted(expected) == sorted(numbers)
            for column in numbers:
                assert math.isclose(row[column], expected[column], rel_tol=1e-9, abs_tol=1e-9), (capture, column)
                compared += 1
                if row[column]:
                    not_zero.add(column)
    assert compared > 15_000
    assert not_zero == set(numbers)


@pytest.mark.slow
def test_the_plugin_of_the_page_can_be_a_component(tmp_path, monkeypatch):
    import flowloom

    componentize(monkeypatch)
    examples = run_examples(PAGE, tmp_path, monkeypatch)
    # The source of a class must be in a file of Python.
    (tmp_path / "cic_of_the_page.py").write_text("\n".join(blocks_of(PAGE)))
    monkeypatch.syspath_prepend(tmp_path)
    import cic_of_the_page

    component = flowloom.build_plugin(cic_of_the_page.Cic, tmp_path / "cic.wasm")
    capture = CAPTURES / "http.pcap"
    frames = [
        flowloom.meter(capture, plugins=plugin, **examples["PARAMETERS"]).to_polars()
        for plugin in (cic_of_the_page.Cic, component)
    ]
    assert frames[0].rows() == frames[1].rows()
