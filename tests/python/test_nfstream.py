"""The interface of NFStream."""

import ast
import copy
import csv
import gc
import inspect
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from conftest import CAPTURES, ROOT

import flowloom
from flowloom.nfstream import NFlow, NFPacket, NFPlugin, NFStreamer
from flowloom.nfstream.plugins import DHCP, JA4, MDNS, SPLT, FlowSlicer, MsgType

TLS = str(CAPTURES / "tls12.pcap")
DNS = str(CAPTURES / "dns.pcap")
ACTIVE = str(CAPTURES / "active.pcap")
PROGRAMS = ROOT / "tests/oracle/programs"


class Counter(NFPlugin):
    """Counts packets."""

    def on_init(self, packet, flow):
        flow.udps.count = 1

    def on_update(self, packet, flow):
        flow.udps.count += 1


def columns_of(**parameters):
    flow = next(iter(NFStreamer(source=TLS, **parameters)))
    return flow.keys()


def run(*arguments, **options):
    """Run Python in a new process, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=100, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Parameters


def test_parameters_and_defaults_are_those_of_nfstream():
    signature = inspect.signature(NFStreamer)
    assert {name: parameter.default for name, parameter in signature.parameters.items()} == {
        "source": None,
        "decode_tunnels": True,
        "bpf_filter": None,
        "promiscuous_mode": True,
        "snapshot_length": 1536,
        "socket_buffer_size": 0,
        "idle_timeout": 120,
        "active_timeout": 1800,
        "accounting_mode": 0,
        "udps": None,
        "n_dissections": 20,
        "statistical_analysis": False,
        "splt_analysis": 0,
        "n_meters": 0,
        "max_nflows": 0,
        "performance_report": 0,
        "system_visibility_mode": 0,
        "system_visibility_poll_ms": 100,
    }


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("source", [None, 11, "inexisting.pcap", ("a",), str(CAPTURES)], "Please specify a pcap file path"),
        ("source", [[]], "Please provide a non-empty list of sources."),
        ("source", [[TLS, "missing.pcap"], [TLS, 5]], "Invalid pcap file path at index: 1."),
        ("decode_tunnels", [33, "True", None], "valid decode_tunnels parameter"),
        ("bpf_filter", [11, b"tcp"], "valid bpf_filter format"),
        ("promiscuous_mode", ["yes", 1], "valid promiscuous_mode parameter"),
        ("snapshot_length", ["largest", 0, -1, 1.5], "valid snapshot_length parameter"),
        ("socket_buffer_size", ["largest", -1, 2**31], "valid socket_buffer_size parameter"),
        ("idle_timeout", [-1, "idle", 1.0, 2**64], "valid idle_timeout parameter"),
        ("active_timeout", [-1, "active", None], "valid active_timeout parameter"),
        ("accounting_mode", [-1, 4, "ip"], "valid accounting_mode parameter"),
        ("udps", [len, "NFPlugin", [Counter(), 5], Counter], "User defined plugins must inherit from NFPlugin type."),
        ("n_dissections", ["yes", -1, 256], "valid n_dissections parameter"),
        ("statistical_analysis", ["yes", 1], "valid statistical_analysis parameter"),
        ("splt_analysis", [-1, 70_000, "yes"], "valid splt_analysis parameter"),
        ("n_meters", ["yes", -1], "valid n_meters parameter"),
        ("max_nflows", ["yes", -1], "valid max_nflows parameter"),
        ("performance_report", ["yes", -1], "valid performance_report parameter"),
        ("system_visibility_mode", ["yes", -1, 2], "valid system_visibility_mode parameter"),
        ("system_visibility_poll_ms", ["yes", -1], "valid system_visibility_poll_ms parameter"),
    ],
)
def test_invalid_values_are_refused_with_nfstreams_message(name, values, message):
    for value in values:
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            NFStreamer(**{"source": TLS, name: value})
        # Later assignments are checked too.
        streamer = NFStreamer(source=TLS)
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            setattr(streamer, name, value)


def test_interfaces_are_those_of_the_command(flowloom_command):
    listed = subprocess.run([flowloom_command, "interfaces"], capture_output=True, text=True, check=True).stdout
    names = [line.split()[0] for line in listed.splitlines()]
    assert "lo" in names
    for name in names:
        assert NFStreamer(source=name).source == name


def test_a_parameter_can_be_changed_between_runs():
    streamer = NFStreamer(source=str(CAPTURES / "gtp.pcap"), idle_timeout=True)
    assert all(flow.tunnel_id == 1 for flow in streamer)
    streamer.decode_tunnels = False
    flow = next(iter(streamer))
    assert not hasattr(flow, "tunnel_id")
    assert "tunnel_id" not in flow.keys()
    with pytest.raises(AttributeError):
        flow.tunnel_id


def test_what_can_only_be_seen_when_reading_is_a_value_error_too():
    with pytest.raises(ValueError, match="my filter"):
        NFStreamer(source=TLS, bpf_filter="my filter").to_pandas()
    with pytest.raises(ValueError, match="README"):
        list(NFStreamer(source=str(CAPTURES / "README.md")))


def test_a_list_is_one_capture_and_stays_as_it_was():
    parts = [CAPTURES / "part1.pcap", CAPTURES / "part2.pcap"]
    given = list(parts)
    joined = list(NFStreamer(source=given, n_dissections=0))
    assert given == parts
    separate = [list(NFStreamer(source=part, n_dissections=0)) for part in parts]
    assert len(joined) < sum(map(len, separate))
    packets = sum(flow.bidirectional_packets for flow in joined)
    assert packets == sum(flow.bidirectional_packets for flows in separate for flow in flows)


def test_timeouts_are_nfstreams():
    """NFStream's own expectations: the idle timeout is 120 s by default."""
    idle = str(CAPTURES / "idle.pcap")
    assert len(list(NFStreamer(source=idle))) == len(list(flowloom.meter(idle, idle_timeout=120)))
    assert len(list(NFStreamer(source=idle, idle_timeout=15))) > len(list(NFStreamer(source=idle)))
    packets = sum(flow.bidirectional_packets for flow in NFStreamer(source=TLS))
    for timeout in ("idle_timeout", "active_timeout"):
        flows = list(NFStreamer(source=TLS, **{timeout: 0}))
        assert sorted(flow.id for flow in flows) == list(range(packets))


