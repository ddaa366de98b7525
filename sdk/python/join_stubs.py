#!/usr/bin/env python3
"""Joins the stub modules of a component in place: join_stubs.py COMPONENT.wasm

componentize-py --stub-wasi adds a core module for each of 26 interfaces, whose functions trap, and one
instance of each module. Flowloom allows 32 core instances per plugin, because each one costs address
space. After this script, one instance contains all stubs, and the component has 13 instances in total.

A stub is a module that contains only functions and is instantiated without arguments. The script replaces
the first stub with a module that contains the functions of all stubs. The instances of the other stubs
become empty, so that all indexes remain valid. Aliases of their exports refer to the first instance.
"""

import sys
from pathlib import Path

CUSTOM, MODULE, INSTANCE, ALIAS = 0, 1, 2, 6  # sections of a component
TYPE, FUNCTION, EXPORT, CODE = 1, 3, 7, 10  # sections of a core module
FUNC_BY_CORE_EXPORT = b"\x00\x00\x01"  # the first bytes of an alias of a core function


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def done(self):
        return self.at >= len(self.data)

    def take(self, size):
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        return self.take(self.number())

    def since(self, at):
        return self.data[at : self.at]

    def sections(self):
        """Yields the sections of a module or component, as kind and contents."""
        self.take(8)
        while not self.done():
            kind = self.take(1)[0]
            yield kind, self.text()


def number(value):
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def sized(data):
    return number(len(data)) + data


def section(kind, contents):
    return bytes([kind]) + sized(contents)


def vector(items):
    return number(len(items)) + b"".join(items)


def stub(module):
    """Returns the functions of a stub as (type, exported name, body), or None for other modules."""
    sections = dict(Reader(module).sections())
    sections.pop(CUSTOM, None)
    if set(sections) != {TYPE, FUNCTION, EXPORT, CODE}:
        return None
    types, functions, exports, code = (Reader(sections[kind]) for kind in (TYPE, FUNCTION, EXPORT, CODE))

    def function_type():
        at = types.at
        types.take(1)
        for _ in range(2):
            types.take(types.number())
        return types.since(at)

    type_of = [function_type() for _ in range(types.number())]
    kinds = [type_of[functions.number()] for _ in range(functions.number())]
    bodies = [code.text() for _ in range(code.number())]
    found = []
    for _ in range(exports.number()):
        name, kind, index = exports.text(), exports.take(1), exports.number()
        if kind != b"\x00":
            return None
        found.append((kinds[index], name, bodies[index]))
    return found


def joined(functions):
    return b"\0asm\x01\0\0\0" + b"".join(
        section(kind, vector(items))
        for kind, items in (
            (TYPE, [kind for kind, _, _ in functions]),
            (FUNCTION, [number(n) for n in range(len(functions))]),
            (EXPORT, [sized(name) + b"\x00" + number(n) for n, (_, name, _) in enumerate(functions)]),
            (CODE, [sized(body) for _, _, body in functions]),
        )
    )


def join(component):
    sections = list(Reader(component).sections())
    stubs = [stub(contents) for kind, contents in sections if kind == MODULE]
    of_instance = {}  # the index of the module for each instance of a stub
    first = None
    modules = instances = 0
    written = []
    for kind, contents in sections:
        if kind == INSTANCE:
            reader, items = Reader(contents), []
            for _ in range(reader.number()):
                module, item = instance(reader)
                if module is not None and stubs[module] is not None:
                    of_instance[instances] = module
                    first = instances if first is None else first
                    if instances != first:
                        item = b"\x01\x00"
                items.append(item)
                instances += 1
            contents = vector(items)
        elif kind == ALIAS:
            reader, items = Reader(contents), []
            for _ in range(reader.number()):
                items.append(alias(reader, of_instance, first))
            contents = vector(items)
        written.append((kind, contents))
    if first is None:
        sys.exit("join_stubs.py: the component has no stubs; build it with componentize-py --stub-wasi")
    functions = [
        (kind, renamed(instance, name), body)
        for instance, module in of_instance.items()
        for kind, name, body in stubs[module]
    ]
    # A component has 18 MB, so that each copy of it takes some milliseconds.
    out = [component[:8]]
    for kind, contents in written:
        if kind == MODULE:
            if modules == of_instance[first]:
                contents = joined(functions)
            modules += 1
        out += [bytes([kind]), number(len(contents)), contents]
    return b"".join(out)


def renamed(instance, name):
    """Returns a name that is unique in the joined module. Functions of two stubs may have the same name."""
    return b"%d %s" % (instance, name)


def instance(reader):
    """Returns the index of the module and the encoded instance. The index is None for an inline instance and
    for an instance with arguments."""
    at = reader.at
    is_inline, module = reader.take(1) == b"\x01", None
    if is_inline:
        for _ in range(reader.number()):
            reader.text(), reader.take(1), reader.number()
    else:
        module, arguments = reader.number(), reader.number()
        for _ in range(arguments):
            reader.text(), reader.take(1), reader.number()
        module = None if arguments else module
    return module, reader.since(at)


def alias(reader, of_instance, first):
    at = reader.at
    if reader.take(1) == b"\x00":
        reader.take(1)
    target = reader.take(1)
    owner = reader.number()
    if target == b"\x02":
        reader.number()
        return reader.since(at)
    name = reader.text()
    if owner in of_instance and reader.data[at : at + 3] == FUNC_BY_CORE_EXPORT:
        return FUNC_BY_CORE_EXPORT + number(first) + sized(renamed(owner, name))
    return reader.since(at)


path = Path(sys.argv[1])
path.write_bytes(join(path.read_bytes()))
