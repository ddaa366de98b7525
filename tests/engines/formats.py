#!/usr/bin/env python3
"""Check that CSV, JSON lines, Arrow and Parquet hold the same values.

    make engines         (in its own Python environment)
    tests/engines/formats.py [--flowloom COMMAND] [--all] [CAPTURES …]

CAPTURES are files or folders. The default is a dozen captures of tests/captures; --all takes all of them, and
FLOWLOOM_CAPTURES. The program meters each capture once into each format, with a plugin that returns values of every
type. pyarrow, polars and DuckDB read the Arrow and Parquet outputs, DuckDB and Python read CSV and JSON lines. All
values must be equal to those that pyarrow reads from Parquet.

It also checks that Parquet is the same for 1, 2 and 3 meters.
"""

import argparse
import datetime
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

ROOT = Path(__file__).resolve().parent.parent.parent
#: A plugin that returns values of every type, and one that returns only numbers, in batches.
PLUGINS = [ROOT / f"target/plugins/{name}.wasm" for name in ("every_type", "packet_stats")]
GRANTS = ["--grant", "every_type=addresses,payload:8,bytes:20"]
DOZEN = ["dns.pcap", "http.pcap", "tls13.pcap", "quic.pcap", "ssh.pcap", "dhcp-clients.pcap", "ipv6.pcap", "gtp.pcap",
         "idle.pcap", "active.pcap", "clock.pcap", "empty.pcap", "big.pcapng"]
DONE_OR_INCOMPLETE = (0, 3)
OPTIONS = ["--statistical-analysis", "--splt-analysis", "5", "--time-format", "iso8601", "-qq"]
CAPTURE = re.compile(r"\.(pcap|pcapng|cap)(\.gz|\.zst)?$")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def meter(command, capture, output, *options):
    """Meter a capture. Return standard output."""
    line = [command, "meter", capture, *OPTIONS, *options, "-o", output]
    done = subprocess.run([str(word) for word in line], capture_output=True)
    if done.returncode not in DONE_OR_INCOMPLETE:
        sys.exit(f"formats.py: {line} failed with {done.returncode}:\n{done.stderr.decode()}")
    return done.stdout


def normal(value):
    """Return a value in a form that can be compared: dates as microseconds, bytes in hexadecimal, NaN as a text."""
    if isinstance(value, datetime.datetime):
        return round((value.astimezone(datetime.timezone.utc) - EPOCH) / datetime.timedelta(microseconds=1))
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, float):
        # The sign of zero counts.
        return "nan" if math.isnan(value) else value.hex()
    if isinstance(value, list):
        return [normal(item) for item in value]
    return value