def test_max_nflows():
    assert len(list(NFStreamer(source=DNS))) > 3
    assert len(list(NFStreamer(source=DNS, max_nflows=3))) == 3
    assert NFStreamer(source=DNS, max_nflows=3).to_pandas().shape[0] == 3


def test_warnings_replace_nfstreams_prints(capsys):
    with pytest.warns(UserWarning, match="splt_analysis=300"):
        NFStreamer(source=TLS, splt_analysis=300)
    with pytest.warns(UserWarning, match="system_visibility_mode"):
        flow = next(iter(NFStreamer(source=TLS, system_visibility_mode=1)))
    assert "system_process_pid" not in flow.keys()
    flow = next(iter(NFStreamer(source=[TLS], system_visibility_mode=1)))
    assert flow.keys()[-2:] == ["system_process_pid", "system_process_name"]
    assert flow.values()[-2:] == [-1, ""]
    assert capsys.readouterr().out == ""


# Flows


def test_columns_are_nfstreams():
    assert len(columns_of()) == 38
    assert len(columns_of(decode_tunnels=False, n_dissections=0)) == 28
    everything = columns_of(statistical_analysis=True, splt_analysis=3)
    assert len(everything) == 89
    assert everything[:4] == ["id", "expiration_id", "src_ip", "src_mac"]
    assert everything[29:33] == [f"bidirectional_{name}_ps" for name in ("min", "mean", "stddev", "max")]
    assert everything[77:81] == ["splt_direction", "splt_ps", "splt_piat_ms", "application_name"]
    assert everything[-1] == "content_type"


