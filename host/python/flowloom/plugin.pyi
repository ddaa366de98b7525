"""The base class of plugins."""

from collections.abc import Mapping, Sequence
from typing import Any

from ._flowloom import Fields, Flow, Packet
from .options import Options
from .outputs import Output

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
    cuts_flows: bool
    needs_one_meter: bool
    def open(self, options: Options) -> None: ...
    def init(self, packet: Packet, flow: Fields) -> Any: ...
    def update(self, state: Any, packet: Packet, flow: Fields) -> None: ...
    def expire(self, state: Any, flow: Flow) -> Mapping[str, Any] | None: ...
    def finish(self) -> None: ...
    def cuts(self, state: Any) -> bool: ...
