//! Tests of live captures, with real interfaces and real traffic.
//!
//! Every test creates its own network namespaces, connects them with a veth pair, and deletes them at the end. This
//! needs root. Without root the tests are skipped with a message.

mod budget;
mod ending;
mod fanout;
mod flows;
mod log;
mod net;
#[cfg(feature = "arrow")]
mod outputs;
mod overload;
mod privileges;
mod processes;
mod traffic;
mod watching;
