//! Adds values to flows.

use std::sync::Arc;

use crate::flow::{Flow, ReadyFlows};
use crate::record::{FlowPacket, FlowView};
use crate::schema::Schema;

/// Sees the packets and the flows of a worker, and adds values to flows.
///
/// For each flow the worker calls [`begin_flow`](Self::begin_flow), then [`packet`](Self::packet) for every
/// packet, then [`expire`](Self::expire). A chunk of packets ends with [`take`](Self::take): its packets are
/// not there afterwards.
pub trait Extension {
    /// Returns the columns of flows that begin now.
    fn schema(&self) -> &Arc<Schema>;

    /// Returns the columns of a live flow.
    fn schema_of(&self, flow_id: u64) -> &Arc<Schema>;

    /// Returns whether it sees no flow at all.
    fn is_empty(&self) -> bool;

    /// Prefetches the memory that packets of the flow in this slot will touch.
    fn prefetch(&self, slot: u32);

    /// Notes that a flow begins with this packet.
    fn begin_flow(&mut self, packet: &FlowPacket<'_>);

    /// Sees the last packet of `chunk`; those before it were seen. `view` returns the flow of that packet.
    /// Returns whether the flow is to end with it.
    fn packet<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        view: &dyn Fn() -> FlowView<'f>,
        ready: &mut ReadyFlows,
    ) -> bool;

    /// Ends a chunk of packets.
    fn take(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows);

    /// Sees the end of the flow in this slot. The flow goes to `ready`, now or later, as soon as it has all
    /// its values. `chunk` holds the packets of the chunk so far.
    fn expire(&mut self, slot: u32, flow: Flow, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows);

    /// Makes all flows ready that have ended.
    fn flush(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows);

    /// Makes all flows ready that have ended: there are no more.
    fn finish(&mut self, ready: &mut ReadyFlows);

    /// Begins anew for another capture, whose flow ids begin at 0. All flows have ended.
    fn restart(&mut self);

    /// Tells it whether the meter is overloaded: it then does less for flows that begin.
    fn set_overload(&mut self, is_overloaded: bool);
}

/// Adds nothing.
#[derive(Clone, Debug)]
pub struct NoExtension(Arc<Schema>);

impl NoExtension {
    /// Makes one for flows with these columns.
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

    fn prefetch(&self, _: u32) {}

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
