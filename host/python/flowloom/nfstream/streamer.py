"""The class that meters."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import secrets
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from .._flowloom import NFlow, interfaces
from ..errors import FlowloomError
from ..flows import Flows, Wasm, meter
from ..sources import Path
from .flow import UDPS, columns
from .plugin import NFPlugin

if TYPE_CHECKING:
    import pandas

    from .._flowloom import Run

__all__ = ["NFStreamer"]


class _Parameter:
    """An attribute whose values are checked when it is set.

    ``check`` returns the value, or raises a ``ValueError``, a ``TypeError`` or an ``OverflowError`` if it is not valid.
    """

    def __init__(self, check: Callable[[Any], Any], message: str) -> None:
        self._check = check
        self._message = message

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, streamer: Any, owner: type) -> Any:
        return self if streamer is None else streamer.__dict__[self._name]

    def __set__(self, streamer: Any, value: Any) -> None:
        try:
            streamer.__dict__[self._name] = self._check(value)
        except (TypeError, ValueError) as error:
            # A check may say more than the message for all invalid values.
            raise ValueError(str(error) if isinstance(error, _Invalid) else self._message) from None


class _Invalid(ValueError):
    """What is wrong with a value."""


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _whole(least: int, most: int | None = None) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or value < least or (most is not None and value > most):
            raise ValueError
        return int(value)

    return check


def _text_or_none(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value


def _source(value: Any) -> str | list[str]:
    if isinstance(value, list):
        if not value:
            raise _Invalid("Please provide a non-empty list of sources.")
        for index, path in enumerate(value):
            if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(path):
                raise _Invalid(f"Invalid pcap file path at index: {index}.")
        return [os.fspath(path) for path in value]
    path = os.fspath(value)
    if not os.path.isfile(path) and path not in interfaces():
        raise ValueError
    return str(path)


def _plugins(value: Any) -> tuple[NFPlugin | Wasm, ...]:
    if value is None:
        return ()
    given = (value,) if isinstance(value, (NFPlugin, Wasm)) else tuple(value)
    if not all(isinstance(plugin, (NFPlugin, Wasm)) for plugin in given):
        raise TypeError
    return given


def _splt_analysis(value: Any) -> int:
    length = _whole(0, 65_535)(value)
    if length > 255:
        warnings.warn(
            f"splt_analysis={length}: lists of more than 255 packets need much memory", UserWarning, stacklevel=4
        )
    return length


_TIMEOUT = _whole(0, (2**64 - 1) // 1000)
_ACCOUNTING = ("raw", "ip", "transport", "payload")


class NFStreamer:
    """Meters packets into flows, with the interface of NFStream 6.6.0.

    It is an iterable of :class:`NFlow`. Each loop is a new run, from the beginning of the source.

    Parameters
    ----------
    source
        A capture file, the name of an interface, or a list of capture files, which are one capture in that order.
    decode_tunnels
        Whether the packets in GTP, CAPWAP and TZSP tunnels are metered. Flows then have the attribute ``tunnel_id``.
    bpf_filter
        A filter in the language of libpcap: other packets are not metered.
    promiscuous_mode
        Whether an interface captures packets to other hosts too.
    snapshot_length
        The maximum number of bytes captured per packet of an interface.
    socket_buffer_size
        The kernel's buffer for an interface, in bytes; 0 is 32 MiB.
    idle_timeout
        A flow ends after this time without a packet, in seconds.
    active_timeout
        A flow ends at this age even if it is active, in seconds.
    accounting_mode
        The bytes that count: 0 of the frame, 1 of the IP packet, 2 of the transport header and payload, 3 of the payload.
    udps
        A plugin or several: objects of classes that inherit from :class:`NFPlugin`, and :class:`flowloom.Wasm` for WebAssembly
        components, whose values are ``flow.udps.NAME.OUTPUT``.
    n_dissections
        The number of first packets that nDPI dissects, at most 255. 0 removes the application attributes.
    statistical_analysis
        Whether flows have statistics of packet sizes, times and TCP flags.
    splt_analysis
        The number of first packets whose direction, size and time are in the lists ``splt_direction``, ``splt_ps`` and
        ``splt_piat_ms``.
    n_meters
        Accepted for NFStream's sake. A run has one meter, as plugins in this process need.
    max_nflows
        The number of flows after which the run ends; 0 is no limit.
    performance_report
        The seconds between two lines of counters on standard output, for interfaces; 0 is none.
    system_visibility_mode
        1 adds the process of each flow of this machine (``system_process_pid``, ``system_process_name``), for interfaces.
    system_visibility_poll_ms
        The time between two looks at the sockets of this machine, in ms.

    Raises
    ------
    ValueError
        A parameter is not valid, now or when the attribute of its name is set, or the source cannot be read.
    """

    source: _Parameter = _Parameter(
        _source, "Please specify a pcap file path or a valid network interface name as source."
    )
    decode_tunnels: _Parameter = _Parameter(
        _boolean, "Please specify a valid decode_tunnels parameter (possible values: True, False)."
    )
    bpf_filter: _Parameter = _Parameter(_text_or_none, "Please specify a valid bpf_filter format.")
    promiscuous_mode: _Parameter = _Parameter(
        _boolean, "Please specify a valid promiscuous_mode parameter (possible values: True, False)."
    )
    snapshot_length: _Parameter = _Parameter(
        _whole(1), "Please specify a valid snapshot_length parameter (positive integer)."
    )
    socket_buffer_size: _Parameter = _Parameter(
        _whole(0, 2**31 - 1),
        "Please specify a valid socket_buffer_size parameter (positive integer <= 2^31-1).",
    )
    idle_timeout: _Parameter = _Parameter(
        _TIMEOUT, "Please specify a valid idle_timeout parameter (positive integer in seconds)."
    )
    active_timeout: _Parameter = _Parameter(
        _TIMEOUT, "Please specify a valid active_timeout parameter (positive integer in seconds)."
    )
    accounting_mode: _Parameter = _Parameter(
        _whole(0, 3), "Please specify a valid accounting_mode parameter (possible values: 0, 1, 2, 3)."
    )
    udps: _Parameter = _Parameter(_plugins, "User defined plugins must inherit from NFPlugin type.")
    n_dissections: _Parameter = _Parameter(
        _whole(0, 255),
        "Please specify a valid n_dissections parameter (possible values in : [0,...,255]).",
    )
    statistical_analysis: _Parameter = _Parameter(
        _boolean,
        "Please specify a valid statistical_analysis parameter (possible values: True, False).",
    )
    splt_analysis: _Parameter = _Parameter(
        _splt_analysis,
        "Please specify a valid splt_analysis parameter (possible values in : [0,...,65535])",
    )
    n_meters: _Parameter = _Parameter(
        _whole(0), "Please specify a valid n_meters parameter (>=1 or 0 for auto scaling)."
    )
    max_nflows: _Parameter = _Parameter(_whole(0), "Please specify a valid max_nflows parameter (>=0).")
    performance_report: _Parameter = _Parameter(
        _whole(0),
        "Please specify a valid performance_report parameter (>=1 for reporting interval (seconds)"
        " or 0 to disable). [Available only for Live capture]",
    )
    system_visibility_mode: _Parameter = _Parameter(
        _whole(0, 1),
        "Please specify a valid system_visibility_mode parameter\n0: disable\n1: process information\n"
        "[Available only for live capture on the system generating the traffic]",
    )
    system_visibility_poll_ms: _Parameter = _Parameter(
        _whole(0),
        "Please specify a valid system_visibility_poll_ms parameter (positive integer in milliseconds)",
    )

    def __init__(
        self,
        source: Path | list[Path] | None = None,
        decode_tunnels: bool = True,
        bpf_filter: str | None = None,
        promiscuous_mode: bool = True,
        snapshot_length: int = 1536,
        socket_buffer_size: int = 0,
        idle_timeout: int = 120,
        active_timeout: int = 1800,
        accounting_mode: int = 0,
        udps: NFPlugin | Wasm | Iterable[NFPlugin | Wasm] | None = None,
        n_dissections: int = 20,
        statistical_analysis: bool = False,
        splt_analysis: int = 0,
        n_meters: int = 0,
        max_nflows: int = 0,
        performance_report: int = 0,
        system_visibility_mode: int = 0,
        system_visibility_poll_ms: int = 100,
    ) -> None:
        self.source = source
        self.decode_tunnels = decode_tunnels
        self.bpf_filter = bpf_filter
        self.promiscuous_mode = promiscuous_mode
        self.snapshot_length = snapshot_length
        self.socket_buffer_size = socket_buffer_size
        self.idle_timeout = idle_timeout
        self.active_timeout = active_timeout
        self.accounting_mode = accounting_mode
        self.udps = udps
        self.n_dissections = n_dissections
        self.statistical_analysis = statistical_analysis
        self.splt_analysis = splt_analysis
        self.n_meters = n_meters
        self.max_nflows = max_nflows
        self.performance_report = performance_report
        self.system_visibility_mode = system_visibility_mode
        self.system_visibility_poll_ms = system_visibility_poll_ms

    def __iter__(self) -> Iterator[NFlow]:
        """Meter, and return the flows one after the other.

        Ctrl-C ends the reading: the flows up to then follow.
        """
        plugins = [plugin for plugin in self.udps if isinstance(plugin, NFPlugin)]
        try:
            with self._run(plugins) as run:
                yield from self._flows(run)
        except FlowloomError as error:
            raise ValueError(str(error)) from error
        finally:
            for plugin in plugins:
                plugin.cleanup()

    def to_csv(
        self,
        path: Path | None = None,
        columns_to_anonymize: Sequence[str] = (),
        flows_per_file: int = 0,
        rotate_files: int = 0,
    ) -> int:
        """Meter into CSV files, and return the number of flows. Without flows, no file is written.

        Parameters
        ----------
        path
            The file. By default, it is the name of the (first) source with ``.csv`` after it.
        columns_to_anonymize
            Columns whose values are replaced by keyed hashes. The key is random.
        flows_per_file
            The number of flows in a file; 0 is no limit. The files are ``NAME.0.csv``, ``NAME.1.csv`` and so on.
        rotate_files
            The number of files; later ones overwrite the oldest. 0 is no limit.
        """
        if not isinstance(flows_per_file, int) or flows_per_file < 0:
            raise ValueError("Please specify a valid flows_per_file parameter (>= 0).")
        if not isinstance(rotate_files, int) or rotate_files < 0:
            raise ValueError("Please specify a valid rotate_files parameter (>= 0).")
        source = self.source[0] if isinstance(self.source, list) else self.source
        file = f"{source}.csv" if path is None else os.fspath(path)
        rows = _Rows(columns_to_anonymize, is_fixed=not self.udps)
        with _Files(file, flows_per_file, rotate_files) as files:
            for flow in self:
                files.write(*rows.of(flow))
            return files.flows

    def to_pandas(self, columns_to_anonymize: Sequence[str] = ()) -> pandas.DataFrame | None:
        """Meter into a DataFrame, in the order of ``id``. Without flows, return None.

        The types are those that pandas gives to the columns of a CSV file: lists are text.

        Parameters
        ----------
        columns_to_anonymize
            Columns whose values are replaced by keyed hashes. The key is random.
        """
        import pandas

        rows = _Rows(columns_to_anonymize, is_fixed=not self.udps)
        # All columns so far. A column that a plugin sets later is the last one.
        all_columns: list[str] = []
        with tempfile.TemporaryFile("w+", newline="", encoding="utf-8", suffix=".csv") as file:
            writer = csv.writer(file)
            for flow in self:
                names, values = rows.of(flow)
                if names != all_columns:
                    all_columns += [name for name in names if name not in all_columns]
                    values = _aligned(all_columns, names, values)
                writer.writerow(values)
            if not all_columns:
                return None
            file.seek(0)
            frame = pandas.read_csv(file, engine="c", header=None, names=all_columns)
        if "id" in columns_to_anonymize:
            return frame
        return frame.sort_values("id", ignore_index=True)

    def _is_interface(self) -> bool:
        return isinstance(self.source, str) and not os.path.isfile(self.source)

    def _run(self, plugins: list[NFPlugin]) -> _Metering:
        components = [plugin for plugin in self.udps if isinstance(plugin, Wasm)]
        used = {component.name for component in components}
        for plugin in plugins:
            name = type(plugin).__name__.lower()
            while name in used:
                name += "_"
            component = plugin._component(name)
            if component is not None:
                used.add(name)
                components.append(component)
        is_live = self._is_interface()
        shows_processes = self.system_visibility_mode == 1
        if shows_processes and isinstance(self.source, str) and not is_live:
            warnings.warn(
                "system_visibility_mode is for interfaces; it has no effect on a file", UserWarning, stacklevel=4
            )
            shows_processes = False
        flows = meter(
            self.source,
            decode_tunnels=self.decode_tunnels,
            bpf_filter=self.bpf_filter,
            promiscuous_mode=self.promiscuous_mode,
            snapshot_length=self.snapshot_length if is_live else None,
            socket_buffer_size=self.socket_buffer_size,
            idle_timeout=self.idle_timeout,
            active_timeout=self.active_timeout,
            accounting_mode=_ACCOUNTING[self.accounting_mode],  # type: ignore[arg-type]
            plugins=components,
            n_dissections=self.n_dissections,
            statistical_analysis=self.statistical_analysis,
            splt_analysis=self.splt_analysis,
            max_nflows=self.max_nflows,
            system_visibility=shows_processes and is_live,
            # Flowloom's shortest time is 1 ms.
            system_visibility_poll_ms=max(1, self.system_visibility_poll_ms),
            group="one",
            n_meters=1,
        )
        flows._nfstream = {
            "plugins": [_methods(plugin) for plugin in plugins],
            "udps": UDPS,
            "columns": columns(
                tunnels=self.decode_tunnels,
                statistics=self.statistical_analysis,
                splt=self.splt_analysis > 0,
                dissection=self.n_dissections > 0,
                system=shows_processes,
            ),
            "n_dissections": self.n_dissections,
            "splt_analysis": self.splt_analysis,
            "has_components": bool(components),
        }
        return _Metering(flows, self.performance_report if is_live else 0)

    def _flows(self, metering: _Metering) -> Iterator[NFlow]:
        run = metering.run
        is_interrupted = False
        while True:
            try:
                flow = run.next_nflow()
            except KeyboardInterrupt:
                if is_interrupted:
                    raise
                is_interrupted = True
                run.stop()
                continue
            if flow is None:
                break
            yield flow
        metering.end()


class _Metering:
    """A run from its begin to its end, with its reports."""

    def __init__(self, flows: Flows, report_seconds: int) -> None:
        self._flows = flows
        self._report_seconds = report_seconds
        self._is_over = threading.Event()

    def __enter__(self) -> _Metering:
        self._session = self._flows._begin()
        self.run: Run = self._session.run
        if self._report_seconds > 0:
            threading.Thread(target=self._report, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._session.close()

    def end(self) -> None:
        self._session.end()

    def _report(self) -> None:
        """Print NFStream's counters in regular intervals."""
        while not self._is_over.wait(self._report_seconds):
            try:
                summary = self._session.summary()
            except FlowloomError:
                # The run was closed.
                return
            print(json.dumps(_report(summary)), flush=True)


