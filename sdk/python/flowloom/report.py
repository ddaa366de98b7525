"""Turns an exception of a plugin into one line for the log."""

import sys

from .checks import Mistake, meant

#: The folder of the SDK. Its functions are not shown.
SDK = __file__.rpartition("/")[0] + "/"
#: Calls that are shown: this number of the innermost ones, and the outermost one.
INNERMOST = 2


def line(error, where, method, rows, plugin):
    """Returns what the author has to know about an exception.

    `where` is the event. `method` is the author's method, and `plugin` the class: the first that the author wrote is
    named if no function of the author raised the exception. `rows` are the `Rows` of the plugin.
    """
    text = explanation(error, rows)
    place = calls(error) or defined(method) or class_of(plugin)
    if isinstance(error, Mistake):
        return f"{text} ({place})" if place else text
    text = f"{type(error).__name__} in {where}: {text}" if text else f"{type(error).__name__} in {where}"
    return f"{text} ({place})" if place else text


def explanation(error, rows):
    """Returns the text of an exception. For a field that was not requested, it says how to request it."""
    if isinstance(error, AttributeError):
        for one in rows:
            if isinstance(error.obj, one.type):
                return one.missing(error.name)
        # Python prints such suggestions only in tracebacks.
        return str(error) + meant(error.name or "", (name for name in dir(error.obj) if not name.startswith("_")))
    text = str(error)
    if isinstance(error, MemoryError) and not text:
        text = "the instance reached its memory limit; keep less state per flow"
    notes = getattr(error, "__notes__", ())
    return "; ".join([text, *map(str, notes)]) if notes else text


def calls(error):
    """Returns the author's functions that raised an exception, the innermost first."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(SDK):
            frames.append(f"{path(code.co_filename)}:{trace.tb_lineno} in {code.co_qualname}")
        trace = trace.tb_next
    frames.reverse()
    hidden = len(frames) - INNERMOST - 1
    if hidden > 1:
        frames[INNERMOST:-1] = [f"{hidden} more calls"]
    return ", called by ".join(frames)


def defined(method):
    """Returns the place where a function begins; empty if it is not the author's."""
    code = getattr(method, "__code__", None)
    if code is None or code.co_filename.startswith(SDK):
        return ""
    return f"{path(code.co_filename)}:{code.co_firstlineno} in {code.co_qualname}"


def class_of(plugin):
    """Returns the place of a class; empty if it is not known."""
    file = getattr(sys.modules.get(plugin.__module__), "__file__", None)
    first = getattr(plugin, "__firstlineno__", None)
    return f"{path(file)}:{first} in class {plugin.__qualname__}" if file and first else ""


def path(file):
    """Returns a path as the author knows it: componentize-py calls the folders of modules /0, /1 and so on."""
    folders = (folder.rstrip("/") + "/" for folder in sys.path if folder)
    return file[max((len(folder) for folder in folders if file.startswith(folder)), default=0) :]
