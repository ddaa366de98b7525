"""Plugins that are Python classes, in this process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Union

from .checks import Mistake, check_plugin
from .errors import ParameterError
from .options import OptionError, Options
from .plugin import Available, Plugin

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class InProcess:
    """A plugin that is a Python class, with a name and options. It runs in this process, with all rights of the program.

    Parameters
    ----------
    plugin
        The class, of which each run makes an object, or an object.
    name
        The name in columns: ``udps.NAME.OUTPUT``. By default, it is the name of the class, with lower case and ``_``:
        ``BiggestPacket`` is ``biggest_packet``.
    options
        Options that ``open`` reads.
    """

    def __init__(
        self,
        plugin: type[Plugin] | Plugin,
        *,
        name: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        kind = plugin if isinstance(plugin, type) else type(plugin)
        if not issubclass(kind, Plugin):
            raise ParameterError(f"plugin {kind.__name__}: a class that inherits from flowloom.Plugin is expected")
        self.plugin = plugin
        self.name = name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
        if not _NAME.fullmatch(self.name):
            raise ParameterError(f"plugin name '{self.name}': up to 32 characters a-z, 0-9 and _ are accepted")
        self.options = dict(options or {})

    def _argument(self, available: Available) -> dict[str, Any]:
        """Open the plugin for a run in which this is available, and return what the native module needs of it."""
        plugin = self.plugin() if isinstance(self.plugin, type) else self.plugin
        options = Options(list(self.options.items()))
        try:
            plugin.open(options)
            options.check()
            plugin.adapt(available)
            check_plugin(plugin)
        except (Mistake, OptionError) as error:
            raise ParameterError(f"plugin '{self.name}': {error}") from None
        return {
            "name": self.name,
            "plugin": plugin,
            "outputs": [(output.name, output.type, output.description) for output in plugin.outputs],
            "packet": list(plugin.packet),
            "at_init": list(plugin.at_init),
            "at_update": list(plugin.at_update),
            "payload_bytes": plugin.payload_bytes,
            "packet_bytes": plugin.packet_bytes,
            "packets_per_flow": plugin.packets_per_flow,
            "cuts_flows": plugin.cuts_flows,
        }


Class = Union[type[Plugin], Plugin, InProcess]
