"""Functions that write lines to Flowloom's log. Outside of a component they write to standard error."""

import io
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


class Stream(io.TextIOBase):
    """A text stream that logs each line. While the component is built, it writes to the stream of the build."""

    encoding = "utf-8"
    errors = "backslashreplace"
    #: The maximum number of characters that wait for the end of their line.
    MOST = 4096

    def __init__(self, level, build):
        self.level = level
        self.build = build
        self.rest = ""

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self.build is not None:
            return self.build.write(text)
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            write(self.level, line)
        if len(self.rest) > self.MOST:
            self.flush()
        return len(text)

    def flush(self):
        if self.build is not None:
            self.build.flush()
        elif self.rest:
            line, self.rest = self.rest, ""
            write(self.level, line)


def redirect():
    """Replaces standard output and standard error, whose functions trap in a component."""
    sys.stdout = Stream("INFO", sys.stdout)
    sys.stderr = Stream("WARN", sys.stderr)
    return sys.stdout, sys.stderr
