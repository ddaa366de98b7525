//! Places between two packets where state begins anew.

/// A place between two packets where all live flows end and state begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// Another capture begins: flow ids, clock, dissector and the state of plugins begin anew.
    Capture,
    /// The clock of a live capture stepped back: time begins anew.
    ClockStep,
}
