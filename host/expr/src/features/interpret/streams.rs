//! The packets and runs of streams.

use super::super::ast::{Direction, Drop};
use super::super::graph::{RunId, Runs, Stream, StreamId, ValueId};
use super::Interpreter;

impl Interpreter<'_> {
    /// Returns the packets or runs of a stream, in one group for the flow or in a group for each run.
    pub(super) fn groups(&self, stream: StreamId) -> Vec<Vec<usize>> {
        match &self.program.graph.streams[stream.0] {
            Stream::Packets { scope, filter } => {
                let all = (0..self.packets.len()).collect();
                vec![self.selected(all, *scope, *filter)]
            }
            Stream::RunPackets { run, scope, filter } => {
                let runs = self.runs(*run);
                let selected = |packets| self.selected(packets, *scope, *filter);
                runs.into_iter().map(selected).collect()
            }
            Stream::Runs { run, filter } => {
                let all = (0..self.runs(*run).len()).collect();
                vec![self.selected(all, None, *filter)]
            }
        }
    }

    fn selected(
        &self,
        mut members: Vec<usize>,
        scope: Option<Direction>,
        filter: Option<ValueId>,
    ) -> Vec<usize> {
        if let Some(scope) = scope {
            let wanted = i64::from(scope.number());
            members.retain(|&packet| self.field_by_name(packet, "direction") == wanted);
        }
        if let Some(filter) = filter {
            members.retain(|&member| self.at(filter, member).is_true());
        }
        members
    }

    /// Divides the packets of a statement `runs` into its runs.
    pub(super) fn runs(&self, run: RunId) -> Vec<Vec<usize>> {
        let Runs {
            stream,
            break_when,
            drop,
        } = self.program.graph.runs[run.0];
        let mut runs: Vec<Vec<usize>> = Vec::new();
        for packet in self.groups(stream).into_iter().flatten() {
            match runs.last_mut() {
                Some(run) if !self.at(break_when, packet).is_true() => run.push(packet),
                _ => runs.push(vec![packet]),
            }
        }
        match drop {
            Some(Drop::First) if !runs.is_empty() => {
                runs.remove(0);
            }
            Some(Drop::Last) => {
                runs.pop();
            }
            _ => (),
        }
        runs
    }
}
