"""Flows, DataFrames and files of the Python package are those of the command."""

import datetime
import json
import warnings

import duckdb
import pandas
import polars
import polars.testing
import pyarrow
import pyarrow.parquet
import pytest
from conftest import CAPTURES

import flowloom

ALL = sorted(path for path in CAPTURES.glob("*.pcap*") if path.suffix in (".pcap", ".pcapng"))
FULL = {"statistical_analysis": True, "splt_analysis": 3, "community_id": 0, "flow_uid": True, "source_file": True}
OPTIONS = ["--statistical-analysis", "--splt-analysis", "3", "--community-id", "--flow-uid", "--source-file"]


@pytest.mark.parametrize("capture", ALL, ids=lambda path: path.name)
def test_flows_are_those_of_the_command(capture, metered):
    with warnings.catch_warnings():
        # Some of our captures are damaged.
        warnings.simplefilter("ignore", flowloom.CaptureWarning)
        flows = [flow.to_dict() for flow in flowloom.meter(capture, **FULL)]
    assert flows == metered(capture, *OPTIONS)


def test_attributes_items_and_names_agree():
    flow = next(iter(flowloom.meter(CAPTURES / "tls12.pcap")))
    assert flow.application_name == "TLS"
    assert flow["application_name"] == "TLS"
    assert flow.application_risks == ["Self-signed Certificate", "TLS Certificate Validity Too Long"]
    assert flow.src_ip == "192.0.2.1" and flow.src_ip_is_private is True
    assert list(flow.to_dict().items()) == flow.items() == list(zip(flow.keys(), flow.values()))
    assert len(flow) == len(flow.keys())
    assert "src_ip" in flow and "nothing" not in flow
    assert set(dir(flow)) >= {"src_ip", "udps", "to_dict"}
    assert repr(flow) == "<Flow 2 192.0.2.1:37758 - 192.0.2.2:443 protocol 6, 17 packets>"
    with pytest.raises(AttributeError, match="a flow has no column 'nothing'"):
        _ = flow.nothing
    with pytest.raises(KeyError, match="nothing"):
        _ = flow["nothing"]


def test_values_of_plugins_are_in_a_namespace(plugin, metered):
    path = plugin("packet_stats")
    flows = list(flowloom.meter(CAPTURES / "dns.pcap", plugins=[path]))
    expected = metered(CAPTURES / "dns.pcap", "--plugin", str(path))
    assert flows
    for flow, known in zip(flows, expected, strict=True):
        assert flow.udps.packet_stats.src2dst_count == known["udps"]["packet_stats"]["src2dst_count"]
        assert flow["udps.packet_stats.src2dst_count"] == flow.udps.packet_stats.src2dst_count
        assert dir(flow.udps) == ["packet_stats"]
        assert "src2dst_count" in dir(flow.udps.packet_stats)
    with pytest.raises(AttributeError, match="no values of a plugin 'nothing'"):
        _ = flows[0].udps.nothing
    with pytest.raises(AttributeError, match="plugin 'packet_stats' has no output 'nothing'"):
        _ = flows[0].udps.packet_stats.nothing


def test_a_plugin_can_be_bytes_with_options_and_grants(plugin):
    path = plugin("ja4")
    wasm = flowloom.Wasm(path.read_bytes(), name="prints", grants="payload:16384")
    flow = next(iter(flowloom.meter(CAPTURES / "tls13.pcap", plugins=[wasm], n_dissections=0)))
    assert flow.udps.prints.ja4 == "t13d3112h1_e8f1e7e78f70_b26ce05bbdd6"
    with pytest.raises(flowloom.PluginError, match="which were not granted"):
        list(flowloom.meter(CAPTURES / "tls13.pcap", plugins=[path]))
    with pytest.raises(flowloom.ParameterError, match="has no name"):
        list(flowloom.meter(CAPTURES / "tls13.pcap", plugins=[flowloom.Wasm(path.read_bytes())]))


def test_all_frames_have_the_same_values():
    flows = flowloom.meter(CAPTURES / "tls12.pcap", statistical_analysis=True, splt_analysis=2)
    table = flows.to_arrow()
    assert table.equals(pyarrow.table(flows))
    frame = flows.to_polars()
    assert frame.shape == (2, table.num_columns)
    polars.testing.assert_frame_equal(frame, polars.DataFrame(flows))
    polars.testing.assert_frame_equal(frame, polars.from_arrow(table))
    assert list(flows.to_pandas().columns) == table.column_names == flows.columns
    assert flows.to_pandas()["src_port"].tolist() == table["src_port"].to_pylist()
    connection = duckdb.connect()
    relation = flows.to_duckdb(connection, 'my "flows"')
    assert relation.columns == table.column_names
    rows = connection.execute('SELECT id, application_risks FROM "my ""flows"""').fetchall()
    assert rows == list(zip(table["id"].to_pylist(), table["application_risks"].to_pylist()))
    assert duckdb.sql("SELECT count(*) FROM flows").fetchall() == [(2,)]


