//! The queue of ended flows that the caller has not taken yet.

use std::collections::VecDeque;

use super::Flow;

/// A queue of ended flows, with a count of the bytes of their plugin values.
///
/// The bytes are those of texts, lists and other values that are not numbers. A plugin decides their
/// size. The rest of a flow has the same size as in the table of live flows.
#[derive(Default)]
pub struct ReadyFlows {
    flows: VecDeque<Flow>,
    bytes: usize,
}

impl ReadyFlows {
    /// Returns the number of flows.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Returns whether the queue contains no flow.
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Returns the bytes of plugin values that are not numbers, summed over all flows.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a flow.
    #[inline]
    pub fn push(&mut self, flow: Flow) {
        self.bytes += flow.outputs.bytes();
        self.flows.push_back(flow);
    }

    /// Removes and returns the first flow.
    #[inline]
    pub fn pop(&mut self) -> Option<Flow> {
        // Read the bytes before the flow is moved, so that it is moved only once: flows are large.
        self.bytes -= self.flows.front()?.outputs.bytes();
        self.flows.pop_front()
    }

    /// Calls `change` for each flow, in order. `change` may change the values of the flow.
    pub fn for_each(&mut self, mut change: impl FnMut(&mut Flow)) {
        self.flows.iter_mut().for_each(&mut change);
        self.bytes = self.flows.iter().map(|flow| flow.outputs.bytes()).sum();
    }

    /// Moves all flows of `others` to the end of this queue.
    pub fn append(&mut self, others: &mut Self) {
        self.bytes += std::mem::take(&mut others.bytes);
        match self.flows.is_empty() {
            // Swap the buffers instead of moving the flows, which are large.
            true => std::mem::swap(&mut self.flows, &mut others.flows),
            false => self.flows.append(&mut others.flows),
        }
    }

    /// Removes and returns all flows. The queue continues with `buffer`, which must be empty.
    pub fn take_all(&mut self, buffer: VecDeque<Flow>) -> VecDeque<Flow> {
        debug_assert!(buffer.is_empty());
        self.bytes = 0;
        std::mem::replace(&mut self.flows, buffer)
    }

    /// Moves the first flows to the end of `to`: at most `most`.
    pub fn take_some(&mut self, most: usize, to: &mut Vec<Flow>) {
        if to.is_empty() && self.flows.len() <= most.min(to.capacity()) {
            // Flows are large. The exchange of the buffers moves none of them, unless the first ones were removed.
            self.bytes = 0;
            let buffer = VecDeque::from(std::mem::take(to));
            *to = std::mem::replace(&mut self.flows, buffer).into();
            return;
        }
        let first = to.len();
        to.extend(self.flows.drain(..most.min(self.flows.len())));
        let bytes = to[first..].iter().map(|flow| flow.outputs.bytes());
        self.bytes -= bytes.sum::<usize>();
    }

    /// Removes and returns the first flows, until their plugin values have `bytes` bytes or more.
    ///
    /// Returns all flows if they have at most `bytes` bytes, and otherwise at least one flow. `buffer` must be
    /// empty; its memory is reused.
    pub fn take_piece(&mut self, bytes: usize, mut buffer: VecDeque<Flow>) -> VecDeque<Flow> {
        if self.bytes <= bytes {
            return self.take_all(buffer);
        }
        let before = self.bytes;
        while (buffer.is_empty() || before - self.bytes < bytes)
            && let Some(flow) = self.pop()
        {
            buffer.push_back(flow);
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::testing;
    use crate::value::UdpValue;

    /// Returns a queue of flows with this many bytes of plugin values each.
    fn queue(bytes: &[u32]) -> ReadyFlows {
        let mut queue = ReadyFlows::default();
        let flows = testing::flows(bytes.len() as u64);
        for (mut flow, &bytes) in flows.into_iter().zip(bytes) {
            flow.outputs.put(1, 0, [UdpValue::Boolean(true)], bytes);
            queue.push(flow);
        }
        queue
    }

    #[test]
    fn some_flows_are_taken_from_the_front() {
        let mut queue = queue(&[1, 2, 4]);
        let mut taken = Vec::new();
        queue.take_some(2, &mut taken);
        assert_eq!((ids(&taken), queue.bytes()), (vec![0, 1], 4));
        queue.take_some(2, &mut taken);
        assert_eq!((ids(&taken), queue.bytes()), (vec![0, 1, 2], 0));
        queue.take_some(2, &mut taken);
        assert_eq!(taken.len(), 3);
    }

    #[test]
    fn all_flows_are_taken_by_an_exchange_of_buffers() {
        let mut queue = queue(&[1, 2, 4]);
        let mut taken = Vec::with_capacity(3);
        queue.take_some(4, &mut taken);
        assert_eq!((ids(&taken), queue.bytes()), (vec![0, 1, 2], 0));
        // The first flow is removed, so that the others do not begin at the start of the buffer.
        taken.into_iter().for_each(|flow| queue.push(flow));
        assert_eq!(queue.pop().map(|flow| flow.id()), Some(0));
        let mut taken = Vec::with_capacity(2);
        queue.take_some(2, &mut taken);
        assert_eq!(
            (ids(&taken), queue.bytes(), queue.len()),
            (vec![1, 2], 0, 0)
        );
        queue.take_some(2, &mut Vec::with_capacity(2));
        assert!(queue.is_empty());
    }

    fn ids<'a>(flows: impl IntoIterator<Item = &'a Flow>) -> Vec<u64> {
        flows.into_iter().map(Flow::id).collect()
    }

    #[test]
    fn the_bytes_are_those_of_the_flows_in_the_queue() {
        let mut queue = queue(&[10, 20, 30]);
        assert_eq!(
            (queue.len(), queue.bytes(), queue.is_empty()),
            (3, 60, false)
        );
        assert_eq!(queue.pop().map(|flow| flow.id()), Some(0));
        assert_eq!((queue.len(), queue.bytes()), (2, 50));
        queue.for_each(|flow| flow.outputs.put(1, 0, [UdpValue::Null], 1));
        assert_eq!(queue.bytes(), 52);
        let all = queue.take_all(VecDeque::new());
        assert_eq!(ids(&all), [1, 2]);
        assert_eq!((queue.len(), queue.bytes(), queue.is_empty()), (0, 0, true));
        assert!(queue.pop().is_none());
    }

    #[test]
    fn appended_flows_come_last() {
        let mut all = ReadyFlows::default();
        for bytes in [10, 20] {
            let mut others = queue(&[bytes, bytes]);
            all.append(&mut others);
            assert_eq!((others.len(), others.bytes()), (0, 0));
        }
        assert_eq!(all.bytes(), 60);
        let all = all.take_all(VecDeque::new());
        assert_eq!(ids(&all), [0, 1, 0, 1]);
    }

    #[test]
    fn a_piece_has_as_many_flows_as_reach_its_bytes() {
        for (bytes, piece, rest) in [
            (100, 4, 0),
            (40, 4, 0),
            (39, 4, 0),
            (21, 3, 10),
            (20, 2, 20),
            (1, 1, 30),
            // Even then, the queue becomes shorter.
            (0, 1, 30),
        ] {
            let mut queue = queue(&[10; 4]);
            let taken = queue.take_piece(bytes, VecDeque::new());
            assert_eq!(ids(&taken), (0..piece).collect::<Vec<_>>(), "{bytes}");
            assert_eq!(
                (queue.len() as u64, queue.bytes()),
                (4 - piece, rest),
                "{bytes}"
            );
        }
    }
}
