//! Meters a capture with plugins into a CSV file: `meter OUTPUT CAPTURE [PLUGIN …]`
//!
//! Plugins are compiled in this process, so they must be trusted.

use std::error::Error;

use flowloom::Streamer;
use flowloom::plugin::PluginSpec;
use flowloom::sink::{Format, OutputFiles, Sink as _};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let (Some(output), Some(capture)) = (words.next(), words.next()) else {
        return Err("usage: meter OUTPUT CAPTURE [PLUGIN …]".into());
    };
    let mut builder = Streamer::builder([capture]).n_dissections(0);
    for plugin in words {
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