def columns_of(table):
    """Return the columns of a pyarrow table as lists of comparable values."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pyarrow.types.is_timestamp(column.type):
            column = column.cast(pyarrow.int64())
        columns[name] = [normal(value) for value in column.to_pylist()]
    return columns


def of_polars(frame):
    return {name: [normal(value) for value in frame[name].to_list()] for name in frame.columns}


def of_duckdb(query, *parameters):
    rows = duckdb.execute(query, parameters)
    names = [column[0] for column in rows.description]
    columns = list(zip(*rows.fetchall())) or [()] * len(names)
    return {name: [normal(value) for value in values] for name, values in zip(names, columns)}


def escaped(text):
    """Return text as CSV has it: without control characters."""
    return "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)


def of_csv(path, schema):
    """Return the columns of a CSV file, by their Arrow types."""
    sql = {field.name: sql_type(field.type) for field in schema}
    # Without lines, DuckDB cannot see that null and empty text differ.
    read = of_duckdb("SELECT * FROM read_csv(?, columns = ?, header = true, nullstr = '', allow_quoted_nulls = false, "
                     "auto_detect = false, delim = ',', quote = '\"', escape = '\"', new_line = '\\n')",
                     str(path), sql)
    for field in schema:
        if pyarrow.types.is_list(field.type) and pyarrow.types.is_string(field.type.value_type):
            read[field.name] = [text and json.loads(text) for text in read[field.name]]
        elif pyarrow.types.is_list(field.type):
            parse = float if pyarrow.types.is_float64(field.type.value_type) else int
            read[field.name] = [text and [normal(parse(item)) for item in text.strip("[]").split(", ") if item]
                                for text in read[field.name]]
    return read


def sql_type(ty):
    if pyarrow.types.is_boolean(ty):
        return "BOOLEAN"
    if pyarrow.types.is_integer(ty):
        return "BIGINT"
    if pyarrow.types.is_floating(ty):
        return "DOUBLE"
    return "TIMESTAMPTZ" if pyarrow.types.is_timestamp(ty) else "VARCHAR"


def of_jsonl(path, schema):
    """Return the columns of JSON lines, by their Arrow types."""
    columns = {field.name: [] for field in schema}
    for line in path.read_text().splitlines():
        flow = json.loads(line)
        for field in schema:
            value = flow
            for part in field.name.split(".", 2):
                value = value[part]
            if pyarrow.types.is_timestamp(field.type) and value is not None:
                value = datetime.datetime.fromisoformat(value)
            if field.metadata.get(b"json") and value is not None:
                value = json.dumps(value)
            if pyarrow.types.is_floating(field.type) and isinstance(value, int):
                value = float(value)
            columns[field.name].append(normal(value))
    return columns


class Difference(Exception):
    pass


def compare(name, expected, found, schema, rule=lambda field, value: value):
    """Compare columns. `rule` says what a reader makes of a value."""
    if list(expected) != list(found):
        raise Difference(f"{name}: columns {list(found)} instead of {list(expected)}")
    for field in schema:
        wanted = [rule(field, value) for value in expected[field.name]]
        if wanted != found[field.name]:
            row = next((row for row, pair in enumerate(zip(wanted, found[field.name])) if pair[0] != pair[1]), None)
            values = "numbers of rows" if row is None else f"row {row}: {wanted[row]!r}, {found[field.name][row]!r}"
            raise Difference(f"{name}: column {field.name} differs: {values}")


def in_csv(field, value):
    if field.metadata.get(b"json"):
        return value
    return escaped(value) if isinstance(value, str) and is_text(field) else value


def is_text(field):
    return pyarrow.types.is_string(field.type) or pyarrow.types.is_dictionary(field.type)


def in_json(field, value):
    """JSON has no NaN and no infinities."""
    if isinstance(value, list):
        return [in_json(field, item) for item in value]
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return value if is_text(field) else None
    if field.metadata.get(b"json") and value is not None:
        return json.dumps(json.loads(value))
    return value


def check(command, capture, folder):
    """Compare all formats for a capture. Return the number of flows and columns."""
    options = [*GRANTS, *(word for plugin in PLUGINS for word in ("--plugin", plugin))]
    files = {kind: folder / f"flows.{kind}" for kind in ("csv", "jsonl", "arrow", "parquet")}
    for path in files.values():
        meter(command, capture, path, *options)
    stream = meter(command, capture, "-", "--format", "arrow", *options)

    table = pyarrow.parquet.read_table(files["parquet"])
    schema = table.schema
    if any(pyarrow.types.is_unsigned_integer(field.type) for field in schema):
        raise Difference("Parquet: Spark refuses unsigned integers")
    expected = columns_of(table)
    streamed = pyarrow.ipc.open_stream(stream).read_all()
    if streamed.schema != schema:
        raise Difference("the stream and Parquet have other types")
    compare("stream, pyarrow", expected, columns_of(streamed), schema)
    compare("Arrow, pyarrow", expected, columns_of(pyarrow.ipc.open_file(files["arrow"]).read_all()), schema)
    compare("Parquet, polars", expected, of_polars(polars.read_parquet(files["parquet"])), schema)
    compare("Arrow, polars", expected, of_polars(polars.read_ipc(files["arrow"])), schema)
    compare("stream, polars", expected, of_polars(polars.read_ipc_stream(stream)), schema)
    compare("Parquet, DuckDB", expected, of_duckdb("SELECT * FROM read_parquet(?)", str(files["parquet"])), schema)
    duckdb.register("streamed", streamed)
    compare("stream, DuckDB", expected, of_duckdb("SELECT * FROM streamed"), schema)
    compare("CSV, DuckDB", expected, of_csv(files["csv"], schema), schema, in_csv)
    compare("JSON lines, Python", expected, of_jsonl(files["jsonl"], schema), schema, in_json)
    return table.num_rows, table.num_columns


def check_meters(command, capture, folder):
    """Compare the Parquet files of 1, 2 and 3 meters. Applications depend on earlier flows, so there are none."""
    tables = []
    for meters in (1, 2, 3):
        path = folder / f"meters-{meters}.parquet"
        meter(command, capture, path, "--n-dissections", "0", "--n-meters", meters, "--plugin", PLUGINS[1])
        tables.append(columns_of(pyarrow.parquet.read_table(path)))
    if tables[0] != tables[1] or tables[0] != tables[2]:
        raise Difference("the number of meters changes the rows or their order")


def captures(paths):
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if CAPTURE.search(file.name))
        else:
            yield path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flowloom", default=ROOT / "target/debug/flowloom")
    parser.add_argument("--all", action="store_true", help="all captures")
    parser.add_argument("captures", nargs="*")
    arguments = parser.parse_args()
    own = ROOT / "tests/captures"
    paths = arguments.captures or [own / name for name in DOZEN]
    if arguments.all:
        paths = [own, *filter(None, [os.environ.get("FLOWLOOM_CAPTURES")])]
    duckdb.execute("SET TimeZone = 'UTC'")
    flows = files = columns = failed = 0
    for capture in captures(paths):
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows, columns = check(arguments.flowloom, capture, Path(folder))
                check_meters(arguments.flowloom, capture, Path(folder))
            except Difference as difference:
                print(f"{capture.name}: {difference}")
                failed += 1
            else:
                flows, files = flows + rows, files + 1
    print(f"{files} captures, {flows} flows, {columns} columns: all formats and readers agree; {failed} captures differ")
    sys.exit(failed > 0 or files == 0)


if __name__ == "__main__":
    main()