def test_a_flow_has_attributes_keys_values_and_a_text():
    flow = next(iter(NFStreamer(source=TLS, udps=Counter(), splt_analysis=2)))
    assert isinstance(flow, NFlow)
    named = flow.to_namedtuple()
    assert flow.keys()[-1] == "udps.count"
    assert named.udps_count == flow.udps.count == flow.bidirectional_packets
    for name, value in zip(flow.keys()[:-1], flow.values()[:-1], strict=True):
        assert getattr(flow, name) == value == getattr(named, name)
    assert type(flow.application_is_guessed) is int
    assert flow.splt_direction == [0, 1]
    text = str(flow)
    assert text.startswith("NFlow(id=0,\n      expiration_id=0,\n      src_ip=")
    assert text.endswith(f"udps.count={flow.udps.count})")
    assert "udps" in dir(flow) and "src_ip" in dir(flow)
    with pytest.raises(AttributeError):
        flow.nonsense = 1
    with pytest.raises(AttributeError):
        flow._C


def test_a_run_without_plugins_has_no_udps():
    flow = next(iter(NFStreamer(source=TLS)))
    assert not hasattr(flow, "udps")


def test_flows_can_be_pickled_and_copied():
    flow = next(iter(NFStreamer(source=TLS, udps=Counter())))
    for twin in (pickle.loads(pickle.dumps(flow)), copy.copy(flow), copy.deepcopy(flow)):
        assert twin.keys() == flow.keys()
        assert twin.values() == flow.values()
        assert twin.udps.count == flow.udps.count


def test_ids_count_flows_in_the_order_of_their_first_packets():
    seen = []

    class Ids(NFPlugin):
        def on_init(self, packet, flow):
            seen.append(flow.id)

    flows = list(NFStreamer(source=ACTIVE, active_timeout=2, udps=Ids()))
    assert seen == list(range(len(flows)))
    assert sorted(flow.id for flow in flows) == seen
    frame = NFStreamer(source=ACTIVE, active_timeout=2).to_pandas()
    assert frame["id"].tolist() == seen
    assert frame["bidirectional_first_seen_ms"].is_monotonic_increasing


# Packets


def test_a_packet_has_nfstreams_fields():
    packets = []

    class Keep(NFPlugin):
        def on_init(self, packet, flow):
            packets.append(packet)

        def on_update(self, packet, flow):
            packets.append(packet)

    list(NFStreamer(source=TLS, udps=Keep()))
    # They stay valid.
    first = packets[0]
    assert isinstance(first, NFPacket)
    assert len(first) == len(first._fields) == 28
    assert first._fields[:3] == ("time", "delta_time", "direction")
    assert first.syn == 1 and type(first.syn) is int
    assert first.ip_packet[0] >> 4 == first.ip_version == 4
    assert all(len(packet.ip_packet) == packet.ip_size for packet in packets)
    assert first._asdict() == dict(zip(first._fields, first))
    assert first[0] == first.time and first[-1] == first.tunnel_id == 0
    with pytest.raises(IndexError):
        first[28]
    assert repr(first).startswith(f"NFPacket(time={first.time}, delta_time=0, direction=0, raw_size=")
    assert pickle.loads(pickle.dumps(first)) == tuple(first)
    times = [packet.time for packet in packets]
    assert times == sorted(times)


# Plugins


def test_plugins_are_called_in_order_for_every_packet():
    calls = []

    class Named(NFPlugin):
        def on_init(self, packet, flow):
            calls.append((flow.id, "init", self.name))

        def on_update(self, packet, flow):
            calls.append((flow.id, "update", self.name))

        def on_expire(self, flow):
            calls.append((flow.id, "expire", self.name))

    flows = {flow.id: flow for flow in NFStreamer(source=TLS, udps=[Named(name="a"), Named(name="b")])}
    for number, flow in flows.items():
        expected = [(number, "init")] + [(number, "update")] * (flow.bidirectional_packets - 1) + [(number, "expire")]
        own = [call for call in calls if call[0] == number]
        assert own == [(*call, name) for call in expected for name in "ab"]


