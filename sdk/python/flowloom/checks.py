"""Checks of what the author of a plugin wrote: the names of a class, and the values of outputs."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import chain
from math import isfinite

from .outputs import Output
from .plugin import Plugin


class Mistake(TypeError):
    """An error of the plugin's author. Its text says what is wrong, and how to correct it."""


#: The methods of a plugin that have no default, and their parameters.
REQUIRED = {
    "init": "(self, packet, flow)",
    "update": "(self, state, packet, flow)",
    "expire": "(self, state, flow)",
}
METHODS = (*REQUIRED, "open", "adapt", "finish", "cuts")
#: Attributes, by the kind of their values.
ATTRIBUTES = {
    "version": "a text",
    "description": "a text",
    "outputs": "a list of flowloom.Output",
    "packet": "a list of names of packet fields",
    "payload_bytes": "an integer",
    "packet_bytes": "an integer",
    "at_init": "a list of names of flow fields",
    "at_update": "a list of names of flow fields",
    "at_expire": "a list of names of flow fields",
    "packets_per_flow": "an integer or None",
    "flow_bytes": "an integer",
    "cuts_flows": "True or False",
    "needs_one_meter": "True or False",
}


def meant(name, names, least=0.6):
    """Returns the words that suggest the nearest of the names; empty if none has at least this similarity."""
    near = get_close_matches(name, list(names), 1, least)
    return f"; did you mean `{near[0]}`?" if near else ""


def is_kind(value, kind):
    """Returns whether an attribute may have this value."""
    if kind == "a text":
        return isinstance(value, str)
    if kind == "True or False":
        return isinstance(value, bool)
    if kind.startswith("an integer"):
        return value is None and "None" in kind or hasattr(value, "__index__") and not isinstance(value, (bool, type))
    one = Output if "Output" in kind else str
    return isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, one) for item in value)


def check_plugin(plugin):
    """Raises a Mistake for a misspelt name, a missing method, or an attribute of another type.

    `plugin` is a class or, after its methods `open` and `adapt`, an instance of it.

    Authors may add names of their own. A name is a mistake only if it is near to a name of `Plugin` that the
    class does not have, and if its value is of the same kind. Names that begin with `_` are never mistakes.
    """
    own, title, is_class = names(plugin), class_of(plugin).__name__, isinstance(plugin, type)
    # What `open` or `adapt` sets is not known yet.
    later = {name for value in own.values() for name in getattr(getattr(value, "__code__", None), "co_names", ())}
    later = later.intersection(ATTRIBUTES) if is_class else ()
    for name, value in own.items():
        if name.startswith("_") or hasattr(Plugin, name):
            continue
        wanted = [
            known
            for known in (*METHODS, *ATTRIBUTES)
            if known not in own and known not in later and same_kind(value, known)
        ]
        # With 0.75, `packets` and `flow_count` are names of the author.
        if suggestion := meant(name, wanted, 0.75):
            raise Mistake(f"`{name}` of class {title} is not a name of flowloom.Plugin{suggestion}")
    for name, parameters in REQUIRED.items():
        unused = name == "update" and (is_class or plugin.packets_per_flow == 1)
        if name not in own and not unused:
            raise Mistake(f"class {title} has no method `{name}{parameters}`; add it")
    for name, kind in ATTRIBUTES.items():
        value = getattr(plugin, name)
        if not isinstance(value, property) and not is_kind(value, kind):
            raise Mistake(f"`{name}` of class {title} is {shown(value)}; set it to {kind}")


def names(plugin):
    """Returns the names that the author gave to the plugin, with their values."""
    kinds = [kind for kind in reversed(class_of(plugin).__mro__) if not issubclass(Plugin, kind)]
    return {name: value for thing in (*kinds, plugin) for name, value in getattr(thing, "__dict__", {}).items()}


def class_of(plugin):
    return plugin if isinstance(plugin, type) else type(plugin)


def same_kind(value, known):
    """Returns whether a value can be that of a known name: a function with its parameters, or a value of its type."""
    if known in ATTRIBUTES:
        # An empty list, and a number or None, can be anything that the author counts or collects.
        return value not in ([], (), None) and is_kind(value, ATTRIBUTES[known])
    code = getattr(value, "__code__", None)
    return code is not None and code.co_argcount == getattr(Plugin, known).__code__.co_argcount


