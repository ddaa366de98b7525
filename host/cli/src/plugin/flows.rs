//! The flows of a capture, with the values that a plugin adds.

use std::path::Path;

use flowloom::Streamer;
use flowloom::plugin::PluginSpec;
use flowloom::sink::Format;
use serde_json::{Map, Value};

use super::super::compile::CommandCompiler;
use super::super::exit::{Failure, GrantAdvice};
use super::every_analysis;

/// A flow: the fields of [`KEY`], and the plugin's values in `udps`.
pub(super) type Row = Map<String, Value>;

/// Fields that identify a flow for readers of rows.
pub(super) const KEY: [&str; 6] = [
    "src_ip",
    "src_port",
    "dst_ip",
    "dst_port",
    "protocol",
    "expiration_id",
];

/// The flows of a capture.
pub(super) struct Metered {
    pub(super) rows: Vec<Row>,
    /// Why the values are not correct or not complete. The log has the reason of a trap.
    pub(super) failure: Option<String>,
}

/// Meters a capture with a plugin and all analyses. Returns the first `max` flows, or all.
///
/// # Errors
///
/// The run cannot begin.
pub(super) fn meter(
    capture: &Path,
    spec: PluginSpec,
    compiler: CommandCompiler,
    max: Option<usize>,
) -> Result<Metered, Failure> {
    let name = spec.name.clone();
    let settings = every_analysis();
    let mut streamer = Streamer::builder([capture])
        .statistical_analysis(settings.statistical_analysis)
        .splt_analysis(settings.splt_analysis)
        .plugin(spec)
        .compiler(compiler)
        .build()
        .map_err(|error| Failure::of_run(error, GrantAdvice::Test))?;
    let mut lines = Vec::new();
    let written = (|| {
        let mut sink = Format::JsonLines.sink(&mut lines, streamer.schema())?;
        for flow in streamer.by_ref().take(max.unwrap_or(usize::MAX)) {
            sink.write(&flow)?;
        }
        sink.finish()
    })();
    written.map_err(Failure::failed)?;
    let summary = streamer.summary();
    let of_plugin = summary.plugins.iter().find_map(|report| {
        if report.last_trap.is_some() {
            Some(format!("{name} was stopped"))
        } else if report.bad_outputs > 0 {
            Some(format!(
                "{name} returned {} values that are not of the declared type",
                report.bad_outputs
            ))
        } else {
            None
        }
    });
    let failure = of_plugin.or_else(|| {
        let is_damaged = !summary.problems.is_empty();
        is_damaged.then(|| "the capture cannot be read to its end".to_owned())
    });
    let mut rows = rows(&String::from_utf8_lossy(&lines)).map_err(Failure::failed)?;
    for row in &mut rows {
        let values = row
            .remove("udps")
            .and_then(|mut udps| udps.get_mut(&name).map(Value::take));
        let mut kept = Row::new();
        for key in KEY {
            kept.extend(row.remove(key).map(|value| (key.to_owned(), value)));
        }
        kept.insert("udps".to_owned(), values.unwrap_or_default());
        *row = kept;
    }
    Ok(Metered { rows, failure })
}

/// Parses JSON lines.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, String> {
    let rows = text.lines().enumerate().map(|(n, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}", n + 1))
    });
    rows.collect()
}
