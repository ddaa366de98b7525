//! The typed program: values, the selections of packets, and the accumulators over them.
//!
//! Equal values, selections and accumulators exist once. The operands of a value, and all that a selection or an
//! accumulator reads, come before it. A compiler can therefore go through each list once.

mod bounded;
mod live;

use std::collections::HashMap;
use std::hash::Hash;

use super::ast::{Direction, Drop};
use super::types::{Kind, Type};
use crate::ast::Comparison;

pub(crate) use live::Live;

/// An index in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ValueId(pub(crate) usize);

/// An index in [`Graph::streams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamId(pub(crate) usize);

/// An index in [`Graph::accumulators`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AccumulatorId(pub(crate) usize);

/// An index in [`Graph::runs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunId(pub(crate) usize);

/// The stream of all packets of a flow.
pub(crate) const ALL_PACKETS: StreamId = StreamId(0);

/// What a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Level {
    Constant,
    Packet,
    Run(RunId),
    Flow,
}

/// Packets or runs that an accumulator sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stream {
    /// Packets of the flow.
    Packets {
        scope: Option<Direction>,
        filter: Option<ValueId>,
    },
    /// Packets of each run.
    RunPackets {
        run: RunId,
        scope: Option<Direction>,
        filter: Option<ValueId>,
    },
    /// Runs of the flow.
    Runs { run: RunId, filter: Option<ValueId> },
}

/// A statement `runs`.
#[derive(Clone, Debug)]
pub(crate) struct Runs {
    /// The packets of all runs.
    pub(crate) stream: StreamId,
    /// A run begins with the first packet of `stream`, and with each for which this is true.
    pub(crate) break_when: ValueId,
    pub(crate) drop: Option<Drop>,
}

/// How a value is computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Boolean(bool),
    Integer(i64),
    /// The bits of a float.
    Float(u64),
    Bytes(Box<[u8]>),
    /// The packet field at this index of the table of packet fields.
    Field(usize),
    /// The flow field at this index of the table of flow fields, at the end of the flow.
    FlowField(usize),
    /// The ordinal of the packet in the flow, from 1.
    Index,
    /// The time since the first packet of the flow.
    Age,
    PayloadByte(u32),
    PayloadSlice(u32, u32),
    /// A big-endian number of 2 or 4 bytes.
    PayloadNumber {
        at: u32,
        bytes: u32,
    },
    PayloadStarts(Box<[u8]>),
    /// The value of `of` at the previous packet or run of the stream; null at the first one.
    Previous {
        of: ValueId,
        stream: StreamId,
    },
    /// The value of `of` if the packet belongs to the stream, otherwise null.
    Within {
        of: ValueId,
        stream: StreamId,
    },
    Unary(Unary, ValueId),
    Binary(Binary, ValueId, ValueId),
    /// The second value if the first one is true, otherwise the third one.
    If(ValueId, ValueId, ValueId),
    /// The byte of bytes, or the value of a list, at an index.
    Element(ValueId, u32),
    Slice(ValueId, u32, u32),
    /// The result of an accumulator.
    Accumulated(AccumulatorId),
    /// The first values or bytes of an accumulator that can keep more.
    Prefix(AccumulatorId, u32),
    /// (n Σx² − (Σx)²) / (n (n − 1)), or / n² for the population.
    Variance {
        count: AccumulatorId,
        sum: AccumulatorId,
        squares: AccumulatorId,
        is_population: bool,
    },
    /// The variance of floats, by [`Accumulate::Welford`].
    FloatVariance(AccumulatorId, bool),
    Skewness(AccumulatorId),
    Kurtosis(AccumulatorId),
    Correlation(AccumulatorId),
    /// The quantile of a list, at the bits of a float from 0 to 1.
    Quantile(ValueId, u64),
}

