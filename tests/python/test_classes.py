"""Plugins that are Python classes in this process."""

import gc
import json
import subprocess
import weakref

import pytest
from conftest import CAPTURES
from test_threads import resident

import flowloom
from flowloom import Json, Output

TLS = CAPTURES / "tls12.pcap"
DNS = CAPTURES / "dns.pcap"


class Counter(flowloom.Plugin):
    """Counts what flows have as columns too."""

    outputs = [
        Output("packets", int, "Packets."),
        Output("bytes", int, "Sum of ip_size."),
        Output("back", int, "Packets from destination to source."),
        Output("first", int, "Time of the first packet, ms."),
    ]

    def init(self, packet, flow):
        state = {"packets": 0, "bytes": 0, "back": 0, "first": packet.time_ms}
        self.update(state, packet, flow)
        return state

    def update(self, state, packet, flow):
        state["packets"] += 1
        state["bytes"] += packet.ip_size
        state["back"] += packet.direction

    def expire(self, state, flow):
        return state


@pytest.mark.parametrize("capture", ["tls12.pcap", "dns.pcap", "quic.pcap", "vlan.pcap", "dhcp.pcap"])
def test_a_class_sees_every_packet_of_every_flow(capture):
    flows = list(flowloom.meter(CAPTURES / capture, accounting_mode="ip", plugins=Counter))
    assert flows
    for flow in flows:
        values = flow.udps.counter
        assert values.packets == flow.bidirectional_packets
        assert values.bytes == flow.bidirectional_bytes
        assert values.back == flow.dst2src_packets
        assert values.first == flow.bidirectional_first_seen_ms


def test_values_are_columns_and_in_files(tmp_path):
    flows = flowloom.meter(TLS, plugins=[Counter, flowloom.InProcess(Counter, name="again")])
    frame = flows.to_polars()
    assert frame["udps.counter.packets"].to_list() == frame["bidirectional_packets"].to_list()
    assert frame["udps.again.packets"].to_list() == frame["bidirectional_packets"].to_list()
    flows.write_jsonl(tmp_path / "flows.jsonl")
    first = json.loads((tmp_path / "flows.jsonl").read_text().splitlines()[0])
    assert first["udps"]["counter"]["packets"] == first["bidirectional_packets"]
    chosen = flowloom.meter(TLS, plugins=Counter, where="udps.counter.packets > 20", select=["udps.counter.packets"])
    assert chosen.to_polars().rows() == [(33,)]


def test_components_and_classes_run_together(plugin):
    flows = flowloom.meter(DNS, plugins=[plugin("packet_stats"), Counter])
    for flow in flows:
        assert flow.udps.packet_stats.src2dst_count == flow.udps.counter.packets - flow.udps.counter.back
    with pytest.raises(flowloom.ParameterError, match="a name that no plugin has"):
        list(flowloom.meter(DNS, plugins=[plugin("packet_stats"), flowloom.InProcess(Counter, name="packet_stats")]))


def test_every_type_of_value():
    class Types(flowloom.Plugin):
        outputs = [
            Output("boolean", bool, "x"),
            Output("integer", int, "x"),
            Output("number", float, "x"),
            Output("text", str, "x"),
            Output("data", bytes, "x"),
            Output("integers", list[int], "x"),
            Output("numbers", list[float], "x"),
            Output("texts", list[str], "x"),
            Output("value", Json, "x"),
            Output("missing", int, "x"),
        ]

        def init(self, packet, flow):
            return None

        def update(self, state, packet, flow):
            pass

        def expire(self, state, flow):
            return {
                "boolean": True,
                "integer": -(2**63),
                "number": 0.5,
                "text": "ä",
                "data": b"\x00\xff",
                "integers": [1, -2],
                "numbers": (0.5,),
                "texts": ["ä", "", "b"],
                "value": '{"a": [1, null]}',
                "missing": None,
            }

    flow = next(iter(flowloom.meter(TLS, plugins=Types)))
    udps = flow.udps.types
    found = [udps.boolean, udps.integer, udps.number, udps.text, udps.data, udps.integers, udps.numbers, udps.value]
    assert found == [True, -(2**63), 0.5, "ä", b"\x00\xff", [1, -2], [0.5], {"a": [1, None]}]
    assert udps.texts == ["ä", "", "b"]
    assert udps.missing is None
    row = flowloom.meter(TLS, plugins=Types).to_arrow().to_pylist()[0]
    assert row["udps.types.integers"] == [1, -2] and row["udps.types.value"] == '{"a": [1, null]}'
    assert row["udps.types.texts"] == ["ä", "", "b"]


