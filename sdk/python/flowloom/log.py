"""Functions that write lines to Flowloom's log. Outside of a component they write to standard error."""

import sys

try:
    from wit_world.imports import log as host
except ModuleNotFoundError:
    host = None


def error(line):
    """Logs a failed operation. If a call traps, Flowloom shows the last such line with the trap."""
    write("ERROR", line)


def warn(line):
    """Logs something unexpected; the plugin continues."""
    write("WARN", line)


def info(line):
    """Logs information for the operator."""
    write("INFO", line)


def debug(line):
    """Logs details for the author of the plugin."""
    write("DEBUG", line)


def write(level, line):
    if host is None:
        print(f"{level} {line}", file=sys.stderr)
    else:
        host.write(host.Level[level], str(line))
