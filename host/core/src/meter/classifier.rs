//! Finds the applications of flows.

use crate::record::{Application, FlowPacket};

/// Finds the application of each flow from its first packets.
///
/// A flow is known by its slot in the flow table. Another flow may take the slot after [`take`](Self::take).
pub trait Classifier {
    /// Sees a packet of the flow in this slot, the `n`-th from 1 on.
    fn see(&mut self, slot: u32, n: u64, packet: &FlowPacket<'_>);

    /// Leaves out a flow that begins: its application stays unknown.
    fn skip(&mut self, slot: u32);

    /// Returns what is known so far of a live flow, if plugins can read it.
    fn application(&self, slot: u32) -> Option<&Application>;

    /// Takes what is known of a flow that ends.
    fn take(&mut self, slot: u32) -> Option<Box<Application>>;

    /// Forgets what earlier flows have taught: another capture begins, and no flow is live.
    fn restart(&mut self);

    /// Returns the bytes that it holds for live flows.
    fn memory(&self) -> usize;
}

/// Finds no application.
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
