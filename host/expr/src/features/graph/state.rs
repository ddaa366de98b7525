//! The bytes of state that each flow needs.

use std::collections::HashSet;

use super::{
    ALL_PACKETS, Accumulate, Accumulator, AccumulatorId, Graph, Live, Node, Stream, StreamId, Type,
};

impl Graph {
    /// Returns the bytes that the accumulators and previous values of one flow need, and the largest accumulator.
    pub(crate) fn state_bytes(&self, live: &Live) -> (u32, Option<(AccumulatorId, u32)>) {
        let sizes = (0..self.accumulators.len())
            .filter(|id| live.accumulators[*id])
            .map(|id| (AccumulatorId(id), self.accumulator_bytes(AccumulatorId(id))));
        let largest = sizes
            .clone()
            .max_by_key(|(id, bytes)| (*bytes, usize::MAX - id.0));
        let accumulators = sizes.map(|(_, bytes)| bytes).fold(0, u32::saturating_add);
        let runs = || {
            self.runs
                .iter()
                .zip(&live.runs)
                .filter(|(_, is_live)| **is_live)
        };
        let mut streams: HashSet<StreamId> = runs().map(|(runs, _)| runs.stream).collect();
        let mut previous = 0_u32;
        for (typed, _) in self
            .values
            .iter()
            .zip(&live.values)
            .filter(|(_, is_live)| **is_live)
        {
            if let Node::Previous { of, stream } = typed.node {
                streams.insert(stream);
                previous = previous.saturating_add(self.ty(of).width());
            }
        }
        // Whether the stream had a packet. A flow always had one.
        streams.remove(&ALL_PACKETS);
        let dropped = runs().filter(|(runs, _)| runs.drop.is_some()).count();
        let bytes = accumulators
            .saturating_add(previous)
            .saturating_add((streams.len() + dropped) as u32);
        (bytes, largest)
    }

    /// Returns the bytes of one accumulator.
    pub(crate) fn accumulator_bytes(&self, id: AccumulatorId) -> u32 {
        let Accumulator {
            what,
            value,
            stream,
            limit,
        } = &self.accumulators[id.0];
        let capacity = self.capacities[id.0];
        let ty = value.map(|value| self.ty(value));
        let width = ty.map_or(0, |ty| ty.width());
        // One more byte says whether there is a value.
        let has_packets = match &self.streams[stream.0] {
            // A run has at least one packet.
            Stream::RunPackets { scope, filter, .. } => scope.is_none() && filter.is_none(),
            _ => *stream == ALL_PACKETS,
        };
        let is_certain = has_packets && ty.is_some_and(|ty| !ty.is_nullable);
        let some = width + u32::from(!is_certain);
        let bytes = match what {
            Accumulate::Count => return 4,
            Accumulate::CountTrue => 4,
            Accumulate::Sum => 8,
            Accumulate::WideSum => 16,
            Accumulate::Squares if ty.is_some_and(Type::has_narrow_squares) => 8,
            Accumulate::Squares => 16,
            Accumulate::Welford => 20,
            Accumulate::Minimum | Accumulate::Maximum => width.max(4),
            Accumulate::First | Accumulate::Last => some,
            Accumulate::Nth(_) => width + 4,
            Accumulate::Any | Accumulate::All => 1,
            Accumulate::Moments(order) => 4 + 8 * u32::from(*order),
            Accumulate::Comoments(_) => 44,
            Accumulate::Values => return 2_u32.saturating_add(capacity.saturating_mul(width)),
            Accumulate::Distinct(_) if width == 1 => 32,
            Accumulate::Distinct(most) => 2_u32.saturating_add(most.saturating_mul(width)),
            Accumulate::Histogram(edges) => 4 * (edges.len() as u32 + 1),
            Accumulate::Head => return 2_u32.saturating_add(capacity),
        };
        // The number of values that were seen.
        bytes.saturating_add(if limit.is_some() { 4 } else { 0 })
    }
}
