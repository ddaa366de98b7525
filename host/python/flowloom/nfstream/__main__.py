"""Run a program for NFStream with Flowloom: ``python -m flowloom.nfstream PROGRAM.py ARGUMENT...``."""

import os
import runpy
import sys

from . import install


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print("usage: python -m flowloom.nfstream PROGRAM.py [ARGUMENT ...]", file=sys.stderr)
        return 2
    install()
    del sys.argv[0]
    # A program can import what is beside it.
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
