//! How many packets of each flow can have an effect.

use super::{ALL_PACKETS, Accumulate, AccumulatorId, Binary, Graph, Live, Node, Stream};
use super::{StreamId, ValueId};
use crate::ast::Comparison;

impl Graph {
    /// Returns a number of packets after which no packet of a flow changes an output, at least 1; `None` if there is none.
    pub(crate) fn packets_per_flow(&self, live: &Live) -> Option<u32> {
        let mut ends = Ends {
            graph: self,
            values: Vec::new(),
        };
        for value in 0..self.values.len() {
            ends.values.push(ends.end(ValueId(value)));
        }
        let mut most = 1;
        let values = self.values.iter().zip(&live.values);
        for (typed, _) in values.filter(|(_, is_live)| **is_live) {
            let (accumulators, count) = match &typed.node {
                Node::Accumulated(id)
                | Node::Prefix(id, _)
                | Node::FloatVariance(id, _)
                | Node::Skewness(id)
                | Node::Kurtosis(id)
                | Node::Correlation(id) => ([*id; 3], 1),
                Node::Variance {
                    count,
                    sum,
                    squares,
                    ..
                } => ([*count, *sum, *squares], 3),
                _ => continue,
            };
            for id in &accumulators[..count] {
                most = most.max(ends.of_accumulator(*id)?);
            }
        }
        Some(most)
    }
}

/// Numbers of packets after which nothing happens.
struct Ends<'a> {
    graph: &'a Graph,
    /// For each value so far, a number of packets after which it is not true.
    values: Vec<Option<u32>>,
}

impl Ends<'_> {
    /// Returns a number of packets after which no packet changes an accumulator.
    fn of_accumulator(&self, id: AccumulatorId) -> Option<u32> {
        let accumulator = &self.graph.accumulators[id.0];
        let is_never_null =
            { accumulator.value }.is_none_or(|value| !self.graph.ty(value).is_nullable);
        // Every packet has a value then, so that the first values are those of the first packets.
        let by_count = match accumulator.what {
            _ if accumulator.stream != ALL_PACKETS || !is_never_null => None,
            Accumulate::First => Some(1),
            Accumulate::Nth(number) => Some(number),
            Accumulate::Values => Some(self.graph.capacities[id.0]),
            Accumulate::Head | Accumulate::Comoments(_) => None,
            _ => accumulator.limit,
        };
        least(by_count, self.of_stream(accumulator.stream))
    }

    /// Returns a number of packets after which no packet belongs to a stream, or to its runs.
    fn of_stream(&self, stream: StreamId) -> Option<u32> {
        match &self.graph.streams[stream.0] {
            Stream::Packets { filter, .. } => self.values[(*filter)?.0],
            Stream::RunPackets { run, .. } | Stream::Runs { run, .. } => {
                self.of_stream(self.graph.runs[run.0].stream)
            }
        }
    }

    /// Returns a number of packets after which a value is not true. The values before it are known.
    fn end(&self, value: ValueId) -> Option<u32> {
        let of = |value: &ValueId| self.values[value.0];
        match &self.graph.values[value.0].node {
            Node::Boolean(false) => Some(0),
            Node::Binary(Binary::And, a, b) => least(of(a), of(b)),
            Node::Binary(Binary::Or, a, b) => Some(of(a)?.max(of(b)?)),
            Node::Binary(Binary::Compare(comparison), a, b) => {
                let is_index = |value: &ValueId| self.graph.values[value.0].node == Node::Index;
                let constant = |value: &ValueId| self.graph.constant(*value);
                let (comparison, limit) = match (constant(a), constant(b)) {
                    (None, Some(limit)) if is_index(a) => (*comparison, limit),
                    (Some(limit), None) if is_index(b) => (mirrored(*comparison), limit),
                    _ => return None,
                };
                let limit = match comparison {
                    Comparison::Equal | Comparison::LessOrEqual => limit,
                    Comparison::Less => limit.saturating_sub(1),
                    _ => return None,
                };
                u32::try_from(limit.max(0)).ok()
            }
            Node::Within { of: inner, stream } => least(of(inner), self.of_stream(*stream)),
            _ => None,
        }
    }
}

/// Returns the smaller of two limits.
fn least(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Returns the comparison with its operands exchanged.
fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}
