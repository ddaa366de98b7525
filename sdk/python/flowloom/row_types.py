"""The types of packets and flows, for annotations. row_types.pyi has their fields."""


class Packet(tuple):
    """A packet, with the fields that `packet` requests."""

    __slots__ = ()


class Flow(tuple):
    """A flow, with the fields that `at_init`, `at_update` or `at_expire` requests."""

    __slots__ = ()
