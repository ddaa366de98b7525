//! Flows that have ended and wait to be taken.

use std::collections::VecDeque;

use super::Flow;

/// Flows that have ended, in order, and how many bytes of plugins' values they hold.
///
/// The bytes are those of texts, lists and other values that are not numbers: what a plugin decides. The
/// rest of a flow has the same size as in the table of live flows.
#[derive(Default)]
pub struct ReadyFlows {
    flows: VecDeque<Flow>,
    bytes: usize,
}

impl ReadyFlows {
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Bytes of plugins' values in them.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub fn push(&mut self, flow: Flow) {
        self.bytes += flow.outputs.bytes();
        self.flows.push_back(flow);
    }

    #[inline]
    pub fn pop(&mut self) -> Option<Flow> {
        // Before it is moved: flows are large.
        self.bytes -= self.flows.front()?.outputs.bytes();
        self.flows.pop_front()
    }

    /// Changes the values of all flows.
    pub fn for_each(&mut self, mut change: impl FnMut(&mut Flow)) {
        self.flows.iter_mut().for_each(&mut change);
        self.bytes = self.flows.iter().map(|flow| flow.outputs.bytes()).sum();
    }

    /// Moves all flows of `others` behind these.
    pub fn append(&mut self, others: &mut Self) {
        self.bytes += std::mem::take(&mut others.bytes);
        match self.flows.is_empty() {
            // Flows are large.
            true => std::mem::swap(&mut self.flows, &mut others.flows),
            false => self.flows.append(&mut others.flows),
        }
    }

    /// Takes all flows, and leaves memory to use again.
    pub fn take_all(&mut self, memory: VecDeque<Flow>) -> VecDeque<Flow> {
        debug_assert!(memory.is_empty());
        self.bytes = 0;
        std::mem::replace(&mut self.flows, memory)
    }

    /// Takes the first flows until they hold so many bytes: all of them, or some and at least one.
    pub fn take_piece(&mut self, bytes: usize, mut memory: VecDeque<Flow>) -> VecDeque<Flow> {
        if self.bytes <= bytes {
            return self.take_all(memory);
        }
        let before = self.bytes;
        while before - self.bytes < bytes
            && let Some(flow) = self.pop()
        {
            memory.push_back(flow);
        }
        memory
    }
}
