"""Ray: a cluster of real nodes."""

import os
import re
import shutil
import struct
from pathlib import Path

import flowloom
import pyarrow
import pytest
from conftest import CAPTURES, ROOT, Trouble, assert_same

ray = pytest.importorskip("ray", reason="ray is not installed")

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster():
    """Return a cluster whose first node does no tasks."""
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def node(cluster):
    """Return a node that does tasks."""
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


def tables(dataset):
    return pyarrow.concat_tables(ray.get(dataset.to_arrow_refs()))


def test_flows_are_those_of_one_process_though_a_node_fails(cluster, node, gate, captures, parameters, expected):
    import flowloom.ray

    dataset = flowloom.ray.read_flows(captures, task_bytes=40_000, **parameters)
    tasks = len(flowloom.plan(captures, task_bytes=40_000, **parameters).tasks)
    assert len(dataset.input_files()) == len(os.listdir(captures))

    def held(table):
        gate.hold(ray.get_runtime_context().get_node_id())
        return table

    # Both nodes do tasks: each has one core. One is removed while its task is held.
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    running = dataset.map_batches(held, batch_format="pyarrow", batch_size=None)
    found = []
    iterator = iter(running.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
    found.append(next(iterator))
    gate.await_held(node.node_id)
    cluster.remove_node(node, allow_graceful=False)
    gate.open()
    found.extend(iterator)
    assert_same(pyarrow.concat_tables(found), expected)
    # The task that was held on the removed node was done again.
    assert len(gate.places()) > tasks > 10
    assert gate.places().count(other.node_id) > 2
    cluster.remove_node(other)


def test_schema_is_known_before_tasks_are_done(captures, parameters, expected, cluster, node):
    import flowloom.ray

    dataset = flowloom.ray.read_flows(captures, **parameters)
    schema = dataset.schema(fetch_if_missing=False)
    assert schema.names == expected.column_names
    assert not any(pyarrow.types.is_dictionary(kind) for kind in schema.types)


def test_select_where_and_shards(captures, cluster, node):
    import flowloom.ray

    select = ["capture", "id", "dst_port", "bidirectional_packets"]
    run = {"select": select, "where": "dst_port = 53", "n_dissections": 0}
    dataset = flowloom.ray.read_flows(captures, task_bytes=40_000, max_shards=2, **run)
    assert_same(tables(dataset), flowloom.meter(captures, **run).to_arrow())


def test_paths_can_be_relative(plugin, tmp_path, monkeypatch, cluster, node):
    import flowloom.ray

    shutil.copy(CAPTURES / "dns.pcap", tmp_path)
    shutil.copy(plugin, tmp_path)
    # Workers have another working directory.
    monkeypatch.chdir(tmp_path)
    assert flowloom.ray.read_flows("dns.pcap", plugins=["packet_stats.wasm"]).count() == 9


def test_driver_names_a_missing_file():
    import flowloom.ray

    with pytest.raises(flowloom.CaptureError, match="cannot open '/no/such.pcap'"):
        flowloom.ray.read_flows("/no/such.pcap")


def test_driver_names_an_unknown_parameter(captures):
    import flowloom.ray

    with pytest.raises(TypeError, match="statistical_analyses"):
        flowloom.ray.read_flows(captures, statistical_analyses=True)


def test_worker_names_file_and_machine(tmp_path, cluster, node):
    import flowloom.ray

    path = shutil.copy(CAPTURES / "dns.pcap", tmp_path)
    dataset = flowloom.ray.read_flows(str(path))
    Path(path).unlink()
    with pytest.raises(flowloom.CaptureError, match=r"cannot open '.*dns.pcap'.*\(on machine"):
        dataset.materialize()


def test_damaged_file_is_an_error_unless_it_is_allowed(group, cluster, node):
    import flowloom.ray

    with pytest.raises(flowloom.CaptureError, match=r"cut.pcap' at byte 7965, packet 34.*set allow_damaged"):
        flowloom.ray.read_flows(group, group="one").materialize()
    dataset = flowloom.ray.read_flows(group, group="one", allow_damaged=True)
    with pytest.warns(flowloom.CaptureWarning, match="cut.pcap"):
        expected = flowloom.meter(group, group="one").to_arrow()
    assert_same(tables(dataset), expected)


@pytest.mark.s3
def test_objects_have_the_flows_of_files(day, parameters, expected, cluster, node):
    import flowloom.ray

    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    dataset = flowloom.ray.read_flows(day, task_bytes=40_000, **parameters)
    assert len(dataset.input_files()) > 30
    assert all(name.startswith(day) for name in dataset.input_files())
    assert_same(tables(dataset), expected)
    cluster.remove_node(other)


@pytest.mark.s3
def test_driver_names_the_object(trouble, cluster, node):
    import flowloom.ray

    dataset = flowloom.ray.read_flows(trouble.folder, group="one")
    with trouble.begin(), pytest.raises(flowloom.CaptureError, match="on machine") as error:
        dataset.materialize()
    trouble.assert_named(error.value)


@pytest.mark.s3
def test_truncated_object_is_kept_up_to_the_damage_if_it_is_allowed(truncated, cluster, node):
    import flowloom.ray

    folder, expected = truncated
    assert_same(tables(flowloom.ray.read_flows(folder, group="one", allow_damaged=True)), expected)


@pytest.mark.s3
def test_missing_object_is_an_error_even_if_damage_is_allowed(store, rotated, cluster, node):
    import flowloom.ray

    trouble = Trouble(store, "missing", rotated)
    dataset = flowloom.ray.read_flows(trouble.folder, group="one", allow_damaged=True)
    with trouble.begin(), pytest.raises(flowloom.CaptureError) as error:
        dataset.materialize()
    trouble.assert_named(error.value)


@pytest.fixture
def httpfs(tmp_path, monkeypatch):
    """Install DuckDB's extension for S3 into a folder of this test, from its package."""
    import duckdb
    import duckdb_extension_httpfs

    monkeypatch.setenv("HOME", str(tmp_path))
    [package] = duckdb_extension_httpfs.__path__
    [extension] = Path(package).glob("extensions/*/httpfs.duckdb_extension")
    # DuckDB checks the signature.
    duckdb.connect().sql(f"INSTALL '{extension}'")
    assert list((tmp_path / ".duckdb").rglob("httpfs.duckdb_extension"))


@pytest.mark.s3
@pytest.mark.duckdb
@pytest.mark.usefixtures("httpfs")
def test_example_of_the_page(cluster, node, store, day, plugin, captures, tmp_path, monkeypatch, capsys):
    section = (ROOT / "docs/scale.md").read_text().split("\n## Example: ")[1].split("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    import pyarrow.parquet

    # Captures of tests are small, and their plugin is elsewhere.
    for text, own in {"256 << 20": "40_000", "/mnt/plugins/packet_stats.wasm": plugin}.items():
        assert text in blocks[0]
        blocks[0] = blocks[0].replace(text, own)
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    monkeypatch.setenv("BUCKET", "captures")
    names = {"__name__": "example"}
    shown = []
    for block in blocks:
        exec(compile(block, "scale.md", "exec"), names)
        shown.append(capsys.readouterr().out)
    tasks = names["plan"].tasks
    keys = [f"flows/{number:06}.parquet" for number in range(len(tasks))]
    assert len(keys) > 10
    assert store.keys("flows/") == keys
    run = flowloom.meter(captures, statistical_analysis=True, plugins=[plugin])
    run.write_parquet(tmp_path / "expected.parquet")
    expected = pyarrow.parquet.read_table(tmp_path / "expected.parquet")
    assert f"{expected.num_rows} flows" in shown[0]
    assert_same(names["flows"].to_table(), expected)
    assert "│ DNS " in shown[1]
    # Both ways to read give the same result.
    assert shown[1] == shown[2]
    # A task that is done again replaces its object.
    assert ray.get(names["write"].remote(3, tasks[3])) == names["counts"][3]
    assert store.keys("flows/") == keys
    assert_same(names["flows"].to_table(), expected)
    cluster.remove_node(other)


@pytest.mark.s3
def test_ray_writes_objects_itself(day, captures, store, cluster, node):
    import flowloom.ray
    import pyarrow.dataset

    run = {"select": ["capture", "id", "dst_port"]}
    flowloom.ray.read_flows(day, task_bytes=150_000, **run).write_parquet("s3://captures/written/")
    assert len(store.keys("written/")) > 3
    found = pyarrow.dataset.dataset("s3://captures/written/").to_table()
    assert_same(found, flowloom.meter(captures, **run).to_arrow())


def write_capture(path, *seconds):
    """Write one UDP packet for each time."""
    packet = bytes.fromhex("4500001c00000000401100 00c0000201c0000202 0bb80035 00080000".replace(" ", ""))
    records = [struct.pack("<IIII", second, 0, len(packet), len(packet)) + packet for second in seconds]
    path.write_bytes(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + b"".join(records))


def test_files_that_overlap_are_an_error_even_if_damage_is_allowed(tmp_path, cluster, node):
    import flowloom.ray

    write_capture(tmp_path / "x.pcap0", 0, 20)
    write_capture(tmp_path / "x.pcap1", 10, 30)
    with pytest.raises(flowloom.CaptureError, match=r"x.pcap1.*plan the run with --scan.*\(on machine"):
        flowloom.ray.read_flows(str(tmp_path), allow_damaged=True).materialize()
    scanned = flowloom.ray.read_flows(str(tmp_path), scan=True)
    assert_same(tables(scanned), flowloom.meter(str(tmp_path)).to_arrow())


def test_plugin_that_changed_is_an_error(plugin, captures, tmp_path, cluster, node):
    import flowloom.ray

    copy = Path(shutil.copy(plugin, tmp_path / "stats.wasm"))
    dataset = flowloom.ray.read_flows(captures, plugins=[copy])
    copy.write_bytes(copy.read_bytes() + b"\0\x03\x02ab")
    with pytest.raises(flowloom.PluginError, match=r"stats.wasm.*\(on machine"):
        dataset.materialize()
