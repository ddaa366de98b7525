"""A plugin that is a Python class, built into a component: the same values in both."""

import collections
import itertools
import linecache
import math
import os
import statistics as stats
import subprocess
import sys
import types
from pathlib import Path

import pytest
from conftest import CAPTURES, ROOT

import flowloom
from flowloom import Json, Output
from flowloom import build
from flowloom.build import module_of

LIMIT = 1_000
WEIGHTS = {"small": 1, "large": [2.5, None]}
unknown = object()


class State:
    __slots__ = ("sizes", "times")


def mean(values):
    return math.fsum(values) / len(values) if values else 0.0


class Base(flowloom.Plugin):
    packet = ["ip_size", "time_ms", "direction"]
    payload_bytes = 8

    def init(self, packet, flow):
        state = State()
        state.sizes, state.times = [], []
        self.update(state, packet, flow)
        return state


class Sizes(Base):
    """Uses a base class, another class, functions, modules, constants and a comprehension."""

    at_expire = ["src_port", "bidirectional_packets"]
    outputs = [
        Output("large", int, "Packets above the limit."),
        Output("mean", float, "Mean size, bytes."),
        Output("median", float, "Median size, bytes."),
        Output("share", float, "Packets from the source, per packet."),
        Output("first", bytes, "The first bytes of the payload."),
        Output("most", Json, "The most common size."),
    ]

    def open(self, options):
        self.limit = options.integer("limit", "Sizes above it are large.", default=LIMIT, least=1)

    def update(self, state, packet, flow):
        state.sizes.append(packet.ip_size)
        state.times.append((packet.time_ms, packet.direction, packet.payload))

    def expire(self, state, flow):
        large = sum(size > self.limit for size in state.sizes) * WEIGHTS["small"]
        # Counter.most_common imports a module when it is called, which a component cannot do.
        count, size = max((count, size) for size, count in collections.Counter(state.sizes).items())
        return {
            "large": large,
            "mean": mean(state.sizes),
            "median": float(stats.median(state.sizes)),
            "share": sum(direction == 0 for _, direction, _ in state.times) / flow.bidirectional_packets,
            "first": next((payload for *_, payload in state.times if payload), b""),
            "most": f"[{size}, {count}, {flow.src_port}]",
        }


def test_a_module_has_everything_that_a_class_uses():
    source = module_of(Sizes)
    names = {}
    module = source.replace("Feature, BatchFeature = flowloom.export(Sizes)", "")
    exec(compile(module, "<module>", "exec"), names)
    assert names["Sizes"] is not Sizes
    assert names["LIMIT"] == LIMIT and names["WEIGHTS"] == WEIGHTS
    assert "import statistics as stats" in source and "import collections" in source
    assert "unknown" not in source
    # The copy gives the same values in this process.
    rows = [
        flowloom.meter(CAPTURES / "dns.pcap", plugins=flowloom.InProcess(kind, name="sizes")).to_polars().rows()
        for kind in (Sizes, names["Sizes"])
    ]
    assert rows[0] == rows[1]


def variable_of_a_function():
    local = 5
    lost = object()

    class Constant(Base):
        def expire(self, state, flow):
            return {"x": local}

    class Lost(Base):
        def expire(self, state, flow):
            return {"x": lost}

    return Constant, Lost


def test_variables_of_a_function_are_constants_or_refused():
    constant, lost = variable_of_a_function()
    assert "local = 5" in module_of(constant)
    with pytest.raises(flowloom.PluginError, match="Lost uses 'lost', which a component cannot carry"):
        module_of(lost)


class UsesUnknown(Base):
    def expire(self, state, flow):
        return {"x": unknown}


class UsesPackage(Base):
    def expire(self, state, flow):
        return {"x": pytest.approx(1)}


class UsesNothing(Base):
    def expire(self, state, flow):
        return {"x": not_defined}  # noqa: F821


class UsesHost(Base):
    def expire(self, state, flow):
        return {"x": flowloom_meter("x")}


from flowloom import meter as flowloom_meter  # noqa: E402


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (UsesUnknown, "UsesUnknown uses 'unknown', which a component cannot carry"),
        (UsesPackage, "UsesPackage uses 'pytest' of the package 'pytest', which is not part of Python"),
        (UsesNothing, "UsesNothing uses 'not_defined', which is not defined"),
        (UsesHost, "UsesHost uses flowloom.meter, which components do not have"),
    ],
)
def test_what_cannot_be_carried_is_named(kind, message, tmp_path):
    with pytest.raises(flowloom.PluginError, match=message):
        flowloom.build_plugin(kind, tmp_path / "x.wasm")


def notebook():
    """Return a new module without a file, as that of a notebook is."""
    module = types.ModuleType("notebook")
    vars(module).update(flowloom=flowloom, Output=Output)
    sys.modules["notebook"] = module
    return module


def cell(text, names, number=itertools.count()):
    """Run a cell as IPython does, which keeps its source in `linecache`."""
    file = f"<cell {next(number)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    exec(compile(text, file, "exec"), names)
    return names


