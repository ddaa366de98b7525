//! Ended flows, and the values that plugins added to them.

mod outputs;
mod ready_flows;
mod serialize;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use outputs::{Answer, Column, Outputs, Table, Values};
pub use ready_flows::ReadyFlows;

use crate::record::{
    Application, Ended, Expiration, FlowIdentity, FlowView, Record, Splt, Statistics,
};
use crate::schema::{Column as SchemaColumn, Origin, Schema, UdpColumn};
use crate::table::prefetch_all;
use crate::value::Value;

/// An ended flow: its features and the values of plugins.
///
/// # Examples
///
/// ```
/// use flowloom_core::link_type::{LinkType, RawPacket};
/// use flowloom_core::meter::{Meter, Settings};
/// use flowloom_core::time::Time;
/// use flowloom_core::value::Value;
///
/// let mut meter = Meter::new(Settings::default());
/// // An IPv4 packet without a payload, protocol 255. Link type 101 is raw IP.
/// let data = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
/// meter.push([RawPacket { time: Time::EPOCH, link: LinkType(101), wire_len: 20, data }]);
/// meter.finish();
/// let flow = meter.next_flow().expect("the packet belongs to a flow");
/// assert_eq!(flow.get("bidirectional_packets"), Some(Value::Integer(1)));
/// assert_eq!(flow.get("src_ip"), Some(Value::Ip([192, 0, 2, 1].into())));
/// // A position is faster than a name if there are many flows.
/// let position = flow.schema().position("protocol").expect("every flow has it");
/// assert_eq!(flow.value(position), Some(Value::Integer(255)));
/// ```
#[derive(Clone)]
pub struct Flow {
    /// The flow key, MAC addresses and counters.
    pub record: Record,
    /// Statistics of sizes, times and TCP flags; `None` without statistical analysis.
    pub statistics: Option<Box<Statistics>>,
    /// Lengths and times of the first packets; empty without SPLT analysis.
    pub splt: Splt,
    /// The result of dissection; `None` if the flow was not dissected.
    pub application: Option<Box<Application>>,
    /// The reason why the flow ended.
    pub expiration: Expiration,
    /// The number of the flow's capture in the run, from 0.
    pub capture: u32,
    /// The position of the flow's end, for merging the flows of several meters.
    pub ended: Ended,
    /// The values of plugins.
    pub outputs: Outputs,
    /// The columns of the flow.
    pub schema: Arc<Schema>,
    /// Identifiers that a run adds to ended flows; `None` if no column needs them.
    pub identity: Option<Box<FlowIdentity>>,
    /// Texts that replace values, because their columns are anonymised; `None` if there are none.
    pub replaced: Option<Box<[Replacement]>>,
}

/// A text that replaces a value.
#[derive(Clone)]
pub struct Replacement {
    /// The index of the column among all columns of the schema.
    pub at: usize,
    /// The text.
    pub text: Box<str>,
}

impl Flow {
    /// Prefetches the parts of the flow that are behind a pointer, for the thread that writes the flow.
    #[inline]
    pub fn prefetch_parts(&self) {
        if let Some(statistics) = &self.statistics {
            prefetch_all(&**statistics);
        }
    }

    /// Returns the id of the flow: the ordinal of its first packet among all packets of its capture, from 0.
    pub fn id(&self) -> u64 {
        self.record.id
    }

    /// Returns the number of the flow's capture in the run, from 0.
    pub fn capture(&self) -> u32 {
        self.capture
    }

    /// Returns the reason why the flow ended.
    pub fn expiration(&self) -> Expiration {
        self.expiration
    }

