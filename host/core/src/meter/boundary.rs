//! Points between two packets at which state is reset.

/// A point between two packets at which all live flows end and state is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// A new capture begins. Flow ids, clock, dissector and the state of plugins are reset.
    Capture,
    /// The clock of a live capture stepped back. Only the clock is reset.
    ClockStep,
}
