"""Sail: a server of Spark Connect that does tasks in threads of one process."""

import flowloom
import pytest
from conftest import assert_same

pytest.importorskip("pysail", reason="pysail is not installed")
pytest.importorskip("pyspark", reason="pyspark is not installed")

pytestmark = pytest.mark.sail


@pytest.fixture(scope="module")
def server():
    """Return the address of a server, which is a process of its own: Spark's tests have a session in this one."""
    import re
    import subprocess
    import sys

    code = "from pysail.spark import SparkConnectServer as S; s = S('127.0.0.1', 0); s.start(); "
    code += "print(s.listening_address[1], flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    port = re.fullmatch(r"(\d+)\n", process.stdout.readline())[1]
    yield f"sc://127.0.0.1:{port}"
    process.communicate("\n", timeout=60)


@pytest.fixture(scope="module")
def read(server):
    """Return a function that returns a reader of flows."""
    from flowloom.spark import FlowloomDataSource
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.builder.remote(server).create()
    session.dataSource.register(FlowloomDataSource)
    yield lambda **options: session.read.format("flowloom").options(**options)
    session.stop()


def test_flows_are_those_of_one_process(read, plugin, captures, expected):
    flows = read(task_bytes="100000", statistical_analysis="true", splt_analysis="5", plugins=plugin).load(captures)
    assert flows.columns == expected.column_names
    assert_same(flows.toArrow(), expected)


def test_comparisons_change_no_result(read, captures):
    flows = read(task_bytes="100000", pushdown="true", select="capture,id,dst_port,protocol").load(captures)
    expected = flowloom.meter(captures, where="dst_port = 53", select=["capture", "id", "dst_port", "protocol"])
    assert_same(flows.where("dst_port = 53").toArrow(), expected.to_arrow())


def test_shards_are_exact_without_applications(read, captures):
    flows = read(task_bytes="40000", max_shards="3", n_dissections="0").load(captures)
    assert_same(flows.toArrow(), flowloom.meter(captures, n_dissections=0).to_arrow())


def test_client_gets_the_message(read, group, captures):
    with pytest.raises(Exception, match="there is no option 'statistical_analyses'; did you mean"):
        read(statistical_analyses="true").load(captures).toArrow()
    with pytest.raises(Exception, match="cannot open '/no/such.pcap'"):
        read().load("/no/such.pcap").toArrow()
    with pytest.raises(Exception, match=r"cut.pcap' at byte 7965, packet 34.*\(on machine"):
        read().load(group[1]).toArrow()


@pytest.mark.s3
def test_objects_have_the_flows_of_files(read, day, plugin, expected):
    flows = read(task_bytes="100000", statistical_analysis="true", splt_analysis="5", plugins=plugin).load(day)
    assert_same(flows.toArrow(), expected)


@pytest.mark.s3
def test_client_names_the_object(read, trouble):
    # Sail plans again for each action, and would not find the missing object in its folder.
    flows = read(group="one").load(trouble.folder if trouble.kind == "truncated" else trouble.named)
    with trouble.begin(), pytest.raises(Exception) as error:  # noqa: PT011
        flows.toArrow()
    trouble.assert_named(error.value)


@pytest.mark.s3
def test_truncated_object_is_kept_up_to_the_damage_if_it_is_allowed(read, truncated):
    folder, expected = truncated
    assert_same(read(group="one", allow_damaged="true").load(folder).toArrow(), expected)
