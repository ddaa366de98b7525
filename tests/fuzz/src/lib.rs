//! What must hold of Flowloom whatever it is given: one function a fuzz target, which panics when
//! it does not hold. The tests of the whole system replay inputs through the same functions.

mod bytes;
mod capture;
mod decode;
mod flows;
mod meter;
mod model;
mod settings;
mod whole;

pub use capture::capture;
pub use decode::decode;
pub use meter::meter;
pub use whole::whole;
