"""What the modules for engines share: the flows of a task on a worker, with errors that its driver can show."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import CaptureError, FlowloomError, PluginError
from .flows import _Stream
from .plan import Plan, Task
from .sources import is_url

if TYPE_CHECKING:
    import pyarrow

__all__ = ["batches", "require", "schema_of", "tasks_of"]


def require(module: str, package: str, found: str, least: tuple[int, int]) -> None:
    """Raise an error if a package is older than ``module`` needs."""
    version = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if version < least:
        needed = ".".join(map(str, least))
        raise ImportError(
            f"{module} needs {package} {needed} or later, and {package} {found} is installed: "
            f"pip install '{package}>={needed}'",
            name=package,
        )


def tasks_of(plan: Plan) -> list[Task]:
    """Return the tasks of a plan, with absolute paths: workers have other working directories."""
    tasks = []
    for planned in plan.tasks:
        task = json.loads(planned.to_json())
        config = task["config"]
        places: list[tuple[dict[str, Any], str]] = [(file, "path") for file in task["files"]]
        places += [(plugin["source"], "file") for plugin in config["plugins"]]
        places += [(config, "policy"), (config["ndpi"], "protocols"), (config["ndpi"], "categories")]
        if config["ndpi"]["library"] not in ("auto", "none"):
            places.append((config["ndpi"], "library"))
        for values, name in places:
            if values.get(name) is not None:
                values[name] = values[name] if is_url(values[name]) else os.path.abspath(values[name])
        tasks.append(Task(json.dumps(task)))
    return tasks


def schema_of(task: Task) -> pyarrow.Schema:
    """Return the schema of the flows of a task. No packet is metered.

    It also checks conditions, columns and plugins, so that mistakes are found before workers begin.
    """
    import pyarrow

    flows = task.flows()
    with flows._begin() as session:
        return pyarrow.RecordBatchReader.from_stream(_Stream(session)).schema


def batches(text: str, *, allow_damaged: bool) -> Iterator[pyarrow.RecordBatch]:
    """Do a task, and return its flows batch by batch. A task without flows has one batch without rows.

    Parameters
    ----------
    text
        The JSON of the task.
    allow_damaged
        Whether damage in a file is accepted. If not, the last batch is followed by an error: nobody sees the warnings of
        a worker.

    Raises
    ------
    FlowloomError
        The task cannot be done. The message names the machine.
    """
    import pyarrow

    flows = Task(text).flows()
    try:
        with flows._begin() as session:
            reader = pyarrow.RecordBatchReader.from_stream(_Stream(session))
            is_empty = True
            for batch in reader:
                is_empty = False
                yield batch
            if is_empty:
                # Engines learn the columns from it.
                yield pyarrow.RecordBatch.from_pylist([], schema=reader.schema)
            summary = session.summary()
        problems, damage = summary["problems"], summary["damage"]
        errors = [problem for problem in problems if problem not in damage]
        if errors:
            raise CaptureError("; ".join(errors))
        if problems and not allow_damaged:
            raise CaptureError("; ".join(problems) + "; set allow_damaged to keep the flows up to there")
    except (CaptureError, PluginError) as error:
        raise type(error)(_on_this_machine(error)) from None
    except (FlowloomError, pyarrow.ArrowException) as error:
        raise FlowloomError(_on_this_machine(error)) from None


def _on_this_machine(error: Exception) -> str:
    return f"{error} (on machine {socket.gethostname()})"
