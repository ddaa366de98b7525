"""The command ``flowloom``, which is installed with this package."""

from __future__ import annotations

import os
import shutil
import sys


def command() -> str | None:
    """Return the path of the command, or None if there is none."""
    import sysconfig

    for folder in (sysconfig.get_path("scripts"), os.path.dirname(sys.executable)):
        program = os.path.join(folder, "flowloom")
        if os.access(program, os.X_OK):
            return program
    return shutil.which("flowloom")
