//! `flowloom plugin dev`

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use flowloom::plugin::{Grants, PluginSpec, escaped};
use serde_json::Value;

use super::super::compile::CompileOptions;
use super::super::exit::{Exit, Failure};
use super::super::number::within;
use super::super::plugin_options::{PLUGINS, grant, with_grants};
use super::super::standard;
use super::builder::build;
use super::flows::{self, KEY, Row};
use super::in_process::{self, InProcess};
use super::project::Project;
use super::sources::Sources;
use super::{open, test};

const EXAMPLES: &str = "\
Examples:
  Build, test and run the plugin of this folder after each change:
    flowloom plugin dev --source capture.pcap

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Dev {
    /// Folder of the plugin, with its flowloom-plugin.toml.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// Capture whose flows are shown with the plugin's values [default: the capture of the first test].
    #[arg(long, value_name = "CAPTURE")]
    source: Option<PathBuf>,

    /// Number of flows to show.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = within(0..=MAX_FLOWS), allow_negative_numbers = true)]
    flows: usize,

    /// Let the plugin see more data than it needs (repeatable).
    ///
    /// The plugin gets what it needs without this option. WHAT is one of: addresses, pseudonyms, application,
    /// names, payload:N, bytes:N, as in `flowloom meter`.
    #[arg(long = "grant", value_name = "NAME=WHAT[,WHAT…]", value_parser = grant, help_heading = PLUGINS)]
    grants: Vec<(String, Grants)>,

    #[command(flatten)]
    compile: CompileOptions,
}

/// The maximum number of flows to show.
const MAX_FLOWS: usize = 100_000;

/// The interval of checks for changed sources.
const INTERVAL: Duration = Duration::from_millis(100);

/// The maximum number of characters of a value in the table.
const MAX_WIDTH: usize = 32;

impl Dev {
    /// Repeats rounds until the user ends the command.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        // A mistake in the arguments ends the command. Later ones may be corrected while it runs.
        Project::open(&self.folder)?;
        loop {
            let sources = Sources::of(&self.folder);
            if let Err(failure) = self.round() {
                standard::print_error(failure.text().trim_end());
            }
            standard::print("waiting for a change; Ctrl-C ends\n\n")?;
            while Sources::of(&self.folder) == sources {
                thread::sleep(INTERVAL);
            }
            // Editors write several files, or one file in several steps.
            let mut latest = Sources::of(&self.folder);
            loop {
                thread::sleep(INTERVAL);
                let now = Sources::of(&self.folder);
                if now == latest {
                    break;
                }
                latest = now;
            }
        }
    }

    /// Builds the plugin, runs its tests, and shows the values of the first flows.
    fn round(&self) -> Result<(), Failure> {
        let project = Project::open(&self.folder)?;
        let built = thread::scope(|scope| {
            scope.spawn(|| self.show_in_process(&project));
            build(&project, self.compile.bounds())
        })?;
        let opened = open::open(&project, built.file(), self.compile.compiler_of_build())?;
        let (time, bytes) = (built.time, built.bytes);
        let component = built.publish()?;
        standard::print(format_args!(
            "{}: {bytes} bytes, built in {time:.1?}{opened}\n",
            component.display()
        ))?;
        let needs = opened.needs.unwrap_or_default();
        let given = (project.plugin.name.clone(), needs);
        let grants: Vec<_> = self.grants.iter().cloned().chain([given]).collect();
        let tested = match project.tests.is_empty() {
            true => Ok(()),
            false => test::compare(&project, &grants, &self.compile),
        };
        let shown = self.show(&project, &grants);
        match (tested, shown) {
            (Err(tested), Err(shown)) => Err(tested.and(shown)),
            (tested, shown) => tested.and(shown),
        }
    }

    /// Shows the values of the first flows as the author's Python computes them. A component of Python takes several
    /// seconds to build.
    fn show_in_process(&self, project: &Project) {
        let Some((capture, spec)) = self.capture(project) else {
            return;
        };
        let start = Instant::now();
        let text = match in_process::meter(project, &capture, &spec, self.flows) {
            None => return,
            Some(InProcess::Failed(text)) => return standard::print_error(text.trim_end()),
            Some(InProcess::Flows(rows)) => format!(
                "{}: first {} flows in Python, in {:.1?}; the component is not built yet\n{}",
                capture.display(),
                rows.len(),
                start.elapsed(),
                table(&rows)
            ),
        };
        // The values of the component follow.
        let _ = standard::print(text);
    }

    /// Returns the capture to show, and the plugin with the options and grants of the first test.
    fn capture(&self, project: &Project) -> Option<(PathBuf, PluginSpec)> {
        let test = project.tests.first();
        let of_test = test.map(|test| project.folder.join(&test.capture));
        let capture = self.source.clone().or(of_test)?;
        let spec = match test {
            Some(test) => project.spec(test).ok()?,
            None => PluginSpec::new(project.component()).name(&project.plugin.name),
        };
        Some((capture, spec))
    }

    /// Shows the values of the first flows.
    fn show(&self, project: &Project, grants: &[(String, Grants)]) -> Result<(), Failure> {
        let Some((capture, spec)) = self.capture(project) else {
            return Ok(());
        };
        let start = Instant::now();
        let spec = with_grants(spec, grants)?;
        let metered = flows::meter(
            &capture,
            spec,
            self.compile.compiler(None),
            Some(self.flows),
        )?;
        standard::print(format_args!(
            "{}: first {} flows, in {:.1?}\n{}",
            capture.display(),
            metered.rows.len(),
            start.elapsed(),
            table(&metered.rows)
        ))?;
        match metered.failure {
            None => Ok(()),
            Some(failure) => Err(Failure::failed(format_args!(
                "{}: {failure}",
                capture.display()
            ))),
        }
    }
}

