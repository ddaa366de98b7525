//! Flows that have ended, and the values that plugins added to them.

mod outputs;
mod ready_flows;
mod serialize;

use std::fmt;
use std::sync::Arc;

pub use outputs::{Answer, Column, Outputs, Table, Values};
pub use ready_flows::ReadyFlows;

use crate::record::{Application, Ended, Expiration, FlowView, Record, Splt, Statistics};
use crate::schema::{Schema, UdpColumn};
use crate::table::prefetch_all;
use crate::value::Value;

/// A flow that has ended: all its features, and what plugins added.
#[derive(Clone)]
pub struct Flow {
    pub record: Record,
    pub statistics: Option<Box<Statistics>>,
    pub splt: Splt,
    pub application: Option<Box<Application>>,
    pub expiration: Expiration,
    /// Which capture of the run it is of, from 0 on.
    pub capture: u32,
    pub ended: Ended,
    pub outputs: Outputs,
    pub schema: Arc<Schema>,
    pub replaced: Option<Box<[Replacement]>>,
}

/// A text in place of a value.
#[derive(Clone)]
pub struct Replacement {
    /// The place of its column in the schema.
    pub at: usize,
    pub text: Box<str>,
}

impl Flow {
    /// Has brought what it has elsewhere, from where it was metered to where it is written.
    #[inline]
    pub fn prefetch_parts(&self) {
        if let Some(statistics) = &self.statistics {
            prefetch_all(&**statistics);
        }
    }

    /// The flow's id: the ordinal of its first packet among all packets of its capture, from 0 on.
    pub fn id(&self) -> u64 {
        self.record.id
    }

    /// The number of its capture among those of the run, from 0 on.
    pub fn capture(&self) -> u32 {
        self.capture
    }

    /// Why it ended.
    pub fn expiration(&self) -> Expiration {
        self.expiration
    }

    /// The columns that this flow has.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The value of a feature by its name in the feature table (`src_ip`, `bidirectional_packets`),
    /// or of a plugin's output (`udps.packet_stats.src2dst_mean`).
    pub fn get(&self, name: &str) -> Option<Value<'_>> {
        let features = self.schema.features();
        if let Some(at) = features.iter().position(|feature| feature.name == name) {
            return Some(self.feature(at));
        }
        let outputs = self.schema.udps();
        let at = outputs.iter().position(|column| column.path() == name)?;
        Some(self.output(at))
    }

    /// The value of the feature at this place of the schema.
    #[inline]
    fn feature(&self, at: usize) -> Value<'_> {
        match self.replacement(at) {
            Some(text) => Value::Text(text),
            None => self.schema.features()[at].value(&self.view()),
        }
    }

    /// The value of the plugin's output at this place of the schema.
    #[inline]
    fn output(&self, at: usize) -> Value<'_> {
        match self.replacement(self.schema.features().len() + at) {
            Some(text) => Value::Text(text),
            None => self.outputs.value(at),
        }
    }

    /// Returns about how many bytes of memory the flow takes.
    pub fn bytes(&self) -> usize {
        let statistics = self
            .statistics
            .as_ref()
            .map_or(0, |_| size_of::<Statistics>());
        size_of::<Self>() + statistics + self.splt.beside() + self.outputs.bytes()
    }

    /// All columns and their values: features in the feature table's order, then what plugins
    /// added, as `udps.<plugin>.<name>`.
    pub fn iter<'a>(&'a self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let features = self
            .features()
            .map(|(name, value)| -> (&'a str, Value<'a>) { (name, value) });
        features.chain(
            self.udps()
                .iter()
                .map(|(column, value)| (column.path(), value)),
        )
    }

    /// The features, in the feature table's order.
    pub fn features(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        let view = self.view();
        self.schema
            .features()
            .iter()
            .enumerate()
            .map(move |(at, feature)| {
                let value = match self.replacement(at) {
                    Some(text) => Value::Text(text),
                    None => feature.value(&view),
                };
                (feature.name, value)
            })
    }

    pub fn replacement(&self, at: usize) -> Option<&str> {
        let replaced = self.replaced.as_ref()?;
        replaced
            .iter()
            .find_map(|replacement| (replacement.at == at).then_some(&*replacement.text))
    }

    /// What plugins added.
    pub fn udps(&self) -> Udps<'_> {
        Udps(self)
    }

    pub fn view(&self) -> FlowView<'_> {
        FlowView {
            record: &self.record,
            statistics: self.statistics.as_deref(),
            splt: Some(&self.splt),
            application: self.application.as_deref(),
            expiration: self.expiration,
            capture: self.capture,
        }
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What plugins added to a flow: a value for each of their declared outputs.
#[derive(Clone, Copy)]
pub struct Udps<'a>(&'a Flow);

impl<'a> Udps<'a> {
    /// A plugin's output, null or not; `None` if there is no such plugin or output.
    pub fn get(&self, plugin: &str, name: &str) -> Option<Value<'a>> {
        self.iter().find_map(|(column, value)| {
            (column.plugin() == plugin && column.name() == name).then_some(value)
        })
    }

    /// Whether no plugin declared any output.
    pub fn is_empty(&self) -> bool {
        self.columns().is_empty()
    }

    /// The plugins that declared outputs, in the order in which they were given.
    pub fn plugins(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.columns()
            .chunk_by(|a, b| a.plugin() == b.plugin())
            .map(|outputs| outputs[0].plugin())
    }

    /// All outputs: plugins in the order in which they were given, each one's outputs in the order
    /// in which it declared them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a UdpColumn, Value<'a>)> + use<'a> {
        let flow = self.0;
        let first = flow.schema.features().len();
        let value = move |(at, column)| match flow.replacement(first + at) {
            Some(text) => (column, Value::Text(text)),
            None => (column, flow.outputs.value(at)),
        };
        self.columns().iter().enumerate().map(value)
    }

    fn columns(&self) -> &'a [UdpColumn] {
        self.0.schema.udps()
    }
}
