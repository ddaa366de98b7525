"""Implements the two interfaces of the contract with one plugin. Imported only when a component is built."""

from itertools import accumulate

from componentize_py_types import Err
from wit_world.exports import BatchFeature, Feature, batch_feature, feature
from wit_world.imports import manifest

from . import fields, log
from .options import OptionError, Options
from .plugin import Available
from .rows import Rows

INIT, UPDATE, EXPIRE = range(3)

#: For each type of outputs: its type in the manifest, its value in a record, its values in a column.
KINDS = {
    "bool": (manifest.ValueType.BOOLEAN, feature.Value_Boolean, batch_feature.Values_Booleans),
    "int": (manifest.ValueType.INTEGER, feature.Value_Integer, batch_feature.Values_Integers),
    "float": (manifest.ValueType.FLOAT, feature.Value_Float, batch_feature.Values_Floats),
    "str": (manifest.ValueType.TEXT, feature.Value_Text, batch_feature.Values_Texts),
    "bytes": (manifest.ValueType.BYTES, feature.Value_Bytes, batch_feature.Values_Bytes),
    "list[int]": (manifest.ValueType.INTEGERS, feature.Value_Integers, batch_feature.Values_IntegerLists),
    "list[float]": (manifest.ValueType.FLOATS, feature.Value_Floats, batch_feature.Values_FloatLists),
    "list[str]": (manifest.ValueType.TEXTS, feature.Value_Texts, batch_feature.Values_TextLists),
    "Json": (manifest.ValueType.JSON, feature.Value_Json, batch_feature.Values_Jsons),
}

#: The types of options in the manifest.
OPTION_TYPES = {
    bool: manifest.OptionType.BOOLEAN,
    int: manifest.OptionType.INTEGER,
    float: manifest.OptionType.FLOAT,
    str: manifest.OptionType.TEXT,
}


class Instance:
    """An opened plugin and the states of its flows."""

    def __init__(self, plugin):
        self.make = plugin
        self.slots = []
        self.ids = {}

    def classes(self):
        """Returns the classes `Feature` and `BatchFeature`, which componentize-py expects."""
        one = self

        class OneFeature(Feature):
            def open(self, options, available):
                return one.call("open", one.open, options, available)

            def init(self, flow, packet, values):
                return one.call("init", one.init, flow, packet, values)

            def update(self, flow, packet, values):
                return one.call("update", one.update, flow, packet, values)

            def expire(self, flow, values):
                return one.call("expire", one.expire, flow, values)

            def finish(self):
                one.call("finish", one.plugin.finish)

        class OneBatchFeature(BatchFeature):
            def open(self, options, available):
                return one.call("open", one.open, options, available)

            def process(self, events):
                return one.call("a batch", one.process, events)

            def finish(self):
                one.call("finish", one.plugin.finish)

        return OneFeature, OneBatchFeature

    def call(self, where, function, *arguments):
        """Calls a function and logs its exceptions.

        An exception becomes a trap, which has no text. The log is the only place for the text.
        """
        try:
            return function(*arguments)
        except Err:
            raise
        except BaseException as error:
            log.error(f"{type(error).__name__} in {where}: {error} ({place(error)})")
            raise

    def open(self, given, available):
        plugin = self.plugin = self.make()
        try:
            options = Options(given)
            plugin.open(options)
            options.check()
            plugin.adapt(known(available))
            extra = [
                name
                for name, asked in (("payload", plugin.payload_bytes), ("bytes", plugin.packet_bytes))
                if asked
            ]
            self.packets = Rows("Packet", plugin.packet, fields.PACKET, extra)
            self.opened, self.updated, self.expired = (
                Rows("Flow", names, fields.FLOW)
                for names in (plugin.at_init, plugin.at_update, plugin.at_expire)
            )
        except (OptionError, ValueError) as error:
            raise Err(str(error)) from None
        self.outputs = [(output.name, output.type) for output in plugin.outputs]
        self.names = {name for name, _ in self.outputs}
        return manifest.Manifest(
            version=plugin.version,
            description=plugin.description,
            outputs=[
                manifest.Output(output.name, KINDS[output.type][0], output.description)
                for output in plugin.outputs
            ],
            options=[described(option) for option in options.read()],
            packet=list(plugin.packet),
            payload_bytes=plugin.payload_bytes,
            packet_bytes=plugin.packet_bytes,
            at_init=list(plugin.at_init),
            at_update=list(plugin.at_update),
            at_expire=list(plugin.at_expire),
            packets_per_flow=plugin.packets_per_flow,
            flow_bytes=plugin.flow_bytes,
            cuts_flows=plugin.cuts_flows,
            packed=True,
            needs_one_meter=plugin.needs_one_meter,
        )

    def init(self, flow, packet, values):
        values = items(values)
        row = self.packets.of_packet(packet, values)
        state = self.ids[flow] = self.plugin.init(row, self.opened.of_values(values))
        return self.verdict(state)

    def update(self, flow, packet, values):
        values = items(values)
        state = self.ids[flow]
        row = self.packets.of_packet(packet, values)
        self.plugin.update(state, row, self.updated.of_values(values))
        return self.verdict(state)

    def verdict(self, state):
        plugin = self.plugin
        return feature.Verdict.CUT if plugin.cuts_flows and plugin.cuts(state) else feature.Verdict.KEEP

    def expire(self, flow, values):
        state = self.ids.pop(flow)
        answer = self.plugin.expire(state, self.expired.of_values(items(values)))
        self.check(answer)
        return [value(name, kind, answer.get(name)) for name, kind in self.outputs]

    def process(self, events):
        packet = self.packets.of_columns(
            events.packets, [column for column in (events.payload, events.bytes) if column is not None]
        )
        opened = self.opened.of_columns(events.opened)
        updated = self.updated.of_columns(events.updated)
        expired = self.expired.of_columns(events.expired)
        init, update, expire = self.plugin.init, self.plugin.update, self.plugin.expire
        slots = memoryview(events.slots.value).cast("I")
        states = self.slots
        missing = max(slots, default=-1) + 1 - len(states)
        if missing > 0:
            states.extend([None] * missing)
        answers = []
        for kind, slot in zip(events.kinds, slots):
            if kind == UPDATE:
                update(states[slot], packet(), updated())
            elif kind == INIT:
                states[slot] = init(packet(), opened())
            else:
                answers.append(expire(states[slot], expired()))
                states[slot] = None
        if not answers:
            return []
        for answer in answers:
            self.check(answer)
        return [
            output_column(name, kind, [answer.get(name) for answer in answers])
            for name, kind in self.outputs
        ]

    def check(self, answer):
        if not self.names.issuperset(answer):
            wrong = next(name for name in answer if name not in self.names)
            raise KeyError(f"expire returned a value for `{wrong}`, which is not a declared output")


