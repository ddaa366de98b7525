//! Invariants that hold for every input of Flowloom. Each fuzz target has one function, which panics if an invariant
//! is violated. The system tests run stored inputs through the same functions.

mod bytes;
mod capture;
mod decode;
mod expressions;
mod features;
mod flows;
mod meter;
mod model;
mod settings;
mod whole;

pub use capture::capture;
pub use decode::decode;
pub use expressions::expressions;
pub use features::features;
pub use meter::meter;
pub use whole::whole;
