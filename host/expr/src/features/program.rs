//! Checked programs, and what they ask for.

use flowloom_core::fields::{FEATURES, Feature, PACKET_FIELDS, PacketField, Sensitivity};
use flowloom_core::value::Type;

use super::ast::{File, Unit};
use super::graph::{Accumulate, Graph, Live, Node, Stream, ValueId};
use super::names::packet_field;
use crate::ast::Number;
use crate::diagnostic::{Diagnostic, ExprError, Span};

/// Limits of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum state of one flow, in bytes. The default is 1,024. More than 4,096 is never accepted.
    pub state_bytes: u32,
    /// The maximum number of features. The default is 128, and more are never accepted.
    pub features: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            state_bytes: 1_024,
            features: 128,
        }
    }
}

/// A column that a program adds to each flow.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// The name of the feature.
    pub name: String,
    /// The type of the values: boolean, i64, float, bytes, or a list of integers or floats.
    pub ty: Type,
    /// The unit of a time.
    pub unit: Option<Unit>,
    /// The comment on the feature's lines, or its expression.
    pub description: String,
    /// Whether a flow can have no value.
    pub is_nullable: bool,
    pub(crate) value: ValueId,
    /// What replaces null, by the statement `nulls`.
    pub(crate) null: Option<Number>,
}

/// Features of flows: a text that was parsed and checked.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) graph: Graph,
    pub(crate) live: Live,
    pub(crate) outputs: Vec<Output>,
    pub(crate) about: Option<String>,
    pub(crate) payload: Option<(u32, Span)>,
    pub(crate) state_bytes: u32,
    pub(crate) file: File,
    /// The text as it was given.
    pub(crate) text: String,
}

impl Program {
    /// Returns the text of the statement `about`.
    pub fn about(&self) -> Option<&str> {
        self.about.as_deref()
    }

    /// Returns the features in the order of the text.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Returns the memory that a component needs for each flow, in bytes.
    ///
    /// Features with the same value and the same packets share a part of it.
    pub fn state_bytes(&self) -> u32 {
        self.state_bytes
    }

    /// Returns the packet fields that the program reads, in the order of the table of packet fields.
    pub fn packet_fields(&self) -> Vec<&'static PacketField> {
        let reads = |name: &str| {
            let index = packet_field(name).map(|(index, _)| index);
            let reads_field = |node: &Node| match node {
                Node::Field(field) => Some(*field) == index,
                Node::Age => name == "time_ns",
                _ => false,
            };
            let reads_scope = |stream: &Stream| match stream {
                Stream::Packets { scope, .. } | Stream::RunPackets { scope, .. } => scope.is_some(),
                Stream::Runs { .. } => false,
            };
            self.live_nodes().any(reads_field)
                || (name == "direction" && self.live_streams().any(reads_scope))
                || (name == "payload_size" && self.reads_head())
        };
        PACKET_FIELDS
            .iter()
            .filter(|field| reads(field.name))
            .collect()
    }

    fn live_nodes(&self) -> impl Iterator<Item = &Node> {
        let all = self.graph.values.iter().zip(&self.live.values);
        all.filter(|(_, is_live)| **is_live)
            .map(|(value, _)| &value.node)
    }

    fn live_streams(&self) -> impl Iterator<Item = &Stream> {
        let all = self.graph.streams.iter().zip(&self.live.streams);
        all.filter(|(_, is_live)| **is_live)
            .map(|(stream, _)| stream)
    }

    /// Returns whether it joins payloads, which needs their sizes.
    fn reads_head(&self) -> bool {
        let mut all = self.graph.accumulators.iter().zip(&self.live.accumulators);
        all.any(|(accumulator, is_live)| *is_live && accumulator.what == Accumulate::Head)
    }

    /// Returns the flow fields that the program reads at the end of a flow, in the order of the table of flow fields.
    pub fn flow_fields(&self) -> Vec<&'static Feature> {
        let reads = |index: usize| {
            self.live_nodes()
                .any(|node| *node == Node::FlowField(index))
        };
        let all = FEATURES.iter().enumerate();
        all.filter(|(index, _)| reads(*index))
            .map(|(_, field)| field)
            .collect()
    }

    /// Returns a number of packets after which no packet of a flow changes a value; `None` if there is none.
    pub(crate) fn packets_per_flow(&self) -> Option<u32> {
        self.graph.packets_per_flow(&self.live)
    }

    /// Returns the number of payload bytes of each packet that the program can read.
    pub fn payload_bytes(&self) -> u32 {
        self.payload.as_ref().map_or(0, |(bytes, _)| *bytes)
    }

    /// Returns the place in the text that needs the most payload bytes, in bytes of the text.
    pub fn payload_span(&self) -> Option<Span> {
        self.payload.as_ref().map(|(_, span)| span.clone())
    }

    /// Returns the place that needs the most payload bytes: the line of the text, and a mark below it. `None` if the
    /// program reads no payload. `origin` is the name of the text.
    pub fn payload_place(&self, origin: &str) -> Option<String> {
        let (_, span) = self.payload.clone()?;
        let place = Diagnostic::new(span, "", "here");
        let report = ExprError::new(origin, &self.text, vec![place]).to_string();
        // The first line is the message.
        report.split_once('\n').map(|(_, place)| place.to_owned())
    }

    /// Returns the text that was parsed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the grants that the program needs, such as `payload:4`.
    pub fn grants(&self) -> Vec<String> {
        let fields = self.packet_fields();
        let packets = fields.iter().map(|field| field.sensitivity);
        let fields = self.flow_fields();
        let all = packets.chain(fields.iter().map(|field| field.sensitivity));
        let mut grants: Vec<String> = all
            .filter(|sensitivity| *sensitivity != Sensitivity::None)
            .map(|sensitivity| sensitivity.grant().to_owned())
            .collect();
        grants.sort();
        grants.dedup();
        match self.payload_bytes() {
            0 => (),
            bytes => grants.push(format!("payload:{bytes}")),
        }
        grants
    }

    /// Returns the text of the program in its canonical form, which parses to the same program.
    pub fn source(&self) -> String {
        self.file.to_string()
    }
}
