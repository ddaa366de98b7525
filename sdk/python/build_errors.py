#!/usr/bin/env python3
"""Prints the error of a build: build_errors.py OUTPUT_OF_COMPONENTIZE_PY MODULE.py

componentize-py imports the author's module. An exception of the module appears within a traceback of the tool, with
paths of the tool. This script prints the exception, its calls in the author's files, and their paths.
"""

import re
import sys
from pathlib import Path

#: componentize-py has the folders of modules as /0 and /1; /1 has the SDK.
CALL = re.compile(r'  File "/(\d+)/([^"]+)", line \d+')


def author_part(text, module):
    """Returns the exception of the author's module, or None if there is none."""
    found = re.search(r"^AssertionError: (.*?)(?:\n+Caused by:|\Z)", text, re.S | re.M)
    if found is None:
        return None
    lines, shown = [], True
    for line in found[1].rstrip().splitlines():
        if line.startswith("  File "):
            call = CALL.match(line)
            shown = call is not None and call[1] == "0"
            if shown:
                line = line.replace(f"/0/{call[2]}", str(module.parent / call[2]), 1)
        elif not line.startswith(" "):
            shown = True
        if shown:
            lines.append(line)
    if re.search(r"module '\w+' has no attribute '(Batch)?Feature'", lines[-1]):
        lines = [f"{module} has no `Feature`; end it with: Feature, BatchFeature = flowloom.export(YourClass)"]
    return "\n".join(lines)


def main():
    text, module = Path(sys.argv[1]).read_text(errors="replace"), Path(sys.argv[2])
    print(author_part(text, module) or text.rstrip(), file=sys.stderr)


main()
