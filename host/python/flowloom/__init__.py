"""Turn packets into flows, as iterators and DataFrames.

>>> import flowloom
>>> flows = flowloom.meter("capture.pcap", statistical_analysis=True)  # doctest: +SKIP
>>> frame = flows.to_polars()  # doctest: +SKIP

:func:`meter` describes a run. The run begins when its flows are read: with a loop, or as a DataFrame.
"""

from ._flowloom import Flow, Udps, __version__
from .errors import CaptureError, CaptureWarning, FlowloomError, ParameterError, PluginError
from .flows import Flows, Wasm, meter

__all__ = [
    "CaptureError",
    "CaptureWarning",
    "Flow",
    "Flows",
    "FlowloomError",
    "ParameterError",
    "PluginError",
    "Udps",
    "Wasm",
    "__version__",
    "meter",
]
