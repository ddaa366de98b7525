//! Bindings to nDPI, which determines the application of a flow from its first packets.
//!
//! nDPI is written in C, and reads untrusted packets. This crate contains all unsafe calls of it.
//! Packets are passed with their length. Results are borrowed from the flow or copied.
//!
//! [`Library::open`] loads nDPI while the program runs. Therefore the build needs neither the
//! library nor its headers. What the headers declare stands in one module per version; a library of
//! another version is refused.

mod common;
mod details;
mod elf;
mod error;
mod flow;
mod flow_bytes;
mod handle;
mod library;
mod module;
mod packet_buffer;
mod report;
mod stub;
mod v42;
mod v50;

pub use details::{CONFIDENCES, Details, Protocol, Stack};
pub use error::Error;
pub use flow::Flow;
pub use library::{Check, Choice, Library, License, Search};
pub use module::{Custom, Module};

// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
