"""Plans and their tasks."""

import json
import os
import pickle
import subprocess

import pytest
from conftest import CAPTURES

import flowloom

NAMES = ["dns.pcap", "tls12.pcap", "part1.pcap", "part2.pcap", "idle.pcap"]
SOURCES = [CAPTURES / name for name in NAMES]


@pytest.mark.parametrize(
    "options",
    [{}, {"task_bytes": 2000}, {"task_bytes": 2000, "max_shards": 3, "scan": True}],
    ids=["one task", "a task for each file", "shards"],
)
def test_tasks_have_the_flows_of_one_run(options, plugin):
    polars = pytest.importorskip("polars")
    parameters = {
        "statistical_analysis": True,
        "splt_analysis": 4,
        "n_dissections": 0,
        "source_file": True,
        "plugins": [flowloom.Wasm(plugin("packet_stats"), name="sizes")],
    }
    plan = flowloom.plan(SOURCES, **options, **parameters)
    frames = [polars.DataFrame(pickle.loads(pickle.dumps(task))) for task in plan.tasks]
    whole = flowloom.meter(SOURCES, **parameters).to_polars()
    assert polars.concat(frames).sort("capture", "id").equals(whole.sort("capture", "id"))
    assert len(plan.captures) == len(SOURCES)
    assert "udps.sizes.src2dst_mean" in whole.columns


def test_a_task_is_its_json(tmp_path, flowloom_command):
    plan = flowloom.plan(SOURCES[0], n_dissections=0)
    [task] = plan.tasks
    assert flowloom.Task(task.to_json()) == task and hash(flowloom.Task(task.to_json())) == hash(task)
    assert task.files == [str(SOURCES[0])] and task.bytes == SOURCES[0].stat().st_size
    assert task.shard == (0, 1)
    assert repr(task) == f"<Task of 1 files, {task.bytes} bytes>"
    assert repr(plan) == "<Plan of 1 captures, 1 tasks>"
    # The command writes the same task, and does it.
    subprocess.run([flowloom_command, "plan", SOURCES[0], "--n-dissections", "0", "--tasks-to", tmp_path], check=True)
    [written] = tmp_path.iterdir()
    assert json.loads(written.read_text()) == json.loads(task.to_json())
    output = tmp_path / "flows.arrow"
    subprocess.run([flowloom_command, "-q", "run-task", written, "-o", output], check=True)
    feather = pytest.importorskip("pyarrow.feather")
    assert feather.read_table(output).drop_columns(["src_mac"]).num_rows == task.flows().to_arrow().num_rows


def test_record_batches_of_a_task_are_those_of_the_command(tmp_path, flowloom_command):
    pyarrow = pytest.importorskip("pyarrow")
    [task] = flowloom.plan(SOURCES, n_dissections=0).tasks
    file = tmp_path / "task.json"
    file.write_text(task.to_json())
    run = subprocess.run([flowloom_command, "-q", "run-task", file, "-o", "-"], check=True, capture_output=True)
    with pyarrow.ipc.open_stream(run.stdout) as expected, task.record_batches() as reader:
        assert reader.schema.equals(expected.schema)
        assert reader.read_all().equals(expected.read_all())


def test_first_packets_of_files_are_kept_for_the_next_plan(tmp_path):
    cache = tmp_path / "cache"
    capture = tmp_path / "a.pcap"
    data = SOURCES[0].read_bytes()
    capture.write_bytes(data)

    def first(file_cache):
        [task] = flowloom.plan(capture, file_cache=file_cache).tasks
        return json.loads(task.to_json())["files"][0].get("first_ns")

    kept = first(cache)
    assert json.loads((cache / "files.json").read_text())["files"][str(capture)]["first"][0] == kept
    # A file with the same size and time is the same file.
    stat = capture.stat()
    capture.write_bytes(bytes(len(data)))
    os.utime(capture, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert first(cache) == kept
    with pytest.raises(flowloom.CaptureError, match="it is not a capture"):
        first("none")
    os.utime(capture, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(flowloom.CaptureError, match="it is not a capture"):
        first(cache)


def packets_in(source):
    flows = flowloom.meter(source, n_dissections=0)
    list(flows)
    return flows.summary["packets_read"]


def test_a_scan_finds_captures_and_their_packets():
    plan = flowloom.plan(SOURCES, scan=True)
    read = [packets_in(source) for source in SOURCES]
    assert [capture["packets"] for capture in plan.captures] == read
    assert [capture["packets"] for capture in flowloom.plan(SOURCES).captures] == [None] * len(SOURCES)


def test_what_cannot_be_planned_is_an_error(tmp_path):
    with pytest.raises(flowloom.ParameterError, match="max_nflows: a task does not know"):
        flowloom.plan(SOURCES, max_nflows=5)
    with pytest.raises(flowloom.ParameterError, match="files only"):
        flowloom.plan(SOURCES[0].read_bytes())
    with pytest.raises(flowloom.ParameterError, match="build a component"):
        flowloom.plan(SOURCES, plugins=type("Mine", (flowloom.Plugin,), {}))
    with pytest.raises(flowloom.CaptureError, match=r"nowhere\.pcap"):
        flowloom.plan(["/nowhere.pcap"])
    with pytest.raises(flowloom.ParameterError, match="max_shards"):
        flowloom.plan(SOURCES, max_shards=0)
    with pytest.raises(TypeError, match="unexpected"):
        flowloom.plan(SOURCES, unexpected=1)
    missing = tmp_path / "x.wasm"
    with pytest.raises(flowloom.PluginError, match=r"x\.wasm"):
        flowloom.plan(SOURCES, plugins=missing)
    [task] = flowloom.plan(SOURCES[0]).tasks
    with pytest.raises(flowloom.ParameterError, match="this is no task of a plan"):
        list(flowloom.Task(task.to_json().replace('"has_captures"', '"has_no"')).flows())
    capture = tmp_path / "x.pcap"
    capture.write_bytes(SOURCES[0].read_bytes())
    [task] = flowloom.plan(capture).tasks
    capture.write_bytes(SOURCES[1].read_bytes())
    with pytest.raises(flowloom.CaptureError, match="plan the run again"):
        task.flows().to_arrow()
