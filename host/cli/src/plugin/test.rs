//! `flowloom plugin test`

use std::path::PathBuf;

use clap::Args;
use flowloom::BoundedRead;
use flowloom::plugin::Grants;
use flowloom::sink::OutputFiles;
use serde_json::Value;

use super::super::compile::CompileOptions;
use super::super::exit::{Exit, Failure};
use super::super::overlap::Inputs;
use super::super::plugin_options::{PLUGINS, grant, with_grants};
use super::super::standard;
use super::flows::{KEY, Row, rows};
use super::project::{FILE, Golden, Project};
use super::{flows, sdk, sources};

const EXAMPLES: &str = "\
Examples:
  Run the tests that mine/flowloom-plugin.toml lists:
    flowloom plugin test mine
  Accept the new values:
    flowloom plugin test mine --bless

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Test {
    /// Folder of the plugin, with its flowloom-plugin.toml.
    ///
    /// Build the plugin first.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    /// Overwrite the expected values with the plugin's values.
    #[arg(long)]
    bless: bool,

    /// Let the plugin see more data (repeatable).
    ///
    /// These grants are added to those of flowloom-plugin.toml. WHAT is one of: addresses, pseudonyms,
    /// application, names, payload:N, bytes:N, as in `flowloom meter`.
    #[arg(long = "grant", value_name = "NAME=WHAT[,WHAT…]", value_parser = grant, help_heading = PLUGINS)]
    grants: Vec<(String, Grants)>,

    #[command(flatten)]
    compile: CompileOptions,
}

/// Maximum size of a file of expected rows.
const MAX_BYTES: u64 = 256 << 20;

/// Maximum number of differences that are shown of a test.
const MAX_SHOWN: usize = 20;

impl Test {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let project = Project::open(&self.folder)?;
        let name = &project.plugin.name;
        if project.tests.is_empty() {
            return Err(
                Failure::failed(format_args!("{name} has no test")).hint(format_args!(
                    "add a [[test]] with `capture` and `expected` to {FILE}"
                )),
            );
        }
        project.built()?;
        let component = project.component();
        if let Some(source) = sources::newer(&project) {
            tracing::warn!(
                "{} is older than {}; to update it: flowloom plugin build {}",
                component.display(),
                source.display(),
                self.folder.display()
            );
        }
        if self.bless {
            check_expected(&project)?;
            for test in &project.tests {
                let rows = meter(&project, test, &self.grants, &self.compile)?;
                let expected = project.folder.join(&test.expected);
                sdk::write(&expected, text(&rows).as_bytes())?;
                standard::print(format_args!(
                    "{}: {} flows written\n",
                    expected.display(),
                    rows.len()
                ))?;
            }
            return Ok(Exit::Done);
        }
        compare(&project, &self.grants, &self.compile).map(|()| Exit::Done)
    }
}

/// Runs the tests, and shows the differences.
///
/// # Errors
///
/// A test failed, or cannot be run.
pub(super) fn compare(
    project: &Project,
    grants: &[(String, Grants)],
    compile: &CompileOptions,
) -> Result<(), Failure> {
    let name = &project.plugin.name;
    let mut failed = 0;
    for test in &project.tests {
        let rows = meter(project, test, grants, compile)?;
        let expected = project.folder.join(&test.expected);
        let capture = test.capture.display();
        let differences = differences(&read(&expected)?, &rows);
        if differences.is_empty() {
            standard::print(format_args!(
                "{capture}: {} flows as expected\n",
                rows.len()
            ))?;
            continue;
        }
        failed += 1;
        let mut text = format!("{capture}: differs from {}\n", expected.display());
        for difference in differences.iter().take(MAX_SHOWN) {
            text += &format!("  {difference}\n");
        }
        if differences.len() > MAX_SHOWN {
            text += &format!("  … and {} more\n", differences.len() - MAX_SHOWN);
        }
        standard::print(text)?;
    }
    if failed > 0 {
        return Err(Failure::failed(format_args!(
            "{failed} of {} tests of {name} failed",
            project.tests.len()
        ))
        .hint(format_args!(
            "if the new values are correct: flowloom plugin test {} --bless",
            project.folder.display()
        )));
    }
    Ok(())
}

/// Checks that expected values do not overwrite another file of the plugin.
fn check_expected(project: &Project) -> Result<(), Failure> {
    let mut inputs = Inputs::default();
    inputs.add("the plugin", [project.component()]);
    let source = project.folder.join(&project.plugin.source);
    inputs.add(
        "the plugin's source",
        Some(source).filter(|it| it.is_file()),
    );
    inputs.add("the description of the plugin", [project.folder.join(FILE)]);
    let captures = project
        .tests
        .iter()
        .map(|test| project.folder.join(&test.capture));
    inputs.add("a capture", captures);
    for test in &project.tests {
        let expected = OutputFiles::new(project.folder.join(&test.expected));
        inputs.check(&[("the expected values of a test", expected)])?;
    }
    Ok(())
}