def test_every_packet_field_is_an_attribute(flowloom_command):
    listed = subprocess.run([flowloom_command, "fields", "--format", "json"], check=True, capture_output=True, text=True)
    fields = {field["name"]: field["type"] for field in json.loads(listed.stdout)["packet_fields"]}
    seen = []

    class Seen(flowloom.Plugin):
        payload_bytes = 4
        packet_bytes = 40

        def init(self, packet, flow):
            seen.append(packet)

        def update(self, state, packet, flow):
            seen.append(packet)

        def expire(self, state, flow):
            return None

    flows = list(flowloom.meter(TLS, plugins=Seen))
    assert len(seen) == sum(flow.bidirectional_packets for flow in flows)
    # A packet stays valid after the call and after the run.
    del flows
    gc.collect()
    types = {"boolean": bool, "text": str}
    for packet in seen:
        for name, kind in fields.items():
            if name.endswith("_pseudonym"):
                with pytest.raises(AttributeError, match="use the address"):
                    getattr(packet, name)
            else:
                assert type(getattr(packet, name)) is types.get(kind, int), name
        assert len(packet.payload) == min(packet.payload_size, 4)
        assert packet.bytes[0] >> 4 == packet.ip_version == 4
        assert len(packet.bytes) == 40
        # These fields are read from the bytes of the packet.
        header = packet.bytes
        assert packet.ttl == header[8] and packet.ip_id == int.from_bytes(header[4:6], "big")
        assert packet.tcp_seq == int.from_bytes(header[24:28], "big")
        assert packet.tcp_ack == int.from_bytes(header[28:32], "big")
        assert packet.tcp_window == int.from_bytes(header[34:36], "big")
    assert seen[0].syn and not seen[0].ack
    assert repr(seen[0]) == "<Packet 1 of flow 2>"


def test_fields_of_live_flows_are_those_that_were_requested():
    seen = []

    class Live(flowloom.Plugin):
        at_init = ["src_port"]
        at_update = ["bidirectional_packets", "application_name"]
        outputs = [Output("last", int, "x")]

        def init(self, packet, flow):
            assert flow.src_port == packet.src_port
            assert dir(flow) == ["src_port"]
            with pytest.raises(AttributeError, match="add it to at_init or at_update"):
                _ = flow.dst_port
            return [1]

        def update(self, state, packet, flow):
            state.append(flow.bidirectional_packets)
            seen.append(flow.application_name)

        def expire(self, state, flow):
            assert state == list(range(1, flow.bidirectional_packets + 1))
            return {"last": state[-1]}

    flows = list(flowloom.meter(TLS, plugins=Live))
    assert [flow.udps.live.last for flow in flows] == [flow.bidirectional_packets for flow in flows]
    assert set(seen) == {"Unknown", "TLS"}


def test_a_class_can_end_flows_and_needs_few_packets():
    class Cut(Counter):
        cuts_flows = True

        def cuts(self, state):
            return state["packets"] == 5

    flows = list(flowloom.meter(TLS, plugins=Cut))
    assert {flow.bidirectional_packets for flow in flows} <= {1, 2, 3, 4, 5}
    assert sum(flow.bidirectional_packets for flow in flows) == 50
    assert flows[0].expiration_id == -1

    class Few(Counter):
        packets_per_flow = 3

    assert [flow.udps.few.packets for flow in flowloom.meter(TLS, plugins=Few)] == [3, 3]


def test_options_are_read_and_checked():
    class Optional(Counter):
        def open(self, options):
            self.factor = options.integer("factor", "Multiplies the values.", default=1, least=1)

        def expire(self, state, flow):
            return {"packets": state["packets"] * self.factor}

    def packets(**options):
        flows = flowloom.meter(TLS, plugins=flowloom.InProcess(Optional, options=options))
        return [flow.udps.optional.packets for flow in flows]

    assert packets(factor="2") == [2 * count for count in packets()]
    with pytest.raises(flowloom.ParameterError, match="plugin 'optional': option `factor` must be an integer"):
        packets(factor="0")
    with pytest.raises(flowloom.ParameterError, match=r"unknown option `other`; .*, default 1\): Multiplies the values$"):
        packets(other="0")


