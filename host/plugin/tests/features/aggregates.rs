//! Aggregates over packets and over runs.

use super::program::Generator;
use super::term::{Kind, Place, Term};

impl Generator<'_, '_> {
    /// Returns an aggregate with a value of this kind.
    pub(crate) fn aggregate(&mut self, kind: Kind, place: Place, depth: u32) -> Term {
        let below = depth.saturating_sub(1);
        match kind {
            Kind::Bool => match self.choices.below(3) {
                0 | 1 => {
                    let function = self.choices.pick(&["any", "all"]);
                    self.folded(function, Kind::Bool, place, below)
                }
                _ => self.kept(kind, place, below),
            },
            Kind::Int => self.whole(place, below),
            Kind::Float => self.statistic(Kind::Int, Kind::Float, place, below),
            Kind::Time => match self.choices.below(5) {
                0 => {
                    let clauses = self.clauses(false, below);
                    Term::new(format!(
                        "duration({})",
                        clauses.trim_start_matches([',', ' '])
                    ))
                }
                1 => self.folded("sum", Kind::Time, place, below),
                2 => {
                    let function = self.choices.pick(&["min", "max"]);
                    self.folded(function, kind, place, below)
                }
                _ => self.kept(kind, place, below),
            },
            Kind::FloatTime => self.statistic(Kind::Time, Kind::FloatTime, place, below),
            Kind::Instant => match self.choices.chance(30) {
                true => {
                    let function = self.choices.pick(&["min", "max"]);
                    self.folded(function, kind, place, below)
                }
                false => self.kept(kind, place, below),
            },
            Kind::Bytes => match self.choices.chance(50) {
                true => {
                    let most = self.choices.pick(&[4, 1, 16, 40, 100]);
                    let clauses = self.clauses(false, below);
                    Term::new(format!("head(payload, {most}{clauses})"))
                }
                false => self.kept(kind, place, below),
            },
        }
    }

    fn whole(&mut self, place: Place, depth: u32) -> Term {
        match self.choices.below(9) {
            0 => {
                let clauses = self.clauses(false, depth);
                let limit = self.choices.pick(&["", "", "", "first 3"]);
                let separator = if clauses.is_empty() || limit.is_empty() {
                    ""
                } else {
                    " "
                };
                let clauses = clauses.trim_start_matches([',', ' ']);
                Term::natural(format!("count({clauses}{separator}{limit})"), 32)
            }
            1 => self.folded("count", Kind::Bool, place, depth).with_bits(32),
            2 | 3 => {
                let (value, rest) = self.seen(place, depth, |this, inner, depth| {
                    this.exactly(|this| this.integer_of(31, inner, depth))
                });
                Term::of(format!("sum({}{rest})", value.text), &[&value]).with_bits(63)
            }
            4 | 5 => {
                let function = self.choices.pick(&["max", "min"]);
                self.folded(function, Kind::Int, place, depth)
            }
            6 => {
                let kind = self.choices.pick(&[Kind::Int, Kind::Time, Kind::Instant]);
                let (value, rest) = self.seen(place, depth, |this, inner, depth| {
                    this.exactly(|this| this.expr(kind, inner, depth))
                });
                let most = self.choices.pick(&[16, 1, 2, 5]);
                Term::natural(format!("distinct({}, {most}{rest})", value.text), 17)
            }
            7 if place == Place::Flow && !self.names.runs.is_empty() => {
                // Those runs that have a value.
                let run = self.choices.below(self.names.runs.len());
                let kind = self.choices.pick(&[Kind::Int, Kind::Float, Kind::Time]);
                let value = self.exactly(|this| this.expr(kind, Place::Run(true), depth));
                Term::natural(
                    format!("count({} per {})", value.text, self.names.runs[run]),
                    32,
                )
            }
            _ => self.kept(Kind::Int, place, depth),
        }
    }

    /// Returns a statistic of numbers or of times.
    fn statistic(&mut self, whole: Kind, float: Kind, place: Place, depth: u32) -> Term {
        const OF_NUMBERS: [&str; 6] = [
            "variance",
            "variance_pop",
            "skew",
            "kurtosis",
            "corr",
            "share",
        ];
        const OF_BOTH: [&str; 8] = [
            "mean",
            "stddev",
            "mean",
            "stddev_pop",
            "median",
            "quantile",
            "kept",
            "extreme",
        ];
        let is_of_numbers = float == Kind::Float && self.choices.chance(40);
        let function = match is_of_numbers {
            true => self.choices.pick(&OF_NUMBERS),
            false => self.choices.pick(&OF_BOTH),
        };
        if matches!(function, "skew" | "kurtosis") && self.exact > 0 {
            return self.folded("mean", whole, place, depth);
        }
        let kind = self.choices.pick(&[whole, whole, float]);
        match function {
            "share" => self.folded("share", Kind::Bool, place, depth),
            "kept" => self.kept(float, place, depth),
            "extreme" => {
                let function = self.choices.pick(&["max", "min"]);
                self.folded(function, float, place, depth)
            }
            "median" | "quantile" => {
                let most = self.choices.pick(&[8, 1, 3, 30, 100]);
                let (value, rest) = self.seen_without_limit(place, depth, |this, inner, depth| {
                    this.expr(kind, inner, depth)
                });
                let at = match function {
                    "median" => "",
                    _ => self
                        .choices
                        .pick(&[", 0.9", ", 0.25", ", 0", ", 1", ", 0.3333"]),
                };
                Term::of(
                    format!("{function}({}{at}{rest} first {most})", value.text),
                    &[&value],
                )
            }
            "corr" => {
                let other = self.choices.pick(&[Kind::Int, Kind::Float, Kind::Time]);
                let (value, rest) = self.seen(place, depth, |this, inner, depth| {
                    this.exactly(|this| {
                        let [one, other] = [kind, other].map(|kind| this.expr(kind, inner, depth));
                        Term::new(format!("{}, {}", one.text, other.text))
                    })
                });
                Term::new(format!("corr({}{rest})", value.text))
            }
            "skew" | "kurtosis" => {
                let of = self.exactly(|this| this.folded(function, kind, place, depth));
                Term {
                    is_exact: false,
                    ..of
                }
            }
            _ => self.exactly(|this| this.folded(function, kind, place, depth)),
        }
    }

