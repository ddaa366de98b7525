"""What the tests of engines share: many captures, and the flows of one process."""

import importlib.util
import os
import shutil
from pathlib import Path

import flowloom
import pyarrow
import pytest
from gate import Gate

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT / "tests/captures"
# Workers import the gate.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests/scale"), os.environ.get("PYTHONPATH", "")])
# Empty, damaged or no captures.
DAMAGED = {"bad-length.pcap", "cut-header.pcap", "cut.pcap", "cut.pcapng"}
# The packages that a marked test needs.
NEEDS = {"ray": ["ray"], "spark": ["pyspark"], "sail": ["pysail", "pyspark"], "dask": ["dask"]}


def pytest_collection_modifyitems(items):
    for item in items:
        for marker, packages in NEEDS.items():
            missing = [package for package in packages if importlib.util.find_spec(package) is None]
            if item.get_closest_marker(marker) and missing:
                item.add_marker(pytest.mark.skip(reason=f"{missing[0]} is not installed"))
        if item.get_closest_marker("spark") and shutil.which("java") is None:
            item.add_marker(pytest.mark.skip(reason="java is not installed"))


@pytest.fixture(scope="session")
def plugin():
    """Return the file of a plugin."""
    path = ROOT / "target/plugins/packet_stats.wasm"
    if not path.exists():
        pytest.skip(f"{path} is not built: make plugins")
    return str(path)


@pytest.fixture(scope="session")
def captures(tmp_path_factory):
    """Return a folder of captures without damage."""
    folder = tmp_path_factory.mktemp("captures")
    for path in sorted(CAPTURES.glob("*.pcap*")):
        if path.name not in DAMAGED:
            shutil.copy(path, folder)
    return str(folder)


@pytest.fixture(scope="session")
def parameters(plugin):
    """Return the parameters of runs that are compared."""
    return {"statistical_analysis": True, "splt_analysis": 5, "plugins": [plugin]}


@pytest.fixture(scope="session")
def expected(captures, parameters):
    """Return the flows of one process."""
    table = flowloom.meter(captures, **parameters).to_arrow()
    assert table.num_rows > 300
    assert "udps.packet_stats.src2dst_mean" in table.column_names
    return table


@pytest.fixture
def group(tmp_path):
    """Return three files of one capture. The second one is truncated."""
    files = []
    for name in ("part1.pcap", "cut.pcap", "part2.pcap"):
        files.append(str(shutil.copy(CAPTURES / name, tmp_path)))
    return files


def assert_same(found, expected):
    """Compare flows row for row, whatever their order was."""
    found, expected = (rows(table) for table in (found, expected))
    assert found.column_names == expected.column_names
    assert found.num_rows == expected.num_rows
    for name in expected.column_names:
        if not found[name].equals(expected[name]):
            pairs = zip(found[name].to_pylist(), expected[name].to_pylist(), strict=True)
            pytest.fail(f"{name}: {[pair for pair in pairs if pair[0] != pair[1]][:5]}")


def rows(table):
    """Return sorted flows. Engines have no dictionaries, and other names for the items of lists."""
    fields = []
    for field in table.schema:
        kind = field.type
        if pyarrow.types.is_dictionary(kind):
            kind = kind.value_type
        elif pyarrow.types.is_list(kind):
            kind = pyarrow.list_(kind.value_type)
        fields.append(pyarrow.field(field.name, kind))
    order = [("capture", "ascending"), ("id", "ascending")]
    return table.cast(pyarrow.schema(fields)).sort_by(order).combine_chunks()


@pytest.fixture
def gate(tmp_path):
    """Return a gate through which two tasks pass."""
    folder = tmp_path / "gate"
    folder.mkdir()
    gate = Gate(folder, 2)
    yield gate
    gate.open()
