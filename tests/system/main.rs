//! System tests: they run the `flowloom` command on captures, and call the meter of the library.
//!
//! `FLOWLOOM_BLESS=1 cargo test --test system` rewrites the files in `tests/golden`. Review the changes before
//! you commit them.

#[cfg(feature = "ndpi")]
mod applications;
mod bad_input;
mod bounds;
mod check;
#[cfg(feature = "arrow")]
mod columnar;
mod command;
mod contract;
#[cfg(feature = "ndpi")]
mod csv_text;
mod cutting;
mod differences;
mod feature_files;
mod features;
mod filters;
mod flows;
mod frozen;
mod fuzz;
mod golden;
mod grants;
mod groups;
mod guests;
mod hostile;
mod hot_loading;
mod identity;
mod limits;
mod live;
mod loading;
mod metrics;
mod model;
mod more_privileges;
mod nfstream;
mod numbers;
mod output;
mod output_files;
mod overlap;
mod pcap;
mod pipes;
mod plan;
mod plugin_cache;
mod plugins;
mod projects;
mod refused;
mod restart;
mod standard;
mod wasi;
mod wat;
