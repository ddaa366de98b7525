"""The native module."""

import os
from collections.abc import Iterator
from typing import Any, final

__version__: str

def defaults() -> str: ...
def versions() -> tuple[str, str]: ...
def interfaces() -> list[str]: ...
def public_name(name: str | os.PathLike[str]) -> os.PathLike[str]: ...
def available(config: str, package_folders: list[str]) -> tuple[list[str], list[str], int]: ...
def plan(
    config: str,
    sources: list[str | os.PathLike[str]],
    plugins: list[dict[str, Any]],
    division: dict[str, Any],
) -> str: ...
@final
class Udps:
    """The values of plugins for a flow: ``flow.udps.PLUGIN.OUTPUT``."""

    def __getattr__(self, name: str) -> Any: ...

@final
class Flow:
    """An ended flow. Its columns are attributes: ``flow.src_ip``, ``flow.udps.dns.queries``.

    ``flow["udps.dns.queries"]`` is the same as ``flow.udps.dns.queries``.
    """

    udps: Udps
    def __getattr__(self, name: str) -> Any: ...
    def __getitem__(self, name: str) -> Any: ...
    def __contains__(self, name: str) -> bool: ...
    def __len__(self) -> int: ...
    def keys(self) -> list[str]:
        """Return the names of all columns. Those of plugins are ``udps.PLUGIN.OUTPUT``."""
    def values(self) -> list[Any]:
        """Return the values of all columns."""
    def items(self) -> list[tuple[str, Any]]:
        """Return the names and values of all columns."""
    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary of all columns."""

@final
class Packet:
    """A packet of a flow. Its fields are attributes: ``packet.ip_size``. It stays valid after the call.

    ``payload`` and ``bytes`` have as many bytes as the plugin requests with ``payload_bytes`` and ``packet_bytes``.
    """

    time_ns: int
    """The time of capture since 1970-01-01 UTC. It is never less than the time of an earlier packet. In ns."""
    time_ms: int
    """The value of time_ns, truncated to milliseconds. In ms."""
    time_us: int
    """The value of time_ns, truncated to microseconds. In us."""
    delta_time_ms: int
    """The time since the flow's previous packet, of either direction; 0 for the first packet. It is the difference of
    two times that are each truncated to milliseconds. In ms.
    """
    direction: int
    """The direction of the packet: 0 for the direction of the flow's first packet, 1 for the opposite direction."""
    raw_size: int
    """The size of the frame on the wire, including the link layer. In bytes."""
    ip_size: int
    """The size of the IP packet, as its header states it. In bytes."""
    transport_size: int
    """The size of transport header and payload, by the IP header. It is 0 for protocols other than TCP, UDP, ICMP and
    ICMPv6, and for packets that are too short for a TCP or UDP header. In bytes.
    """
    payload_size: int
    """The size of the transport payload, by the IP header; 0 if `transport_size` is 0. In bytes."""
    src_ip: str
    """The source address."""
    src_mac: str
    """The source MAC address of this frame; zeros if its link layer has none."""
    src_oui: str
    """The first three bytes of src_mac."""
    dst_ip: str
    """The destination address."""
    dst_mac: str
    """The destination MAC address of this frame; zeros if its link layer has none."""
    dst_oui: str
    """The first three bytes of dst_mac."""
    src_port: int
    """The source port; 0 if there is none."""
    dst_port: int
    """The destination port; 0 if there is none."""
    protocol: int
    """The IANA number of the protocol after the IP header and its extension headers."""
    ip_version: int
    """The IP version: 4 or 6."""
    vlan_id: int
    """The identifier of the innermost VLAN tag; 0 without a tag."""
    tunnel_id: int
    """The innermost tunnel that contains the packet: 0 none, 1 GTP-U, 2 CAPWAP, 3 TZSP, 5 VXLAN, 6 GRE, 7 Geneve."""
    tcp_flags: int
    """The flag bits of the TCP header: FIN is the lowest bit, CWR the highest; 0 for other protocols."""
    syn: bool
    """True if the TCP flag syn is set; false for other protocols."""
    cwr: bool
    """True if the TCP flag cwr is set; false for other protocols."""
    ece: bool
    """True if the TCP flag ece is set; false for other protocols."""
    urg: bool
    """True if the TCP flag urg is set; false for other protocols."""
    ack: bool
    """True if the TCP flag ack is set; false for other protocols."""
    psh: bool
    """True if the TCP flag psh is set; false for other protocols."""
    rst: bool
    """True if the TCP flag rst is set; false for other protocols."""
    fin: bool
    """True if the TCP flag fin is set; false for other protocols."""
    ttl: int
    """The time to live of IPv4, or the hop limit of IPv6."""
    ip_id: int
    """The identification of IPv4; 0 for IPv6."""
    tcp_window: int
    """The window in the TCP header, without scaling; 0 for other protocols. In bytes."""
    tcp_seq: int
    """The TCP sequence number; 0 for other protocols."""
    tcp_ack: int
    """The TCP acknowledgement number; 0 for other protocols."""
    icmp_type: int
    """The type of the ICMP or ICMPv6 message; 0 for other protocols."""
    icmp_code: int
    """The code of the ICMP or ICMPv6 message; 0 for other protocols."""
    payload: bytes
    """The first bytes of the transport payload, as many as ``payload_bytes`` of the plugin."""
    bytes: bytes
    """The first bytes of the packet from its IP header on, as many as ``packet_bytes`` of the plugin."""

@final
class Fields:
    """Fields of a live flow, which are attributes."""

    def __getattr__(self, name: str) -> Any: ...

class _Attributes:
    """The attributes of a flow that NFStream has."""

    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...

@final
class NFlow(_Attributes):
    """A flow with NFStream's attributes. They can be written.

    A plugin sees a live flow, whose attributes change with its packets. ``flow.udps`` takes any attribute.
    """

    udps: Any
    def keys(self) -> list[str]:
        """Return the names of all attributes. Those of plugins are ``udps.NAME``."""
    def values(self) -> list[Any]:
        """Return the values of all attributes."""
    def to_namedtuple(self) -> Any:
        """Return a named tuple of all attributes, with ``_`` for dots in names."""

@final
class NFPacket:
    """A packet of a flow, with the fields and names of NFStream. It stays valid after the call."""

    _fields: tuple[str, ...]
    time: int
    delta_time: int
    direction: int
    raw_size: int
    ip_size: int
    transport_size: int
    payload_size: int
    src_ip: str
    src_mac: str
    src_oui: str
    dst_ip: str
    dst_mac: str
    dst_oui: str
    src_port: int
    dst_port: int
    protocol: int
    vlan_id: int
    ip_version: int
    ip_packet: bytes
    syn: int
    cwr: int
    ece: int
    urg: int
    ack: int
    psh: int
    rst: int
    fin: int
    tunnel_id: int
    def _asdict(self) -> dict[str, Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...

@final
class Run:
    def __init__(self, arguments: dict[str, Any]) -> None: ...
    def columns(self) -> list[str]: ...
    def next_flow(self) -> Flow | None: ...
    def next_nflow(self) -> NFlow | None: ...
    def stream(self, rows: int | None = None) -> object: ...
    def is_read(self) -> bool: ...
    def take_raised(self) -> BaseException | None: ...
    def write(
        self,
        path: str | os.PathLike[str],
        format: str | None = None,
        compression: str | None = None,
    ) -> int: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def summary(self) -> str: ...
    def progress(self) -> tuple[int, int | None]: ...