def test_options_have_descriptions():
    options = flowloom.Options([("share", "0.5")])
    assert options.integer("n", "Packets to use.", default=3, least=1, most=9) == 3
    assert options.number("share", "The share.", required=True) == 0.5
    assert options.boolean("all", "Whether all count.", default=True) is True
    assert options.text("name", "A name.") is None
    options.check()
    read = [(option.key, option.type, option.accepts, option.default_text, option.description) for option in options.read()]
    assert read == [
        ("n", int, "an integer from 1 to 9", "3", "Packets to use."),
        ("share", float, "a number", None, "The share."),
        ("all", bool, "true or false", "true", "Whether all count."),
        ("name", str, "a text", "", "A name."),
    ]
    with pytest.raises(flowloom.OptionError) as raised:
        options.text("model", "The model.", required=True)
    assert str(raised.value) == (
        "option `model` is missing; this plugin accepts `n` (an integer from 1 to 9, default 3): Packets to use; "
        "`share` (a number, required): The share; `all` (true or false, default true): Whether all count; "
        "`name` (a text, optional): A name; `model` (a text, required): The model"
    )
    for description in ("", " ", 64, None):
        with pytest.raises(TypeError, match="option `n` needs a description"):
            options.integer("n", description)
    with pytest.raises(TypeError):
        options.integer("n")


def test_a_class_can_adapt_to_what_is_available():
    seen = []

    class Adapts(Counter):
        flow_bytes = 64

        def adapt(self, available):
            seen.append(available)
            self.at_update = [name for name in ("bidirectional_mean_ps", "src_ip") if name in available.flow]

        def update(self, state, packet, flow):
            super().update(state, packet, flow)
            if packet.direction >= 0 and dir(flow):
                state["first"] = len(dir(flow))

    def fields(**parameters):
        flows = flowloom.meter(TLS, plugins=Adapts, **parameters)
        return [flow.udps.adapts.first for flow in flows if flow.bidirectional_packets > 1]

    assert set(fields()) == {1}
    assert set(fields(statistical_analysis=True)) == {2}
    without, with_statistics = seen
    assert set(with_statistics.flow) > set(without.flow)
    assert "ttl" in without.packet and "src_pseudonym" not in without.packet
    # Nothing needs a grant.
    assert "src_ip" in without.packet and "src_ip" in without.flow
    assert without.payload_bytes == without.packet_bytes > 1500

    class Refuses(Counter):
        def adapt(self, available):
            raise flowloom.OptionError("it needs more")

    with pytest.raises(flowloom.ParameterError, match="plugin 'refuses': it needs more"):
        list(flowloom.meter(TLS, plugins=Refuses))


def test_available_flow_fields_are_the_columns_that_plugins_can_request():
    seen = []

    class Adapts(Counter):
        def adapt(self, available):
            seen.append(available.flow)

    for parameters in (
        {},
        {"n_dissections": 0},
        {"splt_analysis": 3, "statistical_analysis": True},
        {"decode_tunnels": False},
        {"community_id": 0},
    ):
        flow = next(iter(flowloom.meter(TLS, plugins=Adapts, **parameters)))
        columns = [name for name in flow.keys() if not name.startswith("udps.")]
        # A plugin cannot request what is computed after the end of a flow.
        assert seen.pop() == [name for name in columns if name != "community_id"]


def failing(method, error=ZeroDivisionError):
    def fail(self, *arguments):
        raise error("wrong")

    # The first packet must not fail in place of a later one.
    return type("Failing", (Counter,), {"init": lambda *_: {}, "update": lambda *_: None, method: fail})


READS = [list, flowloom.Flows.to_polars, flowloom.Flows.to_arrow, lambda flows: flows.write_csv("/dev/null")]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("init", "in init of plugin 'failing', flow 2, packet 1 of the flow"),
        ("update", "in update of plugin 'failing', flow 2, packet 2 of the flow"),
        ("expire", "in expire of plugin 'failing', flow 2"),
    ],
)
def test_an_exception_is_raised_with_its_place(method, place, read):
    with pytest.raises(ZeroDivisionError, match="wrong") as raised:
        read(flowloom.meter(TLS, plugins=failing(method)))
    assert raised.value.__notes__ == [place]
    # The package can be used after it.
    assert len(list(flowloom.meter(TLS, plugins=Counter))) == 2