/// Returns flows as a table: their addresses and ports, and the plugin's values.
fn table(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    let Some(first) = rows.first() else {
        return String::new();
    };
    let outputs = first.get("udps").and_then(Value::as_object);
    let outputs: Vec<_> = outputs.into_iter().flat_map(|udps| udps.keys()).collect();
    let mut head: Vec<_> = ["source", "destination", "protocol"]
        .map(str::to_owned)
        .into();
    head.extend(outputs.iter().map(|output| (*output).clone()));
    lines.push(head);
    for row in rows {
        let [src_ip, src_port, dst_ip, dst_port, protocol, _] = KEY.map(|key| cell(row.get(key)));
        let udps = row.get("udps").and_then(Value::as_object);
        let mut line = vec![
            format!("{src_ip}:{src_port}"),
            format!("{dst_ip}:{dst_port}"),
            protocol,
        ];
        line.extend(
            outputs
                .iter()
                .map(|output| cell(udps.and_then(|udps| udps.get(*output)))),
        );
        lines.push(line);
    }
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..lines[0].len()).map(width).collect();
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        line.trim_end().to_owned() + "\n"
    });
    text.collect()
}

/// Returns a value for people, on one line of limited length.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let text = escaped(&text);
    match text.char_indices().nth(MAX_WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_columns() {
        let rows = [
            r#"{"src_ip":"192.0.2.1","src_port":1,"dst_ip":"192.0.2.2","dst_port":443,"protocol":6,"expiration_id":0,"udps":{"mean":1.5,"name":"a\u001b[2J"}}"#,
            r#"{"src_ip":"::1","src_port":53,"dst_ip":"::2","dst_port":9,"protocol":17,"expiration_id":0,"udps":{"mean":null,"name":"0123456789012345678901234567890123456789"}}"#,
        ];
        let rows = flows::rows(&rows.join("\n")).unwrap();
        let expected = "\
source       destination    protocol  mean  name
192.0.2.1:1  192.0.2.2:443  6         1.5   a\\u{1b}[2J
::1:53       ::2:9          17        -     01234567890123456789012345678901…
";
        assert_eq!(table(&rows), expected);
        assert_eq!(table(&[]), "");
    }
}
