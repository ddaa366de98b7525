//! Expressions of times.

use super::program::Generator;
use super::scalars::joined;
use super::term::{Kind, Place, Term};

const TIMES: [&str; 8] = ["1s", "5ms", "0s", "1.5ms", "100us", "2min", "(-5ms)", "1ns"];

impl Generator<'_, '_> {
    pub(crate) fn time(&mut self, place: Place, depth: u32) -> Term {
        if depth == 0 || self.choices.chance(30) || !place.is_packet() && self.choices.chance(30) {
            return match place {
                _ if self.choices.chance(20) => Term::new(self.choices.pick(&TIMES)),
                Place::Packet(true) => Term::new(self.choices.pick(&["iat", "age", "delta(time)"])),
                Place::Packet(false) => Term::new("age"),
                _ => self.aggregate(Kind::Time, place, depth),
            };
        }
        let below = depth - 1;
        match self.choices.below(9) {
            0 => {
                let pair = [(); 2].map(|()| self.expr(Kind::Time, place, below));
                let operator = self.choices.pick(&["+", "-", "%"]);
                joined(operator, &pair)
            }
            1 => {
                let pair = [(); 2].map(|()| self.expr(Kind::Instant, place, below));
                joined("-", &pair)
            }
            2 => {
                let pair = [
                    self.expr(Kind::Time, place, below),
                    self.expr(Kind::Int, place, below),
                ];
                let operator = self.choices.pick(&["*", "//"]);
                joined(operator, &pair)
            }
            3 => {
                let of = self.expr(Kind::Time, place, below);
                let step = self.choices.pick(&["1s", "10ms", "7ns", "1h"]);
                Term::new(format!("floor({}, {step})", of.text))
            }
            4 => {
                let of = self.expr(Kind::Time, place, below);
                match self.choices.below(3) {
                    0 => Term::new(format!("(-{})", of.text)),
                    1 => Term::new(format!("round({})", of.text)),
                    _ => Term::new(format!("abs({})", of.text)),
                }
            }
            5 if place.has_previous() => {
                let kind = self.choices.pick(&[Kind::Time, Kind::Instant]);
                let of = self.expr(kind, place, below);
                Term::new(format!("delta({})", of.text))
            }
            6 if !place.is_packet() => self.aggregate(Kind::Time, place, depth),
            _ => self.shared(Kind::Time, place, below),
        }
    }

    pub(crate) fn float_time(&mut self, place: Place, depth: u32) -> Term {
        if depth == 0 || !place.is_packet() && self.choices.chance(50) {
            return match place {
                Place::Packet(_) => Term::new(format!("float({})", self.time(place, 0).text)),
                _ => self.aggregate(Kind::FloatTime, place, depth),
            };
        }
        let below = depth - 1;
        match self.choices.below(7) {
            0 => {
                let pair = self.exactly(|this| {
                    [
                        this.expr(Kind::FloatTime, place, below),
                        this.expr(Kind::Time, place, below),
                    ]
                });
                let operator = self.choices.pick(&["+", "-"]);
                joined(operator, &pair)
            }
            1 => {
                let one = self.expr(Kind::Time, place, below);
                joined("*", &[one, self.expr(Kind::Float, place, below)])
            }
            2 => {
                let one = self.expr(Kind::Time, place, below);
                let kind = self.choices.pick(&[Kind::Int, Kind::Float]);
                joined(
                    "/",
                    &[one, self.exactly(|this| this.expr(kind, place, below))],
                )
            }
            3 => {
                let of = self.exactly(|this| this.expr(Kind::FloatTime, place, below));
                Term::new(match self.choices.below(3) {
                    0 => format!("round({})", of.text),
                    1 => format!("floor({}, 10ms)", of.text),
                    _ => format!("abs({})", of.text),
                })
            }
            4 if place.has_previous() => {
                let of = self.exactly(|this| this.expr(Kind::FloatTime, place, below));
                Term::new(format!("delta({})", of.text))
            }
            5 => Term::new(format!(
                "float({})",
                self.expr(Kind::Time, place, below).text
            )),
            _ => self.shared(Kind::FloatTime, place, below),
        }
    }

    pub(crate) fn instant(&mut self, place: Place, depth: u32) -> Term {
        if depth == 0 || self.choices.chance(40) {
            return match place {
                Place::Packet(_) => Term::new("time"),
                _ => self.aggregate(Kind::Instant, place, depth),
            };
        }
        match self.choices.below(3) {
            0 => {
                let of = self.expr(Kind::Instant, place, depth - 1);
                Term::new(format!(
                    "floor({}, {})",
                    of.text,
                    self.choices.pick(&["1us", "1s", "1h"])
                ))
            }
            1 if !place.is_packet() => self.aggregate(Kind::Instant, place, depth),
            _ => self.shared(Kind::Instant, place, depth - 1),
        }
    }
}