def test_a_class_of_a_cell_is_the_one_that_was_defined_last():
    names = vars(notebook())
    for limit in (1, 2):
        cell(f"class State:\n    __slots__ = ('sizes',)\n    LIMIT = {limit}\n", names)
        cell(
            f"""\
x = {limit}

class Counts(flowloom.Plugin):
    outputs = [Output("n", int, "Packets of cell {limit}.")]

    def init(self, packet, flow):
        state = State()
        state.sizes = []
        return state

    def update(self, state, packet, flow):
        state.sizes.append(1)

    def expire(self, state, flow):
        return {{"n": State.LIMIT + len(state.sizes)}}
""",
            names,
        )
        source = module_of(names["Counts"])
        assert f"LIMIT = {limit}" in source and f"Packets of cell {limit}." in source
        assert source.count("class Counts") == source.count("class State") == 1 and "x =" not in source
    kept = names["Counts"]
    cell("class Counts:\n    def other(self): pass\n", names)
    # The code of its methods names the cell of a class that was defined before.
    assert "Packets of cell 2." in module_of(kept)


def test_a_class_without_source_is_an_error():
    names = vars(notebook())
    exec("class Lost(flowloom.Plugin):\n    def init(self, packet, flow): pass\n", names)
    with pytest.raises(flowloom.PluginError, match="cannot find the source of Lost"):
        module_of(names["Lost"])


def undeclared(method):
    source = {
        "init": "def init(self, packet, flow): return packet.ip_size",
        "update": "def update(self, state, packet, flow): state.append(packet.ttl)",
        "expire": "def expire(self, state, flow): return {'x': flow.dst_port}",
        "payload": "def update(self, state, packet, flow): state.append(packet.payload)",
    }[method]
    return cell(f"class Undeclared(flowloom.Plugin):\n    {source}\n", vars(notebook()))["Undeclared"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("init", "init reads the field 'ip_size'; add it to `packet` in Undeclared"),
        ("update", "update reads the field 'ttl'; add it to `packet`"),
        ("expire", "expire reads the field 'dst_port'; add it to `at_expire`"),
        ("payload", "update reads packet.payload; set payload_bytes"),
    ],
)
def test_fields_that_are_not_declared_are_named(method, message, tmp_path):
    kind = undeclared(method)
    with pytest.raises(flowloom.PluginError, match=message):
        flowloom.build_plugin(kind, tmp_path / "x.wasm")


def test_declarations_that_methods_set_are_not_checked():
    source = """\
class Sets(flowloom.Plugin):
    def open(self, options):
        self.payload_bytes = options.integer("n", "Bytes to use.", default=64)

    def adapt(self, available):
        self.at_expire = [name for name in ["dst_port"] if name in available.flow]

    def init(self, packet, flow):
        return packet.payload

    def expire(self, state, flow):
        return {"port": flow.dst_port if self.at_expire else None}
"""
    kind = cell(source, vars(notebook()))["Sets"]
    build._check_fields(kind)
    kind = cell(source.replace("self.payload_bytes", "self.bytes"), vars(notebook()))["Sets"]
    with pytest.raises(flowloom.PluginError, match="set payload_bytes"):
        build._check_fields(kind)


def test_what_is_no_class_is_an_error(tmp_path):
    for wrong in (int, Sizes(), None):
        with pytest.raises(flowloom.PluginError, match="not a class that inherits from flowloom.Plugin"):
            flowloom.build_plugin(wrong, tmp_path / "x.wasm")


def componentize(monkeypatch):
    """Find the compiler that `make sdk-tools` installs, or skip the test."""
    tools = Path(os.environ.get("FLOWLOOM_TOOLS", ROOT / "target/sdk-tools")) / "venv/bin"
    if not (tools / "componentize-py").exists():
        pytest.skip("componentize-py is not installed: make sdk-tools")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.slow
def test_a_component_gives_the_same_values(tmp_path, monkeypatch):
    componentize(monkeypatch)
    path = flowloom.build_plugin(Sizes, tmp_path / "sizes.wasm")
    assert path == tmp_path / "sizes.wasm"
    for name in ("tls12.pcap", "dns.pcap", "quic.pcap"):
        for limit in (LIMIT, 50):
            component = flowloom.Wasm(path, options={"limit": limit}, grants="payload:8")
            here = flowloom.InProcess(Sizes, options={"limit": str(limit)})
            frames = [flowloom.meter(CAPTURES / name, plugins=plugin).to_polars() for plugin in (component, here)]
            assert frames[0].rows() == frames[1].rows(), name
            assert frames[0].columns == frames[1].columns


@pytest.mark.slow
def test_a_missing_compiler_is_an_instruction(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr("flowloom.build.command", lambda: str(ROOT / "target/debug/flowloom"))
    monkeypatch.setenv("FLOWLOOM_TOOLS", str(tmp_path))
    if subprocess.run(["sh", "-c", "command -v componentize-py"], capture_output=True, check=False).returncode == 0:
        pytest.skip("the system has componentize-py")
    with pytest.raises(flowloom.PluginError, match="pip install componentize-py"):
        flowloom.build_plugin(Sizes, tmp_path / "x.wasm")
