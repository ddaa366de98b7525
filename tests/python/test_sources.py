"""Sources of the Python package: paths, patterns, bytes, file objects, and what is none of these."""

import gzip
import io
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest
from conftest import CAPTURES

import flowloom

DNS = CAPTURES / "dns.pcap"
FLOWS = 9


def count(source, **options):
    return len(list(flowloom.meter(source, n_dissections=0, **options)))


def test_paths_lists_folders_and_patterns(tmp_path):
    assert count(str(DNS)) == count(pathlib.Path(DNS)) == FLOWS
    assert count([DNS, str(CAPTURES / "tls13.pcap")]) == count((DNS, CAPTURES / "tls13.pcap")) == FLOWS + 2
    shutil.copy(DNS, tmp_path / "a.pcap")
    shutil.copy(CAPTURES / "tls13.pcap", tmp_path / "b.pcap")
    assert count(tmp_path) == count(str(tmp_path / "*.pcap")) == FLOWS + 2
    assert count(str(tmp_path / "[a]*")) == FLOWS
    # A file with such a name is that file.
    shutil.copy(DNS, tmp_path / "x[1].pcap")
    assert count(str(tmp_path / "x[1].pcap")) == FLOWS
    with pytest.raises(flowloom.CaptureError, match="no file matches"):
        count(str(tmp_path / "*.none"))


def test_bytes_and_file_objects(tmp_path):
    data = DNS.read_bytes()
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), gzip.compress(data)):
        assert count(source) == FLOWS, type(source)
    with open(DNS, "rb") as file:
        assert count(file) == FLOWS
    packed = tmp_path / "dns.pcap.gz"
    packed.write_bytes(gzip.compress(data))
    with gzip.open(packed) as file:
        assert count(file) == FLOWS
    assert count([data, DNS, io.BytesIO(data)]) == 3 * FLOWS


def test_a_file_object_is_read_again_from_its_begin():
    flows = flowloom.meter(io.BytesIO(DNS.read_bytes()), n_dissections=0)
    assert len(list(flows)) == flows.to_polars().height == FLOWS

    class Stream(io.RawIOBase):
        def __init__(self):
            self.bytes = io.BytesIO(DNS.read_bytes())

        def readinto(self, buffer):
            return self.bytes.readinto(buffer)

        def readable(self):
            return True

    flows = flowloom.meter(Stream(), n_dissections=0)
    assert len(list(flows)) == FLOWS
    with pytest.raises(flowloom.CaptureError, match="was already read"):
        list(flows)


def test_an_exception_of_a_file_object_is_raised():
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise ZeroDivisionError("broken")

    for read in (list, flowloom.Flows.to_polars, flowloom.Flows.to_arrow):
        with pytest.raises(ZeroDivisionError, match="broken"):
            read(flowloom.meter(Broken()))
    with pytest.raises(TypeError, match="open it in binary mode"):
        list(flowloom.meter(io.StringIO("text")))


def test_a_reader_that_stops_early_leaves_no_thread_and_no_descriptor():
    data = DNS.read_bytes()
    # Much more than a pipe holds.
    long = data + data[24:] * 2_000
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        for _ in flowloom.meter(long, n_dissections=0, idle_timeout=0):
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "flowloom-feeder"]
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_is_no_source_is_an_error():
    for source, message in [
        (3, "source int: give a path"),
        ([3], "source int: give a path"),
        (None, "source NoneType"),
        ([], "there is no source"),
        (object(), "source object"),
    ]:
        with pytest.raises(flowloom.ParameterError, match=message):
            flowloom.meter(source)
    with pytest.raises(flowloom.CaptureError, match="/nowhere.pcap"):
        count("/nowhere.pcap")
    # These are exceptions of Python too.
    with pytest.raises(OSError):
        count("/nowhere.pcap")


def test_a_damaged_capture_gives_its_flows_and_a_warning(tmp_path):
    damaged = tmp_path / "damaged.pcap"
    damaged.write_bytes(DNS.read_bytes()[:-10])
    for read in (lambda flows: len(list(flows)), lambda flows: flows.to_polars().height):
        flows = flowloom.meter(damaged, n_dissections=0)
        with pytest.warns(flowloom.CaptureWarning, match="damaged.pcap"):
            assert read(flows) > 0
        assert len(flows.summary["problems"]) == 1
    with pytest.warns(flowloom.CaptureWarning, match="8037 bytes"):
        count(DNS.read_bytes()[:-10])
    with pytest.warns(flowloom.CaptureWarning, match="it is not a capture"):
        assert count(b"nonsense" * 100) == 0


def test_a_capture_that_vanishes_is_a_warning(tmp_path):
    captures = [tmp_path / f"{n}.pcap" for n in range(2)]
    for capture in captures:
        shutil.copy(DNS, capture)
    flows = flowloom.meter(captures, n_dissections=0, group="each")
    remaining = iter(flows)
    next(remaining)
    captures[1].unlink()
    with pytest.warns(flowloom.CaptureWarning, match="1.pcap"):
        assert len(list(remaining)) == FLOWS - 1


def test_an_interface_without_permission_is_an_error(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("root can drop its rights")
    code = "import flowloom\ntry:\n    list(flowloom.meter('lo'))\nexcept flowloom.CaptureError as error:\n    print(error)\n"
    folders = os.pathsep.join(path for path in sys.path if path)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    command = [sys.executable, "-c", code]
    try:
        run = subprocess.run(command, env={"PYTHONPATH": folders}, capture_output=True, text=True, **nobody)
    except PermissionError:
        pytest.skip("nobody may not run this Python")
    if "ModuleNotFoundError" in run.stderr or "PermissionError" in run.stderr:
        pytest.skip("nobody may not read this folder")
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 1 and "lo" in run.stdout