def test_values_of_any_type_are_kept():
    class Types(NFPlugin):
        def on_init(self, packet, flow):
            flow.udps.values = {"list": [1, (2, None)], "set": {3}}
            flow.udps.function = len
            flow.udps.gone = 1

        def on_expire(self, flow):
            del flow.udps.gone
            flow.udps.flow = weakref.ref(flow)

    for flow in NFStreamer(source=TLS, udps=Types()):
        assert flow.udps.values == {"list": [1, (2, None)], "set": {3}}
        assert flow.udps.function is len
        assert flow.udps.flow() is flow
        assert flow.keys()[-3:] == ["udps.values", "udps.function", "udps.flow"]


def test_attributes_are_written_until_the_meter_changes_them():
    class Writer(NFPlugin):
        def on_init(self, packet, flow):
            flow.src_ip = "somewhere"
            flow.bidirectional_bytes = -1
            flow.udps.seen = []

        def on_update(self, packet, flow):
            flow.udps.seen.append((flow.src_ip, flow.bidirectional_bytes > 0))
            flow.application_name = "mine"

        def on_expire(self, flow):
            flow.udps.application = flow.application_name
            flow.bidirectional_packets = 0

    for flow in NFStreamer(source=TLS, udps=Writer()):
        assert set(flow.udps.seen) == {("somewhere", True)}
        assert flow.src_ip == "somewhere"
        assert flow.bidirectional_packets == 0
        # The dissection ended before the last packets, so nothing has replaced the name.
        assert flow.udps.application == flow.application_name == "mine"
        assert "src_ip=somewhere" in str(flow)
        # An ended flow can be written too.
        flow.src_ip = "elsewhere"
        assert flow.values()[flow.keys().index("src_ip")] == "elsewhere"


def test_live_flows_show_what_is_known_after_each_packet():
    """`make parity-programs` compares all values at every packet with NFStream's."""
    names = []

    class Names(NFPlugin):
        def on_init(self, packet, flow):
            if flow.protocol == 17:
                names.append(flow.application_name)

    list(NFStreamer(source=DNS, udps=Names()))
    # A request is enough.
    assert set(names) == {"DNS"}


def test_a_plugin_ends_a_flow_with_minus_one():
    class Cut(NFPlugin):
        def on_init(self, packet, flow):
            flow.udps.before = flow.expiration_id
            if self.at == 1:
                flow.expiration_id = -1

        def on_update(self, packet, flow):
            if flow.bidirectional_packets == self.at:
                flow.expiration_id = -1

    class After(NFPlugin):
        def on_update(self, packet, flow):
            flow.udps.seen = flow.expiration_id

    for at in (1, 3):
        flows = list(NFStreamer(source=TLS, udps=[Cut(at=at), After()]))
        cut = [flow for flow in flows if flow.expiration_id == -1]
        assert cut and all(flow.bidirectional_packets == at for flow in cut)
        assert all(flow.udps.before == 0 for flow in flows)
        if at == 3:
            # All plugins see the packet first.
            assert all(flow.udps.seen == -1 for flow in cut)
    limited = list(NFStreamer(source=TLS, udps=FlowSlicer(limit=4)))
    assert max(flow.bidirectional_packets for flow in limited) == 4


def test_a_value_other_than_minus_one_is_kept_unless_the_flow_was_active():
    class Five(NFPlugin):
        def on_init(self, packet, flow):
            flow.expiration_id = 5

    flows = list(NFStreamer(source=ACTIVE, active_timeout=2, udps=Five()))
    assert {flow.expiration_id for flow in flows} == {1, 5}


def test_cleanup_is_called_once_for_each_run():
    class Cleaned(NFPlugin):
        def on_expire(self, flow):
            if self.raises:
                raise KeyError("x")

        def cleanup(self):
            self.calls += 1

    plugin = Cleaned(calls=0, raises=False)
    list(NFStreamer(source=TLS, udps=plugin))
    assert plugin.calls == 1
    for _ in NFStreamer(source=TLS, udps=plugin):
        break
    gc.collect()
    assert plugin.calls == 2
    plugin.raises = True
    with pytest.raises(KeyError):
        list(NFStreamer(source=TLS, udps=plugin))
    assert plugin.calls == 3


