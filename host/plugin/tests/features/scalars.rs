//! Expressions of booleans and bytes, and what all kinds have.

use super::program::Generator;
use super::term::{Kind, Place, Term};

const FLAGS: [&str; 10] = [
    "syn", "ack", "src2dst", "dst2src", "fin", "rst", "psh", "urg", "ece", "cwr",
];

impl Generator<'_, '_> {
    /// Whether an expression has no parts: at the greatest depth, and in some of the other cases.
    pub(crate) fn is_leaf(&mut self, depth: u32) -> bool {
        depth == 0 || self.choices.chance(20)
    }

    pub(crate) fn boolean(&mut self, place: Place, depth: u32) -> Term {
        if self.is_leaf(depth) || !place.is_packet() && self.choices.chance(40) {
            return match place {
                Place::Packet(_) => match self.choices.below(12) {
                    0 => Term::new(self.choices.pick(&["true", "false"])),
                    1 => Term::new(self.choices.pick(&[
                        "starts(payload, \"GET\")",
                        "starts(payload, x\"16\")",
                        "starts(payload, \"\")",
                    ])),
                    _ => Term::new(self.choices.pick(&FLAGS)),
                },
                Place::Flow if self.choices.chance(10) => Term::new(self.choices.pick(&[
                    "src_ip_is_private",
                    "dst_ip_is_private",
                    "true",
                ])),
                _ => self.aggregate(Kind::Bool, place, depth),
            };
        }
        let below = depth - 1;
        match self.choices.below(12) {
            0 | 1 => self.comparison(place, below),
            2 => {
                let inner = self.expr(Kind::Bool, place, below);
                let not = self.choices.pick(&["not ", "!"]);
                Term::of(format!("({not}({}))", inner.text), &[&inner])
            }
            3 | 4 => {
                let pair = [(); 2].map(|()| self.expr(Kind::Bool, place, below));
                let operator = self.choices.pick(&["and", "or", "&&", "||", "==", "!="]);
                joined(operator, &pair)
            }
            5 => self.set(place, below),
            6 => {
                let pair = [(); 2].map(|()| self.expr(Kind::Bytes, place, below));
                let operator = self.choices.pick(&["contains", "==", "!="]);
                joined(operator, &pair)
            }
            7 if place.has_previous() => {
                let kind = self.choices.pick(&[
                    Kind::Int,
                    Kind::Bool,
                    Kind::Float,
                    Kind::Time,
                    Kind::Instant,
                ]);
                let of = self.exactly(|this| this.expr(kind, place, below));
                Term::of(format!("changed({})", of.text), &[&of])
            }
            _ => self.shared(Kind::Bool, place, below),
        }
    }

    fn comparison(&mut self, place: Place, depth: u32) -> Term {
        let (one, other) = match self.choices.below(6) {
            0 => (Kind::Instant, Kind::Instant),
            1 => (Kind::Bool, Kind::Bool),
            _ => self.alike(),
        };
        let operator = match one {
            Kind::Bool => self.choices.pick(&["==", "!="]),
            _ => self.choices.pick(&[">", "<", "==", ">=", "<=", "!="]),
        };
        let pair = self.exactly(|this| {
            [
                this.expr(one, place, depth),
                this.expr(other, place, 1.min(depth)),
            ]
        });
        joined(operator, &pair)
    }

    fn set(&mut self, place: Place, depth: u32) -> Term {
        let of = self.exactly(|this| this.expr(Kind::Int, place, depth));
        let members = self.choices.pick(&[
            "{6, 17}",
            "{0..63, 80, 443}",
            "{1}",
            "{1000..1500}",
            "{-1..1}",
        ]);
        let not = self.choices.pick(&["", "not "]);
        Term::of(format!("({} {not}in {members})", of.text), &[&of])
    }

    /// Returns an operation that every kind has.
    pub(crate) fn shared(&mut self, kind: Kind, place: Place, depth: u32) -> Term {
        match self.choices.below(4) {
            0 if place.has_previous() && kind != Kind::Bytes => {
                let of = self.expr(kind, place, depth);
                Term::of(format!("prev({})", of.text), &[&of])
            }
            0 | 1 => {
                let pair = [(); 2].map(|()| self.expr(kind, place, depth));
                joined("??", &pair)
            }
            2 => {
                let condition = self.exactly(|this| this.expr(Kind::Bool, place, depth));
                let pair = [(); 2].map(|()| self.expr(kind, place, depth));
                let text = format!("if({}, {}, {})", condition.text, pair[0].text, pair[1].text);
                Term::of(text, &[&pair[0], &pair[1]])
            }
            _ if matches!(kind, Kind::Bool | Kind::Bytes) => self.expr(kind, place, depth),
            _ => {
                let pair = [(); 2].map(|()| self.expr(kind, place, depth));
                let function = self.choices.pick(&["least", "greatest"]);
                Term::of(
                    format!("{function}({}, {})", pair[0].text, pair[1].text),
                    &[&pair[0], &pair[1]],
                )
            }
        }
    }

    pub(crate) fn bytes(&mut self, place: Place, depth: u32) -> Term {
        let literal = |this: &mut Self| {
            Term::new(this.choices.pick(&[
                "\"GET\"",
                "x\"1603\"",
                "\"\"",
                "x\"00\"",
                "\"aabaa\"",
                "\"abab\"",
            ]))
        };
        if self.is_leaf(depth) || !place.is_packet() && self.choices.chance(50) {
            return match (place, self.choices.below(8)) {
                (_, 7) => literal(self),
                (Place::Packet(_), _) => {
                    let from = self.choices.below(6);
                    let to = from + 1 + self.choices.below(20);
                    Term::new(match self.choices.chance(50) {
                        true => format!("payload[{from}:{to}]"),
                        false => format!("payload[:{to}]"),
                    })
                }
                _ => self.aggregate(Kind::Bytes, place, depth),
            };
        }
        match self.choices.below(3) {
            0 => {
                let of = self.expr(Kind::Bytes, place, depth - 1);
                let from = self.choices.below(4);
                Term::of(
                    format!("{}[{from}:{}]", of.text, from + 1 + self.choices.below(9)),
                    &[&of],
                )
            }
            1 if !place.is_packet() => self.aggregate(Kind::Bytes, place, depth),
            _ => self.shared(Kind::Bytes, place, depth - 1),
        }
    }
}

/// Returns an operation of two terms, in brackets.
pub(crate) fn joined(operator: &str, [one, other]: &[Term; 2]) -> Term {
    Term::of(
        format!("({} {operator} {})", one.text, other.text),
        &[one, other],
    )
}
