"""The base class of plugins."""

from typing import NamedTuple


class Available(NamedTuple):
    """What a plugin may request in this run: fields that exist and that the operator granted."""

    #: Names of packet fields.
    packet: list[str]
    #: Names of flow fields.
    flow: list[str]
    #: The maximum of `payload_bytes`; 0 if the operator granted no payload.
    payload_bytes: int
    #: The maximum of `packet_bytes`; 0 if the operator granted no bytes of packets.
    packet_bytes: int


class Plugin:
    """A plugin: the columns that it adds, the data that it requests, and its methods.

    If a value depends on an option, `open` sets the attribute on `self`. If it depends on what is available
    in the run, `adapt` sets it. `flowloom fields` prints the names of the fields.
    """

    #: The version of the plugin itself, for people.
    version = "0.1.0"
    #: One sentence for people that describes what the plugin computes.
    description = ""
    #: The columns that the plugin adds to every flow, as `Output`s.
    outputs = ()
    #: Names of packet fields.
    packet = ()
    #: The maximum number of bytes in `packet.payload`, the transport payload.
    payload_bytes = 0
    #: The maximum number of bytes in `packet.bytes`, the packet from its IP header on.
    packet_bytes = 0
    #: Names of flow fields at the first packet.
    at_init = ()
    #: Names of flow fields at every later packet. They cost time for every packet.
    at_update = ()
    #: Names of flow fields at the end of the flow.
    at_expire = ()
    #: No update after this number of packets of a flow; None is no limit.
    packets_per_flow = None
    #: Bytes of memory that the plugin needs for each live flow; 0 if it is not known. Flowloom offers an
    #: instance as many flows as fit into its memory. At 0 it assumes 64 bytes.
    flow_bytes = 0
    #: Whether the plugin may end flows early with `cuts`. Flowloom then passes one event per call, which
    #: costs several times as much.
    cuts_flows = False
    #: Whether the plugin keeps state across flows in `self`. Flowloom then limits the run to one meter.
    needs_one_meter = False

    def open(self, options):
        """Reads the options. Flowloom calls it once per instance, before any event.

        If it raises an `OptionError`, Flowloom shows the error to the operator and does not load the plugin.
        """

    def adapt(self, available):
        """Adapts the plugin to what it may request in this run: `available` is an `Available`.

        The SDK calls it after `open`, and then reads the attributes. The default does nothing. Flowloom does
        not load the plugin if it then requests anything else, or if `adapt` raises an `OptionError`.
        """

    def init(self, packet, flow):
        """Handles the first packet of a flow. Returns the state of the flow."""
        raise NotImplementedError

    def update(self, state, packet, flow):
        """Handles a later packet of a flow."""
        raise NotImplementedError

    def expire(self, state, flow):
        """Handles the end of a flow. Returns a dictionary of output values by name. A missing value and
        None are null."""
        raise NotImplementedError

    def finish(self):
        """Handles the end of this instance, after its last flow."""

    def cuts(self, state):
        """Returns whether the flow ends with the current packet. The SDK calls it after each init and update
        if `cuts_flows` is set."""
        return False
