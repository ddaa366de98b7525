//! Random programs with the right types: statements, and what they share.

use super::choices::Choices;
use super::term::{Kind, Place, Term};

/// The names that later statements can use.
#[derive(Clone, Default)]
pub(crate) struct Names {
    pub(crate) lets: Vec<Let>,
    pub(crate) runs: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Let {
    pub(crate) kind: Kind,
    /// Whether it is of a packet; otherwise it is of a flow.
    pub(crate) is_of_packet: bool,
    pub(crate) term: Term,
}

/// A feature.
pub(crate) struct Feature {
    pub(crate) text: String,
    pub(crate) is_exact: bool,
}

/// The depth of expressions.
const DEPTH: u32 = 5;

pub(crate) const KINDS: [Kind; 7] = [
    Kind::Int,
    Kind::Bool,
    Kind::Time,
    Kind::Float,
    Kind::Bytes,
    Kind::FloatTime,
    Kind::Instant,
];

/// Makes expressions from choices.
pub(crate) struct Generator<'a, 'b> {
    pub(crate) choices: Choices<'a>,
    pub(crate) names: &'b Names,
    /// Above 0 where values have to be exact, because a small difference would become a large one.
    pub(crate) exact: u32,
}

impl<'a, 'b> Generator<'a, 'b> {
    pub(crate) fn new(numbers: &'a [u16], names: &'b Names) -> Self {
        Self {
            choices: Choices::new(numbers),
            names,
            exact: 0,
        }
    }

    /// Returns a statement `let`, and what it defines.
    pub(crate) fn binding(mut self) -> (String, Let) {
        let name = format!("v{}", self.names.lets.len());
        let kind = self.choices.pick(&KINDS);
        if self.choices.chance(25) {
            let term = self.expr(kind, Place::Flow, DEPTH - 1);
            let text = format!("let {name} = {}", term.text);
            // A constant is of every place; here it counts as of a flow.
            return (
                text,
                Let {
                    kind,
                    is_of_packet: false,
                    term: Term { text: name, ..term },
                },
            );
        }
        let term = self.expr(kind, Place::Packet(true), 3);
        let mut text = format!("let {name} = {}", term.text);
        if self.choices.chance(40) {
            text += self.choices.pick(&[", src2dst", ", dst2src"]);
        }
        if self.choices.chance(40) {
            text += &format!(
                " where {}",
                self.exactly(|this| this.boolean(Place::Packet(false), 2))
                    .text
            );
        }
        (
            text,
            Let {
                kind,
                is_of_packet: true,
                term: Term { text: name, ..term },
            },
        )
    }

    /// Returns a statement `runs`, and its name.
    pub(crate) fn runs(mut self) -> (String, String) {
        let name = format!("r{}", self.names.runs.len());
        let scope = self.choices.pick(&["", "", "src2dst ", "dst2src "]);
        self.exact += 1;
        let filter = match self.choices.chance(40) {
            true => format!("where {} ", self.boolean(Place::Packet(false), 2).text),
            false => String::new(),
        };
        let break_when = match self.choices.below(4) {
            0 => "iat > 1s".to_owned(),
            1 => "changed(direction)".to_owned(),
            2 => "changed(floor(age, 1s))".to_owned(),
            _ => self.boolean(Place::Packet(true), 3).text,
        };
        let drop = self.choices.pick(&["", "", " drop first", " drop last"]);
        (
            format!("runs {name} = {scope}{filter}break when {break_when}{drop}"),
            name,
        )
    }

    /// Returns the statement of a feature.
    pub(crate) fn feature(mut self, name: &str) -> Feature {
        const UNITS: [&str; 6] = ["ms", "ns", "us", "s", "min", "h"];
        let (term, unit) = match self.choices.below(12) {
            0 | 1 => (self.expr(Kind::Int, Place::Flow, DEPTH), None),
            2 | 3 => (self.expr(Kind::Float, Place::Flow, DEPTH), None),
            4 => (self.expr(Kind::Bool, Place::Flow, DEPTH), None),
            5 => (
                self.expr(Kind::Time, Place::Flow, DEPTH),
                Some(self.choices.pick(&UNITS)),
            ),
            6 => (
                self.expr(Kind::FloatTime, Place::Flow, DEPTH),
                Some(self.choices.pick(&UNITS)),
            ),
            7 | 8 => (self.expr(Kind::Bytes, Place::Flow, DEPTH), None),
            _ => {
                let (term, of) = self.list(Place::Flow, DEPTH);
                let has_unit = matches!(of, Kind::Time | Kind::FloatTime);
                let unit = has_unit.then(|| self.choices.pick(&UNITS));
                (term, unit)
            }
        };
        let unit = unit.map_or(String::new(), |unit| format!(" in {unit}"));
        Feature {
            text: format!("{name} = {}{unit}", term.text),
            is_exact: term.is_exact,
        }
    }

    /// Returns what `of` makes where values have to be exact.
    pub(crate) fn exactly<T>(&mut self, of: impl FnOnce(&mut Self) -> T) -> T {
        self.exact += 1;
        let made = of(self);
        self.exact -= 1;
        made
    }

    pub(crate) fn expr(&mut self, kind: Kind, place: Place, depth: u32) -> Term {
        if let Some(term) = self.named(kind, place) {
            return term;
        }
        match kind {
            Kind::Bool => self.boolean(place, depth),
            Kind::Int => self.integer(place, depth),
            Kind::Float => self.float(place, depth),
            Kind::Time => self.time(place, depth),
            Kind::FloatTime => self.float_time(place, depth),
            Kind::Instant => self.instant(place, depth),
            Kind::Bytes => self.bytes(place, depth),
        }
    }

    /// Returns the name of a statement `let` in some of the cases.
    fn named(&mut self, kind: Kind, place: Place) -> Option<Term> {
        let is_exact = self.exact > 0;
        let fits = |it: &&Let| {
            it.kind == kind
                && (it.term.is_exact || !is_exact)
                && match place {
                    Place::Packet(_) => it.is_of_packet,
                    Place::Flow => !it.is_of_packet,
                    Place::Run(_) => false,
                }
        };
        let known: Vec<&Let> = self.names.lets.iter().filter(fits).collect();
        // It takes one choice, whether there are names or not.
        let choice = self.choices.below(100);
        match known.is_empty() || choice < 65 {
            true => None,
            false => Some(known[choice % known.len()].term.clone()),
        }
    }

    /// Returns a number or a time as two kinds that can be compared.
    pub(crate) fn alike(&mut self) -> (Kind, Kind) {
        let numbers = [Kind::Int, Kind::Float];
        let times = [Kind::Time, Kind::FloatTime];
        let of = if self.choices.below(3) < 2 {
            numbers
        } else {
            times
        };
        (self.choices.pick(&of), self.choices.pick(&of))
    }
}
