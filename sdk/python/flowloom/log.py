"""Lines for Flowloom's log; on standard error outside of a component."""

import sys

try:
    from wit_world.imports import log as host
except ModuleNotFoundError:
    host = None


def error(line):
    """Something failed. The last such line is shown where a call fails for good."""
    write("ERROR", line)


def warn(line):
    """Something is odd."""
    write("WARN", line)


def info(line):
    """Worth knowing."""
    write("INFO", line)


def debug(line):
    """For the plugin's author."""
    write("DEBUG", line)


def write(level, line):
    if host is None:
        print(f"{level} {line}", file=sys.stderr)
    else:
        host.write(host.Level[level], str(line))