@pytest.mark.parametrize("error", [KeyError, OSError, RuntimeError, ValueError])
@pytest.mark.parametrize("method", ["on_init", "on_update", "on_expire"])
def test_an_exception_is_raised_with_its_place(error, method):
    """NFStream loses flows, or waits for ever."""

    def fail(*arguments):
        raise error("here")

    plugin = NFPlugin(**{method: fail})
    with pytest.raises(error) as raised:
        list(NFStreamer(source=TLS, udps=plugin))
    [note] = raised.value.__notes__
    assert note.startswith(f"in {method} of plugin 'NFPlugin', flow 0")


@pytest.mark.parametrize("method", ["on_init", "on_update", "on_expire"])
def test_an_interrupt_in_a_plugin_ends_the_reading_and_loses_no_flow(method):
    class Interrupted(Counter):
        def on_init(self, packet, flow):
            super().on_init(packet, flow)
            self.interrupt("on_init")

        def on_update(self, packet, flow):
            super().on_update(packet, flow)
            self.interrupt("on_update")

        def on_expire(self, flow):
            flow.udps.ended = True
            self.interrupt("on_expire")

        def interrupt(self, name):
            if name == self.at and not self.was:
                self.was = True
                raise KeyboardInterrupt

    flows = list(NFStreamer(source=TLS, udps=Interrupted(at=method, was=False)))
    assert len(flows) == 2
    assert all(flow.udps.count == flow.bidirectional_packets and flow.udps.ended for flow in flows)


def test_attributes_of_a_plugin_stay_in_the_process():
    class Keeps(NFPlugin):
        def on_expire(self, flow):
            self.packets += flow.bidirectional_packets

    plugin = Keeps(packets=0)
    flows = list(NFStreamer(source=TLS, udps=plugin))
    assert plugin.packets == sum(flow.bidirectional_packets for flow in flows)


def test_an_identity_is_the_same_for_all_packets_of_a_flow_and_no_other():
    identities = {}

    class Identity(NFPlugin):
        def on_init(self, packet, flow):
            assert str(flow._C) not in identities
            identities[str(flow._C)] = flow.id
            assert {flow._C: 1}[flow._C] == 1

        def on_update(self, packet, flow):
            assert identities[str(flow._C)] == flow.id

        def on_expire(self, flow):
            assert identities[str(flow._C)] == flow.id
            assert "_C" in flow.keys()

    flows = list(NFStreamer(source=ACTIVE, active_timeout=2, udps=Identity()))
    assert len(identities) == len(flows) > 1
    assert not any("_C" in flow.keys() for flow in flows)


def test_nothing_keeps_flows_after_their_run():
    class Cycle(NFPlugin):
        def on_init(self, packet, flow):
            flow.udps.flow = flow
            flow.src_ip = flow

    refs = [weakref.ref(flow) for flow in NFStreamer(source=TLS, udps=Cycle())]
    gc.collect()
    assert refs and not any(ref() for ref in refs)


# Components


def test_components_run_beside_classes(plugin):
    class Reads(NFPlugin):
        def on_expire(self, flow):
            flow.udps.doubled = 2 * flow.udps.packet_stats.src2dst_count

    stats = flowloom.Wasm(plugin("packet_stats"))
    for udps in ([Reads(), stats], (stats, Reads())):
        flows = list(NFStreamer(source=TLS, udps=udps))
        for flow in flows:
            assert flow.udps.packet_stats.src2dst_count == flow.src2dst_packets
            assert flow.udps.doubled == 2 * flow.src2dst_packets
            assert "udps.packet_stats.src2dst_count" in flow.keys()
    frame = NFStreamer(source=TLS, udps=[stats]).to_pandas()
    assert frame["udps.packet_stats.src2dst_count"].tolist() == frame["src2dst_packets"].tolist()
    assert len(list(NFStreamer(source=DNS, udps=[stats, Reads()], max_nflows=2))) == 2


