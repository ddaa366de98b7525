"""The base class of plugins."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .options import Options
from .outputs import Output
from .row_types import Flow, Packet

class Available(NamedTuple):
    """What a plugin may request in this run: fields that exist and that the operator granted."""

    packet: list[str]
    flow: list[str]
    payload_bytes: int
    packet_bytes: int

class Plugin:
    version: str
    description: str
    outputs: Sequence[Output]
    packet: Sequence[str]
    payload_bytes: int
    packet_bytes: int
    at_init: Sequence[str]
    at_update: Sequence[str]
    at_expire: Sequence[str]
    packets_per_flow: int | None
    flow_bytes: int
    cuts_flows: bool
    needs_one_meter: bool
    def open(self, options: Options) -> None: ...
    def adapt(self, available: Available) -> None: ...
    def init(self, packet: Packet, flow: Flow) -> Any: ...
    def update(self, state: Any, packet: Packet, flow: Flow) -> None: ...
    def expire(self, state: Any, flow: Flow) -> dict[str, Any] | None: ...
    def finish(self) -> None: ...
    def cuts(self, state: Any) -> bool: ...