def _report(summary: dict[str, Any]) -> dict[str, Any]:
    """Return NFStream's counters."""
    dropped = summary["packets_dropped"]
    return {
        "flows_expired": summary["flows"],
        "packets_processed": summary["packets_metered"],
        "packets_ignored": sum(summary["packets_ignored"].values()),
        "packets_dropped_filtered_by_kernel": dropped["kernel"] + dropped["interface"],
        # One meter has all packets.
        "meters_packets_processing_balance": [summary["packets_metered"]],
    }


def _methods(plugin: NFPlugin) -> dict[str, Any]:
    """Return the methods that a plugin defines."""
    kind = type(plugin)
    methods: dict[str, Any] = {"name": kind.__name__}
    for name in ("on_init", "on_update", "on_expire"):
        is_own = getattr(kind, name) is not getattr(NFPlugin, name) or name in vars(plugin)
        methods[name] = getattr(plugin, name) if is_own else None
    return methods


class _Rows:
    """The columns of flows, with keyed hashes in place of the values of some: BLAKE2b of the value's text, 64 bytes."""

    def __init__(self, names: Sequence[str], *, is_fixed: bool) -> None:
        self._hashed = [names] if isinstance(names, str) else list(names)
        self._key = secrets.token_bytes(64)
        # Without plugins, all flows have the same columns.
        self._is_fixed = is_fixed
        self._columns: list[str] | None = None

    def of(self, flow: NFlow) -> tuple[list[str], list[Any]]:
        """Return the names and values of a flow. Flows with the same columns have the same list of names."""
        columns = self._columns
        if columns is None or not self._is_fixed:
            names = flow.keys()
            if columns is None:
                missing = [name for name in self._hashed if name not in names]
                if missing:
                    raise ValueError(f"columns_to_anonymize: flows have no column {', '.join(map(repr, missing))}")
            if names != columns:
                self._columns = columns = names
        assert columns is not None
        values = flow.values()
        for name in self._hashed:
            if name in columns:
                at = columns.index(name)
                values[at] = self._hash(values[at])
        return columns, values

    def _hash(self, value: Any) -> str | None:
        if value is None:
            return None
        return hashlib.blake2b(str(value).encode(), digest_size=64, key=self._key).hexdigest()


