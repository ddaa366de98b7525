#!/usr/bin/env python3
"""Writes the reference of the Python package as HTML, from its docstrings.

    make python-docs        (runs this script with the package of this build)
    host/python/docs/reference.py FOLDER

pdoc reads the docstrings, which have numpy's form, and the stubs of the native module. A warning of pdoc is an error.
"""

import pkgutil
import sys
import warnings
from pathlib import Path

import flowloom
import pdoc


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    # pdoc does not find a name that the package imports at its first use.
    flowloom.build_plugin = flowloom.build_plugin
    flowloom.__all__.sort(key=place)
    packages = [module.name for module in pkgutil.iter_modules(flowloom.__path__, "flowloom.") if module.ispkg]
    pdoc.render.configure(docformat="numpy", show_source=False, footer_text=f"flowloom {flowloom.__version__}")
    warnings.simplefilter("error")
    pdoc.pdoc("flowloom", *packages, output_directory=Path(sys.argv[1]))


def place(name):
    """Returns the place of a public name on the page: `meter`, other functions, classes, exceptions, and the version."""
    value = getattr(flowloom, name)
    is_class = isinstance(value, type)
    is_exception = is_class and issubclass(value, BaseException)
    return isinstance(value, str), is_exception, is_class, name != "meter", name


if __name__ == "__main__":
    main()
