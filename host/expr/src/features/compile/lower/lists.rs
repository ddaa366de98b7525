//! Lists, and what is computed from them.

use super::super::program::{Expr, Keeps, Part, Statistic};
use super::{Lowered, Lowering, null};
use crate::features::graph::AccumulatorId;
use crate::features::types::Kind;

/// Returns a part of a part.
pub(super) fn sliced(part: Part, from: u32, to: u32) -> Part {
    let end = |n: u32| part.from.saturating_add(n).min(part.to);
    Part {
        from: end(from),
        to: end(to),
    }
}

impl Lowering<'_> {
    /// Returns the list of an accumulator, with at most so many elements.
    pub(super) fn list(&mut self, id: AccumulatorId, most: u32) -> Lowered<Expr> {
        let list = self.accumulator(id, None)?;
        Ok(Expr::List(list, Part { from: 0, to: most }, None))
    }

    /// Returns an element of a part of a list.
    pub(super) fn element(&self, list: usize, part: Part, at: u32, kind: Kind) -> Expr {
        let Part { from, to } = sliced(part, at, at.saturating_add(1));
        match from < to {
            true => Expr::Statistic(list, Statistic::Element(from)),
            false => null(kind),
        }
    }

    /// Returns the number of elements in a part of a list.
    pub(super) fn length(&self, list: usize, part: Part) -> Expr {
        match self.program.accumulators[list].keeps {
            Keeps::Histogram(_) => Expr::Int((part.to - part.from).into()),
            _ => Expr::Statistic(list, Statistic::Len(part)),
        }
    }
}
