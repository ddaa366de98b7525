"""What the SDK says about a class, and about values of outputs, in a component and in this process."""

import subprocess
import sys

import pytest
from conftest import ROOT

import flowloom
from flowloom import Json, Output
from flowloom.checks import Mistake, accepted, check_answer, check_plugin


class Right(flowloom.Plugin):
    packet = ["ip_size"]
    outputs = [Output("size", int, "x")]

    def init(self, packet, flow):
        return 0

    def update(self, state, packet, flow):
        pass

    def expire(self, state, flow):
        return {"size": state}


def function(count):
    return {0: lambda: 0, 1: lambda self: 0, 3: lambda self, state, flow: 0, 4: lambda self, state, packet, flow: 0}[count]


#: Names of the author's own that are near to names of `Plugin`.
OWN = [
    {"packets": 0, "options": None, "opened": False, "_udpate": function(4), "_outptus": [Output("v", int, "x")]},
    {"packets": ["ttl"], "update_all": function(4), "expired": function(3), "finish_flow": function(3)},
    {"update_count": 3, "output": Output("v", int, "x"), "flow_count": 0, "size_bytes": 5, "cut": function(1)},
    {"cuts_flow": function(1), "payload": 3, "at_init": set(), "packets_per_flow": None},
]


@pytest.mark.parametrize("names", OWN)
def test_names_of_the_author_are_accepted(names):
    check_plugin(type("Named", (Right,), names)())
    check_plugin(type("Named", (Right,), names))


@pytest.mark.parametrize(
    ("base", "names", "text"),
    [
        (Right, {"at_expires": ["id"]}, "`at_expires` of class Wrong is not a name of flowloom.Plugin; did you mean `at_expire`?"),
        (Right, {"payload_byte": 64}, "did you mean `payload_bytes`?"),
        (Right, {"cut_flows": True}, "did you mean `cuts_flows`?"),
        (Right, {"finsh": function(1)}, "did you mean `finish`?"),
        (flowloom.Plugin, {"init": function(3), "expire": function(3), "udpate": function(4)}, "did you mean `update`?"),
        (flowloom.Plugin, {"init": function(3), "update": function(4)}, "no method `expire(self, state, flow)`; add it"),
        (Right, {"packet": "ip_size"}, "`packet` of class Wrong is 'ip_size' (str); set it to a list of names of packet fields"),
        (Right, {"outputs": Output("v", int, "x")}, "set it to a list of flowloom.Output"),
        (Right, {"payload_bytes": True}, "is True (bool); set it to an integer"),
        (Right, {"packets_per_flow": "3"}, "set it to an integer or None"),
    ],
)
def test_mistakes_in_a_class_are_explained(base, names, text):
    with pytest.raises(Mistake) as raised:
        check_plugin(type("Wrong", (base,), names)())
    assert text in str(raised.value)


def test_a_plugin_needs_no_update_for_one_packet_per_flow():
    names = {"init": function(3), "expire": function(3), "packets_per_flow": 1}
    check_plugin(type("First", (flowloom.Plugin,), names)())


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("bool", [True, None], [True, None]),
        ("int", [-(2**63), 2**63 - 1, None], [-(2**63), 2**63 - 1, None]),
        ("float", [1, 0.5, None, float("inf")], [1.0, 0.5, None, float("inf")]),
        ("bytes", [bytearray(b"a"), memoryview(b"b"), b"c"], [b"a", b"b", b"c"]),
        ("Json", [Json("1"), "2"], ["1", "2"]),
        ("list[int]", [(1, 2), range(2), b"\x03", [], None], [(1, 2), [0, 1], [3], [], None]),
        ("list[float]", [[1, 0.5]], [[1.0, 0.5]]),
        ("list[str]", [("a",), ["b"]], [("a",), ["b"]]),
    ],
)
def test_values_of_the_type_of_an_output_are_accepted(kind, values, expected):
    found = accepted("v", kind, values)
    assert [list(value) if isinstance(value, list) else value for value in found] == [
        list(value) if isinstance(found[n], list) else value for n, value in enumerate(expected)
    ]
    plain = {"bool": bool, "int": int, "float": float, "bytes": bytes, "Json": str}
    assert kind not in plain or {type(value) for value in found if value is not None} == {plain[kind]}


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("bool", 1, "expire returned 1 (int) for output `v`, which is bool; return bool(value)"),
        ("int", True, "expire returned True (bool) for output `v`, which is int; return int(value)"),
        ("int", "x", "expire returned 'x' (str) for output `v`, which is int"),
        ("int", float("nan"), "expire returned NaN (float) for output `v`, which is int; return None"),
        ("int", 2**63, "integers are from -2**63 to 2**63 - 1"),
        pytest.param("int", 10**5000, "expire returned a number (int)", id="digits"),
        ("float", 10**400, "it is too large"),
        ("str", b"x", "return value.decode()"),
        ("bytes", "x", "return value.encode()"),
        ("Json", {"a": 1}, "return json.dumps(value)"),
        ("list[str]", "text", "expire returned 'text' (str) for output `v`, which is list[str]"),
        ("list[int]", {1}, "expire returned {1} (set)"),
        ("list[int]", [1, 0.5], "expire returned an element 0.5 (float) for output `v`, which is list[int]"),
        ("list[int]", [2**64], "integers are from"),
        ("list[float]", [0.5, None], "an element None for"),
        ("str", ["long"] * 99, "... (list)"),
    ],
)
def test_wrong_values_are_explained(kind, value, text):
    for values in ([value], [None, value]):
        with pytest.raises(Mistake) as raised:
            accepted("v", kind, values)
        assert text in str(raised.value)
        assert len(str(raised.value)) < 200


def test_wrong_answers_are_explained():
    check_answer({"v": 1}, {"v": "int"})
    check_answer(None, {})
    for answer, text in [
        (None, "expire returned None; return a dictionary of outputs by name"),
        (3, "expire returned 3 (int)"),
        ({"vv": 1}, "a value for `vv`, which is not declared in `outputs`; did you mean `v`?"),
        ({1: 1}, "a value for `1`, which is not declared in `outputs`; add an Output for it"),
    ]:
        with pytest.raises(Mistake) as raised:
            check_answer(answer, {"v": "int"})
        assert text in str(raised.value)


def test_a_class_in_this_process_is_checked():
    wrong = type("Wrong", (Right,), {"at_updates": ["id"]})
    with pytest.raises(flowloom.ParameterError, match="plugin 'wrong': `at_updates` of class Wrong is not a name"):
        list(flowloom.meter(ROOT / "tests/captures/tls13.pcap", plugins=wrong))


TEMPLATE = ROOT / "host/cli/templates/python/plugin.py"
EXAMPLES = [*sorted(TEMPLATE.parent.glob("*.py")), *sorted((ROOT / "sdk/python/examples").glob("*.py"))]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_types_of_the_sdk_fit_the_examples(file, tmp_path):
    assert types(file, tmp_path) == (0, [])


def test_the_types_of_the_sdk_show_a_misspelt_field(tmp_path):
    wrong = tmp_path / "plugin.py"
    wrong.write_text(TEMPLATE.read_text().replace("packet.ip_size >", "packet.ip_sice >"))
    status, lines = types(wrong, tmp_path)
    assert status == 1 and 'error: "Packet" has no attribute "ip_sice"; maybe "ip_size"?' in lines[0]


def types(file, folder):
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(folder / "cache"), str(file)]
    run = subprocess.run(command, cwd=folder, env={"MYPYPATH": str(ROOT / "sdk/python")}, capture_output=True, text=True)
    assert not run.stderr
    return run.returncode, run.stdout.splitlines()
