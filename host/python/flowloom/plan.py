"""Plans, which divide a run into tasks for several machines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _flowloom
from .command import command
from .errors import ParameterError
from .flows import Flows, _cache, _package_folders, _whole, meter
from .sources import Path, Source

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Plan", "Task", "plan"]


class Task:
    """A part of a planned run. It is data: any machine that has its files and plugins can do it, any number of times.

    A task can be pickled. In another language or place, its JSON makes it again.

    Parameters
    ----------
    text
        The JSON of the task: :meth:`to_json`, or a file that ``flowloom plan --tasks-to DIR`` has written.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._task: dict[str, Any] = json.loads(text)

    def to_json(self) -> str:
        """Return the task as JSON."""
        return self._text

    @property
    def files(self) -> list[str]:
        """The files that the task reads."""
        return [file["path"] for file in self._task["files"]]

    @property
    def bytes(self) -> int:
        """The size of these files, in bytes."""
        return sum(int(file["bytes"]) for file in self._task["files"])

    @property
    def shard(self) -> tuple[int, int]:
        """The number of the task's shard, and the number of shards."""
        shard = self._task["part"]["shard"]
        return shard["index"], shard["of"]

    def flows(self) -> Flows:
        """Return the flows of the task: a run that can be read like that of :func:`meter`."""
        flows = Flows(
            [],
            {},
            {
                "plugins": [],
                "anonymization_key": None,
                "package_folders": _package_folders(),
                "command": command(),
                "cache": _cache(None),
            },
            [],
            progress=False,
        )
        flows._task = self._text
        return flows

    def record_batches(self) -> pyarrow.RecordBatchReader:
        """Do the task, and return its flows as a reader of record batches. It needs pyarrow.

        The batches are those of ``flowloom run-task TASK -o -``.
        """
        import pyarrow

        return pyarrow.RecordBatchReader.from_stream(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Do the task, and return its flows as an Arrow C stream."""
        return self.flows().__arrow_c_stream__(requested_schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        index, of = self.shard
        shard = "" if of == 1 else f", shard {index} of {of}"
        return f"<Task of {len(self.files)} files, {self.bytes} bytes{shard}>"


class Plan:
    """A run that is divided into tasks. Make it with :func:`plan`.

    The flows of all tasks are those of one run, with the same values, ``capture`` and ``id``. Only their order is another
    one. Applications, and plugins that keep state between flows, can differ where a capture is divided.
    """

    def __init__(self, text: str) -> None:
        plan = json.loads(text)
        self._captures: list[dict[str, Any]] = plan["captures"]
        self._skipped: list[str] = plan["skipped"]
        self._tasks = [Task(json.dumps(task)) for task in plan["tasks"]]

    @property
    def tasks(self) -> list[Task]:
        """The tasks, in the order of their captures."""
        return self._tasks

    @property
    def captures(self) -> list[dict[str, Any]]:
        """The captures in the order of their numbers, each with ``files``, ``bytes``, ``packets`` (if all were read), ``cuts``
        (the positions of files before which the capture can be divided) and ``overlaps`` (whether it begins before the
        capture before it ends)."""
        return self._captures

    @property
    def skipped(self) -> list[str]:
        """The errors of files that are skipped."""
        return self._skipped

    def __repr__(self) -> str:
        return f"<Plan of {len(self._captures)} captures, {len(self._tasks)} tasks>"


def plan(
    source: Source | Iterable[Source],
    *,
    task_bytes: int = 256 << 20,
    max_shards: int = 1,
    scan: bool = False,
    file_cache: Path | None = None,
    **parameters: Any,
) -> Plan:
    """Divide a run into tasks.

    Parameters
    ----------
    source
        Files, folders and patterns, as for :func:`meter`.
    task_bytes
        The size of a task. Smaller captures are put together, and larger ones divided where that is possible.
    max_shards
        The most shards of a larger task. Each shard reads all packets of the task, and meters the flows with some keys.
    scan
        Whether all packets of all files are read. The plan then knows which files overlap, and divides captures between
        files with a gap of at least the idle timeout.
    file_cache
        The folder that keeps the first packets of files, so that the next plan does not read them again; ``"none"`` keeps
        nothing. By default, it is ``~/.cache/flowloom-files``, which the command uses too.
    parameters
        The parameters of :func:`meter`. Plugins must be files.

    Returns
    -------
    Plan
        The plan.

    Raises
    ------
    ParameterError
        A parameter has no meaning for a part of a run: ``max_nflows``, ``max_live_flows``, ``columns_to_anonymize``, or a
        plugin that is a Python class.
    CaptureError
        A file cannot be read.
    """
    flows = meter(source, **parameters)
    if flows._classes:
        raise ParameterError("plugins: a task contains no Python classes; build a component with build_plugin")
    paths = []
    for one in flows._sources:
        if not isinstance(one, str) and not hasattr(one, "__fspath__"):
            raise ParameterError("source: a task reads files only")
        paths.append(one)
    return Plan(
        _flowloom.plan(
            json.dumps(flows._config),
            paths,  # type: ignore[arg-type]
            flows._arguments["plugins"],
            {
                "task_bytes": _whole(task_bytes, "task_bytes"),
                "max_shards": _whole(max_shards, "max_shards", 1024),
                "scan": bool(scan),
                "cache": _cache(file_cache, "flowloom-files"),
            },
        )
    )
