"""The SDK for Flowloom plugins in Python. A plugin is a class that inherits from `Plugin`."""

from . import log
from .options import OptionError, Options
from .outputs import Json, Output
from .plugin import Available, Plugin
from .row_types import Flow, Packet

__all__ = [
    "Available",
    "Flow",
    "Json",
    "OptionError",
    "Options",
    "Output",
    "Packet",
    "Plugin",
    "export",
    "log",
]


def export(plugin):
    """Returns the two classes that componentize-py expects in the author's module:

        Feature, BatchFeature = flowloom.export(MyPlugin)

    Outside of a component, for example in a test, both are None.
    """
    try:
        import wit_world  # noqa: F401  componentize-py generates it from the contract
    except ModuleNotFoundError:
        return None, None
    from .checks import check_plugin
    from .component import Instance

    if not (isinstance(plugin, type) and issubclass(plugin, Plugin)):
        raise TypeError(f"flowloom.export needs a class that inherits from flowloom.Plugin, not {plugin!r}")
    check_plugin(plugin)
    return Instance(plugin).classes()
