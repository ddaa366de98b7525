"""Spark: a cluster of two executors, which are processes of their own."""

import json
import os
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import flowloom
import pytest
from conftest import CAPTURES, Trouble, assert_same

pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed")

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def spark():
    """Return a session of a cluster with two executors of one core."""
    from pyspark.sql import SparkSession

    # The workers of a local cluster are started from a distribution of Spark, which pyspark contains.
    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local-cluster[2,1,1024]")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.python.filterPushdown.enabled": "true",
        "spark.executorEnv.PYTHONPATH": os.environ["PYTHONPATH"],
        "spark.executorEnv.PATH": os.environ["PATH"],
    }.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    from flowloom.spark import FlowloomDataSource

    session.dataSource.register(FlowloomDataSource)
    yield session
    session.stop()


@pytest.fixture
def load(spark, plugin):
    """Return a function that returns a DataFrame of flows."""

    def load(path, schema=None, **options):
        reader = spark.read.format("flowloom").options(**options)
        return (reader.schema(schema) if schema else reader).load(path)

    return load


def executor():
    """Return the process of the executor that this worker belongs to: worker, daemon, executor."""
    daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
    return daemon.rpartition(")")[2].split()[1]


def message(action):
    """Return the message of the exception of an action."""
    with pytest.raises(Exception) as raised:  # noqa: PT011
        action()
    return str(raised.value)


def test_flows_are_those_of_one_process_though_an_executor_fails(load, plugin, gate, captures, expected):
    options = {"statistical_analysis": "true", "splt_analysis": "5", "plugins": plugin}
    flows = load(captures, task_bytes="150000", **options)
    assert flows.columns == expected.column_names

    def hold(batches):
        batches = list(batches)
        gate.hold(executor())
        yield from batches

    # Functions in Python cannot have columns with dots in their names.
    renamed = flows.toDF(*(name.replace(".", "-") for name in flows.columns))
    with ThreadPoolExecutor() as threads:
        query = threads.submit(lambda: renamed.mapInArrow(hold, renamed.schema).toArrow())
        killed = gate.await_held(is_over=query.done)
        if killed is not None:
            os.kill(int(killed), signal.SIGKILL)
        gate.open()
        found = query.result()
    assert_same(found.rename_columns(flows.columns), expected)
    # The task that was held there was done again.
    assert len(gate.places()) > flows.rdd.getNumPartitions()
    assert len(set(gate.places())) > 1


def test_columns_of_select_and_schema(load, captures):
    run = {"select": ["dst_port", "capture", "id", "last_seen"], "where": "protocol = 17"}
    expected = flowloom.meter(captures, **run).to_arrow()
    assert_same(load(captures, select=",".join(run["select"]), where=run["where"]).toArrow(), expected)
    schema = "dst_port int, capture bigint, id bigint, last_seen timestamp"
    found = load(captures, schema=schema, where=run["where"]).toArrow()
    assert_same(found, expected)


# Each has flows on both sides.
COMPARISONS = [
    "dst_port = 53",
    "dst_port <> 53",
    "dst_port in (53, 443)",
    "application_is_guessed",
    "not application_is_guessed",
    "src_ip = '192.0.2.1'",
    "src_mac = '02:00:00:00:00:01'",
    "application_name = 'DNS'",
    "application_name not in ('DNS', 'TLS')",
    "bidirectional_packets >= 10 and not protocol = 6",
    "`udps.packet_stats.src2dst_mean` > 60.5",
    "`udps.packet_stats.dst2src_mean` is null",
    "requested_server_name like 'e%'",
]


def test_comparisons_that_the_run_makes_change_no_result(load, plugin, captures):
    names = "capture bigint, id bigint, dst_port int, protocol int, application_is_guessed boolean, src_ip string, src_mac string, "
    names += "application_name string, requested_server_name string, bidirectional_packets bigint, "
    names += "`udps.packet_stats.src2dst_mean` double, `udps.packet_stats.dst2src_mean` double"
    plain = load(captures, schema=names, plugins=plugin).cache()
    pushing = load(captures, schema=names, plugins=plugin, pushdown="true")
    for comparison in COMPARISONS:
        expected = plain.where(comparison).toArrow()
        assert 0 < expected.num_rows < plain.count(), comparison
        assert_same(pushing.where(comparison).toArrow(), expected)


