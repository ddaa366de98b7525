//! Checks a plugin's manifest against the existing fields and the operator's grants.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use flowloom_core::fields::{FEATURES, Feature, PACKET_FIELDS, PacketField, Sensitivity};
use flowloom_core::schema::{Schema, UdpColumn};
use flowloom_core::value::Type;

use crate::config::spec::PluginSpec;
use crate::contract::manifest as wit;
use crate::error::{LoadErrorKind, RequestedData};
use crate::grants::Grants;
use crate::load::linker::LinkedPlugin;
use crate::load::option::{self, OptionDescription};
use crate::load::texts::{MAX_DESCRIPTION, check_len, is_name};

/// The maximum number of outputs of a plugin.
pub(crate) const MAX_OUTPUTS: usize = 128;

/// The maximum number of problems that are reported at once.
pub(crate) const MAX_PROBLEMS: usize = 16;

/// The maximum number of bytes of the version.
const MAX_VERSION: usize = 256;

/// What a plugin adds and what it receives. All of it exists in this run and was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The plugin's own version.
    pub version: String,
    /// The plugin's own description.
    pub description: String,
    /// The columns that it adds.
    pub outputs: Vec<UdpColumn>,
    /// The options that it accepts.
    pub options: Vec<OptionDescription>,
    /// Fields of each packet that it receives.
    pub packet: Vec<&'static PacketField>,
    /// Bytes of each packet's transport payload that it receives: the smaller of the requested and the granted
    /// number.
    pub payload_bytes: u32,
    /// Bytes of each packet, from its IP header on, that it receives: the smaller of the requested and the
    /// granted number.
    pub packet_bytes: u32,
    /// Flow fields that it receives at `init`.
    pub at_init: Vec<&'static Feature>,
    /// Flow fields that it receives at `update`.
    pub at_update: Vec<&'static Feature>,
    /// Flow fields that it receives at `expire`.
    pub at_expire: Vec<&'static Feature>,
    /// The number of packets of a flow that it receives; `u64::MAX` for no limit.
    pub packets_per_flow: u64,
    /// Bytes of its memory for each live flow; 0 if it does not know.
    pub flow_bytes: u32,
    /// Whether it may end flows early.
    pub cuts_flows: bool,
    /// Whether it receives columns of numbers as bytes.
    pub packed: bool,
    /// Whether the run must have one meter.
    pub needs_one_meter: bool,
    /// Whether it receives no payload that may contain headers with addresses, because it was granted
    /// pseudonyms in place of addresses.
    pub hides_addresses: bool,
}

/// What a manifest is checked against.
pub(crate) struct ManifestRules<'a> {
    /// The operator's name for the plugin.
    pub(crate) name: &'a str,
    pub(crate) grants: Grants,
    /// The flow fields of this run.
    pub(crate) schema: &'a Schema,
    /// Whether the plugin exports `feature`, so that events can be delivered one at a time.
    pub(crate) has_feature: bool,
}

/// What a plugin may request: fields that exist in the run and that the operator granted.
pub(crate) struct Available {
    packet: Vec<&'static str>,
    flow: Vec<&'static str>,
    payload_bytes: u32,
    packet_bytes: u32,
}

impl Available {
    /// Returns it as a type of the contract.
    pub(crate) fn as_param(&self) -> wit::Available<'_> {
        wit::Available {
            packet: &self.packet,
            flow: &self.flow,
            payload_bytes: self.payload_bytes,
            packet_bytes: self.packet_bytes,
        }
    }
}

impl Manifest {
    /// Checks what a plugin declared.
    ///
    /// # Errors
    ///
    /// All invalid declarations. A flow field that no plugin can request counts as such. If all are valid, but some
    /// data was not granted, the error lists all of that data. If all was granted, it is the first flow field that
    /// this run does not have.
    pub(crate) fn accept(
        declared: wit::Manifest,
        rules: &ManifestRules<'_>,
    ) -> Result<Self, LoadErrorKind> {
        let (manifest, mut problems) = Self::examine(declared, rules);
        match problems.len() {
            0 => {}
            1 => return Err(problems.remove(0)),
            _ => return Err(LoadErrorKind::Several(problems)),
        }
        rules.check_grants(&manifest)?;
        rules.check_presence(&manifest)?;
        Ok(Self {
            payload_bytes: manifest.payload_bytes.min(rules.grants.payload()),
            packet_bytes: manifest.packet_bytes.min(rules.grants.bytes()),
            ..manifest
        })
    }

