"""Flows as a DataFrame of Spark, metered by all executors.

>>> import flowloom.spark
>>> spark.dataSource.register(flowloom.spark.FlowloomDataSource)  # doctest: +SKIP
>>> frame = spark.read.format("flowloom").option("statistical_analysis", "true").load("captures/")  # doctest: +SKIP

The package ``flowloom`` must be installed on the driver and on all executors, and all must see plugins, and captures
that are files, under the same paths.
"""

from __future__ import annotations

import difflib
import inspect
import ipaddress
import json
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyspark

from . import engines
from .errors import CaptureWarning, ParameterError
from .flows import AnyPlugin, Wasm, meter
from .plan import Task, plan

engines.require("flowloom.spark", "pyspark", pyspark.__version__, (4, 0))

from pyspark.sql import datasource as api
from pyspark.sql import types
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FlowloomDataSource"]


class FlowloomDataSource(DataSource):
    """The data source ``flowloom``.

    Its options are the parameters of :func:`flowloom.plan` and :func:`flowloom.meter`, as texts:

    - booleans are ``true`` and ``false``;
    - lists are separated by commas;
    - ``plugins`` are files separated by commas, or a JSON list. Its elements are files, or objects with the parameters of
      :class:`flowloom.Wasm`.

    There are two more options:

    - ``allow_damaged``: whether a damaged capture gives the flows up to the damage. By default, the query fails with an
      error that names the file;
    - ``pushdown``: whether comparisons of the query are also made by the run, so that Spark gets fewer flows. It needs
      Spark 4.1, and its setting ``spark.sql.python.filterPushdown.enabled``.

    The sources are the argument of ``load``: a path or a list of paths. With ``schema``, the run has only these columns.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(dict(options))
        given = {name.lower(): value for name, value in options.items()}
        self._paths = _paths(given)
        values = {name: _value(name, text) for name, text in given.items() if name not in ("path", "paths")}
        self._allow_damaged = values.pop("allow_damaged", False)
        self._has_pushdown = values.pop("pushdown", False)
        self._parameters = values
        self._tasks: list[Task] = []

    @classmethod
    def name(cls) -> str:
        """Return the name for ``spark.read.format``."""
        return "flowloom"

    def schema(self) -> Any:
        """Return the schema of the flows. No packet is metered."""
        schema = engines.schema_of(self._planned()[0])
        fields = [types.StructField(field.name, _spark_type(field.type), field.nullable) for field in schema]
        # Sail 0.7 fails at a time in a StructType of pyspark 4.2, and takes Arrow's schema as well.
        return _arrow_schema(types.StructType(fields)) if "pysail" in sys.modules else types.StructType(fields)

    def reader(self, schema: types.StructType | pyarrow.Schema) -> DataSourceReader:
        """Return the reader of the columns of ``schema``. Sail passes the schema of Arrow."""
        kind = _Reader
        if self._has_pushdown:
            if not hasattr(DataSourceReader, "pushFilters"):
                raise ParameterError(f"pushdown: Spark {pyspark.__version__} has none; use 4.1 or later, or the option where")
            kind = _FilteringReader
        arrow = _arrow_schema(schema) if isinstance(schema, types.StructType) else schema
        return kind(self._planned(), arrow, self._allow_damaged)

    def _planned(self) -> list[Task]:
        # Spark pickles this object after it has asked for the schema, so that the plan is made once.
        if not self._tasks:
            planned = plan(self._paths, **self._parameters)
            for skipped in planned.skipped:
                warnings.warn(skipped, CaptureWarning, stacklevel=2)
            self._tasks = engines.tasks_of(planned)
        return self._tasks


class _Partition(InputPartition):
    """A task of the plan, as JSON."""

    def __init__(self, text: str) -> None:
        super().__init__(text)


class _Reader(DataSourceReader):
    """Does tasks on executors."""

    def __init__(self, tasks: list[Task], schema: pyarrow.Schema, allow_damaged: bool) -> None:
        # Executors get this object too, with no tasks.
        self._tasks = [task.to_json() for task in tasks]
        self._schema = schema
        self._allow_damaged = allow_damaged
        self._where: list[str] = []

    def partitions(self) -> list[InputPartition]:
        """Return one partition for each task."""
        tasks = [_changed(text, self._schema.names, self._where) for text in self._tasks]
        # A schema of the user can have wrong columns.
        engines.schema_of(Task(tasks[0]))
        self._tasks = []
        return [_Partition(task) for task in tasks]

    def read(self, partition: InputPartition) -> Iterator[pyarrow.RecordBatch]:
        """Return the flows of a task."""
        import pyarrow

        for batch in engines.batches(partition.value, allow_damaged=self._allow_damaged):
            yield from pyarrow.Table.from_batches([batch]).cast(self._schema).to_batches()


class _FilteringReader(_Reader):
    """Does tasks with the comparisons of a query. Spark refuses this method if its setting is off."""

    def pushFilters(self, filters: list[Any]) -> Iterable[Any]:  # noqa: N802
        """Add comparisons to the condition of the run.

        Spark makes all of them again. A comparison that the run does not make is therefore no mistake.
        """
        for filter in filters:
            condition = _condition(filter, self._schema)
            if condition is not None and self._is_valid([*self._where, condition]):
                self._where.append(condition)
        return filters

    def _is_valid(self, conditions: list[str]) -> bool:
        """Return whether a run accepts conditions: they are not too long, and values have the types of their columns."""
        task = Task(_changed(self._tasks[0], self._schema.names, conditions))
        try:
            return bool(task.flows().columns)
        except ParameterError:
            return False


def _changed(text: str, columns: Sequence[str], conditions: Sequence[str]) -> str:
    """Return a task that has only some columns, and the flows for which further conditions are true."""
    task = json.loads(text)
    config = task["config"]
    config["select"] = list(columns)
    own = [config["where"]] if config["where"] else []
    all_of = [f"({condition})" for condition in (*own, *conditions)]
    config["where"] = " and ".join(all_of) or None
    return json.dumps(task)


# Options


def _paths(options: Mapping[str, str]) -> list[str]:
    """Return the argument of ``load``: Spark makes a JSON list of several paths."""
    paths = json.loads(options["paths"]) if "paths" in options else []
    if "path" in options:
        paths.insert(0, options["path"])
    if not paths:
        raise ParameterError("there is no source: give a path to load()")
    return paths


def _accepted() -> dict[str, str]:
    """Return the options with their types, as the functions state them."""
    accepted = {"allow_damaged": "bool", "pushdown": "bool"}
    for function in (plan, meter):
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                accepted[name] = parameter.annotation
    return accepted


def _value(name: str, text: str) -> Any:
    """Return the value of an option."""
    accepted = _accepted()
    if name not in accepted:
        close = difflib.get_close_matches(name, accepted, 3)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "options are the parameters of flowloom.meter"
        raise ParameterError(f"there is no option '{name}'; {hint}")
    kind = accepted[name]
    if name == "plugins":
        return _plugins(text)
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise ParameterError(f"{name}='{text}': true or false is expected")
        return text.lower() == "true"
    if kind in ("int", "int | None"):
        try:
            return int(text)
        except ValueError:
            raise ParameterError(f"{name}='{text}': a whole number is expected") from None
    if kind == "Sequence[str]":
        return [part.strip() for part in text.split(",") if part.strip()]
    # `meter` also takes tunnels as a text.
    return text


def _plugins(text: str) -> list[AnyPlugin]:
    if not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"plugins: not a JSON list: {error}") from None
    plugins: list[AnyPlugin] = []
    for plugin in given:
        if isinstance(plugin, dict):
            try:
                plugins.append(Wasm(**plugin))
            except TypeError as error:
                raise ParameterError(f"plugins: {error}") from None
        else:
            plugins.append(str(plugin))
    return plugins


# Types


def _spark_type(arrow: pyarrow.DataType) -> types.DataType:
    """Return Spark's type for a type of a column. Spark has no dictionaries: they are text."""
    import pyarrow.types as is_

    if is_.is_dictionary(arrow):
        return _spark_type(arrow.value_type)
    if is_.is_list(arrow):
        return types.ArrayType(_spark_type(arrow.value_type), arrow.value_field.nullable)
    for matches, spark in (
        (is_.is_boolean, types.BooleanType()),
        (is_.is_int32, types.IntegerType()),
        (is_.is_int64, types.LongType()),
        (is_.is_float64, types.DoubleType()),
        (is_.is_string, types.StringType()),
        (is_.is_binary, types.BinaryType()),
        (is_.is_timestamp, types.TimestampType()),
    ):
        if matches(arrow):
            return spark
    raise TypeError(f"there is no type of Spark for {arrow}")


