//! The interface for the dissection of flows.

use crate::record::{Application, FlowPacket};

/// Determines the application of each flow from its first packets.
///
/// A flow is identified by its slot in the flow table. After [`take`](Self::take), another flow can have the
/// slot.
pub trait Classifier {
    /// Dissects a packet of the flow in this slot. `n` is the number of the packet in the flow, from 1.
    fn see(&mut self, slot: u32, n: u64, packet: &FlowPacket<'_>);

    /// Skips the new flow in this slot: it is not dissected, and its application stays unknown.
    fn skip(&mut self, slot: u32);

    /// Returns the current application of a live flow, or `None` if plugins must not read it.
    fn application(&self, slot: u32) -> Option<&Application>;

    /// Takes the application of a flow that ends.
    fn take(&mut self, slot: u32) -> Option<Box<Application>>;

    /// Resets the state that earlier flows left, because a new capture begins. No flow is live.
    fn restart(&mut self);

    /// Returns the memory for live flows in bytes.
    fn memory(&self) -> usize;
}

/// The type parameter of a meter without dissection. It has no values.
#[derive(Clone, Copy, Debug)]
pub enum NoClassifier {}

impl Classifier for NoClassifier {
    fn see(&mut self, _: u32, _: u64, _: &FlowPacket<'_>) {
        match *self {}
    }

    fn skip(&mut self, _: u32) {
        match *self {}
    }

    fn application(&self, _: u32) -> Option<&Application> {
        match *self {}
    }

    fn take(&mut self, _: u32) -> Option<Box<Application>> {
        match *self {}
    }

    fn restart(&mut self) {
        match *self {}
    }

    fn memory(&self) -> usize {
        match *self {}
    }
}
