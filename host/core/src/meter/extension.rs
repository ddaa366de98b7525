//! The interface for adding values to flows.

use std::sync::Arc;

use crate::flow::{Flow, ReadyFlows};
use crate::record::{FlowPacket, FlowView};
use crate::schema::Schema;

/// Observes the packets and flows of a worker, and adds values to flows.
///
/// For each flow the worker calls [`begin_flow`](Self::begin_flow), then [`packet`](Self::packet) for every
/// packet if [it needs each packet](Self::needs_each_packet), then [`expire`](Self::expire). The worker ends a chunk of packets with [`take`](Self::take). The
/// packets of the chunk are not available afterwards.
pub trait Extension {
    /// Returns the columns of flows that begin from now on.
    fn schema(&self) -> &Arc<Schema>;

    /// Returns the columns of a live flow.
    fn schema_of(&self, flow_id: u64) -> &Arc<Schema>;

    /// Returns whether the extension needs neither packets nor flows.
    fn is_empty(&self) -> bool;

    /// Returns whether the worker must call [`packet`](Self::packet) for each packet.
    fn needs_each_packet(&self) -> bool;

    /// Records that a flow begins with this packet.
    fn begin_flow(&mut self, packet: &FlowPacket<'_>);

    /// Processes the last packet of `chunk`, if the extension needs each packet. Earlier packets of the chunk were already processed.
    ///
    /// `view` returns the flow of this packet. Returns whether the flow must end with the packet.
    fn packet<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        view: &dyn Fn() -> FlowView<'f>,
        ready: &mut ReadyFlows,
    ) -> bool;

    /// Ends a chunk of packets. After this call its packets are not available.
    fn take(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows);

    /// Processes the end of the flow in this slot.
    ///
    /// The extension moves the flow to `ready` as soon as the flow has all its values, now or later. `chunk`
    /// contains the packets of the chunk so far.
    fn expire(&mut self, slot: u32, flow: Flow, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows);

    /// Moves all ended flows to `ready`, after their values are complete.
    fn flush(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows);

    /// Moves all ended flows to `ready`, after their values are complete. No further flows follow in this
    /// capture.
    fn finish(&mut self, ready: &mut ReadyFlows);

    /// Resets the extension for a new capture, whose flow ids start at 0. All flows have ended.
    fn restart(&mut self);

    /// Sets whether the meter is overloaded. If it is, the extension does less work for new flows.
    fn set_overload(&mut self, is_overloaded: bool);
}

/// An extension that adds no values.
#[derive(Clone, Debug)]
pub struct NoExtension(Arc<Schema>);

impl NoExtension {
    /// Creates an extension for flows with the columns of `schema`.
    pub fn new(schema: Schema) -> Self {
        Self(Arc::new(schema))
    }
}

impl Extension for NoExtension {
    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn schema_of(&self, _: u64) -> &Arc<Schema> {
        &self.0
    }

    fn is_empty(&self) -> bool {
        true
    }

    fn needs_each_packet(&self) -> bool {
        false
    }

    fn begin_flow(&mut self, _: &FlowPacket<'_>) {}

    fn packet<'f>(
        &mut self,
        _: &[FlowPacket<'_>],
        _: &dyn Fn() -> FlowView<'f>,
        _: &mut ReadyFlows,
    ) -> bool {
        false
    }

    fn take(&mut self, _: &[FlowPacket<'_>], _: &mut ReadyFlows) {}

    fn expire(&mut self, _: u32, flow: Flow, _: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        ready.push(flow);
    }

    fn flush(&mut self, _: &[FlowPacket<'_>], _: &mut ReadyFlows) {}

    fn finish(&mut self, _: &mut ReadyFlows) {}

    fn restart(&mut self) {}

    fn set_overload(&mut self, _: bool) {}
}