    /// Returns the columns of the flow.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Returns the value of a column by its name.
    ///
    /// The name is that of a feature (`src_ip`, `bidirectional_packets`), or the path of a plugin's output
    /// (`udps.packet_stats.src2dst_mean`). Returns `None` if the flow has no such column.
    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        self.value(self.schema.position(name)?)
    }

    /// Returns the value in the column at an index of the [schema](Self::schema).
    pub fn value(&self, index: usize) -> Option<Value<'_>> {
        match index.checked_sub(self.schema.features().len()) {
            None => Some(self.feature(index)),
            Some(output) if output < self.schema.udps().len() => Some(self.output(output)),
            Some(_) => None,
        }
    }

    /// Returns the value in the column at an index of the [schema](Self::schema), from before anonymisation.
    pub fn original(&self, index: usize) -> Option<Value<'_>> {
        match index.checked_sub(self.schema.features().len()) {
            None => Some(self.schema.features()[index].value(&self.view())),
            Some(output) if output < self.schema.udps().len() => Some(self.outputs.value(output)),
            Some(_) => None,
        }
    }

    /// Returns the value of the feature with this index in the schema.
    #[inline]
    fn feature(&self, index: usize) -> Value<'_> {
        match self.replacement(index) {
            Some(text) => Value::Text(text),
            None => self.schema.features()[index].value(&self.view()),
        }
    }

    /// Returns the value of the plugin output with this index among the outputs of the schema.
    #[inline]
    fn output(&self, index: usize) -> Value<'_> {
        match self.replacement(self.schema.features().len() + index) {
            Some(text) => Value::Text(text),
            None => self.outputs.value(index),
        }
    }

    /// Returns the approximate memory of the flow in bytes.
    pub fn bytes(&self) -> usize {
        let statistics = self
            .statistics
            .as_ref()
            .map_or(0, |_| size_of::<Statistics>());
        // The names of files are shared by many flows.
        let identity = self
            .identity
            .as_ref()
            .map_or(0, |_| size_of::<FlowIdentity>());
        size_of::<Self>() + statistics + identity + self.splt.heap_bytes() + self.outputs.bytes()
    }

    /// Returns the names and values of all columns.
    ///
    /// Features come first, in the order of the feature table. Outputs of plugins follow, with the names
    /// `udps.<plugin>.<name>`.
    pub fn iter<'a>(&'a self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let features = self
            .features()
            .map(|(name, value)| -> (&'a str, Value<'a>) { (name, value) });
        features.chain(
            self.udps()
                .iter()
                .map(|(column, value)| (column.name, value)),
        )
    }

    /// Returns the names and values of the features, in the order of the feature table.
    pub fn features(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let view = self.view();
        self.schema
            .features()
            .iter()
            .enumerate()
            .map(move |(index, feature)| {
                let value = match self.replacement(index) {
                    Some(text) => Value::Text(text),
                    None => feature.value(&view),
                };
                (feature.name, value)
            })
    }

    /// Returns the text that replaces the value of the column with this index, if there is one.
    ///
    /// The index counts all columns of the schema. The search is linear in the number of replacements.
    pub fn replacement(&self, index: usize) -> Option<&str> {
        let replaced = self.replaced.as_ref()?;
        replaced
            .iter()
            .find_map(|replacement| (replacement.at == index).then_some(&*replacement.text))
    }

    /// Returns the values of plugins.
    pub fn udps(&self) -> Udps<'_> {
        Udps(self)
    }

    /// Returns the data that features are computed from.
    pub fn view(&self) -> FlowView<'_> {
        FlowView {
            record: &self.record,
            statistics: self.statistics.as_deref(),
            splt: Some(&self.splt),
            application: self.application.as_deref(),
            expiration: self.expiration,
            capture: self.capture,
            identity: self.identity.as_deref(),
        }
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The values of plugins for a flow: one for each declared output.
#[derive(Clone, Copy)]
pub struct Udps<'a>(&'a Flow);

impl<'a> Udps<'a> {
    /// Returns the value of a plugin's output, which can be null. Returns `None` if there is no such plugin
    /// or output.
    pub fn get(&self, plugin: &str, name: &str) -> Option<Value<'a>> {
        let origin = Origin::Plugin {
            plugin,
            output: name,
        };
        self.iter()
            .find_map(|(column, value)| (column.origin == origin).then_some(value))
    }

    /// Returns whether no plugin declared an output.
    pub fn is_empty(&self) -> bool {
        self.columns().is_empty()
    }

    /// Returns the plugins that declared outputs, in the order in which they were given.
    pub fn plugins(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.columns()
            .chunk_by(|a, b| a.plugin() == b.plugin())
            .map(|outputs| outputs[0].plugin())
    }

    /// Returns all outputs and their values.
    ///
    /// Plugins come in the order in which they were given. The outputs of a plugin come in the order in
    /// which the plugin declared them.
    pub fn iter(&self) -> impl Iterator<Item = (SchemaColumn<'a>, Value<'a>)> + use<'a> {
        let flow = self.0;
        let first = flow.schema.features().len();
        let value = move |(index, column)| match flow.replacement(first + index) {
            Some(text) => (UdpColumn::as_column(column), Value::Text(text)),
            None => (UdpColumn::as_column(column), flow.outputs.value(index)),
        };
        self.columns().iter().enumerate().map(value)
    }

    fn columns(&self) -> &'a [UdpColumn] {
        self.0.schema.udps()
    }
}
