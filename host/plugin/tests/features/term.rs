//! Expressions with their types.

/// The type of an expression. Lists are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int,
    Float,
    Time,
    FloatTime,
    Instant,
    Bytes,
}

/// What an expression is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A packet. `true` where there is a packet before.
    Packet(bool),
    /// A run. `true` where there is a run before.
    Run(bool),
    Flow,
}

impl Place {
    /// Returns whether `prev` and its like are possible.
    pub(crate) fn has_previous(self) -> bool {
        matches!(self, Self::Packet(true) | Self::Run(true))
    }

    pub(crate) fn is_packet(self) -> bool {
        matches!(self, Self::Packet(_))
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) text: String,
    /// An integer is between ±(2^bits − 1).
    pub(crate) bits: u32,
    pub(crate) can_be_negative: bool,
    /// Whether a component has to return the same bits as the interpreter.
    pub(crate) is_exact: bool,
}

impl Term {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            bits: 0,
            can_be_negative: false,
            is_exact: true,
        }
    }

    /// A number that is not negative.
    pub(crate) fn natural(text: impl Into<String>, bits: u32) -> Self {
        Self {
            bits,
            ..Self::new(text)
        }
    }

    pub(crate) fn signed(text: impl Into<String>, bits: u32) -> Self {
        Self {
            can_be_negative: true,
            ..Self::natural(text, bits)
        }
    }

    /// Returns the term of another text, which has the values of some terms.
    pub(crate) fn of(text: impl Into<String>, terms: &[&Self]) -> Self {
        Self {
            text: text.into(),
            bits: terms.iter().map(|term| term.bits).max().unwrap_or(0),
            can_be_negative: terms.iter().any(|term| term.can_be_negative),
            is_exact: terms.iter().all(|term| term.is_exact),
        }
    }

    pub(crate) fn with_bits(self, bits: u32) -> Self {
        Self { bits, ..self }
    }
}
