//! The trait that a plugin implements.

use crate::{FlowFields, Options, Outputs, PacketFields};

/// A plugin: what it wants to see, what it keeps of each flow, and what it makes of it.
///
/// Of every flow Flowloom shows it the first packet ([`init`](Self::init)), each later one
/// ([`update`](Self::update)) and the end ([`expire`](Self::expire)), in this order. Flows are
/// interleaved; the SDK keeps one [`State`](Self::State) for each and hands out the right one.
///
/// A plugin cannot reach anything but its own memory. Where it panics, its values of the flows that
/// it held are null, a fresh instance serves the next flows, and the panic's text and event are in
/// Flowloom's log.
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
/// impl Plugin for SumOfSizes {
///     const DESCRIPTION: &'static str = "Adds up the sizes of a flow's packets.";
///     type Options = ();
///     type Packet<'a> = Packet;
///     type AtInit<'a> = ();
///     type AtUpdate<'a> = ();
///     type AtExpire<'a> = ();
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
///
/// flowloom_sdk::export!(SumOfSizes);
/// # fn main() {}
/// ```
pub trait Plugin: Sized {
    /// One sentence for people: what the plugin computes.
    const DESCRIPTION: &'static str;

    /// What the operator may set; `()` for nothing.
    type Options: Options;
    /// What the plugin sees of each packet.
    type Packet<'a>: PacketFields<'a>;
    /// What it sees of the flow at its first packet; `()` for nothing.
    type AtInit<'a>: FlowFields<'a>;
    /// What it sees of the flow at every later packet, which costs at every packet; `()` for nothing.
    type AtUpdate<'a>: FlowFields<'a>;
    /// What it sees of the flow at its end; `()` for nothing.
    type AtExpire<'a>: FlowFields<'a>;
    /// What it keeps of a flow from its first packet to its end.
    type State;
    /// The columns that it adds to every flow.
    type Outputs: Outputs;

    /// Called once, before any event. The same options must give a plugin that asks for the same
    /// things. The operator reads the error, and the plugin is not loaded.
    fn open(options: Self::Options) -> Result<Self, String>;

    /// The first packet of a flow.
    fn init(&mut self, packet: &Self::Packet<'_>, flow: &Self::AtInit<'_>) -> Self::State;

    /// A later packet of a flow.
    fn update(
        &mut self,
        state: &mut Self::State,
        packet: &Self::Packet<'_>,
        flow: &Self::AtUpdate<'_>,
    );

    /// The end of a flow.
    fn expire(&mut self, state: Self::State, flow: &Self::AtExpire<'_>) -> Self::Outputs;

    /// After the last flow of this instance.
    fn finish(&mut self) {}

    /// The flow fields at the first packet. By default those of the struct; give them here where they
    /// depend on an option ([`Chosen`](crate::Chosen)).
    fn at_init(&self) -> Vec<String> {
        names(<Self::AtInit<'static> as FlowFields>::NAMES)
    }

    /// The flow fields at later packets, as [`at_init`](Self::at_init).
    fn at_update(&self) -> Vec<String> {
        names(<Self::AtUpdate<'static> as FlowFields>::NAMES)
    }

    /// The flow fields at the end, as [`at_init`](Self::at_init).
    fn at_expire(&self) -> Vec<String> {
        names(<Self::AtExpire<'static> as FlowFields>::NAMES)
    }

    /// With `Some(n)`, n at least 1: no update after the first n packets of a flow. Expire still comes.
    fn packets_per_flow(&self) -> Option<u32> {
        None
    }

    /// How many bytes of each packet's transport payload the packet's `#[payload]` field gets at
    /// most. By default the number in that attribute; give it here where it depends on an option.
    fn payload_bytes(&self) -> u32 {
        <Self::Packet<'static> as PacketFields>::PAYLOAD_BYTES.unwrap_or(0)
    }

    /// How many bytes of each packet, from its IP header on, the packet's `#[bytes]` field gets at
    /// most. By default the number in that attribute; give it here where it depends on an option.
    fn packet_bytes(&self) -> u32 {
        <Self::Packet<'static> as PacketFields>::PACKET_BYTES.unwrap_or(0)
    }

    /// Whether [`cuts`](Self::cuts) is asked. Such a plugin is called one event at a time, which
    /// costs some hundred nanoseconds an event instead of a few.
    fn cuts_flows(&self) -> bool {
        false
    }

    /// Asked after each init and update of a plugin that [cuts flows](Self::cuts_flows): whether the
    /// flow ends with the packet just seen. Its `expiration_id` is then -1, and the next packet
    /// begins a new flow.
    fn cuts(&self, state: &Self::State) -> bool {
        let _ = state;
        false
    }

    /// Whether the plugin keeps anything across flows in `self`, which several meters would split:
    /// the run is held to one meter.
    fn needs_one_meter(&self) -> bool {
        false
    }
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