class _Files:
    """CSV files with a limited number of flows each. The first flow of a file gives its columns."""

    def __init__(self, path: str, flows_per_file: int, rotate_files: int) -> None:
        self._path = path
        self._per_file = flows_per_file
        self._rotate = rotate_files
        self.flows = 0
        self._file: IO[str] | None = None
        self._names: list[str] = []
        self._lost: set[str] = set()

    def __enter__(self) -> _Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, names: list[str], values: list[Any]) -> None:
        if self._file is None or (self._per_file and self.flows % self._per_file == 0):
            self._open(names)
        if names != self._names:
            lost = set(names) - set(self._names) - self._lost
            if lost:
                self._lost |= lost
                warnings.warn(
                    f"{', '.join(sorted(lost))}: not in the CSV file, because the first flow of the file has no such value; "
                    "set it in on_init",
                    UserWarning,
                    stacklevel=3,
                )
            values = _aligned(self._names, names, values)
        self._writer.writerow(values)
        self.flows += 1

    def _open(self, names: list[str]) -> None:
        if self._file is not None:
            self._file.close()
        path = self._path
        if self._per_file:
            number = self.flows // self._per_file
            if self._rotate:
                number %= self._rotate
            begin, extension = os.path.splitext(path)
            path = f"{begin}.{number}{extension}"
        self._file = open(path, "w", newline="", encoding="utf-8")
        self._names = names
        self._writer = csv.writer(self._file)
        self._writer.writerow(names)


def _aligned(columns: list[str], names: list[str], values: list[Any]) -> list[Any]:
    """Return the values of these columns, with None for those that the flow does not have."""
    row = dict(zip(names, values, strict=True))
    return [row.get(column) for column in columns]
