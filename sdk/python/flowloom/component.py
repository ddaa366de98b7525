"""Implements the two interfaces of the contract with one plugin. Imported only when a component is built."""

import sys
from importlib.machinery import PathFinder
from itertools import accumulate, chain

from componentize_py_types import Err
from wit_world.exports import BatchFeature, Feature, batch_feature, feature
from wit_world.imports import manifest

from . import fields, log, report
from .checks import Mistake, accepted, check_answer, check_plugin
from .options import OptionError, Options
from .plugin import Available
from .row_types import Flow, Packet
from .rows import Rows

INIT, UPDATE, EXPIRE = range(3)
#: The methods for these kinds of events.
METHODS = ("init", "update", "expire")

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


class Missing:
    """Explains the import of a module that is not in the component."""

    @staticmethod
    def find_spec(name, _path=None, _target=None):
        raise ModuleNotFoundError(
            f"module `{name}` is not in the component; import it at the top of the plugin's module", name=name
        )


class Instance:
    """An opened plugin and the states of its flows."""

    def __init__(self, plugin):
        self.make = plugin
        self.slots = []
        self.ids = {}
        self.rows = []
        self.streams = log.redirect()
        #: The method that failed, and its event in a batch, if `call` does not know it.
        self.failed = None

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
                one.call("finish", one.finish)

        class OneBatchFeature(BatchFeature):
            def open(self, options, available):
                return one.call("open", one.open, options, available)

            def process(self, events):
                return one.call("expire", one.process, events)

            def finish(self):
                one.call("finish", one.finish)

        return OneFeature, OneBatchFeature

    def call(self, name, function, *arguments):
        """Calls a function for a method of the plugin and logs its exceptions.

        An exception becomes a trap, which has no text. The log is the only place for the text.
        """
        try:
            return function(*arguments)
        except Err:
            raise
        except BaseException as error:
            for stream in self.streams:
                stream.flush()
            log.error(self.explain(error, name))
            # componentize-py prints the exception again, with functions that trap.
            sys.excepthook = silent
            raise

    def explain(self, error, name):
        name, event = self.failed or (name, "")
        return report.line(error, name + event, getattr(self.plugin, name, None), self.rows, type(self.plugin))

    def finish(self):
        self.plugin.finish()
        for stream in self.streams:
            stream.flush()

    def open(self, given, available):
        for stream in self.streams:
            # Standard output and standard error are those of the build until now.
            stream.build = None
        # The search for a module reads files, for which a component has only functions that trap.
        sys.meta_path[:] = [Missing if finder is PathFinder else finder for finder in sys.meta_path]
        try:
            plugin, options = self.opened(given, available)
        except OptionError as error:
            raise Err(str(error)) from None
        except Exception as error:
            # As an error, the text is shown without a trap.
            raise Err(self.explain(error, "open")) from None
        self.outputs = {output.name: output.type for output in plugin.outputs}
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

    def opened(self, given, available):
        """Returns the plugin, after its methods `open` and `adapt`, and the options that it read."""
        self.plugin = self.make
        plugin = self.plugin = self.make()
        options = Options(given)
        plugin.open(options)
        options.check()
        self.failed = "adapt", ""
        plugin.adapt(known(available))
        self.failed = "class", ""
        check_plugin(plugin)
        lengths = (("payload", plugin.payload_bytes), ("bytes", plugin.packet_bytes))
        extra = [name for name, length in lengths if length]
        self.packets = Rows(Packet, "packet", plugin.packet, fields.PACKET, extra)
        self.at_init, self.at_update, self.at_expire = (
            Rows(Flow, name, getattr(plugin, name), fields.FLOW) for name in ("at_init", "at_update", "at_expire")
        )
        self.rows = [self.packets, self.at_init, self.at_update, self.at_expire]
        self.failed = None
        return plugin, options

    def init(self, flow, packet, values):
        values = items(values)
        row = self.packets.of_packet(packet, values)
        state = self.ids[flow] = self.plugin.init(row, self.at_init.of_values(values))
        return self.verdict(state)

    def update(self, flow, packet, values):
        values = items(values)
        state = self.ids[flow]
        row = self.packets.of_packet(packet, values)
        self.plugin.update(state, row, self.at_update.of_values(values))
        return self.verdict(state)

    def verdict(self, state):
        plugin = self.plugin
        return feature.Verdict.CUT if plugin.cuts_flows and plugin.cuts(state) else feature.Verdict.KEEP

    def expire(self, flow, values):
        state = self.ids.pop(flow)
        answer = self.plugin.expire(state, self.at_expire.of_values(items(values)))
        check_answer(answer, self.outputs)
        return [value(name, kind, answer.get(name)) for name, kind in self.outputs.items()]

    def process(self, events):
        packet = self.packets.of_columns(
            events.packets, [column for column in (events.payload, events.bytes) if column is not None]
        )
        opened = self.at_init.of_columns(events.opened)
        updated = self.at_update.of_columns(events.updated)
        expired = self.at_expire.of_columns(events.expired)
        init, update, expire = self.plugin.init, self.plugin.update, self.plugin.expire
        slots = memoryview(events.slots.value).cast("I")
        states = self.slots
        missing = max(slots, default=-1) + 1 - len(states)
        if missing > 0:
            states.extend([None] * missing)
        answers = []
        events = zip(events.kinds, slots)
        try:
            for kind, slot in events:
                if kind == UPDATE:
                    update(states[slot], packet(), updated())
                elif kind == INIT:
                    states[slot] = init(packet(), opened())
                else:
                    answers.append(expire(states[slot], expired()))
                    states[slot] = None
        except BaseException:
            # `events` has those that follow the failed one.
            left = sum(1 for _ in events)
            self.failed = METHODS[kind], f", event {len(slots) - left} of {len(slots)} in the batch"
            raise
        if not answers:
            return []
        for answer in answers:
            check_answer(answer, self.outputs)
        return [
            output_column(name, kind, [answer.get(name) for answer in answers])
            for name, kind in self.outputs.items()
        ]


def silent(*_):
    """Does nothing."""


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
    [value] = accepted(name, kind, [value])
    if value is None:
        return feature.Value_Null()
    if kind in ("str", "Json", "list[str]"):
        encoded(name, value if kind == "list[str]" else [value])
    return KINDS[kind][1](list(value) if kind.startswith("list") else value)


def output_column(name, kind, values):
    """Returns the column for these values. None becomes null."""
    values = accepted(name, kind, values)
    valid = b"" if None not in values else bytes(value is not None for value in values)
    if kind in ("int", "float"):
        values = [0 if value is None else value for value in values]
    elif kind == "bool":
        values = bytes(map(bool, values))
    else:
        values = runs(name, kind, values)
    return batch_feature.OutputColumn(KINDS[kind][2](values), valid)


def runs(name, kind, values):
    """Concatenates values of variable length."""
    if kind == "list[str]":
        lists = [value or () for value in values]
        return batch_feature.TextLists(runs(name, "str", joined(lists)), list(accumulate(map(len, lists))))
    if kind in ("str", "Json"):
        values = encoded(name, values)
    ends, end = [], 0
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
    return list(chain.from_iterable(lists))


def encoded(name, texts):
    try:
        return [None if text is None else text.encode() for text in texts]
    except UnicodeEncodeError as error:
        raise Mistake(f"expire returned a text for output `{name}` that UTF-8 cannot encode: {error.reason}") from None