    /// Returns the valid declarations of a plugin, and the problems of the others: at most [`MAX_PROBLEMS`]. Grants
    /// do not matter.
    pub(crate) fn examine(
        declared: wit::Manifest,
        rules: &ManifestRules<'_>,
    ) -> (Self, Vec<LoadErrorKind>) {
        let mut problems = Vec::new();
        let mut add = |checked: Result<(), LoadErrorKind>| problems.extend(checked.err());
        if declared.cuts_flows && !rules.has_feature {
            add(Err(LoadErrorKind::CannotCut));
        }
        add(check_len("version", &declared.version, MAX_VERSION));
        add(check_len(
            "description",
            &declared.description,
            MAX_DESCRIPTION,
        ));
        if declared.packets_per_flow == Some(0) {
            add(Err(LoadErrorKind::NoPackets));
        }
        add(check_byte_count("payload", declared.payload_bytes));
        add(check_byte_count("packet", declared.packet_bytes));
        let mut at_event = |names: &[String]| {
            let mut fields = fields(FLOW, names, Feature::by_name, &mut problems);
            // Plugins cannot request these, whatever the run and the grants.
            let late = fields.iter().filter(|field| field.group.follows_end());
            problems.extend(late.map(|field| LoadErrorKind::FieldFollowsEnd { field: field.name }));
            fields.retain(|field| !field.group.follows_end());
            fields
        };
        let at_init = at_event(&declared.at_init);
        let at_update = at_event(&declared.at_update);
        let at_expire = at_event(&declared.at_expire);
        let manifest = Self {
            outputs: outputs(rules.name, &declared.outputs, &mut problems),
            options: option::descriptions(declared.options, &mut problems),
            packet: fields(
                PACKET,
                &declared.packet,
                PacketField::by_name,
                &mut problems,
            ),
            payload_bytes: declared.payload_bytes,
            packet_bytes: declared.packet_bytes,
            at_init,
            at_update,
            at_expire,
            packets_per_flow: declared.packets_per_flow.map_or(u64::MAX, u64::from),
            flow_bytes: declared.flow_bytes,
            version: cut(declared.version, MAX_VERSION),
            description: cut(declared.description, MAX_DESCRIPTION),
            cuts_flows: declared.cuts_flows,
            packed: declared.packed,
            needs_one_meter: declared.needs_one_meter,
            hides_addresses: rules.grants.allow(Sensitivity::Pseudonyms),
        };
        problems.truncate(MAX_PROBLEMS);
        (manifest, problems)
    }

    fn flow_fields(&self) -> impl Iterator<Item = &'static Feature> {
        let fields = self.at_init.iter().chain(&self.at_update);
        fields.chain(&self.at_expire).copied()
    }
}

impl<'a> ManifestRules<'a> {
    /// Returns the rules for a plugin in a run with these flow fields.
    pub(crate) fn new(spec: &'a PluginSpec, schema: &'a Schema, compiled: &LinkedPlugin) -> Self {
        Self {
            name: &spec.name,
            grants: spec.grants,
            schema,
            has_feature: compiled.exports.feature.is_some(),
        }
    }

    /// Returns what the plugin may request.
    pub(crate) fn available(&self) -> Available {
        let packet = PACKET_FIELDS.iter();
        let packet = packet.filter(|field| self.grants.allow(field.sensitivity));
        let flow = self.schema.features().iter();
        let flow =
            flow.filter(|field| !field.group.follows_end() && self.grants.allow(field.sensitivity));
        Available {
            packet: packet.map(|field| field.name).collect(),
            flow: flow.map(|field| field.name).collect(),
            payload_bytes: self.grants.payload(),
            packet_bytes: self.grants.bytes(),
        }
    }

    /// Checks that the operator granted all data that the plugin requests.
    ///
    /// Only numbers of bytes may be granted smaller than requested.
    pub(crate) fn check_grants(&self, manifest: &Manifest) -> Result<(), LoadErrorKind> {
        let mut denied = DeniedRequests::default();
        let mut pseudonyms = false;
        for field in &manifest.packet {
            pseudonyms |= field.sensitivity == Sensitivity::Pseudonyms;
            if !self.grants.allow(field.sensitivity) {
                let data = RequestedData::PacketField(field.name);
                denied.add(data, Grants::of(field.sensitivity));
            }
        }
        if manifest.payload_bytes > 0 && self.grants.payload() == 0 {
            let count = manifest.payload_bytes;
            denied.add(
                RequestedData::PayloadBytes(count),
                Grants::of_payload(count),
            );
        }
        if manifest.packet_bytes > 0 && self.grants.bytes() == 0 {
            let count = manifest.packet_bytes;
            denied.add(RequestedData::PacketBytes(count), Grants::of_bytes(count));
        }
        for field in manifest.flow_fields() {
            pseudonyms |= field.sensitivity == Sensitivity::Pseudonyms;
            if !self.grants.allow(field.sensitivity) {
                let data = RequestedData::FlowField(field.name);
                denied.add(data, Grants::of(field.sensitivity));
            }
        }
        let DeniedRequests { requested, missing } = denied;
        if requested.is_empty() {
            return Ok(());
        }
        // A plugin that does not read pseudonyms can give up that grant, and is told which others it needs.
        if pseudonyms && self.grants.and(missing).reveal_pseudonyms() {
            return Err(LoadErrorKind::ConflictingRequests { requested });
        }
        Err(LoadErrorKind::NotGranted {
            requested,
            missing: missing.minimal(),
            place: None,
        })
    }

    /// Checks that this run has all flow fields that the plugin requests.
    pub(crate) fn check_presence(&self, manifest: &Manifest) -> Result<(), LoadErrorKind> {
        let mut fields = manifest.flow_fields();
        match fields.find(|field| !self.schema.features().contains(field)) {
            None => Ok(()),
            Some(field) => Err(LoadErrorKind::FieldAbsent {
                field: field.name,
                when: field.group.when(),
            }),
        }
    }
}