def _arrow_schema(spark: types.StructType) -> pyarrow.Schema:
    """Return the Arrow schema that Spark expects."""
    import pyarrow

    return pyarrow.schema(
        [pyarrow.field(field.name, _arrow_type(field.dataType), field.nullable) for field in spark.fields]
    )


def _arrow_type(spark: types.DataType) -> pyarrow.DataType:
    """Return the Arrow type that Spark expects."""
    import pyarrow

    if isinstance(spark, types.ArrayType):
        return pyarrow.list_(pyarrow.field("element", _arrow_type(spark.elementType), spark.containsNull))
    for kind, arrow in (
        (types.BooleanType, pyarrow.bool_()),
        (types.ShortType, pyarrow.int16()),
        (types.IntegerType, pyarrow.int32()),
        (types.LongType, pyarrow.int64()),
        (types.FloatType, pyarrow.float32()),
        (types.DoubleType, pyarrow.float64()),
        (types.StringType, pyarrow.string()),
        (types.BinaryType, pyarrow.binary()),
        (types.TimestampType, pyarrow.timestamp("us", tz="UTC")),
    ):
        if isinstance(spark, kind):
            return arrow
    raise ParameterError(f"schema: columns of flows cannot have the type {spark.simpleString()}")


# Filters

_COMPARISONS = {"EqualTo": "=", "GreaterThan": ">", "GreaterThanOrEqual": ">=", "LessThan": "<", "LessThanOrEqual": "<="}


