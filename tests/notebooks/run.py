#!/usr/bin/env python3
"""Executes the notebooks of docs/notebooks, and renders them.

    make notebooks        (runs this script in its own Python environment)
    tests/notebooks/run.py [NOTEBOOK …] [--output FOLDER]

A notebook fails if a cell raises an exception or writes to standard error. The script names notebook, cell and error,
continues with the next notebook, and exits with 1.

The output folder (target/notebooks) gets, for each notebook:

- NAME.ipynb, with outputs, up to the failed cell;
- NAME.html;
- NAME.png: the picture of the cell with the tag "picture".

FLOWLOOM_BLESS=1 also copies the pictures to docs/pictures. They must be smaller than 80 kB.
"""

import argparse
import base64
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "docs/notebooks"
PICTURES = ROOT / "docs/pictures"
# The longest cell compiles a component, which takes about 20 s.
CELL_SECONDS = 300
MAX_PICTURE_BYTES = 80_000
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "target/notebooks")
    arguments = parser.parse_args()
    notebooks = arguments.notebooks or sorted(NOTEBOOKS.glob("*.ipynb"))
    arguments.output.mkdir(parents=True, exist_ok=True)
    set_environment()
    failed = 0
    for path in notebooks:
        began = time.monotonic()
        problems = list(execute(path, arguments.output))
        for problem in problems:
            print(problem, file=sys.stderr)
        failed += bool(problems)
        result = "failed" if problems else "passed"
        print(f"{path.name}: {result} in {time.monotonic() - began:.0f} s", flush=True)
    print(f"{len(notebooks)} notebooks, {failed} failed; see {arguments.output}")
    sys.exit(bool(failed) or not notebooks)


def set_environment():
    """Sets what the kernels inherit."""
    tools = Path(os.environ.get("FLOWLOOM_TOOLS", ROOT / "target/sdk-tools")) / "venv/bin"
    os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    os.environ["TZ"] = "UTC"


def execute(path, output):
    """Executes a notebook, writes the results, and yields the problems."""
    notebook = nbformat.read(path, as_version=4)
    # Paths in a notebook are relative to its folder.
    resources = {"metadata": {"path": str(path.resolve().parent)}}
    client = NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources)
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        yield f"{path}: {place(notebook)}: {COLOURS.sub('', str(error))}"
    else:
        yield from warnings_of(path, notebook)
        yield from save_picture(path, notebook, output)
    nbformat.write(notebook, output / path.name)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (output / f"{path.stem}.html").write_text(page, encoding="utf-8")


def place(notebook):
    """Returns the name of the cell that was executed last."""
    name = "before the first cell"
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code" and (cell.execution_count or cell.outputs):
            name = f"cell {number} (In [{cell.execution_count}])"
    return name


def warnings_of(path, notebook):
    for number, cell in enumerate(notebook.cells, 1):
        for out in cell.get("outputs", []):
            if out.output_type == "stream" and out.name == "stderr":
                yield f"{path}: cell {number} wrote to standard error: {out.text}"


def save_picture(path, notebook, output):
    pictures = [
        out.data["image/png"]
        for cell in notebook.cells
        if "picture" in cell.metadata.get("tags", [])
        for out in cell.outputs
        if "image/png" in out.get("data", {})
    ]
    if len(pictures) != 1:
        yield f"{path}: {len(pictures)} pictures in cells with the tag 'picture'; 1 is expected"
        return
    data = base64.b64decode(pictures[0])
    file = output / f"{path.stem}.png"
    file.write_bytes(data)
    if len(data) > MAX_PICTURE_BYTES:
        yield f"{path}: the picture has {len(data)} bytes; the limit is {MAX_PICTURE_BYTES}"
    elif os.environ.get("FLOWLOOM_BLESS") == "1":
        PICTURES.mkdir(exist_ok=True)
        shutil.copy(file, PICTURES / file.name)


if __name__ == "__main__":
    main()
