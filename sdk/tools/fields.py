#!/usr/bin/env python3
"""Writes the tables of fields that the Python and JavaScript SDKs need to read packed columns.

Their source is the Rust SDK's table, which is tested against Flowloom's own. With --check nothing is
written, and the exit code says whether the files are current.
"""

import re
import sys
from pathlib import Path

SDK = Path(__file__).resolve().parent.parent
SOURCE = SDK / "rust/macros/src/tables.rs"
DIRECTIONS = ["bidirectional", "src2dst", "dst2src"]
# How the elements of a packed column are read: by Python's struct, by JavaScript's typed arrays.
TYPES = {
    "bool": ("?", "boolean"),
    "Direction": ("B", "u8"),
    "u8": ("B", "u8"),
    "u16": ("H", "u16"),
    "u32": ("I", "u32"),
    "u64": ("Q", "u64"),
    "i64": ("q", "s64"),
    "f64": ("d", "f64"),
    "&str": ("text", "text"),
    "&[i64]": ("list", "list"),
}


def table(name, source):
    rows = re.search(rf"const {name}: &\[Row\] = &\[(.*?)\n\];", source, re.S)
    return dict(re.findall(r'\("(\w+)", "([^"]+)"\)', rows[1]))


def tables():
    source = SOURCE.read_text()
    flow = table("FLOW", source)
    for direction in DIRECTIONS:
        flow |= {f"{direction}_{name}": kind for name, kind in table("DIRECTED", source).items()}
    return {"PACKET": table("PACKET", source), "FLOW": flow}


def python(tables):
    lines = ['"""Types of fields, by sdk/tools/fields.py: struct\'s letters for numbers."""']
    for name, rows in tables.items():
        lines += ["", f"{name} = {{"]
        lines += [f'    "{field}": "{TYPES[kind][0]}",' for field, kind in rows.items()] + ["}"]
    return "\n".join(lines) + "\n"


def javascript(tables):
    lines = ["// Types of fields, by sdk/tools/fields.py."]
    for name, rows in tables.items():
        lines += ["", f"export const {name} = {{"]
        lines += [f'  {field}: "{TYPES[kind][1]}",' for field, kind in rows.items()] + ["};"]
    return "\n".join(lines) + "\n"


def main():
    written = {
        SDK / "python/flowloom/fields.py": python(tables()),
        SDK / "javascript/flowloom/fields.js": javascript(tables()),
    }
    if "--check" not in sys.argv:
        for path, text in written.items():
            path.write_text(text)
        return
    stale = [path for path, text in written.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{path} is not what sdk/tools/fields.py writes: run it", file=sys.stderr)
    sys.exit(bool(stale))


main()