impl Node {
    /// Returns the number of bytes that the node itself reads of each payload. A prefix is of bytes if it is one of
    /// [`Accumulate::Head`].
    pub(crate) fn payload_bytes(&self) -> u32 {
        match self {
            Self::PayloadByte(at) => at + 1,
            Self::PayloadSlice(_, end) => *end,
            Self::PayloadNumber { at, bytes } => at + bytes,
            Self::PayloadStarts(with) => with.len() as u32,
            Self::Prefix(_, most) => *most,
            _ => 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unary {
    Not,
    Negate,
    ToFloat,
    Absolute,
    SquareRoot,
    Log2,
    Ln,
    Log10,
    /// To the nearest whole number; a half is rounded to the even one.
    Round,
    Length,
    Entropy,
    /// The number of distinct bytes.
    DistinctBytes,
}

/// An operation on two values of the same representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    /// The largest multiple of the second value that is not above the first.
    FloorTo,
    BitAnd,
    BitOr,
    Least,
    Greatest,
    And,
    Or,
    Compare(Comparison),
    Contains,
    Coalesce,
}

/// What an accumulator computes. Null values are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Accumulate {
    /// The number of values. It stops at 4,294,967,295.
    Count,
    /// The number of true values, like `Count`.
    CountTrue,
    /// The sum. Integers are exact; times stop at ±(2^63 − 1) ns; floats are added in packet order.
    Sum,
    /// The sum of whole numbers in 128 bits.
    WideSum,
    /// The sum of squares of whole numbers. It stops at 2^64 − 1 if the numbers are from 0 to 2^32 − 1, and at 2^127 − 1
    /// otherwise.
    Squares,
    /// Mean and sum of squared deviations of floats, by Welford's method.
    Welford,
    Minimum,
    Maximum,
    First,
    Last,
    /// The value with this ordinal, from 1.
    Nth(u32),
    Any,
    All,
    /// Central moments up to the third or fourth, in one pass.
    Moments(u8),
    /// Central moments of two values.
    Comoments(ValueId),
    /// The first values, up to the capacity.
    Values,
    /// The number of distinct values, at most this number.
    Distinct(u32),
    /// Counts below the first edge, between the edges, and from the last edge on. Floats are given as bits.
    Histogram(Box<[i64]>),
    /// The first bytes of the payloads, end to end, up to the capacity.
    Head,
}

/// A state of a flow or of a run that packets or runs update.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Accumulator {
    pub(crate) what: Accumulate,
    /// The value; without one, each packet or run counts.
    pub(crate) value: Option<ValueId>,
    pub(crate) stream: StreamId,
    /// Only so many values that are not null are seen.
    pub(crate) limit: Option<u32>,
}

/// A value with its type and level.
#[derive(Clone, Debug)]
pub(crate) struct TypedNode {
    pub(crate) node: Node,
    pub(crate) ty: Type,
    pub(crate) level: Level,
}

/// The values, selections and accumulators of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    pub(crate) values: Vec<TypedNode>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) runs: Vec<Runs>,
    pub(crate) accumulators: Vec<Accumulator>,
    /// The maximum number of values or bytes that each accumulator keeps; 0 if it keeps none.
    pub(crate) capacities: Vec<u32>,
    value_ids: HashMap<(Node, Kind), usize>,
    stream_ids: HashMap<Stream, usize>,
    accumulator_ids: HashMap<Accumulator, usize>,
}

/// Returns the index of an item, which is appended if it is new.
fn intern<T: Clone + Eq + Hash, K>(
    ids: &mut HashMap<T, usize>,
    all: &mut Vec<K>,
    key: T,
    item: impl FnOnce(T) -> K,
) -> usize {
    *ids.entry(key.clone()).or_insert_with(|| {
        all.push(item(key));
        all.len() - 1
    })
}

impl Graph {
    pub(crate) fn new() -> Self {
        let mut graph = Self::default();
        graph.stream(Stream::Packets {
            scope: None,
            filter: None,
        });
        graph
    }

    /// Returns the value of a node, which is added if it is new.
    pub(crate) fn value(&mut self, node: Node, ty: Type, level: Level) -> ValueId {
        // The literals of a number and of a time can have the same node.
        let key = (node, ty.kind);
        let typed = |(node, _)| TypedNode { node, ty, level };
        ValueId(intern(&mut self.value_ids, &mut self.values, key, typed))
    }

    pub(crate) fn stream(&mut self, stream: Stream) -> StreamId {
        StreamId(intern(
            &mut self.stream_ids,
            &mut self.streams,
            stream,
            |stream| stream,
        ))
    }

    /// Returns an accumulator, which is added if it is new and can then keep `capacity` values, and whether it could keep
    /// fewer before.
    pub(crate) fn accumulator(
        &mut self,
        accumulator: Accumulator,
        capacity: u32,
    ) -> (AccumulatorId, bool) {
        let all = &mut self.accumulators;
        let id = intern(&mut self.accumulator_ids, all, accumulator, |accumulator| {
            accumulator
        });
        self.capacities.resize(self.accumulators.len(), 0);
        let is_larger = capacity > self.capacities[id];
        self.capacities[id] = self.capacities[id].max(capacity);
        (AccumulatorId(id), is_larger)
    }

    /// Lets each accumulator keep only as many values or bytes as outputs need.
    pub(crate) fn limit_capacities(&mut self, live: &Live) {
        let mut capacities = vec![0; self.accumulators.len()];
        for (typed, is_live) in self.values.iter().zip(&live.values) {
            if let (Node::Prefix(id, most), true) = (&typed.node, is_live) {
                capacities[id.0] = capacities[id.0].max(*most);
            }
        }
        self.capacities = capacities;
    }

    pub(crate) fn ty(&self, value: ValueId) -> Type {
        self.values[value.0].ty
    }

    pub(crate) fn level(&self, value: ValueId) -> Level {
        self.values[value.0].level
    }

    /// Returns the number of a constant whole number.
    pub(crate) fn constant(&self, value: ValueId) -> Option<i64> {
        match self.values[value.0].node {
            Node::Integer(number) => Some(number),
            _ => None,
        }
    }
}