def check_answer(answer, outputs):
    """Raises a Mistake if `expire` returned anything but a dictionary of outputs."""
    if answer is None and not outputs:
        return
    if not isinstance(answer, dict):
        raise Mistake(f"expire returned {shown(answer)}; return a dictionary of outputs by name")
    for name in answer:
        if name not in outputs:
            suggestion = meant(str(name), outputs) or "; add an Output for it"
            raise Mistake(f"expire returned a value for `{name}`, which is not declared in `outputs`{suggestion}")


#: For each type of outputs, the types of values that need no conversion.
PLAIN = {
    "bool": {bool, type(None)},
    "int": {int, type(None)},
    "float": {float, type(None)},
    "str": {str, type(None)},
    "bytes": {bytes, type(None)},
    "list[int]": {list, tuple, type(None)},
    "list[float]": {list, tuple, type(None)},
    "list[str]": {list, tuple, type(None)},
    "Json": {str, type(None)},
}
#: The same for the elements of lists, which are never null.
ELEMENTS = {"int": {int}, "float": {float}, "str": {str}}
LEAST, MOST = -(2**63), 2**63 - 1

#: How to convert a value, by the type of the output and the type of the value.
CORRECTIONS = {
    ("bool", "int"): "return bool(value)",
    ("int", "bool"): "return int(value)",
    ("float", "bool"): "return float(value)",
    ("int", "float"): "return int(value) or round(value), or declare the output as float",
    ("str", "bytes"): "return value.decode() or value.hex(), or declare the output as bytes",
    ("bytes", "str"): "return value.encode(), or declare the output as str",
    ("Json", "dict"): "return json.dumps(value)",
    ("Json", "list"): "return json.dumps(value)",
}


def accepted(name, kind, values):
    """Returns the values of an output, each of the plain type of the output or None.

    Like Python's own types, an int is accepted for a float, and an instance of a subclass for its class. A bool
    is accepted for bool only. Anything else raises a Mistake.
    """
    if not PLAIN[kind].issuperset(map(type, values)):
        values = [None if value is None else converted(name, kind, value) for value in values]
    if kind == "int":
        check_range(name, kind, values)
    elif kind.startswith("list"):
        values = lists(name, kind, values)
    return values


def converted(name, kind, value):
    """Returns a value as one of the plain types of an output."""
    if kind.startswith("list"):
        if isinstance(value, Sequence) and not isinstance(value, str):
            return list(value)
    elif kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Mistake(f"expire returned {shown(value)} for output `{name}`, which is float; it is too large") from None
    elif kind == "bytes" and isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    elif not isinstance(value, bool):
        for plain in PLAIN[kind] - {type(None)}:
            if isinstance(value, plain):
                return plain(value)
    raise wrong(name, kind, kind, value)


def lists(name, kind, values):
    """Returns lists whose elements are of the plain type."""
    element = kind[5:-1]
    if not ELEMENTS[element].issuperset(map(type, items(values))):
        values = [value and [element_of(name, kind, element, item) for item in value] for value in values]
    if element == "int":
        check_range(name, kind, items(values))
    return values


def items(values):
    return chain.from_iterable(filter(None, values))


def element_of(name, kind, element, item):
    try:
        return converted(name, element, item)
    except Mistake:
        raise wrong(name, kind, element, item, "an element ") from None


def check_range(name, kind, values):
    present = [value for value in values if value is not None]
    if present and (min(present) < LEAST or max(present) > MOST):
        value = next(value for value in present if not LEAST <= value <= MOST)
        raise Mistake(
            f"expire returned {shown(value)} for output `{name}`, which is {kind}; integers are from -2**63 to 2**63 - 1"
        )


def wrong(name, kind, element, value, what=""):
    """Returns the error for a value of another type."""
    correction = CORRECTIONS.get((element, type(value).__name__))
    if element == "int" and isinstance(value, float) and not isfinite(value):
        correction = "return None for a value that does not exist"
    return Mistake(
        f"expire returned {what}{shown(value)} for output `{name}`, which is {kind}"
        f"{f'; {correction}' if correction else ''}"
    )


def shown(value):
    """Returns a value and its type, in at most about 60 characters."""
    if value is None:
        return "None"
    text = "NaN" if value != value else repr_of(value)
    return f"{text} ({type(value).__name__})"


def repr_of(value):
    try:
        text = repr(value)
    except ValueError:
        # Python does not print integers of more than 4300 digits.
        text = "a number" if isinstance(value, int) else "a value"
    return text if len(text) <= 40 else f"{text[:37]}..."
