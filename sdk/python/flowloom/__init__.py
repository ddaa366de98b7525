"""Flowloom plugins in Python: a class with five methods, made a component by componentize-py."""

from . import log
from .options import OptionError, Options
from .outputs import Json, Output
from .plugin import Plugin

__all__ = ["Json", "OptionError", "Options", "Output", "Plugin", "export", "log"]


def export(plugin):
    """The two classes that componentize-py looks for in an author's module:

        Feature, BatchFeature = flowloom.export(MyPlugin)

    Outside of a component, in a test for example, they are None.
    """
    try:
        import wit_world  # noqa: F401  made by componentize-py, of the contract
    except ModuleNotFoundError:
        return None, None
    from .component import Instance

    return Instance(plugin).classes()
