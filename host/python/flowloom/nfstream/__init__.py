"""The interface of NFStream 6.6.0, with the meter of Flowloom.

>>> from flowloom.nfstream import NFPlugin, NFStreamer
>>> frame = NFStreamer(source="capture.pcap").to_pandas()  # doctest: +SKIP

:func:`install` makes ``import nfstream`` return this package, for programs that cannot be changed. So does
``python -m flowloom.nfstream PROGRAM.py``.
"""

import sys

from . import flow, plugin, plugins, streamer
from .flow import NFlow, NFPacket
from .plugin import NFPlugin
from .streamer import NFStreamer

__all__ = ["NFPacket", "NFPlugin", "NFStreamer", "NFlow", "install", "plugins"]

# The version of NFStream whose interface this is.
__version__ = "6.6.0"


def install() -> None:
    """Make ``import nfstream`` return this package in the whole process.

    Call it before the first import of NFStream.

    Raises
    ------
    RuntimeError
        NFStream itself was imported already.
    """
    present = sys.modules.get("nfstream")
    if present is not None and present.__name__ != __name__:
        raise RuntimeError("nfstream was imported already: call flowloom.nfstream.install() before")
    sys.modules["nfstream"] = sys.modules[__name__]
    for module in (flow, plugin, plugins, streamer):
        sys.modules[module.__name__.replace(__name__, "nfstream", 1)] = module
