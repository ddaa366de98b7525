"""What the tests of engines share: many captures, in files and in a store, and the flows of one process."""

import contextlib
import importlib.util
import os
import shutil
import sys
from pathlib import Path

import flowloom
import pyarrow
import pytest
from gate import Gate

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT / "tests/captures"
# Workers import the gate.
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests/scale"), os.environ.get("PYTHONPATH", "")])
# The store is that of the tests of the Python package.
sys.path.append(str(ROOT / "tests/python"))
# Empty, damaged or no captures.
DAMAGED = {"bad-length.pcap", "cut-header.pcap", "cut.pcap", "cut.pcapng"}
# The packages that a marked test needs.
NEEDS = {"ray": ["ray"], "spark": ["pyspark"], "sail": ["pysail", "pyspark"], "dask": ["dask"]}
NEEDS["s3"] = ["moto", "boto3", "trustme"]
NEEDS["duckdb"] = ["duckdb", "duckdb_extension_httpfs"]


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


# A store


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory):
    """Start a store, whose address and credentials are in the environment. Without its packages, there is no store.

    It begins before all engines, whose workers inherit the environment, and before the import of `pyarrow.fs`: if it is
    imported earlier, pyarrow does not trust the authority in SSL_CERT_FILE.
    """
    if any(importlib.util.find_spec(package) is None for package in NEEDS["s3"]):
        yield None
        return
    from stores import Authority, Store

    store = Store(Authority(tmp_path_factory.mktemp("authority")))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        yield store
    store.close()


@pytest.fixture(scope="session")
def store(environment, captures):
    """Return a store that has the captures in the folder ``day/``."""
    for path in Path(captures).iterdir():
        environment.put(f"day/{path.name}", path)
    return environment


@pytest.fixture(scope="session")
def day(store):
    """Return the URL of a folder with the captures."""
    return "s3://captures/day/"


class Trouble:
    """A folder of a store with three objects of one capture, the second of which cannot be read or is truncated."""

    MESSAGES = {
        "missing": "there is no such object, NoSuchKey",
        "denied": "the store denies access (HTTP status 403, InvalidAccessKeyId); check the credentials in the environment",
        "truncated": "at byte 7965, packet 34",
    }

    def __init__(self, store, kind, files):
        self._store = store
        self.kind = kind
        self.folder = f"s3://captures/{kind}/"
        self.message = self.MESSAGES[kind]
        # The object that the message names. If access is denied, it is to the first one.
        self.named = f"{self.folder}{1 if kind == 'denied' else 2}.pcap"
        for name, path in files.items():
            store.put(f"{kind}/{name}", path)

    @contextlib.contextmanager
    def begin(self):
        """Make the trouble, after the run was planned."""
        if self.kind == "denied":
            with self._store.denying():
                yield
        else:
            if self.kind == "missing":
                self._store.delete("missing/2.pcap")
            yield

    def assert_named(self, error):
        """Check the message that the driver shows."""
        text = str(error)
        assert f"'{self.named}'" in text
        assert self.message in text
        assert ("set allow_damaged" in text) == (self.kind == "truncated")
        from stores import SECRET

        assert SECRET not in text


@pytest.fixture
def rotated(tmp_path):
    """Return three files of one capture in a folder, by name. The second one is truncated."""
    folder = tmp_path / "rotated"
    folder.mkdir()
    names = {"1.pcap": "part1.pcap", "2.pcap": "cut.pcap", "3.pcap": "part2.pcap"}
    return {name: Path(shutil.copy(CAPTURES / of, folder / name)) for name, of in names.items()}


@pytest.fixture(params=list(Trouble.MESSAGES))
def trouble(request, store, rotated):
    """Return a folder with an object that is missing, denied or truncated."""
    return Trouble(store, request.param, rotated)


@pytest.fixture
def truncated(store, rotated):
    """Return a folder with a truncated object, and the flows of one process over the same files."""
    with pytest.warns(flowloom.CaptureWarning, match="2.pcap"):
        expected = flowloom.meter(list(rotated.values()), group="one").to_arrow()
    # Flows of the files before and after the damage.
    assert expected.num_rows > 3
    return Trouble(store, "truncated", rotated).folder, expected


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
