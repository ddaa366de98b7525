"""Plans and their tasks."""

import json
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
