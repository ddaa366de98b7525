"""Creates the packets and flows that a plugin receives: named tuples, from columns or from a record.

For columns, built-in functions create one row at a time while the SDK iterates over the batch. They are
faster than interpreted code.
"""

from collections import namedtuple
from functools import partial
from itertools import chain, repeat

from .checks import Mistake, meant


class Rows:
    """The rows of one type: packets, or flows at init, update or expire.

    `attribute` is the attribute of the plugin that has the names of the fields.
    """

    def __init__(self, base, attribute, names, table, extra=()):
        self.base = base
        self.attribute = attribute
        self.table = table
        for name in names:
            if name not in table:
                raise Mistake(f"`{attribute}` requests the {self.unknown(name)}")
            if names.count(name) > 1:
                raise Mistake(f"`{attribute}` requests the {self.kind} field `{name}` twice")
        self.kinds = [table[name] for name in names]
        self.names = list(names)
        self.extra = extra
        plain = namedtuple(base.__name__, [*names, *extra])
        self.type = type(base.__name__, (plain, base), {"__slots__": ()})
        self._new = partial(tuple.__new__, self.type)

    @property
    def kind(self):
        return self.base.__name__.lower()

    def unknown(self, name):
        """Returns what to say about a field that does not exist."""
        suggestion = meant(name, self.table) or "; `flowloom fields` lists the fields"
        return f"{self.kind} field `{name}`, which does not exist{suggestion}"

    def missing(self, name):
        """Returns what to say about an attribute that a row does not have."""
        if length := {"payload": "payload_bytes", "bytes": "packet_bytes"}.get(name if self.kind == "packet" else ""):
            return f"`packet.{name}` was not requested; set `{length}`"
        if name in self.table:
            return f"{self.kind} field `{name}` was not requested; add it to `{self.attribute}`"
        # A requested field is the better suggestion.
        if suggestion := meant(name, self.type._fields):
            return f"{self.kind} has no field `{name}`{suggestion}"
        return f"it reads the {self.unknown(name)}"

    def of_columns(self, columns, extra=()):
        """Returns a function that returns the next row at each call."""
        if not columns and not extra:
            return repeat(self.type()).__next__ if not self.type._fields else no_row
        read = [read_column(column, kind) for column, kind in zip(columns, self.kinds)]
        read += [read_bytes(column) for column in extra]
        return map(self._new, zip(*read)).__next__

    def of_values(self, values):
        """Returns the row of a flow. The iterator `values` has its values next."""
        return self._new([next(values).value for _ in self.names])

    def of_packet(self, record, values):
        """Returns the row of a packet: of its record, and of the iterator `values`."""
        row = [read_place(record, name, values) for name in self.names]
        # The contract passes the bytes before the payload.
        extra = {name: next(values).value for name in ("bytes", "payload") if name in self.extra}
        row += [extra[name] for name in self.extra]
        return self._new(row)


#: The TCP flags, in the order of the bits. The record has one set for all of them.
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")


def read_place(record, name, values):
    """Returns a field of the record, or the next value if the record has no such field."""
    if name in FLAGS:
        return bool(record.tcp_flags.value >> FLAGS.index(name) & 1)
    value = getattr(record, name, values)
    if value is values:
        return next(values).value
    # Convert the direction, an enumeration, and the TCP flags, a set, to numbers.
    return getattr(value, "value", value)


def read_column(column, kind):
    if kind == "text":
        return [text.decode() for text in read_bytes(column)]
    if kind == "list":
        values, ends = column.value.values, column.value.ends
        return [values[start:end] for start, end in zip(chain((0,), ends), ends)]
    return memoryview(column.value).cast(kind)


def read_bytes(column):
    data, ends = column.value.bytes, memoryview(column.value.ends).cast("I")
    return [data[start:end] for start, end in zip(chain((0,), ends), ends)]


def no_row():
    raise RuntimeError("Flowloom gave an event without a row")
