//! Outputs and options without a doc comment.

use flowloom_sdk::{Options, Outputs};

#[derive(Outputs)]
struct Out {
    mean: f64,
    /// Largest ip_size, bytes.
    #[allow(dead_code)]
    largest: i64,
    MeanSize: f64,
}

#[derive(Options)]
struct Opts {
    least: usize,
    /// Names of servers.
    #[option(defualt = "")]
    names: String,
}

fn main() {}
