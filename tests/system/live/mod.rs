//! Live captures, with real interfaces and real traffic.
//!
//! Every test makes network namespaces of its own, joined by a virtual wire, which go away with it.
//! That takes root: elsewhere they are skipped, and say so.

mod budget;
mod ending;
mod fanout;
mod flows;
mod log;
mod net;
mod overload;
mod privileges;
mod traffic;
mod watching;
