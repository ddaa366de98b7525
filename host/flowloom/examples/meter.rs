//! Meters a capture with plugins, and writes the flows to a CSV file.
//!
//! Usage: `cargo run --release -p flowloom --example meter -- OUTPUT CAPTURE [PLUGIN …]`
//!
//! This process compiles the plugins. Use it only with trusted plugins.

use std::error::Error;

use flowloom::Streamer;
use flowloom::plugin::PluginSpec;
use flowloom::sink::{Format, OutputFiles, Sink as _};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(output), Some(capture)) = (args.next(), args.next()) else {
        return Err("usage: meter OUTPUT CAPTURE [PLUGIN …]".into());
    };
    let mut builder = Streamer::builder([capture]).n_dissections(0);
    for plugin in args {
        builder = builder.plugin(PluginSpec::new(plugin));
    }
    let mut streamer = builder.build()?;
    let mut sink = OutputFiles::new(output)
        .format(Format::Csv)
        .create(streamer.schema())?;
    for flow in &mut streamer {
        sink.write(&flow)?;
    }
    sink.finish()?;
    println!("{} flows", streamer.summary().counters.flows);
    Ok(())
}
