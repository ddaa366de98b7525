"""Turn packets into flows, as iterators and DataFrames.

>>> import flowloom
>>> flows = flowloom.meter("capture.pcap", statistical_analysis=True)  # doctest: +SKIP
>>> frame = flows.to_polars()  # doctest: +SKIP

:func:`meter` describes a run. The run begins when its flows are read: with a loop, or as a DataFrame.
"""

from typing import TYPE_CHECKING, Any

from ._flowloom import Fields, Flow, Packet, Udps, __version__
from .classes import InProcess
from .errors import CaptureError, CaptureWarning, FlowloomError, ParameterError, PluginError
from .flows import Flows, Wasm, meter
from .options import OptionError, Options
from .outputs import Json, Output
from .plan import Plan, Task, plan
from .plugin import Available, Plugin


if TYPE_CHECKING:
    from .build import build_plugin

__all__ = [
    "Available",
    "CaptureError",
    "CaptureWarning",
    "Fields",
    "Flow",
    "Flows",
    "FlowloomError",
    "InProcess",
    "Json",
    "OptionError",
    "Options",
    "Output",
    "Packet",
    "ParameterError",
    "Plugin",
    "Plan",
    "PluginError",
    "Task",
    "Udps",
    "Wasm",
    "__version__",
    "build_plugin",
    "meter",
    "plan",
]


def __getattr__(name: str) -> Any:
    # The modules that it imports take longer than all others.
    if name == "build_plugin":
        from .build import build_plugin

        return build_plugin
    raise AttributeError(f"module 'flowloom' has no attribute '{name}'")
