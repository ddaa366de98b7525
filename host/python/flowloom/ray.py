"""Flows as a dataset of Ray, metered by all machines of a Ray cluster.

>>> import flowloom.ray
>>> dataset = flowloom.ray.read_flows("captures/", statistical_analysis=True)  # doctest: +SKIP
>>> dataset.write_parquet("flows/")  # doctest: +SKIP

The package ``flowloom`` must be installed on all machines, and all must see plugins, and captures that are files, under the same paths.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import ray

from . import engines
from .errors import CaptureWarning
from .plan import Plan, plan
from .sources import Source

engines.require("flowloom.ray", "ray", ray.__version__, (2, 60))

import pyarrow
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

__all__ = ["FlowsDatasource", "read_flows"]


def read_flows(
    source: Source | Iterable[Source],
    *,
    task_bytes: int = 256 << 20,
    max_shards: int = 1,
    scan: bool = False,
    allow_damaged: bool = False,
    num_cpus: float | None = None,
    concurrency: int | None = None,
    **parameters: Any,
) -> ray.data.Dataset:
    """Return a dataset of flows.

    The plan is made at once, by this process. The tasks are done when the dataset is read. Ray does a task again if its
    machine fails.

    Parameters
    ----------
    source
        Files, folders and patterns, as for :func:`flowloom.meter`.
    task_bytes, max_shards, scan
        How the run is divided: the parameters of :func:`flowloom.plan`. Each task is a read task of Ray.
    allow_damaged
        Whether a damaged capture gives the flows up to the damage. By default, reading ends with an error that names the
        file.
    num_cpus
        The cores of a task. By default, it is ``n_meters``, and at least 1.
    concurrency
        The most tasks at a time. By default, Ray decides.
    parameters
        The parameters of :func:`flowloom.meter`. Plugins must be files.

    Returns
    -------
    ray.data.Dataset
        The flows, as Arrow blocks.

    Raises
    ------
    ParameterError
        A parameter is not valid, or has no meaning for a part of a run.
    CaptureError
        A file cannot be read.
    PluginError
        A plugin cannot be loaded.
    """
    datasource = FlowsDatasource(
        source, task_bytes=task_bytes, max_shards=max_shards, scan=scan, allow_damaged=allow_damaged, **parameters
    )
    dataset: ray.data.Dataset = ray.data.read_datasource(
        datasource,
        num_cpus=float(max(1, parameters.get("n_meters", 1))) if num_cpus is None else num_cpus,
        concurrency=concurrency,
        # Otherwise Ray divides the flows of a task into many blocks.
        override_num_blocks=len(datasource.plan.tasks),
    )
    return dataset


class FlowsDatasource(Datasource):
    """A datasource of Ray, for ``ray.data.read_datasource``. The parameters are those of :func:`read_flows`."""

    def __init__(
        self,
        source: Source | Iterable[Source],
        *,
        task_bytes: int = 256 << 20,
        max_shards: int = 1,
        scan: bool = False,
        allow_damaged: bool = False,
        **parameters: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self._plan = plan(source, task_bytes=task_bytes, max_shards=max_shards, scan=scan, **parameters)
        for skipped in self._plan.skipped:
            warnings.warn(skipped, CaptureWarning, stacklevel=3)
        self._tasks = engines.tasks_of(self._plan)
        self._schema = _plain(engines.schema_of(self._tasks[0]))
        self._allow_damaged = allow_damaged

    @property
    def plan(self) -> Plan:
        """The plan, whose tasks are the read tasks."""
        return self._plan

    def get_name(self) -> str:
        """Return the name that Ray shows."""
        return "Flowloom"

    def estimate_inmemory_data_size(self) -> int:
        """Return the bytes of all captures. Flows mostly have fewer bytes than their packets."""
        return sum(_size(task.bytes, task.shard) for task in self._tasks)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """Return one read task for each task of the plan, whatever ``parallelism`` is."""
        return [
            ReadTask(
                functools.partial(_read, task.to_json(), self._allow_damaged),
                BlockMetadata(
                    num_rows=None,
                    size_bytes=_size(task.bytes, task.shard),
                    input_files=tuple(task.files),
                    exec_stats=None,
                ),
                schema=self._schema,
                per_task_row_limit=per_task_row_limit,
            )
            for task in self._tasks
        ]


def _size(bytes: int, shard: tuple[int, int]) -> int:
    """Return the estimated bytes of the flows of a task: those of its packets."""
    return bytes // shard[1]


def _read(text: str, allow_damaged: bool) -> Iterator[pyarrow.Table]:
    """Do a task on a worker, and return its flows as blocks."""
    for batch in engines.batches(text, allow_damaged=allow_damaged):
        table = pyarrow.Table.from_batches([batch])
        yield table.cast(_plain(table.schema))


def _plain(schema: pyarrow.Schema) -> pyarrow.Schema:
    """Return a schema with text in place of dictionaries. Those of two blocks are different."""
    for at, field in enumerate(schema):
        if pyarrow.types.is_dictionary(field.type):
            schema = schema.set(at, field.with_type(field.type.value_type))
    return schema