def test_types_are_those_of_the_documentation():
    flows = flowloom.meter(CAPTURES / "tls12.pcap", statistical_analysis=True, splt_analysis=2)
    frame = flows.to_polars()
    expected = {
        "id": polars.Int64,
        "src_port": polars.Int32,
        "src_ip": polars.String,
        "src_ip_is_private": polars.Boolean,
        "bidirectional_mean_ps": polars.Float64,
        "splt_ps": polars.List(polars.Int64),
        "application_risks": polars.List(polars.String),
        "application_name": polars.Categorical,
        "first_seen": polars.Datetime("us", "UTC"),
    }
    assert {name: frame.schema[name] for name in expected} == expected
    pandas_frame = flows.to_pandas()
    objects = [name for name in pandas_frame.columns if pandas_frame[name].dtype == object]
    assert objects == ["splt_direction", "splt_ps", "splt_piat_ms", "application_stack", "application_risks"]
    assert isinstance(pandas_frame["src_ip"].dtype, pandas.StringDtype)
    types = {
        "id": "int64",
        "src_port": "int32",
        "src_ip_is_private": "bool",
        "bidirectional_mean_ps": "float64",
        "application_name": "category",
        "first_seen": "datetime64[us, UTC]",
    }
    assert {name: str(pandas_frame[name].dtype) for name in types} == types
    first = datetime.datetime.fromtimestamp(pandas_frame["bidirectional_first_seen_ms"][0] / 1000, datetime.timezone.utc)
    assert pandas_frame["first_seen"][0] == first


def test_files_are_those_of_the_command(tmp_path, metered):
    flows = flowloom.meter(CAPTURES / "dns.pcap", select=["src_ip", "dst_port", "requested_server_name"])
    assert flows.write_parquet(tmp_path / "x.parquet", compression="zstd:9") == 9
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").column_names == flows.columns
    assert flows.write_arrow(tmp_path / "x.arrow") == 9
    assert polars.read_ipc(tmp_path / "x.arrow").shape == (9, 3)
    assert flows.write_csv(tmp_path / "x.csv.gz") == 9
    assert polars.read_csv(tmp_path / "x.csv.gz").shape == (9, 3)
    assert flows.write_jsonl(tmp_path / "x.jsonl") == 9
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert lines == metered(CAPTURES / "dns.pcap", "--select", "src_ip,dst_port,requested_server_name")
    with pytest.raises(flowloom.ParameterError, match="compression 'lzma': expected none"):
        flows.write_parquet(tmp_path / "y.parquet", compression="lzma")
    with pytest.raises(flowloom.FlowloomError, match="/nowhere"):
        flows.write_csv("/nowhere/x.csv")


def test_a_condition_and_columns_are_chosen():
    flows = flowloom.meter(CAPTURES / "dns.pcap", where="dst_port = 53", select=["dst_port"], max_nflows=2)
    assert flows.to_polars().to_dict(as_series=False) == {"dst_port": [53, 53]}
    assert flows.summary["flows_withheld"] > 0
    assert flows.columns == ["dst_port"]


def test_the_summary_has_the_counters():
    flows = flowloom.meter(CAPTURES / "tls13.pcap")
    assert flows.summary == {}
    assert len(list(flows)) == 2
    summary = flows.summary
    assert (summary["packets_read"], summary["packets_metered"], summary["flows"]) == (54, 52, 2)
    assert summary["packets_ignored"] == {"not-ip": 2}
    assert summary["problems"] == []
    assert summary["ndpi"]["version"][0] in "45"


def test_every_reading_is_a_run_of_its_own():
    flows = flowloom.meter(CAPTURES / "dns.pcap")
    first = [flow.to_dict() for flow in flows]
    assert [flow.to_dict() for flow in flows] == first
    for flow in flows:
        break
    assert flow.to_dict() == first[0]
    assert flows.to_polars().height == len(first)


def test_several_meters_give_the_same_flows():
    def rows(meters):
        return flowloom.meter(CAPTURES / "dns.pcap", n_meters=meters, n_dissections=0).to_polars()

    polars.testing.assert_frame_equal(rows(1), rows(2))


def test_a_key_gives_the_same_hashes():
    def hashes(**options):
        flows = flowloom.meter(CAPTURES / "dns.pcap", columns_to_anonymize=["src_ip"], **options)
        return flows.to_polars()["src_ip"].to_list()

    key = "ab" * 64
    assert hashes(anonymization_key=key) == hashes(anonymization_key=key)
    assert hashes() != hashes()
    with pytest.raises(flowloom.ParameterError):
        hashes(anonymization_key="ab")
