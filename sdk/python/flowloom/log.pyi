"""Functions that write lines to Flowloom's log. Outside of a component they write to standard error."""

def error(line: object) -> None:
    """Logs a failed operation. If a call traps, Flowloom shows the last such line with the trap."""

def warn(line: object) -> None:
    """Logs something unexpected; the plugin continues."""

def info(line: object) -> None:
    """Logs information for the operator."""

def debug(line: object) -> None:
    """Logs details for the author of the plugin."""