def _condition(filter: Any, schema: pyarrow.Schema) -> str | None:
    """Return the condition (docs/filters.md) that is true for the same flows as a filter of Spark, or None.

    Null and NaN are compared in the same way by both.
    """
    import pyarrow.types as is_

    if isinstance(filter, api.Not):
        child = _condition(filter.child, schema)
        return None if child is None else f"not ({child})"
    path: Sequence[str] = getattr(filter, "attribute", ())
    if len(path) != 1 or path[0] not in schema.names:
        return None
    name = path[0]
    arrow = schema.field(name).type
    kind = type(filter).__name__
    if kind == "In":
        values = [_literal(value, arrow, name) for value in filter.value]
        if not values or None in values:
            return None
        return " or ".join(f"{name} = {value}" for value in values)
    if kind not in _COMPARISONS:
        return None
    # The order of texts depends on their collation, and booleans have none.
    if kind != "EqualTo" and (is_.is_string(arrow) or is_.is_boolean(arrow)):
        return None
    literal = _literal(filter.value, arrow, name)
    return None if literal is None else f"{name} {_COMPARISONS[kind]} {literal}"


def _literal(value: Any, arrow: pyarrow.DataType, name: str) -> str | None:
    """Return a value of Spark in the language of conditions, or None."""
    import pyarrow.types as is_

    if isinstance(value, bool):
        return str(value).lower() if is_.is_boolean(arrow) else None
    if is_.is_integer(arrow) and isinstance(value, int):
        return str(value)
    if is_.is_float64(arrow) and isinstance(value, float) and math.isfinite(value):
        text = repr(value)
        return None if "e" in text else text
    if is_.is_string(arrow) and isinstance(value, str):
        if name in ("src_ip", "dst_ip"):
            return value if _is_plain_ipv4(value) else None
        # In the language, some of these characters are escapes.
        return None if any(ord(char) < 32 or char in "\"\\" for char in value) else f'"{value}"'
    return None


def _is_plain_ipv4(text: str) -> bool:
    """Return whether a text is an address as flows have it. One IPv6 address has many forms."""
    try:
        return str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False