    /// Returns an aggregate of one value.
    fn folded(&mut self, function: &str, kind: Kind, place: Place, depth: u32) -> Term {
        let is_continuous = matches!(function, "min" | "max");
        let (value, rest) = self.seen(place, depth, |this, inner, depth| match is_continuous {
            true => this.expr(kind, inner, depth),
            false => this.exactly(|this| this.expr(kind, inner, depth)),
        });
        Term::of(format!("{function}({}{rest})", value.text), &[&value])
    }

    /// Returns the first, last or n-th value.
    fn kept(&mut self, kind: Kind, place: Place, depth: u32) -> Term {
        let (value, rest) = self.seen(place, depth, |this, inner, depth| {
            this.expr(kind, inner, depth)
        });
        Term::of(
            match self.choices.below(3) {
                0 => format!("first({}{rest})", value.text),
                1 => format!("last({}{rest})", value.text),
                _ => format!(
                    "nth({}, {}{rest})",
                    value.text,
                    self.choices.pick(&[2, 1, 3, 7])
                ),
            },
            &[&value],
        )
    }

    /// Returns a list, and the kind of its values.
    pub(crate) fn list(&mut self, place: Place, depth: u32) -> (Term, Kind) {
        let below = depth.saturating_sub(1);
        let (term, kind) = match self.choices.below(3) {
            0 => (Term::natural(self.histogram(place, below), 32), Kind::Int),
            _ => {
                let kind =
                    self.choices
                        .pick(&[Kind::Int, Kind::Float, Kind::Time, Kind::FloatTime]);
                let most = self.choices.pick(&[5, 1, 2, 20, 60]);
                let (value, rest) = self.seen_without_limit(place, below, |this, inner, depth| {
                    this.expr(kind, inner, depth)
                });
                (
                    Term::of(
                        format!("list({}{rest} first {most})", value.text),
                        &[&value],
                    ),
                    kind,
                )
            }
        };
        match self.choices.chance(20) {
            true => {
                let from = self.choices.below(4);
                let text = format!("{}[{from}:{}]", term.text, from + 1 + self.choices.below(6));
                (Term { text, ..term }, kind)
            }
            false => (term, kind),
        }
    }

    pub(crate) fn histogram(&mut self, place: Place, depth: u32) -> String {
        let (kind, edges) = self.choices.pick(&[
            (Kind::Int, "[64, 128, 1500]"),
            (Kind::Int, "[0, 1]"),
            // More edges than are compared one by one.
            (
                Kind::Int,
                "[-9, 0, 1, 2, 3, 4, 6, 17, 40, 50, 64, 99, 100, 128, 255, 256, 500, 1500, 40000]",
            ),
            (Kind::Float, "[0.5, 100]"),
            (Kind::Int, "[2.5, 10]"),
            (Kind::Time, "[1ms, 1s]"),
            (Kind::FloatTime, "[1us, 5ms, 1min]"),
        ]);
        let (value, rest) = self.seen(place, depth, |this, inner, depth| {
            this.exactly(|this| this.expr(kind, inner, depth))
        });
        format!("hist({}, {edges}{rest})", value.text)
    }

    /// Returns a value of packets or runs, and the clauses behind it.
    fn seen(
        &mut self,
        place: Place,
        depth: u32,
        value: impl FnOnce(&mut Self, Place, u32) -> Term,
    ) -> (Term, String) {
        let limit = match self.choices.chance(15) {
            true => self.choices.pick(&[" first 3", " first 1", " first 10"]),
            false => "",
        };
        let (value, rest) = self.seen_without_limit(place, depth, value);
        (value, rest + limit)
    }

    fn seen_without_limit(
        &mut self,
        place: Place,
        depth: u32,
        value: impl FnOnce(&mut Self, Place, u32) -> Term,
    ) -> (Term, String) {
        let runs = self.names.runs.len();
        if place == Place::Flow && depth > 0 && runs > 0 && self.choices.chance(35) {
            let value = value(self, Place::Run(true), depth);
            let run = self.choices.below(runs);
            let mut rest = format!(" per {}", self.names.runs[run]);
            if self.choices.chance(30) {
                let filter = self.exactly(|this| this.boolean(Place::Run(false), depth.min(2)));
                rest += &format!(" where {}", filter.text);
            }
            return (value, rest);
        }
        let value = value(self, Place::Packet(true), depth);
        let has_clauses = self.choices.chance(50);
        (value, self.clauses(!has_clauses, depth))
    }

    /// Returns the direction and the condition of an aggregate.
    fn clauses(&mut self, is_empty: bool, depth: u32) -> String {
        if is_empty {
            return String::new();
        }
        let mut parts = Vec::new();
        if self.choices.chance(45) {
            parts.push(self.choices.pick(&["src2dst", "dst2src"]).to_owned());
        }
        if self.choices.chance(45) {
            let filter = self.exactly(|this| this.boolean(Place::Packet(false), depth.min(3)));
            parts.push(format!("where {}", filter.text));
        }
        if self.choices.chance(30) {
            parts.reverse();
        }
        parts
            .iter()
            .fold(String::new(), |text, part| text + ", " + part)
    }
}