/// Returns the flows of a test's capture. A plugin that is stopped has failed its test.
fn meter(
    project: &Project,
    test: &Golden,
    grants: &[(String, Grants)],
    compile: &CompileOptions,
) -> Result<Vec<Row>, Failure> {
    let spec = with_grants(project.spec(test)?, grants)?;
    let capture = project.folder.join(&test.capture);
    let metered = flows::meter(&capture, spec, compile.compiler(None), None)?;
    let shown = test.capture.display();
    match metered.failure {
        None => Ok(metered.rows),
        Some(failure) => Err(Failure::failed(format_args!("{shown}: {failure}"))),
    }
}

fn text(rows: &[Row]) -> String {
    rows.iter()
        .map(|row| Value::Object(row.clone()).to_string() + "\n")
        .collect()
}

fn read(expected: &std::path::Path) -> Result<Vec<Row>, Failure> {
    let path = expected.display();
    let text = BoundedRead::new(MAX_BYTES)
        .text(expected)
        .map_err(|error| {
            Failure::failed(format_args!("cannot read {path}: {error}")).hint("--bless writes it")
        })?;
    rows(&text).map_err(|error| {
        Failure::failed(format_args!("{path}, {error}")).hint("--bless writes the file again")
    })
}

fn differences(expected: &[Row], rows: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    for (n, (expected, row)) in expected.iter().zip(rows).enumerate() {
        let flow = format!("flow {}, {}", n + 1, key(row));
        if KEY.iter().any(|name| expected.get(*name) != row.get(*name)) {
            found.push(format!("{flow}: expected {}", key(expected)));
            continue;
        }
        let empty = Row::new();
        let values = |row: &'_ Row| match row.get("udps") {
            Some(Value::Object(values)) => values.clone(),
            _ => empty.clone(),
        };
        let (expected, values) = (values(expected), values(row));
        for (output, value) in &values {
            match expected.get(output) {
                None => found.push(format!("{flow}: {output} is {value}, not expected")),
                Some(expected) if !equal(expected, value) => {
                    found.push(format!("{flow}: {output} is {value}, expected {expected}"));
                }
                Some(_) => {}
            }
        }
        for output in expected
            .keys()
            .filter(|output| !values.contains_key(*output))
        {
            found.push(format!("{flow}: {output} is missing"));
        }
    }
    if expected.len() != rows.len() {
        found.push(format!("{} flows, expected {}", rows.len(), expected.len()));
    }
    found
}

/// Returns `192.0.2.1:54332 to 192.0.2.2:443, protocol 6, expiration_id 0`.
fn key(row: &Row) -> String {
    let plain = |name: &str| match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    };
    let [src_ip, src_port, dst_ip, dst_port, protocol, expiration] = KEY.map(plain);
    format!(
        "{src_ip}:{src_port} to {dst_ip}:{dst_port}, protocol {protocol}, expiration_id {expiration}"
    )
}

/// Compares values. Floats may differ in their last places, because compilers and their libraries do.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => {
            match (x.as_f64(), y.as_f64()) {
                (Some(x), Some(y)) => (x - y).abs() <= 1e-12 * x.abs().max(y.abs()),
                _ => false,
            }
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(udps: &str) -> Vec<Row> {
        let text = format!(
            r#"{{"src_ip":"a","src_port":1,"dst_ip":"b","dst_port":2,"protocol":6,"expiration_id":0,"udps":{udps}}}"#
        );
        rows(&text).expect("it is JSON")
    }

    #[test]
    fn values_are_compared_one_by_one() {
        let expected = row(r#"{"x":1,"y":0.3,"z":[1.0,2],"gone":null}"#);
        let got = row(r#"{"x":2,"y":0.30000000000000004,"z":[1.0,3],"more":"?"}"#);
        let flow = "flow 1, a:1 to b:2, protocol 6, expiration_id 0";
        assert_eq!(
            differences(&expected, &got),
            [
                format!("{flow}: x is 2, expected 1"),
                format!("{flow}: z is [1.0,3], expected [1.0,2]"),
                format!("{flow}: more is \"?\", not expected"),
                format!("{flow}: gone is missing"),
            ]
        );
        assert_eq!(differences(&got, &got), Vec::<String>::new());
    }

    #[test]
    fn other_flows_and_other_numbers_of_them_are_differences() {
        let (one, mut two) = (row("{}"), row("{}"));
        two.extend(row("{}"));
        two[0].insert("src_port".into(), 9.into());
        assert_eq!(
            differences(&one, &two),
            [
                "flow 1, a:9 to b:2, protocol 6, expiration_id 0: expected a:1 to b:2, protocol 6, \
                 expiration_id 0",
                "2 flows, expected 1",
            ]
        );
    }
}
