//! The trait that a plugin implements.

use crate::{Available, FlowFields, Options, Outputs, PacketFields};

/// A plugin. It declares which data it requests, which state it keeps per flow, and which columns it
/// computes.
///
/// For every flow Flowloom calls [`init`](Self::init) with the first packet, [`update`](Self::update)
/// with each later packet, and [`expire`](Self::expire) at the end, in this order. Events of
/// different flows are interleaved. The SDK keeps one [`State`](Self::State) per flow and passes it
/// to these methods.
///
/// A plugin can access only its own memory. If it panics, its values are null for the flows that the
/// instance held, and a new instance handles later flows. Flowloom's log contains the text and the
/// event of the panic.
///
/// The attribute [`plugin`](macro@crate::plugin) adds the types that are `()`, and exports the plugin.
///
/// ```
/// use flowloom_sdk::{Outputs, PacketFields, Plugin};
///
/// #[derive(PacketFields)]
/// struct Packet {
///     ip_size: u64,
/// }
///
/// #[derive(Outputs)]
/// struct Sum {
///     /// Bytes of all packets, by their IP headers.
///     ip_bytes: i64,
/// }
///
/// struct SumOfSizes;
///
/// #[flowloom_sdk::plugin]
/// impl Plugin for SumOfSizes {
///     const DESCRIPTION: &'static str = "Adds up the sizes of a flow's packets.";
///     type Packet<'a> = Packet;
///     type State = u64;
///     type Outputs = Sum;
///
///     fn open((): ()) -> Result<Self, String> {
///         Ok(SumOfSizes)
///     }
///
///     fn init(&mut self, packet: &Packet, _: &()) -> u64 {
///         packet.ip_size
///     }
///
///     fn update(&mut self, bytes: &mut u64, packet: &Packet, _: &()) {
///         *bytes += packet.ip_size;
///     }
///
///     fn expire(&mut self, bytes: u64, _: &()) -> Sum {
///         Sum { ip_bytes: bytes as i64 }
///     }
/// }
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Plugin`",
    note = "implement it: `#[flowloom_sdk::plugin] impl Plugin for {Self} {{ … }}`"
)]
pub trait Plugin: Sized {
    /// One sentence for people that describes what the plugin computes.
    const DESCRIPTION: &'static str;

    /// The options that the operator may set; `()` for none.
    type Options: Options;
    /// The data that the plugin requests for each packet; `()` for none.
    type Packet<'a>: PacketFields<'a>;
    /// The flow fields that the plugin requests at the first packet; `()` for none.
    type AtInit<'a>: FlowFields<'a>;
    /// The flow fields that the plugin requests at every later packet; `()` for none. They cost time
    /// for every packet.
    type AtUpdate<'a>: FlowFields<'a>;
    /// The flow fields that the plugin requests at the end of the flow; `()` for none.
    type AtExpire<'a>: FlowFields<'a>;
    /// The state that the plugin keeps for a flow, from its first packet to its end; `()` for none.
    type State;
    /// The columns that the plugin adds to every flow; `()` for none.
    type Outputs: Outputs;

    /// Opens the plugin. Flowloom calls it once per instance, before any event. The same options must
    /// always give a plugin with the same manifest, if the same data is available.
    ///
    /// # Errors
    ///
    /// Return a text for the operator to reject the options. Flowloom then does not load the plugin.
    fn open(options: Self::Options) -> Result<Self, String>;

    /// Adapts the plugin to what it may request in this run: the fields that exist and that the operator
    /// granted. The SDK calls it after [`open`](Self::open), before it asks for the names of fields. The
    /// default does nothing. Flowloom rejects the plugin if it then requests anything else.
    ///
    /// # Errors
    ///
    /// Return a text for the operator if the plugin cannot do without something. Flowloom then does not
    /// load the plugin.
    fn adapt(&mut self, available: &Available) -> Result<(), String> {
        let _ = available;
        Ok(())
    }

    /// Handles the first packet of a flow and returns the state of the flow.
    fn init(&mut self, packet: &Self::Packet<'_>, flow: &Self::AtInit<'_>) -> Self::State;

    /// Handles a later packet of a flow.
    fn update(
        &mut self,
        state: &mut Self::State,
        packet: &Self::Packet<'_>,
        flow: &Self::AtUpdate<'_>,
    );

    /// Handles the end of a flow and returns its output values.
    fn expire(&mut self, state: Self::State, flow: &Self::AtExpire<'_>) -> Self::Outputs;

    /// Handles the end of this instance, after its last flow.
    fn finish(&mut self) {}

    /// Returns the names of the flow fields to request at the first packet. The default is the names
    /// in the struct. Override it if the names depend on an option or on the run (see
    /// [`Chosen`](crate::Chosen) and [`adapt`](Self::adapt)).
    fn at_init(&self) -> Vec<String> {
        names(<Self::AtInit<'static> as FlowFields>::NAMES)
    }

    /// Returns the names of the flow fields to request at later packets; see
    /// [`at_init`](Self::at_init).
    fn at_update(&self) -> Vec<String> {
        names(<Self::AtUpdate<'static> as FlowFields>::NAMES)
    }

    /// Returns the names of the flow fields to request at the end; see [`at_init`](Self::at_init).
    fn at_expire(&self) -> Vec<String> {
        names(<Self::AtExpire<'static> as FlowFields>::NAMES)
    }

    /// Returns `Some(n)`, n at least 1, to receive no update after the first n packets of a flow. The
    /// plugin still receives expire. The default is `None`: no limit.
    fn packets_per_flow(&self) -> Option<u32> {
        None
    }

    /// Returns the bytes of memory that the state of a flow needs, with what it allocates. Flowloom offers
    /// an instance as many flows as fit into its memory. The default is the size of
    /// [`State`](Self::State). Override it if the state allocates memory.
    fn state_bytes(&self) -> usize {
        size_of::<Self::State>()
    }

    /// Returns the maximum number of bytes in the `#[payload]` field of a packet. The default is the
    /// number in that attribute. Override it if the number depends on an option.
    fn payload_bytes(&self) -> u32 {
        <Self::Packet<'static> as PacketFields>::PAYLOAD_BYTES.unwrap_or(0)
    }

    /// Returns the maximum number of bytes in the `#[bytes]` field of a packet. The default is the
    /// number in that attribute. Override it if the number depends on an option.
    fn packet_bytes(&self) -> u32 {
        <Self::Packet<'static> as PacketFields>::PACKET_BYTES.unwrap_or(0)
    }

    /// Returns whether the plugin may end flows early with [`cuts`](Self::cuts). Flowloom calls such
    /// a plugin one event at a time. An event then costs some hundred nanoseconds instead of a few.
    fn cuts_flows(&self) -> bool {
        false
    }

    /// Returns whether the flow ends with the packet that the plugin just handled. The SDK calls it
    /// after each init and update if [`cuts_flows`](Self::cuts_flows) returns true. The
    /// `expiration_id` of a cut flow is -1, and the next packet starts a new flow.
    fn cuts(&self, state: &Self::State) -> bool {
        let _ = state;
        false
    }

    /// Returns whether the plugin keeps state across flows in `self`. Several meters would split that
    /// state, so Flowloom limits the run to one meter.
    fn needs_one_meter(&self) -> bool {
        false
    }
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
