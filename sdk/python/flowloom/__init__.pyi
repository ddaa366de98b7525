"""The SDK for Flowloom plugins in Python. A plugin is a class that inherits from `Plugin`."""

from typing import Any

from . import log as log
from .options import OptionError as OptionError, Options as Options
from .outputs import Json as Json, Output as Output
from .plugin import Available as Available, Plugin as Plugin
from .row_types import Flow as Flow, Packet as Packet

def export(plugin: type[Plugin]) -> tuple[Any, Any]:
    """Returns the two classes that componentize-py expects in the author's module:

        Feature, BatchFeature = flowloom.export(MyPlugin)

    Outside of a component, for example in a test, both are None.
    """