def test_the_plugins_of_nfstream(plugin):
    plugin("dhcp")
    with_all = [SPLT(sequence_length=4, accounting_mode=1), DHCP(), MDNS(), JA4()]
    frame = NFStreamer(source=str(CAPTURES / "dhcp.pcap"), udps=with_all, n_dissections=0).to_pandas()
    assert set(frame["udps.dhcp_msg_type"]) >= {"MsgType.DISCOVER", "MsgType.REQUEST"}
    request = frame[frame["udps.dhcp_msg_type"] == "MsgType.REQUEST"].iloc[0]
    assert ast.literal_eval(request["udps.dhcp_options"])[0] == 53
    assert request["udps.dhcp_oui"] == "02:00:00"
    sizes = [ast.literal_eval(text) for text in frame["udps.splt_ps"]]
    assert all(len(each) == 4 for each in sizes)
    names = NFStreamer(source=str(CAPTURES / "mdns.pcap"), udps=MDNS()).to_pandas()["udps.mdns_ptr"]
    assert "['loom._http._tcp.local']" in set(names)
    flow = next(iter(NFStreamer(source=TLS, udps=JA4(throw_warns=False))))
    assert flow.udps.ja4.startswith("t12") and flow.udps.ja4s is None


def test_a_plugin_of_nfstream_can_be_changed(plugin):
    plugin("dhcp")

    class Mine(DHCP):
        def on_expire(self, flow):
            super().on_expire(flow)
            flow.udps.is_request = flow.udps.dhcp_msg_type is MsgType.REQUEST

    flows = list(NFStreamer(source=str(CAPTURES / "dhcp.pcap"), udps=[Mine(), DHCP()]))
    assert {flow.udps.is_request for flow in flows} == {True, False}


# Output


def test_csv_files_are_nfstreams(tmp_path):
    path = tmp_path / "flows.csv"
    count = NFStreamer(source=TLS, splt_analysis=2, udps=Counter()).to_csv(path)
    data = path.read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") == count + 1
    rows = list(csv.DictReader(path.open(newline="")))
    flows = list(NFStreamer(source=TLS, splt_analysis=2, udps=Counter()))
    for row, flow in zip(rows, flows, strict=True):
        assert list(row) == flow.keys()
        assert list(row.values()) == [str(value) for value in flow.values()]
    assert NFStreamer(source=str(CAPTURES / "empty.pcap")).to_csv(tmp_path / "none.csv") == 0
    assert not (tmp_path / "none.csv").exists()


def test_the_name_of_a_csv_file_is_that_of_the_source(tmp_path):
    source = tmp_path / "one.pcap"
    source.write_bytes(Path(TLS).read_bytes())
    assert NFStreamer(source=source).to_csv() == NFStreamer(source=[source]).to_csv() == 2
    assert (tmp_path / "one.pcap.csv").exists()


