"""docs/migrate-from-cicflowmeter.md: its table has all columns, and its examples compute the definitions."""

import csv
import math
import re
import sys

import pytest
from conftest import CAPTURES, ROOT
from test_build import componentize
from test_documentation import DOCS, blocks_of, run_examples

sys.path.append(str(ROOT / "tests/truth"))

PAGE = DOCS / "migrate-from-cicflowmeter.md"
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
PLUGIN = ROOT / "plugins/cicflowmeter"
with open(PLUGIN / "names.csv") as file:
    NAMES = list(csv.DictReader(file))
# The columns of the plugin, with the names of CICFlowMeter V4.
V4 = {row["column"]: row["v4"] for row in NAMES}
NOT_NUMBERS = ["Flow ID", "Src IP", "Dst IP", "Timestamp"]
TESTED = ["http", "tls12", "tls13", "ssh", "dns", "quic", "ipv6", "idle", "clock", "vlan", "icmp", "tls-clients"]


def test_the_table_has_all_columns():
    assert len(COLUMNS) == 84
    table = PAGE.read_text().split("| column of CICFlowMeter |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.M)
    assert sorted(name for row in rows for name in row.split(", ")) == sorted(COLUMNS)


def test_the_names_of_the_plugin_are_complete():
    features = (PLUGIN / "cicflowmeter.features").read_text()
    assert [row["column"] for row in NAMES] == re.findall(r"^([a-z_]+) *= ", features, re.M)
    assert list(V4.values()) == COLUMNS[7:-1]
    for row in NAMES:
        # The columns are the names of CSE-CIC-IDS2018, except for CWE, which is a misspelt CWR.
        assert row["column"] == re.sub(r"[ /]", "_", row["csv2018"].replace("CWE", "CWR")).lower()
        assert row["csv2017"] and len(row) == 4


def expected_of(flow, definitions):
    """Return the columns of a flow by their definitions, from all of its packets."""
    first = flow.packets[0].packet
    values = definitions.cicflowmeter(flow)
    ends = {"Src Port": first.src_port, "Dst Port": first.dst_port, "Protocol": first.protocol}
    return ends | {name: values[column] for column, name in V4.items()}


def test_the_examples_compute_the_definitions(tmp_path, monkeypatch):
    pytest.importorskip("polars")
    import cic_definitions
    import packets as truth
    import random_flows

    import flowloom

    examples = run_examples(PAGE, tmp_path, monkeypatch)
    assert sorted([*examples["cic"].columns, "Label"]) == sorted(COLUMNS)
    monkeypatch.setattr(truth, "IDLE_MS", 120_000)
    monkeypatch.setattr(truth, "ACTIVE_MS", 120_000)
    select = examples["columns"] | examples["EXACT"]
    numbers = [name for name in COLUMNS[:-1] if name not in NOT_NUMBERS]
    compared, not_zero = 0, set()
    random_flows.write(tmp_path / "random.pcap")
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
            expected = expected_of(flow, cic_definitions)
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