def test_comparisons_reach_the_run(captures, plugin):
    from flowloom.spark import FlowloomDataSource
    from pyspark.sql import datasource as api

    def where(*filters, **options):
        source = FlowloomDataSource({"path": captures, "pushdown": "true", "plugins": plugin, **options})
        reader = source.reader(source.schema())
        # Spark makes all comparisons again.
        assert list(reader.pushFilters(list(filters))) == list(filters)
        wheres = {json.loads(part.value)["config"]["where"] for part in reader.partitions()}
        assert len(wheres) == 1
        return wheres.pop()

    assert where(api.EqualTo(("dst_port",), 53)) == "(dst_port = 53)"
    assert where(api.Not(api.In(("protocol",), (6, 17)))) == "(not (protocol = 6 or protocol = 17))"
    assert where(api.EqualTo(("src_ip",), "10.0.0.1"), where="443") == "(443) and (src_ip = 10.0.0.1)"
    assert where(api.GreaterThan(("udps.packet_stats.src2dst_mean",), 1.5)) == "(udps.packet_stats.src2dst_mean > 1.5)"
    for left in (
        api.EqualTo(("src_ip",), "2001:DB8::1"),
        api.EqualTo(("src_ip",), "not an address"),
        api.EqualTo(("src_ip",), "10.0.0.01"),
        api.EqualTo(("first_seen",), datetime(2026, 1, 1, tzinfo=timezone.utc)),
        api.EqualTo(("application_name",), 'a"b'),
        api.LessThan(("application_name",), "b"),
        api.StringContains(("application_name",), "b"),
        api.IsNull(("dst_port",)),
        api.GreaterThan(("udps.packet_stats.src2dst_mean",), 1e-9),
        api.EqualTo(("no", "column"), 1),
    ):
        assert where(left) is None, left


def test_options_have_the_types_of_parameters(captures):
    from flowloom.spark import FlowloomDataSource

    given = FlowloomDataSource(
        {
            "path": captures,
            "Statistical_Analysis": "TRUE",
            "splt_analysis": "7",
            "decode_tunnels": "gtp,vxlan",
            "community_id": "0",
            "select": "src_ip, dst_ip",
            "plugins": '["a.wasm", {"source": "b.wasm", "grants": "addresses", "options": {"n": "1"}}]',
            "where": "443",
            "scan": "true",
        }
    )._parameters
    a, b = given.pop("plugins")
    assert (a, b.source, b.grants, b.options) == ("a.wasm", "b.wasm", "addresses", {"n": "1"})
    assert given == {
        "statistical_analysis": True,
        "splt_analysis": 7,
        "decode_tunnels": "gtp,vxlan",
        "community_id": 0,
        "select": ["src_ip", "dst_ip"],
        "where": "443",
        "scan": True,
    }


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ("statistical_analyses", "true", "there is no option 'statistical_analyses'; did you mean 'statistical_analysis'"),
        ("splt_analysis", "x", "splt_analysis='x': a whole number is expected"),
        ("scan", "yes", "scan='yes': true or false is expected"),
        ("where", "dst_prt = 1", "did you mean 'dst_port'"),
    ],
)
def test_driver_names_a_wrong_option(load, captures, option, text, expected):
    assert expected in message(lambda: load(captures, **{option: text}))


def test_driver_names_a_missing_file_and_a_scheme_that_is_not_known(load):
    assert "cannot open '/no/such.pcap'" in message(lambda: load("/no/such.pcap"))
    found = message(lambda: load("hdfs://host/a.pcap"))
    assert "cannot read 'hdfs://host/a.pcap': the scheme of the URL is unknown" in found


def test_driver_names_a_column_that_is_not_there(load, captures):
    assert "cannot select column 'port'" in message(lambda: load(captures, schema="port int").count())


def test_worker_names_the_damaged_file_unless_it_is_allowed(load, group):
    found = message(lambda: load(group, group="one").toArrow())
    assert "cut.pcap' at byte 7965, packet 34" in found
    assert "(on machine" in found
    with pytest.warns(flowloom.CaptureWarning, match="cut.pcap"):
        expected = flowloom.meter(group, group="one").to_arrow()
    assert_same(load(group, group="one", allow_damaged="true").toArrow(), expected)


def test_worker_names_file_and_plugin_that_changed(load, plugin, tmp_path):
    path = Path(shutil.copy(CAPTURES / "dns.pcap", tmp_path))
    copy = Path(shutil.copy(plugin, tmp_path / "stats.wasm"))
    flows = load(str(path), plugins=str(copy))
    flows.columns  # noqa: B018
    copy.write_bytes(copy.read_bytes() + b"\0\x03\x02ab")
    assert "stats.wasm" in message(flows.count)
    flows = load(str(path))
    path.unlink()
    assert "dns.pcap" in message(flows.count)


@pytest.mark.s3
def test_objects_have_the_flows_of_files(load, day, plugin, expected):
    options = {"statistical_analysis": "true", "splt_analysis": "5", "plugins": plugin}
    flows = load(day, task_bytes="150000", **options)
    assert flows.rdd.getNumPartitions() > 3
    assert_same(flows.toArrow(), expected)


@pytest.mark.s3
def test_driver_names_the_object(load, trouble):
    flows = load(trouble.folder, group="one")
    flows.columns  # noqa: B018
    with trouble.begin():
        found = message(flows.toArrow)
    trouble.assert_named(found)


@pytest.mark.s3
def test_worker_names_a_missing_object(load, day, store, rotated):
    trouble = Trouble(store, "missing", rotated)
    # The driver opens the files of the first task.
    flows = load([f"{day}dns.pcap", f"{trouble.folder}2.pcap"], task_bytes="1")
    flows.columns  # noqa: B018
    with trouble.begin():
        found = message(flows.toArrow)
    trouble.assert_named(found)
    assert "(on machine" in found


@pytest.mark.s3
def test_truncated_object_is_kept_up_to_the_damage_if_it_is_allowed(load, truncated):
    folder, expected = truncated
    assert_same(load(folder, group="one", allow_damaged="true").toArrow(), expected)
