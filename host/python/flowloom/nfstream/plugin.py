"""The class that plugins inherit from."""

from __future__ import annotations

from typing import Any

from .._flowloom import NFlow, NFPacket
from ..flows import Wasm

__all__ = ["NFPlugin"]


class NFPlugin:
    """A plugin that adds values to flows: ``flow.udps.NAME = value``. It runs in this process.

    Each keyword argument becomes an attribute of the plugin.
    """

    def __init__(self, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            setattr(self, name, value)

    def on_init(self, packet: NFPacket, flow: NFlow) -> None:
        """Process the first packet of a flow."""

    def on_update(self, packet: NFPacket, flow: NFlow) -> None:
        """Process another packet of a flow. ``flow.expiration_id = -1`` ends the flow with this packet."""

    def on_expire(self, flow: NFlow) -> None:
        """Process the end of a flow."""

    def cleanup(self) -> None:
        """Process the end of the run."""

    def _component(self, name: str) -> Wasm | None:
        """Return the component that computes the values, if it is not the methods that do.

        ``name`` is its name in the run. In ``on_expire``, ``flow.udps.NAME`` has its values.
        """
        return None
