//! Expressions of numbers.

use super::program::Generator;
use super::scalars::joined;
use super::term::{Kind, Place, Term};

/// Packet fields that are numbers, with their bits.
const FIELDS: [(&str, u32); 20] = [
    ("ip_size", 31),
    ("payload_size", 31),
    ("direction", 1),
    ("index", 32),
    ("tcp_flags", 8),
    ("ttl", 8),
    ("raw_size", 31),
    ("transport_size", 31),
    ("src_port", 16),
    ("dst_port", 16),
    ("protocol", 8),
    ("ip_version", 8),
    ("vlan_id", 16),
    ("tunnel_id", 32),
    ("ip_id", 16),
    ("tcp_window", 16),
    ("tcp_seq", 32),
    ("tcp_ack", 32),
    ("icmp_type", 8),
    ("icmp_code", 8),
];

/// Flow fields that are whole numbers, with their bits.
const FLOW_INTEGERS: [(&str, u32); 9] = [
    ("bidirectional_packets", 63),
    ("src2dst_bytes", 63),
    ("dst_port", 16),
    ("src_port", 16),
    ("protocol", 8),
    ("bidirectional_duration_ms", 63),
    ("bidirectional_max_ps", 32),
    ("dst2src_min_piat_ms", 63),
    ("src2dst_syn_packets", 63),
];

const FLOW_FLOATS: [&str; 3] = [
    "bidirectional_mean_ps",
    "dst2src_stddev_ps",
    "bidirectional_mean_piat_ms",
];

/// Whole numbers that are written, with their bits.
const INTEGERS: [(&str, u32); 12] = [
    ("1", 1),
    ("0", 0),
    ("2", 2),
    ("3", 2),
    ("10", 4),
    ("64", 7),
    ("255", 8),
    ("1000", 10),
    ("0x12", 5),
    ("65536", 17),
    ("4294967296", 33),
    ("9007199254740993", 54),
];

impl Generator<'_, '_> {
    /// Returns an integer of at most these bits.
    pub(crate) fn integer_of(&mut self, bits: u32, place: Place, depth: u32) -> Term {
        let term = self.expr(Kind::Int, place, depth);
        match term.bits <= bits {
            true => term,
            false => Term::natural(format!("({} % 1000)", term.text), 10),
        }
    }

    pub(crate) fn integer(&mut self, place: Place, depth: u32) -> Term {
        if self.is_leaf(depth) || !place.is_packet() && self.choices.chance(40) {
            return self.whole_leaf(place, depth);
        }
        let below = depth - 1;
        match self.choices.below(14) {
            0 | 1 => {
                let pair = [(); 2].map(|()| self.integer_of(61, place, below));
                let operator = self.choices.pick(&["+", "-"]);
                let term = joined(operator, &pair);
                let bits = term.bits + 1;
                Term {
                    can_be_negative: term.can_be_negative || operator == "-",
                    ..term.with_bits(bits)
                }
            }
            2 => {
                let one = self.integer_of(40, place, below);
                let other = self.integer_of(62 - one.bits, place, below);
                let bits = one.bits + other.bits;
                joined("*", &[one, other]).with_bits(bits)
            }
            3 => {
                let pair = [(); 2].map(|()| self.expr(Kind::Int, place, below));
                let (one, other) = (pair[0].bits, pair[1].bits);
                let operator = self.choices.pick(&["//", "%"]);
                let bits = if operator == "%" { other } else { one };
                // The checker takes the interval of a quotient for symmetric if the divisor can be 0.
                Term {
                    can_be_negative: true,
                    ..joined(operator, &pair).with_bits(bits)
                }
            }
            4 => {
                let pair = [(); 2].map(|()| self.expr(Kind::Int, place, below));
                let operator = self.choices.pick(&["&", "|"]);
                let term = joined(operator, &pair);
                match term.can_be_negative {
                    true => term.with_bits(63),
                    false => term,
                }
            }
            5 => {
                let of = self.expr(Kind::Int, place, below);
                match self.choices.below(3) {
                    0 => Term {
                        can_be_negative: true,
                        ..Term::of(format!("(-{})", of.text), &[&of])
                    },
                    1 => Term {
                        can_be_negative: false,
                        ..Term::of(format!("abs({})", of.text), &[&of])
                    },
                    _ => Term::of(format!("round({})", of.text), &[&of]),
                }
            }
            6 => {
                let of = self.integer_of(62, place, below);
                let (step, bits) =
                    self.choices
                        .pick(&[("64", 7), ("1", 1), ("1000", 10), ("7", 3)]);
                let bits = of.bits.max(bits) + 1;
                Term::of(format!("floor({}, {step})", of.text), &[&of]).with_bits(bits.min(63))
            }
            7 => {
                let pair =
                    self.exactly(|this| [(); 2].map(|()| this.expr(Kind::Time, place, below)));
                Term {
                    can_be_negative: true,
                    ..joined("//", &pair).with_bits(63)
                }
            }
            8 if place.has_previous() => {
                let of = self.integer_of(61, place, below);
                let bits = of.bits + 1;
                Term {
                    can_be_negative: true,
                    ..Term::of(format!("delta({})", of.text), &[&of]).with_bits(bits)
                }
            }
            9 => {
                let of = self.expr(Kind::Bytes, place, below);
                match self.choices.below(3) {
                    0 => Term::of(format!("len({})", of.text), &[&of]).with_bits(17),
                    1 => Term::of(format!("{}[{}]", of.text, self.choices.below(9)), &[&of])
                        .with_bits(8),
                    _ if place == Place::Flow && is_of_flow(&of.text) => {
                        Term::of(format!("distinct({})", of.text), &[&of]).with_bits(9)
                    }
                    _ => Term::of(format!("len({})", of.text), &[&of]).with_bits(17),
                }
            }
            10 if !place.is_packet() => {
                let (of, kind) = self.list(place, below);
                match kind {
                    Kind::Int if self.choices.chance(60) => {
                        Term::of(format!("{}[{}]", of.text, self.choices.below(5)), &[&of])
                    }
                    _ => Term::natural(format!("len({})", of.text), 17),
                }
            }
            11 | 12 if !place.is_packet() => self.aggregate(Kind::Int, place, depth),
            _ => self.shared(Kind::Int, place, below),
        }
    }