def test_csv_files_of_a_number_of_flows(tmp_path):
    folder = tmp_path / "csv files"
    folder.mkdir()
    count = NFStreamer(source=DNS).to_csv(folder / "dns.csv", flows_per_file=2)
    files = sorted(path.name for path in folder.iterdir())
    assert files == [f"dns.{number}.csv" for number in range((count + 1) // 2)]
    lines = [len((folder / name).read_text().splitlines()) for name in files]
    assert sum(lines) == count + len(files) and max(lines) == 3
    rotated = tmp_path / "rotated"
    rotated.mkdir()
    NFStreamer(source=DNS).to_csv(rotated / "dns.csv", flows_per_file=1, rotate_files=2)
    assert sorted(path.name for path in rotated.iterdir()) == ["dns.0.csv", "dns.1.csv"]
    for name in ("flows_per_file", "rotate_files"):
        with pytest.raises(ValueError, match=f"valid {name} parameter"):
            NFStreamer(source=DNS).to_csv(folder / "x.csv", **{name: -1})


def test_rows_with_other_values_stay_in_their_columns(tmp_path):
    class Ragged(NFPlugin):
        def on_init(self, packet, flow):
            setattr(flow.udps, "odd" if flow.id % 2 else "even", flow.id)

    path = tmp_path / "flows.csv"
    with pytest.warns(UserWarning, match=r"udps\.odd: not in the CSV file"):
        NFStreamer(source=DNS, udps=Ragged()).to_csv(path)
    rows = list(csv.reader(path.open(newline="")))
    assert len({len(row) for row in rows}) == 1
    frame = NFStreamer(source=DNS, udps=Ragged()).to_pandas()
    assert frame.columns[-2:].tolist() == ["udps.even", "udps.odd"]
    assert frame["udps.even"].fillna(frame["udps.odd"]).astype(int).tolist() == frame["id"].tolist()


def test_to_pandas_has_the_types_of_nfstream():
    pandas = pytest.importorskip("pandas")
    frame = NFStreamer(source=TLS, statistical_analysis=True, splt_analysis=2, udps=Counter()).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["splt_ps"].map(json.loads).map(len).tolist() == [2] * len(frame)
    assert frame["bidirectional_mean_ps"].dtype == float
    assert frame["udps.count"].dtype == frame["src_port"].dtype == int
    assert frame["user_agent"].isna().all()
    assert NFStreamer(source=str(CAPTURES / "empty.pcap")).to_pandas() is None


def test_nothing_is_left_in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    NFStreamer(source=TLS).to_pandas()
    assert list(tmp_path.iterdir()) == []


def test_columns_are_anonymized(tmp_path):
    plain = NFStreamer(source=DNS).to_pandas()
    hidden = NFStreamer(source=DNS).to_pandas(columns_to_anonymize=["src_ip", "dst_ip", "application_name"])
    assert hidden.shape == plain.shape
    for name in ("src_ip", "dst_ip", "application_name"):
        assert hidden[name].nunique() == plain[name].nunique()
        assert hidden[name].str.fullmatch("[0-9a-f]{128}").all()
    assert hidden["dst_port"].tolist() == plain["dst_port"].tolist()
    again = NFStreamer(source=DNS).to_pandas(columns_to_anonymize=["src_ip"])
    assert not set(again["src_ip"]) & set(hidden["src_ip"])
    # A wrong name would reveal addresses.
    for method in ("to_csv", "to_pandas"):
        arguments = [tmp_path / "x.csv"] if method == "to_csv" else []
        with pytest.raises(ValueError, match="no column 'scr_ip'"):
            getattr(NFStreamer(source=DNS), method)(*arguments, columns_to_anonymize=["scr_ip"])


# Damaged captures


def test_a_damaged_capture_gives_its_flows_and_a_warning():
    with pytest.warns(flowloom.CaptureWarning, match="cut.pcap"):
        flows = list(NFStreamer(source=str(CAPTURES / "cut.pcap")))
    assert flows


# Live


LIVE = """
import sys
from flowloom.nfstream import NFPlugin, NFStreamer

class Ends(NFPlugin):
    def on_expire(self, flow):
        flow.udps.ended = True

streamer = NFStreamer(
    source="lo",
    udps=Ends(),
    bpf_filter="udp port 47811",
    performance_report=1,
    system_visibility_mode=1,
    system_visibility_poll_ms=0,
)
print("ready", flush=True)
for flow in streamer:
    assert flow.keys()[-3:] == ["udps.ended", "system_process_pid", "system_process_name"]
    print("flow", flow.bidirectional_packets, flow.udps.ended, flow.system_process_pid, flush=True)
print("over", flush=True)
"""


def may_capture():
    """Return whether this process may capture packets: in a container, root need not."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError:
        return False
    return os.geteuid() == 0


needs_capture = pytest.mark.skipif(not may_capture(), reason="it needs the capability to capture packets")


@pytest.fixture
def packets_on_loopback():
    """Send packets to port 47811 while the test runs."""
    over = threading.Event()

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not over.wait(0.05):
                sender.sendto(b"x", ("127.0.0.1", 47811))

    thread = threading.Thread(target=send)
    thread.start()
    yield
    over.set()
    thread.join()


@needs_capture
def test_an_interrupt_ends_a_capture_and_no_flow_is_lost(packets_on_loopback):
    with subprocess.Popen([sys.executable, "-c", LIVE], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "ready\n"
        report = json.loads(program.stdout.readline())
        while report["packets_processed"] == 0:
            report = json.loads(program.stdout.readline())
        assert set(report) == {
            "flows_expired",
            "packets_processed",
            "packets_ignored",
            "packets_dropped_filtered_by_kernel",
            "meters_packets_processing_balance",
        }
        program.send_signal(signal.SIGINT)
        rest, _ = program.communicate(timeout=60)
    lines = [line for line in rest.splitlines() if not line.startswith("{")]
    assert lines[-1] == "over"
    [line] = lines[:-1]
    # The packets come from this process.
    assert re.fullmatch(f"flow [0-9]+ True {os.getpid()}", line)


@needs_capture
def test_an_interface_without_permission_is_a_value_error():
    program = "from flowloom.nfstream import NFStreamer\nlist(NFStreamer(source='lo'))"
    done = subprocess.run(
        ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ValueError: cannot capture from 'lo': the capability CAP_NET_RAW is missing" in done.stderr


# Programs


def test_install_replaces_nfstream():
    program = """
import flowloom.nfstream
flowloom.nfstream.install()
import nfstream, nfstream.plugins
from nfstream import NFStreamer, NFPlugin
from nfstream.plugins import SPLT, DHCP, FlowSlicer, MDNS, JA4
from nfstream.streamer import NFStreamer as Same
assert NFStreamer is Same is flowloom.nfstream.NFStreamer
assert issubclass(SPLT, NFPlugin) and nfstream.__version__ == "6.6.0"
try: import nfstream.plugins.wfeatures
except ImportError: pass
else: raise AssertionError
flowloom.nfstream.install()
"""
    run("-c", program)
    taken = "import sys, types\nsys.modules['nfstream'] = types.ModuleType('nfstream')\n"
    program = taken + "import flowloom.nfstream as ours\ntry: ours.install()\nexcept RuntimeError as error: print(error)"
    assert "imported already" in run("-c", program)


def test_programs_run_unchanged(tmp_path):
    printed = run("-m", "flowloom.nfstream", PROGRAMS / "flow_slicer.py", TLS)
    assert printed.count("'packet_num'") == len(list(NFStreamer(source=TLS)))
    packets = re.findall("'ip_packet_binary': b['\"]E", printed)
    assert len(packets) == sum(flow.bidirectional_packets for flow in NFStreamer(source=TLS))
    (tmp_path / "beside.py").write_text("VALUE = 5")
    (tmp_path / "main.py").write_text("import sys, beside\nprint(__name__, sys.argv[1:], beside.VALUE)")
    assert run("-m", "flowloom.nfstream", tmp_path / "main.py", "a", "b") == "__main__ ['a', 'b'] 5\n"


def test_a_forest_is_trained_and_deployed():
    pytest.importorskip("sklearn")
    lines = run("-m", "flowloom.nfstream", PROGRAMS / "model_prediction.py", DNS).splitlines()
    assert len(lines) == len(list(NFStreamer(source=DNS)))
    assert all(line.split()[1] == "1" for line in lines if line.endswith("Network"))


NFSTREAM_REPO = os.environ.get("NFSTREAM_REPO", "")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not NFSTREAM_REPO, reason="NFSTREAM_REPO names no checkout of NFStream")
def test_nfstreams_own_tests_pass():
    program = [sys.executable, ROOT / "tests/oracle/nfstream_repository.py", NFSTREAM_REPO]
    reference = os.environ.get("FLOWLOOM_ORACLE_PYTHON")
    if reference:
        program += ["--python", reference]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_many_runs_with_plugins_have_flat_memory():
    from test_threads import resident

    class Cycle(NFPlugin):
        def on_init(self, packet, flow):
            flow.udps.flow = flow
            flow.src_ip = packet

    def once():
        assert len(list(NFStreamer(source=DNS, udps=[Cycle(), Counter()], n_dissections=0))) > 3

    for _ in range(100):
        once()
    gc.collect()
    before = resident()
    for _ in range(1000):
        once()
    gc.collect()
    assert resident() < before + (8 << 20)