def items(values):
    """Returns an iterator of the values of an event. A byte string that is the only value has their form."""
    return iter(values.value if isinstance(values, feature.Values_Listed) else (values,))


def known(available):
    """Returns what is available, without fields that this SDK does not know."""
    return Available(
        [name for name in available.packet if name in fields.PACKET],
        [name for name in available.flow if name in fields.FLOW],
        available.payload_bytes,
        available.packet_bytes,
    )


def described(option):
    """Returns the description of an option in the manifest."""
    return manifest.OptionDescription(
        option.key, OPTION_TYPES[option.type], option.accepts, option.default_text, option.description
    )


def value(name, kind, value):
    if value is None:
        return feature.Value_Null()
    check_lists(name, kind, [value])
    return KINDS[kind][1](list(value) if kind.startswith("list") else value)


def check_lists(name, kind, values):
    """Raises a TypeError for a text in the place of a list of texts: it would be a list of its characters."""
    if kind == "list[str]" and str in map(type, values):
        raise TypeError(f"output `{name}` must be a list of texts, not one text")


def output_column(name, kind, values):
    """Returns the column for these values. None becomes null."""
    check_lists(name, kind, values)
    valid = b"" if None not in values else bytes(value is not None for value in values)
    if kind in ("int", "float"):
        values = [0 if value is None else value for value in values]
    elif kind == "bool":
        values = bytes(map(bool, values))
    else:
        values = runs(kind, values)
    return batch_feature.OutputColumn(KINDS[kind][2](values), valid)


def runs(kind, values):
    """Concatenates values of variable length."""
    if kind == "list[str]":
        lists = [value or () for value in values]
        return batch_feature.TextLists(runs("str", joined(lists)), list(accumulate(map(len, lists))))
    ends, end = [], 0
    if kind in ("str", "Json"):
        values = [None if value is None else value.encode() for value in values]
    for value in values:
        end += len(value or ())
        ends.append(end)
    present = [value for value in values if value]
    if kind == "list[int]":
        return batch_feature.IntegerLists(joined(present), ends)
    if kind == "list[float]":
        return batch_feature.FloatLists(joined(present), ends)
    return batch_feature.Texts(b"".join(present), ends)


def joined(lists):
    return [item for one in lists for item in one]


def place(error):
    """Returns file and line of the innermost call. A component cannot read the source line itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
