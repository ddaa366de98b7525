"""The plugins that NFStream has.

DHCP, MDNS and JA4 are WebAssembly components of Flowloom, which run in a sandbox. Their values are there in ``on_expire`` of
every plugin; before, they are None or empty.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from .._flowloom import NFlow, NFPacket
from ..errors import PluginError
from ..flows import Wasm
from .plugin import NFPlugin

__all__ = ["DHCP", "JA4", "MDNS", "SPLT", "FlowSlicer", "MsgType"]

_COMPONENTS = Path(__file__).parents[1] / "components"


class FlowSlicer(NFPlugin):
    """Ends a flow after a number of packets.

    Parameters
    ----------
    limit
        The number of packets.
    """

    limit: int

    def on_init(self, packet: NFPacket, flow: NFlow) -> None:
        self.on_update(packet, flow)

    def on_update(self, packet: NFPacket, flow: NFlow) -> None:
        if flow.bidirectional_packets == self.limit:
            flow.expiration_id = -1


class SPLT(NFPlugin):
    """Lists of the directions, sizes and times of a flow's first packets, with -1 for missing packets.

    It sets ``udps.splt_direction``, ``udps.splt_ps`` (bytes) and ``udps.splt_piat_ms``.

    Parameters
    ----------
    sequence_length
        The number of packets in the lists.
    accounting_mode
        The size of a packet: 0 ``raw_size``, 1 ``ip_size``, 2 ``transport_size``, 3 ``payload_size``.
    """

    sequence_length: int
    accounting_mode: int

    def on_init(self, packet: NFPacket, flow: NFlow) -> None:
        flow.udps.splt_direction = [-1] * self.sequence_length
        flow.udps.splt_ps = [-1] * self.sequence_length
        flow.udps.splt_piat_ms = [-1] * self.sequence_length
        self.on_update(packet, flow)

    def on_update(self, packet: NFPacket, flow: NFlow) -> None:
        index = flow.bidirectional_packets - 1
        if index < self.sequence_length:
            sizes = ("raw_size", "ip_size", "transport_size", "payload_size")
            flow.udps.splt_direction[index] = packet.direction
            flow.udps.splt_ps[index] = getattr(packet, sizes[self.accounting_mode])
            flow.udps.splt_piat_ms[index] = packet.delta_time


class _Sandboxed(NFPlugin):
    """A plugin whose values a component of Flowloom computes.

    A subclass names the component and what it may read, and converts its values.
    """

    _file: str
    _grants: str
    # The values before the component has computed them.
    _before: dict[str, Any]

    def _component(self, name: str) -> Wasm:
        self._name = name
        file = _COMPONENTS / f"{self._file}.wasm"
        if not file.exists():
            raise PluginError(f"plugin '{name}': the package has no file {file}; install the package anew")
        return Wasm(file, name=name, grants=self._grants)

    def on_init(self, packet: NFPacket, flow: NFlow) -> None:
        for name, value in self._before.items():
            setattr(flow.udps, name, list(value) if isinstance(value, list) else value)

    def on_expire(self, flow: NFlow) -> None:
        outputs = flow.udps.__dict__.pop(self._name)
        for name in self._before:
            setattr(flow.udps, name, self._value(name, outputs))

    def _value(self, name: str, outputs: Any) -> Any:
        return getattr(outputs, name)


class MsgType(Enum):
    """The types of DHCP messages (RFC 2132)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NACK = 6
    RELEASE = 7
    INFORM = 8


class DHCP(_Sandboxed):
    """Information that DHCP clients send about themselves: ``udps.dhcp_12`` (host name), ``dhcp_50`` (requested address),
    ``dhcp_55`` (requested options), ``dhcp_57`` (maximum message size), ``dhcp_60`` (vendor class), ``dhcp_77`` (user class),
    ``dhcp_options``, ``dhcp_addr``, ``dhcp_msg_type`` and ``dhcp_oui``.

    A flow ends with the message that ends its transaction.
    """

    _file = "dhcp"
    _grants = "addresses,payload:1500"
    _before = {
        "dhcp_12": None,
        "dhcp_50": None,
        "dhcp_55": None,
        "dhcp_57": None,
        "dhcp_60": None,
        "dhcp_77": None,
        "dhcp_options": [],
        "dhcp_addr": None,
        "dhcp_msg_type": None,
        "dhcp_oui": None,
    }

    def _value(self, name: str, outputs: Any) -> Any:
        value = getattr(outputs, name)
        if name == "dhcp_msg_type":
            return MsgType.__members__.get(value, value)
        return value


class MDNS(_Sandboxed):
    """The names in multicast DNS answers: ``udps.mdns_ptr``, a list of text."""

    _file = "mdns"
    _grants = "payload:9000"
    _before: dict[str, Any] = {"mdns_ptr": []}


class JA4(_Sandboxed):
    """The JA4 of a TLS or QUIC client: ``udps.ja4``.

    ``udps.ja4s`` is None: the licence of JA4S does not permit it here.
    """

    _file = "ja4"
    _grants = "payload:16384"
    _before = {"ja4": None, "ja4s": None}

    def __init__(self, throw_warns: bool = True) -> None:
        super().__init__(throw_warns=throw_warns)

    def _value(self, name: str, outputs: Any) -> Any:
        return outputs.ja4 if name == "ja4" else None