def test_other_methods_may_fail_too():
    for method in ("open", "finish"):
        with pytest.raises(ZeroDivisionError):
            list(flowloom.meter(TLS, plugins=failing(method)))
    with pytest.raises(KeyboardInterrupt):
        list(flowloom.meter(TLS, plugins=failing("update", KeyboardInterrupt)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (3, "expire must return a dictionary of outputs, not int"),
        (None, "expire must return a dictionary of outputs, not NoneType"),
        ({"packets": "many"}, "output 'packets' must be i64, not str"),
        ({"packets": 2**64}, "output 'packets' must be i64, not int"),
        ({"nothing": 1}, "expire returned 'nothing', which is none of the outputs"),
        ({1: 1}, "int"),
    ],
)
def test_nonsense_is_an_error(answer, message):
    nonsense = type("Nonsense", (Counter,), {"expire": lambda self, state, flow: answer})
    with pytest.raises(TypeError, match=message):
        list(flowloom.meter(TLS, plugins=nonsense))


def test_what_is_no_plugin_is_an_error():
    for plugin in (int, object(), 3):
        with pytest.raises((flowloom.ParameterError, TypeError)):
            flowloom.meter(TLS, plugins=[plugin])
    for attributes, message in [
        ({"packet": ["nothing"]}, "there is no packet field 'nothing'"),
        ({"at_init": ["nothing"]}, "there is no flow field 'nothing'"),
    ]:
        with pytest.raises(TypeError, match=message):
            list(flowloom.meter(TLS, plugins=type("Wrong", (Counter,), attributes)))
    with pytest.raises(flowloom.ParameterError, match="plugin name 'No'"):
        flowloom.InProcess(Counter, name="No")
    with pytest.raises(flowloom.ParameterError, match="n_meters"):
        list(flowloom.meter(TLS, plugins=Counter, n_meters=2))


def test_a_class_cannot_use_the_run_that_calls_it_but_may_stop_it():
    class Curious(Counter):
        def init(self, packet, flow):
            with pytest.raises(flowloom.FlowloomError, match="cannot use the run that calls it"):
                _ = flows.summary
            flows.stop()
            return super().init(packet, flow)

    flows = flowloom.meter(TLS, plugins=Curious)
    assert list(flows)
    assert flows.summary["packets_read"] > 0


def test_a_run_has_an_object_of_its_own_and_frees_it():
    objects = []

    class State:
        pass

    class Kept(Counter):
        def open(self, options):
            objects.append(weakref.ref(self))

        def init(self, packet, flow):
            self.state = State()
            objects.append(weakref.ref(self.state))
            return super().init(packet, flow)

    flows = flowloom.meter(DNS, plugins=Kept)
    for _ in range(2):
        list(flows)
        for _ in flows:
            break
    flows.close()
    gc.collect()
    assert len(objects) > 8
    assert not [kept for kept in objects if kept() is not None]


@pytest.mark.slow
def test_memory_is_flat_over_many_runs_with_classes():
    def run(n):
        flows = flowloom.meter(DNS, n_dissections=0, plugins=[Counter, failing("expire")][n % 5 == 0])
        try:
            list(flows) if n % 2 else flows.to_polars()
        except ZeroDivisionError:
            pass

    for n in range(200):
        run(n)
    before = resident()
    for n in range(1_000):
        run(n)
    assert resident() - before < 8 << 20


def test_a_live_flow_has_the_application_that_its_packets_show():
    class Names(flowloom.Plugin):
        outputs = [Output("names", Json, "The application after each packet.")]
        at_init = at_update = ["application_name"]

        def init(self, packet, flow):
            return [flow.application_name]

        def update(self, state, packet, flow):
            state.append(flow.application_name)

        def expire(self, state, flow):
            return {"names": json.dumps(state)}

    flows = [flow for flow in flowloom.meter(DNS, plugins=Names) if flow.protocol == 17]
    assert flows
    # A request is enough.
    assert all(set(flow.udps.names.names) == {"DNS"} for flow in flows)
