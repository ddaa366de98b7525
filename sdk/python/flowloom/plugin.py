"""What an author writes."""


class Plugin:
    """A plugin: what it adds to a flow, what it wants to see, and five methods.

    What is set here may also be set by `open`, on `self`, where it depends on an option. Names of
    fields are those of `flowloom fields`.
    """

    #: The plugin's own version, for people.
    version = "0.1.0"
    #: One sentence for people: what it computes.
    description = ""
    #: The columns that it adds to every flow, as `Output`s.
    outputs = ()
    #: Fields of each packet.
    packet = ()
    #: So many bytes of each packet's transport payload, as `packet.payload`.
    payload_bytes = 0
    #: So many bytes of each packet from its IP header on, as `packet.bytes`.
    packet_bytes = 0
    #: Fields of the flow at its first packet, at every later one (which costs), and at its end.
    at_init = ()
    at_update = ()
    at_expire = ()
    #: No update after so many packets of a flow.
    packets_per_flow = None
    #: Whether `cuts` is asked. Such a plugin is called one event at a time, which costs.
    cuts_flows = False
    #: Keeps state across flows in `self`: the run is held to one meter.
    needs_one_meter = False

    def open(self, options):
        """Called once, before any event. Reads the options; an `OptionError` goes to the operator."""

    def init(self, packet, flow):
        """The first packet of a flow. The answer is what the plugin keeps of the flow."""
        raise NotImplementedError

    def update(self, state, packet, flow):
        """A later packet of a flow."""
        raise NotImplementedError

    def expire(self, state, flow):
        """The end of a flow. The answer has a value for each output by its name; what is missing or
        None is null."""
        raise NotImplementedError

    def finish(self):
        """After the last flow of this instance."""

    def cuts(self, state):
        """With `cuts_flows`, asked after each init and update: whether the flow ends here."""
        return False
