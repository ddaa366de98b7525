//! A type that an option cannot have.

use std::path::PathBuf;

use flowloom_sdk::Options;

#[derive(Options)]
struct Opts {
    /// Where to look.
    path: PathBuf,
}

fn main() {}
