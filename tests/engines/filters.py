#!/usr/bin/env python3
"""Check that --where selects the flows that DuckDB selects with the same condition.

    make engines         (in its own Python environment)
    tests/engines/filters.py [--flowloom COMMAND] [--conditions N] [--seed N] [CAPTURES …]

CAPTURES are files or folders. The default is tests/captures and FLOWLOOM_CAPTURES. The program meters them once into
CSV, and loads the CSV into DuckDB. Then it draws random conditions, runs Flowloom with each of them, and compares the
ids of the flows. Python's `ipaddress` decides which addresses are in a network.
"""

import argparse
import csv
import ipaddress
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parent.parent.parent
#: A plugin whose values are null for flows without TCP.
PLUGIN = ROOT / "target/plugins/tcp_health.wasm"
DONE_OR_INCOMPLETE = (0, 3)
NUMBERS = {"u8", "u16", "u32", "u64", "i64", "float"}


class Flows:
    """The flows of all captures: their rows in DuckDB, their columns, and values to draw from."""

    def __init__(self, command, captures, folder):
        self.command = [command, "meter", *map(str, captures), "--group", "each", "--skip-unreadable", "-qq",
                        "--statistical-analysis", "--plugin", str(PLUGIN)]
        path = folder / "flows.csv"
        meter(self.command, path)
        with path.open(newline="") as file:
            self.names = next(csv.reader(file))
        types = declared_types(command, self.names)
        self.numbers = [name for name in self.names if types[name] in NUMBERS]
        self.booleans = [name for name in self.names if types[name] == "boolean"]
        self.addresses = [name for name in self.names if name in ("src_ip", "dst_ip")]
        texts = [name for name in self.names if types[name] == "text" and name not in self.addresses]
        self.texts = [name for name in texts if name.isidentifier()]
        self.nullable = [name for name in self.names if name.startswith("udps.")]
        sql = {name: sql_type(types[name]) for name in self.names}
        self.db = duckdb.connect()
        # A division by zero is null.
        self.db.execute("SET ieee_floating_point_ops = false")
        self.db.execute("SET error_on_division_by_zero = false")
        self.db.execute(
            "CREATE TABLE flows AS SELECT * FROM read_csv(?, columns = ?, header = true, nullstr = '', "
            "allow_quoted_nulls = false)", [str(path), sql])
        rows = self.db.execute("SELECT * FROM flows").fetchall()
        self.values = {name: sorted({row[i] for row in rows} - {None}) for i, name in enumerate(self.names)}
        self.count = len(rows)

    def selected_by_duckdb(self, condition):
        rows = self.db.execute(f"SELECT capture, id FROM flows WHERE {condition}").fetchall()
        return sorted(rows)

    def selected_by_flowloom(self, condition, folder):
        path = folder / "selected.csv"
        meter([*self.command, "--where", condition], path)
        with path.open(newline="") as file:
            return sorted((int(row["capture"]), int(row["id"])) for row in csv.DictReader(file))


def meter(command, path):
    done = subprocess.run([*command, "-o", path], capture_output=True, text=True)
    if done.returncode not in DONE_OR_INCOMPLETE:
        sys.exit(f"filters.py: {command} failed with {done.returncode}:\n{done.stderr}")


def declared_types(command, names):
    fields = json.loads(subprocess.check_output([command, "fields", "--format", "json"]))["flow_fields"]
    types = {field["name"]: field["type"] for field in fields}
    # All outputs of the plugin are numbers.
    return {name: types.get(name, "float") for name in names}


def sql_type(name):
    if name == "boolean":
        return "BOOLEAN"
    if name == "float":
        return "DOUBLE"
    return "BIGINT" if name in NUMBERS else "VARCHAR"


