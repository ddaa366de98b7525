//! How often each value is used.

use crate::features::graph::{Accumulate, Node, Stream, StreamId, ValueId};
use crate::features::program::Program;

/// Returns the number of values, selections, accumulators and outputs that use each value, among those that outputs need.
pub(super) fn uses(program: &Program) -> Vec<u32> {
    let (graph, live) = (&program.graph, &program.live);
    let mut uses = vec![0_u32; graph.values.len()];
    let mut add = |value: ValueId| uses[value.0] = uses[value.0].saturating_add(1);
    let filter = |stream: StreamId| match graph.streams[stream.0] {
        Stream::Packets { filter, .. }
        | Stream::RunPackets { filter, .. }
        | Stream::Runs { filter, .. } => filter,
    };
    let is_live = |all: &[bool], n: usize| all.get(n).copied().unwrap_or(false);
    for (n, typed) in graph.values.iter().enumerate() {
        if !is_live(&live.values, n) {
            continue;
        }
        match &typed.node {
            Node::Unary(_, a) | Node::Element(a, _) | Node::Slice(a, ..) | Node::Quantile(a, _) => {
                add(*a);
            }
            Node::Binary(_, a, b) => [*a, *b].into_iter().for_each(&mut add),
            Node::If(a, b, c) => [*a, *b, *c].into_iter().for_each(&mut add),
            Node::Previous { of, stream } | Node::Within { of, stream } => {
                add(*of);
                filter(*stream).into_iter().for_each(&mut add);
            }
            _ => {}
        }
    }
    for (n, accumulator) in graph.accumulators.iter().enumerate() {
        if is_live(&live.accumulators, n) {
            // Twice, so that they are computed apart. Those of both directions then have the same form.
            let values = [accumulator.value, filter(accumulator.stream)];
            let values = values.into_iter().flatten();
            values.clone().chain(values).for_each(&mut add);
            if let Accumulate::Comoments(second) = accumulator.what {
                add(second);
            }
        }
    }
    for (n, runs) in graph.runs.iter().enumerate() {
        if is_live(&live.runs, n) {
            add(runs.break_when);
            filter(runs.stream).into_iter().for_each(&mut add);
        }
    }
    { program.outputs.iter() }.for_each(|output| add(output.value));
    uses
}
