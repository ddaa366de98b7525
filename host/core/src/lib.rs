//! Turns the bytes of packets into flows.
//!
//! This crate uses no files, clocks, threads or C code. Its only time is the capture time of packets.
//! The same packets give the same flows, from a file or from an interface.
//!
//! A module imports only modules below it in this table:
//!
//! | module | contents |
//! |---|---|
//! | [`meter`] | decoding of packets, metering, expiration of flows |
//! | [`table`] | the live flows: an index by flow key, and a timing wheel |
//! | [`flow`] | ended flows |
//! | [`schema`] | the columns of flows |
//! | [`fields`] | the tables of flow fields and packet fields |
//! | [`record`] | the state of a live flow |
//! | [`decode`] | the decoder from bytes to packets |
//! | [`link_type`], [`time`], [`value`], [`address`] | basic types |

pub mod address;
pub mod decode;
pub mod fields;
pub mod flow;
pub mod link_type;
pub mod meter;
pub mod record;
pub mod schema;
pub mod table;
pub mod time;
pub mod value;

// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
