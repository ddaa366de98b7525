"""Runs and their flows."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, Union

from . import html
from ._flowloom import Flow, Run, available, public_name
from .classes import Class, InProcess
from .command import command
from .errors import CaptureError, CaptureWarning, FlowloomError, ParameterError
from .plugin import Available, Plugin
from .sources import Bytes, Feeder, Path, Source, rewind, sources_of

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars
    import pyarrow

__all__ = ["Flows", "Wasm", "meter"]

# The columns and rows of the table that a notebook shows.
_SHOWN = (
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",
    "bidirectional_packets",
    "bidirectional_bytes",
    "application_name",
    "requested_server_name",
)
_SHOWN_ROWS = 10
# The largest capture that a notebook meters in order to show some flows, in bytes.
_SHOWN_BYTES = 64 << 20


class Wasm:
    """A plugin: a WebAssembly component that adds columns ``udps.NAME.OUTPUT``.

    Parameters
    ----------
    source
        The file of the component, or its bytes.
    name
        The name in columns and messages. By default, it is the name of the file up to its first dot. Bytes need a name.
    options
        Options that the plugin gets when it is opened.
    grants
        The data that the plugin may read, separated by commas: ``addresses``, ``pseudonyms``, ``application``,
        ``names``, ``payload:N``, ``bytes:N``.
    sha256
        The SHA-256 digest that the component must have, as 64 hexadecimal digits.
    """

    def __init__(
        self,
        source: Path | Bytes,
        *,
        name: str | None = None,
        options: Mapping[str, str] | None = None,
        grants: str = "",
        sha256: str | None = None,
    ) -> None:
        self.source = source
        self.name = name
        self.options = dict(options or {})
        self.grants = grants
        self.sha256 = sha256

    def __repr__(self) -> str:
        return f"<Wasm {self.name or _name(self.source)}>"

    def _argument(self) -> dict[str, Any]:
        file, data = None, None
        if isinstance(self.source, (str, os.PathLike)):
            file = os.fspath(self.source)
        else:
            data = bytes(self.source)
        return {
            "file": file,
            "bytes": data,
            "features": None,
            "name": self.name,
            "options": {str(key): str(value) for key, value in self.options.items()},
            "grants": self.grants,
            "sha256": self.sha256,
        }


AnyPlugin = Union[Path, Wasm, Class]
Tunnels = Union[bool, str, Iterable[str]]
Accounting = Literal["raw", "ip", "transport", "payload"]


def meter(
    source: Source | Iterable[Source],
    *,
    where: str | None = None,
    select: Sequence[str] = (),
    idle_timeout: int = 15,
    active_timeout: int = 1800,
    end_on_fin: bool = False,
    accounting_mode: Accounting = "raw",
    decode_tunnels: Tunnels = True,
    statistical_analysis: bool = False,
    splt_analysis: int = 0,
    n_dissections: int = 20,
    ndpi: Path | None = None,
    ndpi_license: Literal["lgpl", "non-commercial", "commercial"] | None = None,
    ndpi_protocols: Path | None = None,
    ndpi_categories: Path | None = None,
    community_id: int | None = None,
    flow_uid: bool = False,
    source_file: bool = False,
    system_visibility: bool = False,
    system_visibility_poll_ms: int = 100,
    bpf_filter: str | None = None,
    snapshot_length: int | None = None,
    promiscuous_mode: bool = True,
    socket_buffer_size: int = 0,
    fanout: bool = False,
    group: Literal["auto", "one", "each"] = "auto",
    skip_unreadable: bool = False,
    n_meters: int = 1,
    max_nflows: int = 0,
    max_live_flows: int = 0,
    queue_bytes: int = 256 << 20,
    features: Iterable[str] | str = (),
    plugins: Iterable[AnyPlugin] | AnyPlugin = (),
    plugin_folder: Path | None = None,
    plugin_cache: Path | None = None,
    policy: Path | None = None,
    columns_to_anonymize: Sequence[str] = (),
    anonymization_key: str | None = None,
    progress: bool = False,
) -> Flows:
    """Describe a run that meters packets into flows.

    Nothing is read before the flows are: with a loop over the result, or with one of its methods such as
    :meth:`Flows.to_polars`.

    Parameters
    ----------
    source
        A capture file (pcap or pcapng, plain, gzip or zstd), a folder of captures, a pattern such as
        ``captures/*.pcap``, the name of an interface, ``bytes``, or a file object in binary mode. Or a list of these.
    where
        A condition: other flows are not returned, for example ``"dst_port = 443"``.
    select
        The columns of DataFrames and files, in this order. By default, all.
    idle_timeout
        A flow ends after this time without a packet, in seconds.
    active_timeout
        A flow ends at this age even if it is active, in seconds.
    end_on_fin
        Whether a flow also ends with its TCP connection.
    accounting_mode
        The bytes that count: of the frame (``raw``), of the IP packet (``ip``), of the transport header and payload
        (``transport``), or of the payload.
    decode_tunnels
        The tunnels whose inner packets are metered: a list of ``gtp``, ``capwap``, ``tzsp``, ``vxlan``, ``gre`` and
        ``geneve``. ``True`` stands for the first three, ``False`` for none.
    statistical_analysis
        Whether flows have statistics of packet sizes, times and TCP flags.
    splt_analysis
        The number of first packets whose direction, size and time are columns.
    n_dissections
        The number of first packets that nDPI dissects, at most 255; 0 removes the application columns.
    ndpi
        The nDPI library: ``auto``, ``none`` or a file. By default, the value of the environment variable
        ``FLOWLOOM_NDPI``, or ``auto``: the system's ``libndpi.so.5``, nDPI 5.0 of an installed NFStream 6.6.0, or the
        system's ``libndpi.so.4.2``.
    ndpi_license
        Your licence for nDPI 6.
    ndpi_protocols, ndpi_categories
        Files with additional protocols and categories, in nDPI's formats.
    community_id
        The seed of Community IDs. Flows have the column ``community_id`` if it is given.
    flow_uid
        Whether flows have an identifier that is the same in every run.
    source_file
        Whether flows have the file of their first packet.
    system_visibility
        Whether flows of an interface have the process of this machine that owns their socket: the columns
        ``system_process_pid`` and ``system_process_name``. Processes of other users need the capabilities
        ``CAP_SYS_PTRACE`` and ``CAP_DAC_READ_SEARCH``.
    system_visibility_poll_ms
        The interval at which the sockets of this machine are read, in milliseconds.
    bpf_filter
        A filter in the language of libpcap: other packets are not metered.
    snapshot_length
        The length in bytes to which packets are truncated. By default, packets of interfaces have at most 1536 bytes.
    promiscuous_mode
        Whether an interface captures packets to other hosts too.
    socket_buffer_size
        The kernel's buffer for an interface, in bytes; 0 is 32 MiB.
    fanout
        Whether the kernel distributes the packets of an interface to the meters.
    group
        How files are joined into captures: ``auto`` joins rotated files of one link, ``one`` joins all files, ``each``
        joins none.
    skip_unreadable
        Whether captures that cannot be read are skipped.
    n_meters
        The number of metering threads; 0 is one for each core but one.
    max_nflows
        The number of flows after which the run ends; 0 is no limit.
    max_live_flows
        The number of live flows at which the oldest ends early; 0 is no limit.
    queue_bytes
        The memory for ended flows until they are read, in bytes.
    features
        Columns that expressions define, such as ``"big = count(where ip_size > 1000)"``: a text with one expression a line,
        or a list of texts. All are one plugin, whose columns begin with ``udps.features.``. It may read the data that the
        expressions need.
    plugins
        Plugins: files of WebAssembly components or of features (``*.features``), :class:`Wasm` with options and grants, or Python classes that inherit
        from :class:`Plugin` (:class:`InProcess` adds a name and options). A run with Python classes has one meter.
    plugin_folder
        A folder of plugins.
    plugin_cache
        The folder of compiled plugins. By default, ``~/.cache/flowloom``.
    policy
        The file of the policy that plugins are under.
    columns_to_anonymize
        The columns whose values are replaced by keyed hashes.
    anonymization_key
        The key of hashes, 128 hexadecimal digits. By default, a random key.
    progress
        Whether to show progress, with ``tqdm`` if it is installed.

    Returns
    -------
    Flows
        The run.

    Raises
    ------
    ParameterError
        A parameter is of the wrong type, or there is no source. Other errors are raised when the run begins.
    """
    config = _Config()
    config.set("idle_timeout", _whole(idle_timeout, "idle_timeout"), within="settings")
    config.set("active_timeout", _whole(active_timeout, "active_timeout"), within="settings")
    config.set("end_on_fin", bool(end_on_fin), within="settings")
    config.set("accounting_mode", _one_of(accounting_mode, "accounting_mode", _ACCOUNTING), within="settings")
    config.set("decode_tunnels", _tunnels(decode_tunnels), within="settings")
    config.set("statistical_analysis", bool(statistical_analysis), within="settings")
    config.set("splt_analysis", _whole(splt_analysis, "splt_analysis", 65_535), within="settings")
    config.set("n_dissections", _whole(n_dissections, "n_dissections", 255), within="settings")
    config.set("max_flows", _whole(max_live_flows, "max_live_flows"), within="settings")
    config.set("queue_bytes", _whole(queue_bytes, "queue_bytes"), within="settings")
    config.set("library", _text(ndpi), within="ndpi")
    config.set("license", ndpi_license, within="ndpi")
    config.set("protocols", _text(ndpi_protocols), within="ndpi")
    config.set("categories", _text(ndpi_categories), within="ndpi")
    config.set("grouping", _one_of(group, "group", ("auto", "one", "each")))
    config.set("skip_unreadable", bool(skip_unreadable))
    config.set("community_id", None if community_id is None else _whole(community_id, "community_id", 65_535))
    config.set("flow_uid", bool(flow_uid))
    config.set("source_file", bool(source_file))
    config.set("system_visibility", bool(system_visibility))
    config.set(
        "system_visibility_poll_ms", _whole(system_visibility_poll_ms, "system_visibility_poll_ms", 2**32 - 1)
    )
    config.set("bpf_filter", bpf_filter)
    config.set("snapshot_length", None if snapshot_length is None else _whole(snapshot_length, "snapshot_length"))
    config.set("promiscuous_mode", bool(promiscuous_mode))
    config.set("socket_buffer_size", _whole(socket_buffer_size, "socket_buffer_size", 2**32 - 1))
    config.set("fanout", bool(fanout))
    config.set("where", where)
    config.set("select", _names(select, "select"))
    config.set("max_nflows", _whole(max_nflows, "max_nflows"))
    config.set("n_meters", _whole(n_meters, "n_meters", 256))
    config.set("plugin_folder", _text(plugin_folder))
    config.set("policy", _text(policy))
    config.set("columns_to_anonymize", _names(columns_to_anonymize, "columns_to_anonymize"))
    components, classes = _by_kind(plugins)
    return Flows(
        sources_of(source),
        config.values,
        {
            "plugins": [plugin._argument() for plugin in components] + _features(features),
            "anonymization_key": anonymization_key,
            "package_folders": _package_folders(),
            "command": command(),
            "cache": _cache(plugin_cache),
        },
        classes,
        progress=progress,
    )


class Flows:
    """A run, and its flows when they are read.

    The object is an iterable of :class:`Flow`, and an Arrow stream: ``polars.DataFrame(flows)``,
    ``pyarrow.table(flows)`` and a DuckDB query over a variable of this type take it as it is. Each reading is a run of
    its own, from the beginning of its sources. Make it with :func:`meter`.
    """

    def __init__(
        self,
        sources: list[Source],
        config: dict[str, Any],
        arguments: dict[str, Any],
        classes: list[InProcess],
        *,
        progress: bool,
    ) -> None:
        self._sources = sources
        self._config = config
        self._arguments = arguments
        self._classes = classes
        self._progress = progress
        self._session: _Session | None = None
        self._was_read = False
        self._last_summary: dict[str, Any] | None = None
        # The task that is done, as JSON, in place of a configuration.
        self._task: str | None = None
        # What a run with NFStream's interface needs.
        self._nfstream: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Flow]:
        """Meter, and return the flows one after the other."""
        session = self._begin()
        with session:
            while (flow := session.run.next_flow()) is not None:
                yield flow
                session.show_progress()
            session.end()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Meter, and return the flows as an Arrow C stream.

        The stream has its own schema. ``requested_schema`` is a wish, which the standard allows to ignore.
        """
        session = self._session
        # A library may ask twice, first for the schema.
        if session is None or not session.is_stream or session.run.is_read():
            session = self._begin()
            session.is_stream = True
        return session.run.stream()

    @property
    def columns(self) -> list[str]:
        """The names of the columns of DataFrames and of Arrow and Parquet files."""
        session = self._session
        if session is not None:
            return session.run.columns()
        with self._begin(keeps=True) as begun:
            return begun.run.columns()

    @property
    def summary(self) -> dict[str, Any]:
        """The counters of the current or last run: packets, flows, plugins and problems.

        It is empty before the first run.
        """
        if self._session is not None:
            return self._session.summary()
        return dict(self._last_summary or {})

    def stop(self) -> None:
        """End the reading of packets. The flows up to now can still be read."""
        if self._session is not None:
            self._session.run.stop()

    def close(self) -> None:
        """End the run, and free its memory."""
        if self._session is not None:
            self._session.close()

    def to_arrow(self) -> pyarrow.Table:
        """Meter, and return a ``pyarrow.Table``."""
        _needs("pyarrow", "to_arrow")
        import pyarrow

        with self._reading() as stream:
            return pyarrow.table(stream)

    def to_polars(self) -> polars.DataFrame:
        """Meter, and return a ``polars.DataFrame``."""
        _needs("polars", "to_polars")
        import polars

        with self._reading() as stream:
            return polars.DataFrame(stream)

    def to_pandas(self) -> pandas.DataFrame:
        """Meter, and return a ``pandas.DataFrame``.

        It needs pyarrow. Columns with few different texts are categories, the others have pandas' text type. Lists are
        objects. Columns of plugins that contain null have the types that pandas uses for missing values.
        """
        _needs("pandas", "to_pandas")
        _needs("pyarrow", "to_pandas")
        import pandas
        import pyarrow

        with self._reading() as stream:
            table = pyarrow.table(stream)
        frame: pandas.DataFrame = table.to_pandas(types_mapper=_pandas_type(pandas))
        return frame

    def to_duckdb(self, connection: duckdb.DuckDBPyConnection, name: str) -> duckdb.DuckDBPyRelation:
        """Meter into a new table of a DuckDB connection, and return the table."""
        quoted = '"' + name.replace('"', '""') + '"'
        with self._reading() as stream:
            # The stream goes by a name that no table has.
            connection.register("flowloom_stream", stream)
            try:
                connection.execute(f"CREATE TABLE {quoted} AS SELECT * FROM flowloom_stream")
            finally:
                connection.unregister("flowloom_stream")
        return connection.table(quoted)

    def write_parquet(self, path: Path, *, compression: str | None = None) -> int:
        """Meter into a Parquet file, and return the number of flows.

        ``compression`` is ``none`` or ``zstd:1`` to ``zstd:22``; by default, it is ``zstd:3``.
        """
        return self._write(path, "parquet", compression)

    def write_arrow(self, path: Path, *, compression: str | None = None) -> int:
        """Meter into an Arrow file, and return the number of flows."""
        return self._write(path, "arrow", compression)

    def write_csv(self, path: Path) -> int:
        """Meter into a CSV file, compressed if its name ends with ``.gz`` or ``.zst``, and return the number of flows."""
        return self._write(path, "csv", None)

    def write_jsonl(self, path: Path) -> int:
        """Meter into a file of JSON lines, and return the number of flows."""
        return self._write(path, "jsonl", None)

    def __repr__(self) -> str:
        if self._task is not None:
            return "<Flows of a task>"
        shown = ", ".join(_name(source) for source in self._sources[:3])
        more = f" and {len(self._sources) - 3} more" if len(self._sources) > 3 else ""
        return f"<Flows of {shown}{more}>"

    def _repr_html_(self) -> str:
        try:
            rows = self._preview()
        except FlowloomError as error:
            return html.table(f"{self!r}: {error}", [], [])
        if rows is None:
            return html.table(f"{self!r}: not metered yet", [], [])
        names = [name for name in _SHOWN if rows and name in rows[0]]
        values = ([row[name] for name in names] for row in rows)
        return html.table(f"{self!r}: the first {len(rows)} flows", names, values)

    def _preview(self) -> list[Flow] | None:
        """Return the first flows, or None if that would read a large capture, an interface or a stream."""
        for source in self._sources:
            if not isinstance(source, (str, os.PathLike)) or not os.path.isfile(source):
                return None
            if os.path.getsize(source) > _SHOWN_BYTES:
                return None
        config = {**self._config, "max_nflows": _SHOWN_ROWS}
        preview = Flows(self._sources, config, self._arguments, [], progress=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CaptureWarning)
            return list(preview)

    def _write(self, path: Path, format: str, compression: str | None) -> int:
        with self._begin() as session:
            count = session.run.write(path, format, compression)
            session.end()
            return count

    @contextlib.contextmanager
    def _reading(self) -> Iterator[_Stream]:
        """Begin a run that another library reads as an Arrow stream."""
        with self._begin() as session:
            try:
                yield _Stream(session)
            except BaseException:
                # The other library knows only the text of the exception.
                raised = session.run.take_raised()
                if raised is not None:
                    raise raised from None
                session.check_feeders()
                raise
            session.end()

    def _begin(self, *, keeps: bool = False) -> _Session:
        if self._session is not None:
            self._session.close()
        if self._was_read and not all(rewind(source) for source in self._sources):
            raise CaptureError("a file object was already read, and cannot be set back to its begin")
        self._was_read = self._was_read or not keeps
        self._session = _Session(self)
        return self._session


class _Stream:
    """An Arrow stream of a session."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._session.run.stream()


class _Session:
    """A run from its begin to its end."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        # Whether another library reads the run, and therefore decides when it ends.
        self.is_stream = False
        self._feeders: list[Feeder] = []
        paths: list[Path] = []
        for source in flows._sources:
            if isinstance(source, (str, os.PathLike)):
                paths.append(source)
            else:
                feeder = Feeder(source)
                self._feeders.append(feeder)
                paths.append(feeder.path)
        for feeder in self._feeders:
            feeder.start()
        try:
            config = json.dumps(flows._config)
            classes = _opened(flows._classes, config, flows._arguments["package_folders"])
            arguments = {"classes": classes, "nfstream": flows._nfstream, "task": flows._task, **flows._arguments}
            self.run = Run({"config": config, "sources": paths, **arguments})
        except BaseException:
            for feeder in self._feeders:
                feeder.close()
            self.check_feeders()
            raise
        self._bar = _Bar(self.run) if flows._progress else None

    def __enter__(self) -> _Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def show_progress(self) -> None:
        if self._bar is not None:
            self._bar.update()

    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.run.summary())
        return summary

    def check_feeders(self) -> None:
        """Raise the exception of a file object."""
        for feeder in self._feeders:
            if feeder.error is not None:
                raise feeder.error

    def end(self) -> None:
        """Raise or warn of what went wrong. All flows were read."""
        self.check_feeders()
        if self._bar is not None:
            self._bar.update(0, now=True)
        for problem in self.summary()["problems"]:
            warnings.warn(self._named(problem), CaptureWarning, stacklevel=4)

    def _named(self, text: str) -> str:
        """Return a text with the names of the sources that go through a pipe."""
        for feeder in self._feeders:
            text = text.replace(f"'{feeder.path}'", feeder.name)
        return text

    def close(self) -> None:
        flows = self._flows
        if flows._session is self:
            flows._last_summary = self.summary()
            flows._session = None
        self.run.close()
        for feeder in self._feeders:
            feeder.close()
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Bar:
    """A progress bar: that of tqdm, or a line on standard error in a terminal."""

    # Flows between two updates.
    _EVERY = 256

    def __init__(self, run: Run) -> None:
        self._run = run
        self._flows = 0
        _, total = run.progress()
        self._bar: Any = None
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        self._bar = tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc="metering")

    def update(self, flows: int = 1, *, now: bool = False) -> None:
        self._flows += flows
        if not now and self._flows % self._EVERY:
            return
        done, total = self._run.progress()
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif sys.stderr.isatty():
            percent = f"{100 * done // total} %" if total else f"{done >> 20} MiB"
            print(f"\rmetering: {percent}, {self._flows} flows", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif sys.stderr.isatty() and self._flows:
            print(file=sys.stderr)


class _Config:
    """The parameters of a run, in the form of the Rust library."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def set(self, name: str, value: object, *, within: str | None = None) -> None:
        values = self.values if within is None else self.values.setdefault(within, {})
        values[name] = value


_ACCOUNTING = ("raw", "ip", "transport", "payload")


def _needs(package: str, method: str) -> None:
    """Raise an error that says what to install, if a package is missing."""
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"{method} needs {package}: pip install {package}", name=package)


def _whole(value: object, name: str, most: int = 2**64 - 1) -> int:
    """Return a whole number, or raise an error that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ParameterError(f"{name}={value!r}: a whole number is expected")
    number = value.__index__()
    if not 0 <= number <= most:
        raise ParameterError(f"{name}={value!r}: 0 to {most} is accepted")
    return int(number)


def _one_of(value: object, name: str, accepted: tuple[str, ...]) -> object:
    if value not in accepted:
        raise ParameterError(f"{name}={value!r}: {', '.join(accepted)} is accepted")
    return value


def _by_kind(plugins: Iterable[AnyPlugin] | AnyPlugin) -> tuple[list[Wasm], list[InProcess]]:
    """Return the plugins that are components, and those that are Python classes."""
    given: list[AnyPlugin]
    if isinstance(plugins, (str, os.PathLike, Wasm, InProcess, Plugin, type)):
        given = [plugins]
    else:
        given = list(plugins)
    components: list[Wasm] = []
    classes: list[InProcess] = []
    for plugin in given:
        if isinstance(plugin, Wasm):
            components.append(plugin)
        elif isinstance(plugin, (str, os.PathLike)):
            components.append(Wasm(plugin))
        elif isinstance(plugin, InProcess):
            classes.append(plugin)
        else:
            classes.append(InProcess(plugin))
    return components, classes


def _features(features: Iterable[str] | str) -> list[dict[str, Any]]:
    """Return the plugin of these expressions, if there are any."""
    texts = [features] if isinstance(features, str) else list(features)
    for text in texts:
        if not isinstance(text, str):
            raise ParameterError(f"features: {text!r} is not text")
    if not texts:
        return []
    plugin = Wasm(b"", name="features")._argument()
    return [plugin | {"bytes": None, "features": "\n".join(texts)}]


def _names(value: Sequence[str], name: str) -> list[str]:
    if isinstance(value, str):
        raise ParameterError(f"{name}={value!r}: a list of column names is expected")
    return [str(column) for column in value]


def _tunnels(value: Tunnels) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else ",".join(value)


def _text(path: Path | None) -> str | None:
    return None if path is None else os.fspath(path)


def _name(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(public_name(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{len(source)} bytes"
    return type(source).__name__


def _opened(classes: list[InProcess], config: str, package_folders: list[str]) -> list[dict[str, Any]]:
    """Open plugins that are classes for a run with this configuration."""
    if not classes:
        return []
    packet, flow, max_bytes = available(config, package_folders)
    return [plugin._argument(Available(list(packet), list(flow), max_bytes, max_bytes)) for plugin in classes]


def _package_folders() -> list[str]:
    """Return the folder of an installed NFStream, whose extension contains nDPI 5.0."""
    try:
        found = importlib.util.find_spec("_lib_engine")
    except (ImportError, ValueError):
        return []
    return [os.path.dirname(found.origin)] if found is not None and found.origin else []


def _cache(folder: Path | None, default: str = "flowloom") -> str | None:
    """Return a folder of the user's caches, which the command uses too: by default, of compiled plugins."""
    if folder is not None:
        name = os.fspath(folder)
        return None if name == "none" else name
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        cache = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, default)


def _pandas_type(pandas: Any) -> Any:
    """Return the function that chooses pandas' types for Arrow's: text is pandas' text type."""
    import pyarrow

    text = pandas.StringDtype(storage="pyarrow", na_value=pandas.NA)

    def chosen(arrow: pyarrow.DataType) -> Any:
        return text if pyarrow.types.is_string(arrow) else None

    return chosen
