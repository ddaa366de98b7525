//! Turns the bytes of packets into flows.
//!
//! This crate has no files, clocks, threads or C code: time is the time of the packets. The same packets
//! give the same flows, whether they come from a file or from a wire.
//!
//! Imports run downwards only:
//!
//! | module | what it holds |
//! |---|---|
//! | [`meter`] | decodes packets, counts them in flows, and ends flows |
//! | [`table`] | the live flows, found by their keys and ended by a timing wheel |
//! | [`flow`] | flows that have ended |
//! | [`schema`] | the columns of flows |
//! | [`fields`] | the tables of flow fields and packet fields |
//! | [`record`] | what is kept of a live flow |
//! | [`decode`] | from bytes to packets |
//! | [`link_type`], [`time`], [`value`], [`address`] | the basic types |

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
