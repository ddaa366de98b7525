"""The sources of a run: what users give, as paths that the native module reads."""

from __future__ import annotations

import glob
import io
import os
import re
import threading
from collections.abc import Iterable
from typing import Any, Protocol, Union, cast, runtime_checkable

from .errors import CaptureError, ParameterError


@runtime_checkable
class Readable(Protocol):
    """A file object in binary mode."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, or none at the end."""
        ...


Path = Union[str, "os.PathLike[str]"]
Bytes = Union[bytes, bytearray, memoryview]
Source = Union[Path, Bytes, Readable]

# The bytes that are read from a file object at once.
_BLOCK = 1 << 18


def sources_of(source: Source | Iterable[Source]) -> list[Source]:
    """Return a list of sources, with the paths that a pattern such as ``captures/*.pcap`` stands for.

    A name with ``*``, ``?`` or ``[`` is a pattern, unless there is a file of this name.
    """
    if isinstance(source, (str, bytes, bytearray, memoryview, os.PathLike, Readable)):
        given: list[Source] = [cast("Source", source)]
    elif isinstance(source, Iterable):
        given = list(source)
    else:
        raise _not_a_source(source)
    sources: list[Source] = []
    for one in given:
        if isinstance(one, (str, os.PathLike)):
            sources.extend(_paths(one))
        elif isinstance(one, (bytes, bytearray, memoryview, Readable)):
            sources.append(one)
        else:
            raise _not_a_source(one)
    if not sources:
        raise ParameterError("there is no source: give a path, an interface, bytes or a file object")
    return sources


def _not_a_source(source: object) -> ParameterError:
    return ParameterError(
        f"source {type(source).__name__}: give a path, an interface, bytes, a file object, or a list of these"
    )


def _paths(path: Path) -> list[Path]:
    name = os.fspath(path)
    if isinstance(name, bytes):
        raise _not_a_source(path)
    if is_url(name) or os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    found = sorted(glob.glob(name, recursive=True))
    if not found:
        raise CaptureError(f"no file matches the pattern {name!r}")
    return list(found)


def is_url(name: str) -> bool:
    """Return whether a name is a URL: it begins with a scheme."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name) is not None


class Feeder:
    """Passes bytes or a file object to the native module through a pipe, in a thread of its own."""

    def __init__(self, source: Bytes | Readable) -> None:
        self.error: BaseException | None = None
        self._stream: Readable
        if isinstance(source, (bytes, bytearray, memoryview)):
            self.name = f"{len(source)} bytes"
            self._stream = io.BytesIO(source)
        else:
            self.name = type(source).__name__
            self._stream = source
        # The run opens the path itself, when it reads. It sees the end when the thread closes its end of the pipe.
        self._read_end, self._write_end = os.pipe()
        self.path = f"/proc/self/fd/{self._read_end}"
        self._thread = threading.Thread(target=self._feed, name="flowloom-feeder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Close the pipe after the run, and wait for the thread, unless it waits for the file object.

        The thread then has no reader any more, and ends.
        """
        if self._read_end >= 0:
            os.close(self._read_end)
            self._read_end = -1
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def _feed(self) -> None:
        try:
            with open(self._write_end, "wb", buffering=0) as pipe:
                while block := self._stream.read(_BLOCK):
                    if not isinstance(block, (bytes, bytearray, memoryview)):
                        raise TypeError("the file object returned text; open it in binary mode")
                    view = memoryview(block)
                    while view:
                        view = view[pipe.write(view) :]
        except BrokenPipeError:
            # The run has ended early.
            pass
        except BaseException as error:  # the reader of flows raises it
            self.error = error


def rewind(source: Any) -> bool:
    """Set a source to its begin, so that it can be read again. Return whether that is possible."""
    if not hasattr(source, "read"):
        return True
    try:
        source.seek(0)
    except (AttributeError, OSError, ValueError):
        return False
    return True
