//! Flows: their key, the table of live ones, and the features of each.

mod closing;
pub mod features;
mod index;
mod key;
mod outputs;
mod packet;
mod prefetch;
mod protocols;
mod ready;
mod record;
mod schema;
pub(crate) mod slab;
mod splt;
mod statistics;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod timing_wheel;

use std::fmt;
use std::sync::{Arc, LazyLock};

pub(crate) use key::KeyHasher;
pub(crate) use outputs::{Answer, Column, Outputs, Table};
pub(crate) use packet::{CHUNK, DecodedChunk, DecodedPacket, FlowPacket};
pub(crate) use prefetch::{prefetch, prefetch_all};
pub use protocols::{PROTOCOLS, Protocol};
pub(crate) use ready::ReadyFlows;
pub use record::{Direction, Expiration};
pub(crate) use record::{Ended, Record};
pub use schema::{Schema, UdpColumn};
pub(crate) use splt::{Part, Splt};
pub(crate) use statistics::Statistics;
pub(crate) use table::{Analyses, FlowTable, Lookup, Timeouts};

use crate::dissect::Application;
use crate::value::Value;

/// A flow that has ended: all its features, and what plugins added.
#[derive(Clone)]
pub struct Flow {
    pub(crate) record: Record,
    pub(crate) statistics: Option<Box<Statistics>>,
    pub(crate) splt: Splt,
    pub(crate) application: Option<Box<Application>>,
    pub(crate) expiration: Expiration,
    /// Which capture of the run it is of, from 0 on.
    pub(crate) capture: u32,
    pub(crate) ended: Ended,
    pub(crate) outputs: Outputs,
    pub(crate) schema: Arc<Schema>,
    pub(crate) replaced: Option<Box<[Replacement]>>,
}

/// A text in place of a value.
#[derive(Clone)]
pub(crate) struct Replacement {
    /// The place of its column in the schema.
    pub(crate) at: usize,
    pub(crate) text: Box<str>,
}

impl Flow {
    /// Has brought what it has elsewhere, from where it was metered to where it is written.
    #[inline]
    pub(crate) fn prefetch_parts(&self) {
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
    pub(crate) fn bytes(&self) -> usize {
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
    pub(crate) fn features(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
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

    pub(crate) fn replacement(&self, at: usize) -> Option<&str> {
        let replaced = self.replaced.as_ref()?;
        replaced
            .iter()
            .find_map(|replacement| (replacement.at == at).then_some(&*replacement.text))
    }

    /// What plugins added.
    pub fn udps(&self) -> Udps<'_> {
        Udps(self)
    }

    pub(crate) fn view(&self) -> FlowView<'_> {
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
    pub(crate) fn plugins(&self) -> impl Iterator<Item = &'a str> + use<'a> {
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

/// What features are computed from, of a live flow or an ended one.
#[derive(Clone, Copy)]
pub(crate) struct FlowView<'a> {
    pub(crate) record: &'a Record,
    statistics: Option<&'a Statistics>,
    pub(crate) splt: Option<&'a Splt>,
    application: Option<&'a Application>,
    pub(crate) expiration: Expiration,
    pub(crate) capture: u32,
}

impl<'a> FlowView<'a> {
    /// Features that need them are there only if they are kept.
    fn statistics(&self) -> &'a Statistics {
        static NONE: LazyLock<Statistics> = LazyLock::new(Statistics::default);
        self.statistics.unwrap_or(&NONE)
    }

    pub(crate) fn with_application(self, application: Option<&'a Application>) -> Self {
        Self {
            application,
            ..self
        }
    }

    fn application(&self) -> &'a Application {
        self.application.unwrap_or_else(|| Application::unknown())
    }
}
