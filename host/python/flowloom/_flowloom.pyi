"""The native module."""

import os
from collections.abc import Iterator
from typing import Any, final

__version__: str

def defaults() -> str: ...
def versions() -> tuple[str, str]: ...
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
    time_ms: int
    delta_time_ms: int
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
    ip_version: int
    vlan_id: int
    tunnel_id: int
    tcp_flags: int
    syn: bool
    cwr: bool
    ece: bool
    urg: bool
    ack: bool
    psh: bool
    rst: bool
    fin: bool
    ttl: int
    ip_id: int
    tcp_window: int
    tcp_seq: int
    tcp_ack: int
    icmp_type: int
    icmp_code: int
    payload: bytes
    bytes: bytes

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
