//! The processes of this machine that own the sockets of flows.
//!
//! A thread polls the kernel for sockets (`socket_list`), finds the processes that own them (`process_scan`), and
//! keeps the result for some time (`socket_cache`). Ended flows are looked up in a table (`process_table`).

mod process_scan;
mod process_table;
mod socket_cache;
mod socket_list;
mod visibility;

pub use visibility::{SystemError, SystemReport, SystemVisibility};