class Conditions:
    """Draws conditions. Each is a pair: the text for Flowloom, and the text for DuckDB."""

    def __init__(self, flows, seed):
        self.flows = flows
        self.random = random.Random(seed)

    def condition(self, depth=0):
        kinds = [self.compare, self.compare_columns, self.within, self.text, self.pattern, self.null, self.boolean,
                 self.network, self.computed]
        if depth < 3 and self.random.random() < 0.6:
            kind = self.random.choice(["and", "or", "not"])
            inner = [self.condition(depth + 1) for _ in range(1 if kind == "not" else self.random.randint(2, 3))]
            if kind == "not":
                return tuple(f"not ({side})" for side in inner[0])
            return tuple(f" {kind} ".join(f"({pair[side]})" for pair in inner) for side in (0, 1))
        return self.random.choice(kinds)()

    def number(self, name):
        value = self.random.choice(self.flows.values[name] or [0])
        value += self.random.choice([-1, 0, 0, 0, 1])
        return str(max(value, 0))

    def operator(self):
        return self.random.choice(["=", "!=", "<", "<=", ">", ">="])

    def column(self, names):
        name = self.random.choice(names)
        return name, f'"{name}"'

    def compare(self):
        name, quoted = self.column(self.flows.numbers)
        operator, value = self.operator(), self.number(name)
        # A number with an exponent is a float for both.
        return f"{name} {operator} {value}", f"{quoted} {operator} {value}"

    def compare_columns(self):
        (one, first), (other, second) = self.column(self.flows.numbers), self.column(self.flows.numbers)
        operator = self.operator()
        if self.unit(one) != self.unit(other):
            return self.compare()
        return f"{one} {operator} {other}", f"{first} {operator} {second}"

    @staticmethod
    def unit(name):
        return name.endswith("_ms")

    def computed(self):
        names = [name for name in self.flows.numbers if not self.unit(name)]
        (one, first), (other, second) = self.column(names), self.column(names)
        sign = self.random.choice(["+", "-", "*", "/"])
        operator, value = self.operator(), self.number(one)
        # A result that does not fit into 64 bits is null.
        return f"{one} {sign} {other} {operator} {value}", f"TRY({first} {sign} {second}) {operator} {value}"

    def within(self):
        name, quoted = self.column(self.flows.numbers)
        ours, theirs = [], []
        for _ in range(self.random.randint(1, 4)):
            low, high = sorted((self.number(name), self.number(name)), key=float)
            if self.random.random() < 0.5:
                ours.append(low)
                theirs.append(f"{quoted} = {low}")
            else:
                ours.append(f"{low}..{high}")
                theirs.append(f"{quoted} BETWEEN {low} AND {high}")
        negation = self.random.choice(["", "not "])
        return f"{name} {negation}in {{{', '.join(ours)}}}", f"{negation}({' OR '.join(theirs)})"

    def text(self):
        name, quoted = self.column(self.flows.texts)
        operator = self.operator()
        value = self.random.choice(self.flows.values[name] or [""])
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        literal = value.replace("'", "''")
        return f'{name} {operator} "{escaped}"', f"{quoted} {operator} '{literal}'"

    def pattern(self):
        name, quoted = self.column(self.flows.texts)
        value = self.random.choice(self.flows.values[name] or [""])
        # These have other meanings in one of the two.
        value = "".join("?" if c in "[]\\*\"'" else c for c in value)
        cut = self.random.randint(0, len(value))
        pattern = self.random.choice([f"{value[:cut]}*", f"*{value[cut:]}", f"{value[:cut]}?{value[cut + 1:]}", "*"])
        return f'{name} ~ "{pattern}"', f"{quoted} GLOB '{pattern}'"

    def null(self):
        name, quoted = self.column(self.flows.nullable)
        negation = self.random.choice(["", "not "])
        return f"{name} is {negation}null", f"{quoted} IS {negation.upper()}NULL"

    def boolean(self):
        return self.column(self.flows.booleans)

    def network(self):
        name, quoted = self.column(self.flows.addresses)
        address = ipaddress.ip_address(self.random.choice(self.flows.values[name]))
        bits = self.random.randint(0, address.max_prefixlen)
        network = ipaddress.ip_network(f"{address}/{bits}", strict=False)
        inside = [text for text in self.flows.values[name] if ipaddress.ip_address(text) in network]
        return f"{name} in {network}", f"{quoted} IN ({', '.join(repr(text) for text in inside)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captures", nargs="*", type=Path, help="files or folders")
    parser.add_argument("--flowloom", default=str(ROOT / "target/debug/flowloom"))
    parser.add_argument("--conditions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    others = os.environ.get("FLOWLOOM_CAPTURES")
    captures = arguments.captures or [ROOT / "tests/captures", *([Path(others)] if others else [])]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        flows = Flows(arguments.flowloom, captures, folder)
        conditions = Conditions(flows, arguments.seed)
        wrong = some = 0
        for _ in range(arguments.conditions):
            ours, theirs = conditions.condition()
            expected = flows.selected_by_duckdb(theirs)
            got = flows.selected_by_flowloom(ours, folder)
            some += 0 < len(expected) < flows.count
            if got != expected:
                wrong += 1
                print(f"{ours}\n  {theirs}\n  Flowloom {len(got)}, DuckDB {len(expected)} flows", file=sys.stderr)
    print(f"{arguments.conditions} conditions on {flows.count} flows, {some} of them true for some flows; {wrong} differ")
    sys.exit(bool(wrong) or not some)


if __name__ == "__main__":
    main()