    pub(crate) fn whole_leaf(&mut self, place: Place, depth: u32) -> Term {
        if self.choices.chance(25) {
            let (text, bits) = self.choices.pick(&INTEGERS);
            return match self.choices.chance(20) {
                true => Term::signed(format!("(-{text})"), bits),
                false => Term::natural(text, bits),
            };
        }
        match place {
            Place::Packet(_) if self.choices.chance(25) => {
                let at = self.choices.below(7);
                match self.choices.below(4) {
                    0 => Term::natural(format!("payload[{at}]"), 8),
                    1 => Term::natural(format!("u16(payload, {at})"), 16),
                    2 => Term::natural(format!("u32(payload, {at})"), 32),
                    _ => Term::natural("len(payload)", 31),
                }
            }
            Place::Packet(_) => {
                let (name, bits) = self.choices.pick(&FIELDS);
                Term::natural(name, bits)
            }
            Place::Flow if self.choices.chance(15) => {
                let (name, bits) = self.choices.pick(&FLOW_INTEGERS);
                Term::natural(name, bits)
            }
            _ => self.aggregate(Kind::Int, place, depth),
        }
    }

    pub(crate) fn float(&mut self, place: Place, depth: u32) -> Term {
        if self.is_leaf(depth) || !place.is_packet() && self.choices.chance(40) {
            return match self.choices.below(6) {
                0 => Term::new(
                    self.choices
                        .pick(&["2.5", "0.1", "0.0", "1000000.25", "(-0.75)"]),
                ),
                1 if place == Place::Flow => Term::new(self.choices.pick(&FLOW_FLOATS)),
                _ if place.is_packet() || self.choices.chance(15) => {
                    let of = self.whole_leaf(place, depth);
                    Term::new(format!("float({})", of.text))
                }
                _ => self.aggregate(Kind::Float, place, depth),
            };
        }
        let below = depth - 1;
        match self.choices.below(10) {
            0 | 1 => {
                let (one, other) = self.numbers();
                let pair = self
                    .exactly(|this| [this.expr(one, place, below), this.expr(other, place, below)]);
                let operator = self.choices.pick(&["+", "-"]);
                joined(operator, &pair)
            }
            2 => {
                let (one, other) = self.numbers();
                joined(
                    "*",
                    &[self.expr(one, place, below), self.expr(other, place, below)],
                )
            }
            3 | 4 => {
                let (one, other) = match self.choices.chance(30) {
                    true => (
                        Kind::Time,
                        self.choices.pick(&[Kind::Time, Kind::FloatTime]),
                    ),
                    false => (
                        self.choices.pick(&[Kind::Int, Kind::Float]),
                        self.choices.pick(&[Kind::Int, Kind::Float]),
                    ),
                };
                let one = self.expr(one, place, below);
                joined(
                    "/",
                    &[one, self.exactly(|this| this.expr(other, place, below))],
                )
            }
            5 => {
                let function = self
                    .choices
                    .pick(&["abs", "round", "sqrt", "floor", "-", "log2", "ln", "log10"]);
                let kind = self.choices.pick(&[Kind::Float, Kind::Int]);
                let kind = if matches!(function, "abs" | "round" | "-" | "floor") {
                    Kind::Float
                } else {
                    kind
                };
                let of = self.exactly(|this| this.expr(kind, place, below));
                Term::new(match function {
                    "floor" => format!(
                        "floor({}, {})",
                        of.text,
                        self.choices.pick(&["0.25", "3", "0.1"])
                    ),
                    "-" => format!("(-{})", of.text),
                    _ => format!("{function}({})", of.text),
                })
            }
            6 if place.has_previous() => {
                let of = self.exactly(|this| this.expr(Kind::Float, place, below));
                Term::of(format!("delta({})", of.text), &[&of])
            }
            7 => self.entropy(place, below),
            8 if place == Place::Flow => {
                let of = self.expr(Kind::Int, place, below);
                Term::of(format!("rate({})", of.text), &[&of])
            }
            8 | 9 if !place.is_packet() => self.aggregate(Kind::Float, place, depth),
            _ => self.shared(Kind::Float, place, below),
        }
    }

    /// Returns two kinds of numbers, of which one at least is a float.
    fn numbers(&mut self) -> (Kind, Kind) {
        self.choices.pick(&[
            (Kind::Float, Kind::Float),
            (Kind::Int, Kind::Float),
            (Kind::Float, Kind::Int),
        ])
    }

    fn entropy(&mut self, place: Place, depth: u32) -> Term {
        let of = match place.is_packet() || self.choices.chance(50) {
            true => {
                self.exactly(|this| this.expr(Kind::Bytes, place, depth))
                    .text
            }
            false => self.histogram(place, depth),
        };
        Term::new(format!("entropy({of})"))
    }
}

/// Returns whether an expression has a part that is of a flow.
fn is_of_flow(text: &str) -> bool {
    ["first(", "last(", "nth(", "head("]
        .iter()
        .any(|function| text.contains(function))
}
