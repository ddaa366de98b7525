"""Packets and flows as an author sees them: named tuples, of a column each or of a record.

Built by functions that are not interpreted, row by row, while the batch is gone through.
"""

from collections import namedtuple
from functools import partial
from itertools import chain, repeat


class Rows:
    """The rows of one kind: a packet, or the flow at init, update or expire."""

    def __init__(self, title, names, table, extra=()):
        unknown = [name for name in names if name not in table]
        if unknown:
            raise ValueError(f"this SDK knows no field `{unknown[0]}` of a {title.lower()}")
        self.kinds = [table[name] for name in names]
        self.names = list(names)
        self.extra = extra
        self.type = namedtuple(title, [*names, *extra])
        self._new = partial(tuple.__new__, self.type)

    def of_columns(self, columns, extra=()):
        """A function that gives one row after the other."""
        if not columns and not extra:
            return repeat(self.type()).__next__ if not self.type._fields else no_row
        read = [read_column(column, kind) for column, kind in zip(columns, self.kinds)]
        read += [read_bytes(column) for column in extra]
        return map(self._new, zip(*read)).__next__

    def of_values(self, values):
        """A row of values, of which each has its type's wrapper on."""
        return self._new([value.value for value in values])

    def of_packet(self, record):
        """A row of a packet's record."""
        more = iter(record.more or ())
        row = [read_place(record, name, more) for name in self.names]
        row += [getattr(record, PLACES[name]) or b"" for name in self.extra]
        return self._new(row)


#: Where the record has the bytes.
PLACES = {"payload": "payload", "bytes": "ip_packet"}
#: The record has them together.
FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")


def read_place(record, name, more):
    """A field's own place in the record, or the next of those that have none."""
    if name in FLAGS:
        return bool(record.tcp_flags.value >> FLAGS.index(name) & 1)
    value = getattr(record, name, more)
    if value is more:
        return next(more).value
    # The direction is an enumeration, the TCP flags are a set; as fields, both are numbers.
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
    raise RuntimeError("Flowloom gave an event without a row for it")
