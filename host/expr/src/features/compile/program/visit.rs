//! Functions that are called for all expressions of a program.

use super::{Expr, Level, Program, Selection};

impl Program {
    /// Calls a function for every expression of packets and all in it.
    pub(crate) fn visit_packets(&self, function: &mut dyn FnMut(&Expr)) {
        for runs in &self.runs {
            runs.break_when.visit(function);
            runs.packets.visit(function);
        }
        self.visit(&mut |level| level == Level::Packet, function);
    }

    /// Calls a function for every expression of runs or flows and all in it.
    pub(crate) fn visit_results(&self, function: &mut dyn FnMut(&Expr)) {
        self.visit(&mut |level| level != Level::Packet, function);
        for output in &self.outputs {
            output.value.visit(function);
        }
    }

    fn visit(&self, wanted: &mut dyn FnMut(Level) -> bool, function: &mut dyn FnMut(&Expr)) {
        for shared in self.shared.iter().filter(|it| wanted(it.level)) {
            shared.value.visit(function);
        }
        for previous in &self.previous {
            if wanted(previous.packets.of.level()) {
                previous.value.visit(function);
                previous.packets.visit(function);
            }
        }
        for accumulator in &self.accumulators {
            if wanted(accumulator.packets.of.level()) {
                accumulator.value.iter().for_each(|it| it.visit(function));
                accumulator.keeps.visit(function);
                accumulator.packets.visit(function);
            }
        }
    }
}

impl Program {
    /// Calls a function for every expression, which it may change.
    pub(crate) fn visit_mut(&mut self, function: &mut dyn FnMut(&mut Expr)) {
        for shared in &mut self.shared {
            shared.value.visit_mut(function);
        }
        for previous in &mut self.previous {
            previous.value.visit_mut(function);
            previous.packets.visit_mut(function);
        }
        for runs in &mut self.runs {
            runs.packets.visit_mut(function);
            runs.break_when.visit_mut(function);
        }
        for accumulator in &mut self.accumulators {
            let value = accumulator.value.iter_mut();
            value.for_each(|it| it.visit_mut(function));
            accumulator.keeps.visit_mut(function);
            accumulator.packets.visit_mut(function);
        }
        for output in &mut self.outputs {
            output.value.visit_mut(function);
        }
    }
}

impl Selection {
    fn visit_mut(&mut self, function: &mut dyn FnMut(&mut Expr)) {
        let condition = self.condition.iter_mut();
        condition.for_each(|it| it.visit_mut(function));
    }

    fn visit(&self, function: &mut dyn FnMut(&Expr)) {
        self.condition.iter().for_each(|it| it.visit(function));
    }
}

impl Expr {
    /// Returns the number of operations in each other.
    pub(crate) fn depth(&self) -> usize {
        match self {
            Expr::Binary(_, a, b) | Expr::Coalesce(a, b) => 1 + a.depth().max(b.depth()),
            Expr::If(a, b, c) => 1 + a.depth().max(b.depth()).max(c.depth()),
            Expr::Unary(_, a) | Expr::Part(a, ..) | Expr::Byte(a, _) => 1 + a.depth(),
            Expr::Within(a, packets) => {
                let condition = packets.condition.as_ref().map_or(0, Expr::depth);
                1 + a.depth().max(condition)
            }
            _ => 1,
        }
    }

    /// Calls a function for this expression and for every expression in it, which it may change.
    pub(super) fn visit_mut(&mut self, function: &mut dyn FnMut(&mut Expr)) {
        function(self);
        match self {
            Expr::Binary(_, a, b) | Expr::Coalesce(a, b) => {
                a.visit_mut(function);
                b.visit_mut(function);
            }
            Expr::If(a, b, c) => {
                a.visit_mut(function);
                b.visit_mut(function);
                c.visit_mut(function);
            }
            Expr::Unary(_, a) | Expr::Part(a, ..) | Expr::Byte(a, _) => a.visit_mut(function),
            Expr::Within(a, packets) => {
                a.visit_mut(function);
                packets.visit_mut(function);
            }
            _ => {}
        }
    }

    /// Calls a function for this expression and for every expression in it.
    pub(crate) fn visit(&self, function: &mut dyn FnMut(&Expr)) {
        function(self);
        match self {
            Expr::Binary(_, a, b) | Expr::Coalesce(a, b) => {
                a.visit(function);
                b.visit(function);
            }
            Expr::If(a, b, c) => {
                a.visit(function);
                b.visit(function);
                c.visit(function);
            }
            Expr::Unary(_, a) | Expr::Part(a, ..) | Expr::Byte(a, _) => a.visit(function),
            Expr::Within(a, packets) => {
                a.visit(function);
                packets.visit(function);
            }
            _ => {}
        }
    }
}