/// Data that was requested and not granted.
#[derive(Default)]
struct DeniedRequests {
    /// Each once, even if it is requested at several events.
    requested: Vec<RequestedData>,
    /// The union of the grants that allow it.
    missing: Grants,
}

impl DeniedRequests {
    fn add(&mut self, data: RequestedData, grant: Grants) {
        if !self.requested.contains(&data) {
            self.requested.push(data);
        }
        self.missing = self.missing.and(grant);
    }
}

/// The kinds of fields.
const PACKET: &str = "packet";
const FLOW: &str = "flow";

/// Finds the fields of these names, and adds the problems of the others. `of` is the kind of the fields.
fn fields<F>(
    of: &'static str,
    names: &[String],
    find: impl Fn(&str) -> Option<F>,
    problems: &mut Vec<LoadErrorKind>,
) -> Vec<F> {
    let mut seen = HashSet::new();
    let one = |name: &String| {
        let escaped = || {
            let start = name.chars().take(64);
            start.flat_map(char::escape_debug).collect::<String>()
        };
        let Some(field) = find(name) else {
            // A plugin may declare any number of names.
            if problems.len() < MAX_PROBLEMS {
                problems.push(LoadErrorKind::UnknownField {
                    of,
                    field: escaped(),
                    advice: advice(of, name),
                });
            }
            return None;
        };
        if !seen.insert(name.clone()) {
            if problems.len() < MAX_PROBLEMS {
                let field = escaped();
                problems.push(LoadErrorKind::FieldTwice { of, field });
            }
            return None;
        }
        Some(field)
    };
    names.iter().filter_map(one).collect()
}

/// Returns what the author of a plugin can do about a field of this kind that does not exist.
fn advice(of: &str, name: &str) -> String {
    let packet = || PACKET_FIELDS.iter().map(|field| field.name);
    let flow = || {
        let features = FEATURES.iter().filter(|field| !field.group.follows_end());
        features.map(|field| field.name)
    };
    let (is_other, other, nearest) = match of {
        PACKET => (
            flow().any(|field| field == name),
            "it is a flow field, which can be requested at init, update and expire",
            nearest(name, packet()),
        ),
        _ => (
            packet().any(|field| field == name),
            "it is a packet field",
            nearest(name, flow()),
        ),
    };
    match nearest {
        _ if is_other => other.to_owned(),
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => "`flowloom fields` lists all fields".to_owned(),
    }
}

/// Returns the name that is most similar to a wrong name.
fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    // A plugin chose the name. The names of all fields are shorter.
    if name.len() > 64 {
        return None;
    }
    let similar = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let (similarity, nearest) = similar.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (similarity > 0.8).then_some(nearest)
}

/// Cuts a text at the end of a character, so that it has at most `max` bytes.
fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

/// Checks a requested number of bytes of each packet.
fn check_byte_count(of: &'static str, requested: u32) -> Result<(), LoadErrorKind> {
    match requested > Grants::MAX_BYTES {
        true => Err(LoadErrorKind::TooManyBytes {
            of,
            requested,
            max: Grants::MAX_BYTES,
        }),
        false => Ok(()),
    }
}

/// Returns the valid outputs, and adds the problems of the others.
fn outputs(
    plugin: &str,
    declared: &[wit::Output],
    problems: &mut Vec<LoadErrorKind>,
) -> Vec<UdpColumn> {
    if declared.len() > MAX_OUTPUTS {
        problems.push(LoadErrorKind::TooManyOutputs {
            count: declared.len(),
            max: MAX_OUTPUTS,
        });
    }
    let mut seen = HashSet::new();
    let mut one = |output: &wit::Output| {
        let name = &output.name;
        if !is_name(name) {
            return Err(LoadErrorKind::BadOutputName {
                name: name.chars().take(64).collect(),
            });
        }
        if !seen.insert(name.clone()) {
            return Err(LoadErrorKind::OutputTwice { name: name.clone() });
        }
        check_len("description", &output.description, MAX_DESCRIPTION)?;
        Ok(UdpColumn::new(
            plugin,
            name,
            value_type(output.kind),
            output.description.clone(),
        ))
    };
    let mut outputs = Vec::new();
    for output in declared.iter().take(MAX_OUTPUTS) {
        match one(output) {
            Ok(output) => outputs.push(output),
            Err(problem) => problems.push(problem),
        }
    }
    outputs
}

fn value_type(kind: wit::ValueType) -> Type {
    match kind {
        wit::ValueType::Boolean => Type::Boolean,
        wit::ValueType::Integer => Type::I64,
        wit::ValueType::Float => Type::Float,
        wit::ValueType::Text => Type::Text,
        wit::ValueType::Bytes => Type::Bytes,
        wit::ValueType::Integers => Type::Integers,
        wit::ValueType::Floats => Type::Floats,
        wit::ValueType::Texts => Type::Texts,
        wit::ValueType::Json => Type::Json,
    }
}
