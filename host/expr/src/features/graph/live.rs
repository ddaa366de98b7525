//! What the outputs of a program need.

use super::{
    ALL_PACKETS, Accumulate, Accumulator, AccumulatorId, Graph, Node, Stream, StreamId, ValueId,
};

/// The values, streams, runs and accumulators on which outputs depend, by their indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    pub(crate) values: Vec<bool>,
    pub(crate) streams: Vec<bool>,
    pub(crate) runs: Vec<bool>,
    pub(crate) accumulators: Vec<bool>,
}

impl Graph {
    /// Returns what these values need. The text can name more: with a `let` that nothing uses, for example.
    pub(crate) fn live(&self, outputs: impl Iterator<Item = ValueId>) -> Live {
        let mut live = Live {
            values: vec![false; self.values.len()],
            streams: vec![false; self.streams.len()],
            runs: vec![false; self.runs.len()],
            accumulators: vec![false; self.accumulators.len()],
        };
        let mut next: Vec<ValueId> = outputs.collect();
        while let Some(value) = next.pop() {
            if !std::mem::replace(&mut live.values[value.0], true) {
                self.mark(value, &mut live, &mut next);
            }
        }
        live
    }

    /// Marks what a value needs. Other values are appended to `next`.
    fn mark(&self, value: ValueId, live: &mut Live, next: &mut Vec<ValueId>) {
        match &self.values[value.0].node {
            Node::Boolean(_)
            | Node::Integer(_)
            | Node::Float(_)
            | Node::Bytes(_)
            | Node::Field(_)
            | Node::FlowField(_)
            | Node::PayloadByte(_)
            | Node::PayloadSlice(..)
            | Node::PayloadNumber { .. }
            | Node::PayloadStarts(_) => (),
            Node::Index => self.mark_where(live, next, |accumulator| {
                accumulator.what == Accumulate::Count && accumulator.value.is_none()
            }),
            Node::Age => self.mark_where(live, next, |accumulator| {
                let is_time = |value: ValueId| matches!(self.values[value.0].node, Node::Field(_));
                accumulator.what == Accumulate::First
                    && accumulator.value.is_some_and(|value| {
                        is_time(value) && self.ty(value).kind == super::Kind::Instant
                    })
            }),
            Node::Previous { of, stream } | Node::Within { of, stream } => {
                next.push(*of);
                self.mark_stream(*stream, live, next);
            }
            Node::Unary(_, of)
            | Node::Element(of, _)
            | Node::Slice(of, ..)
            | Node::Quantile(of, _) => {
                next.push(*of);
            }
            Node::Binary(_, left, right) => next.extend([*left, *right]),
            Node::If(condition, one, other) => next.extend([*condition, *one, *other]),
            Node::Accumulated(id)
            | Node::Prefix(id, _)
            | Node::FloatVariance(id, _)
            | Node::Skewness(id)
            | Node::Kurtosis(id)
            | Node::Correlation(id) => self.mark_accumulator(*id, live, next),
            Node::Variance {
                count,
                sum,
                squares,
                ..
            } => [count, sum, squares]
                .into_iter()
                .for_each(|id| self.mark_accumulator(*id, live, next)),
        }
    }

    /// Marks the accumulators over all packets that are wanted.
    fn mark_where(
        &self,
        live: &mut Live,
        next: &mut Vec<ValueId>,
        wanted: impl Fn(&Accumulator) -> bool,
    ) {
        for (id, accumulator) in self.accumulators.iter().enumerate() {
            let is_plain = accumulator.stream == ALL_PACKETS && accumulator.limit.is_none();
            if is_plain && wanted(accumulator) {
                self.mark_accumulator(AccumulatorId(id), live, next);
            }
        }
    }

    fn mark_accumulator(&self, id: AccumulatorId, live: &mut Live, next: &mut Vec<ValueId>) {
        live.accumulators[id.0] = true;
        let accumulator = &self.accumulators[id.0];
        next.extend(accumulator.value);
        if let Accumulate::Comoments(second) = accumulator.what {
            next.push(second);
        }
        self.mark_stream(accumulator.stream, live, next);
    }

    fn mark_stream(&self, stream: StreamId, live: &mut Live, next: &mut Vec<ValueId>) {
        live.streams[stream.0] = true;
        let (run, filter) = match &self.streams[stream.0] {
            Stream::Packets { filter, .. } => (None, filter),
            Stream::RunPackets { run, filter, .. } | Stream::Runs { run, filter } => {
                (Some(*run), filter)
            }
        };
        next.extend(*filter);
        if let Some(run) = run {
            live.runs[run.0] = true;
            let runs = &self.runs[run.0];
            next.push(runs.break_when);
            // It is a stream of packets of the flow, so that this ends.
            self.mark_stream(runs.stream, live, next);
        }
    }
}
