//! The sink of JSON lines.

use std::io::{self, Write};
use std::sync::Arc;

use flowloom_core::fields::Feature;
use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use flowloom_core::value::Value;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::ser::Formatter;

use super::Sink;
use super::output::Output;
use crate::columns::{ColumnSource, OutputColumns};

/// The number of bytes from which on lines are written to the output.
const BLOCK: usize = 1 << 18;

pub(super) struct JsonLinesSink<O> {
    output: O,
    chosen: OutputColumns,
    /// The columns of the flows with the last schema.
    columns: Option<JsonColumns>,
    /// Lines that are not yet written.
    lines: Vec<u8>,
    /// The number of these lines.
    flows: u64,
}

impl<O> JsonLinesSink<O> {
    pub(super) fn new(output: O, chosen: &OutputColumns) -> Self {
        Self {
            output,
            chosen: chosen.clone(),
            columns: None,
            lines: Vec::with_capacity(BLOCK + BLOCK / 4),
            flows: 0,
        }
    }
}

impl<O: Output> Sink for JsonLinesSink<O> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        let schema = flow.schema();
        let columns = match &mut self.columns {
            Some(columns) if Arc::ptr_eq(&columns.schema, schema) => columns,
            columns => columns.insert(JsonColumns::new(schema, &self.chosen)),
        };
        Row { flow, columns }.serialize(&mut serde_json::Serializer::with_formatter(
            &mut self.lines,
            OneLine,
        ))?;
        self.lines.push(b'\n');
        self.flows += 1;
        match self.lines.len() < BLOCK {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.output.end()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.write_all(&self.lines)?;
        self.lines.clear();
        self.flows = 0;
        self.output.flush()
    }

    fn forget(&mut self) -> u64 {
        self.lines.clear();
        std::mem::take(&mut self.flows)
    }

    fn in_memory(&self) -> u64 {
        self.flows
    }

    fn buffered_bytes(&self) -> u64 {
        self.lines.len() as u64
    }
}

/// The columns of flows with one schema, in the order of a JSON object.
struct JsonColumns {
    schema: Arc<Schema>,
    features: Vec<(&'static Feature, Option<usize>)>,
    /// The indices of plugin outputs in the schema, by plugin.
    plugins: Vec<Vec<usize>>,
}

impl JsonColumns {
    /// Finds the chosen columns in a schema. Chosen columns that the schema does not have are left out.
    fn new(schema: &Arc<Schema>, chosen: &OutputColumns) -> Self {
        let layout = chosen.layout_of_present(schema);
        let (mut features, mut plugins) = (Vec::new(), Vec::<Vec<usize>>::new());
        let plugin = |output: usize| schema.udps()[output].plugin();
        for source in layout.sources() {
            match *source {
                ColumnSource::Feature { feature, index } => features.push((feature, Some(index))),
                ColumnSource::Time(feature) => features.push((feature, None)),
                ColumnSource::Udp(output) => {
                    let known = plugins
                        .iter_mut()
                        .find(|outputs| plugin(outputs[0]) == plugin(output));
                    match known {
                        Some(outputs) => outputs.push(output),
                        None => plugins.push(vec![output]),
                    }
                }
            }
        }
        Self {
            schema: schema.clone(),
            features,
            plugins,
        }
    }
}

/// A flow as a JSON object of its features. Values of plugins are in its member `udps`.
struct Row<'a> {
    flow: &'a Flow,
    columns: &'a JsonColumns,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let view = self.flow.view();
        for (feature, index) in &self.columns.features {
            let replacement = index.and_then(|index| self.flow.replacement(index));
            match replacement {
                Some(text) => map.serialize_entry(feature.name, text)?,
                None => map.serialize_entry(feature.name, &feature.value(&view))?,
            }
        }
        if !self.columns.plugins.is_empty() {
            map.serialize_entry("udps", &RowUdps(self))?;
        }
        map.end()
    }
}

/// The values of plugins: one object for each plugin.
struct RowUdps<'a>(&'a Row<'a>);

impl Serialize for RowUdps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Row { flow, columns } = self.0;
        let schema = &columns.schema;
        let plugins = columns.plugins.iter().map(|outputs| {
            let name = schema.udps()[outputs[0]].plugin();
            (name, PluginRow { flow, outputs })
        });
        serializer.collect_map(plugins)
    }
}

/// The values of one plugin.
struct PluginRow<'a> {
    flow: &'a Flow,
    outputs: &'a [usize],
}

impl Serialize for PluginRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let schema = self.flow.schema();
        let first = schema.features().len();
        serializer.collect_map(self.outputs.iter().map(|&output| {
            let value = self.flow.value(first + output).unwrap_or(Value::Null);
            (schema.udps()[output].name(), value)
        }))
    }
}

/// Formats compact JSON without control characters.
///
/// serde_json does not escape U+007F to U+009F. JSON of plugins may have line feeds between its
/// values.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        text: &str,
    ) -> io::Result<()> {
        write_escaped(writer, text)
    }

    fn write_raw_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        json: &str,
    ) -> io::Result<()> {
        write_escaped(writer, json)
    }
}

/// Writes text with escaped control characters. Those below U+0020 can only be white space between
/// values, and become spaces.
fn write_escaped<W: Write + ?Sized>(writer: &mut W, mut text: &str) -> io::Result<()> {
    // Most text has no control characters. 0xc2 is the first byte of U+0080 to U+009F in UTF-8.
    let may_be = |byte: u8| byte < b' ' || byte == 0x7f || byte == 0xc2;
    if !text.bytes().any(may_be) {
        return writer.write_all(text.as_bytes());
    }
    while let Some(at) = text.find(char::is_control) {
        writer.write_all(&text.as_bytes()[..at])?;
        let mut rest = text[at..].chars();
        match rest.next() {
            Some('\0'..' ') | None => writer.write_all(b" ")?,
            Some(control) => write!(writer, "\\u{:04x}", u32::from(control))?,
        }
        text = rest.as_str();
    }
    writer.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_control_characters() {
        let json = "{\n\t\"a\u{7f}\":\r\n[\"\u{9b}31m\", \"\\n\"] }";
        for (value, expected) in [
            (
                Value::Text("\u{1b}\u{7f}\u{85}é\u{a0}"),
                "\"\\u001b\\u007f\\u0085é\u{a0}\"",
            ),
            (
                Value::Json(json),
                "{  \"a\\u007f\":  [\"\\u009b31m\", \"\\n\"] }",
            ),
        ] {
            let mut line = Vec::new();
            value
                .serialize(&mut serde_json::Serializer::with_formatter(
                    &mut line, OneLine,
                ))
                .unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
