//! Checks a plugin's manifest against the existing fields and the operator's grants.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use flowloom_core::fields::{Feature, PACKET_FIELDS, PacketField, Sensitivity};
use flowloom_core::schema::{Schema, UdpColumn};
use flowloom_core::value::Type;

use crate::contract::manifest as wit;
use crate::error::{LoadErrorKind, RequestedData};
use crate::grants::Grants;
use crate::load::option::{self, OptionDescription};
use crate::load::texts::{MAX_DESCRIPTION, check_len, is_name};

/// The maximum number of outputs of a plugin.
pub(crate) const MAX_OUTPUTS: usize = 128;

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
    /// The first invalid declaration. A flow field that no plugin can request counts as such. If all are valid, but some data was not granted, the error lists all of that
    /// data. If all was granted, it is the first flow field that this run does not have.
    pub(crate) fn accept(
        declared: wit::Manifest,
        rules: &ManifestRules<'_>,
    ) -> Result<Self, LoadErrorKind> {
        if declared.cuts_flows && !rules.has_feature {
            return Err(LoadErrorKind::CannotCut);
        }
        check_len("version", &declared.version, MAX_VERSION)?;
        check_len("description", &declared.description, MAX_DESCRIPTION)?;
        let packets_per_flow = match declared.packets_per_flow {
            None => u64::MAX,
            Some(0) => return Err(LoadErrorKind::NoPackets),
            Some(n) => n.into(),
        };
        check_byte_count("payload", declared.payload_bytes)?;
        check_byte_count("packet", declared.packet_bytes)?;
        let manifest = Self {
            outputs: outputs(rules.name, &declared.outputs)?,
            options: option::descriptions(declared.options)?,
            packet: fields("packet", &declared.packet, PacketField::by_name)?,
            payload_bytes: declared.payload_bytes,
            packet_bytes: declared.packet_bytes,
            at_init: fields("flow", &declared.at_init, Feature::by_name)?,
            at_update: fields("flow", &declared.at_update, Feature::by_name)?,
            at_expire: fields("flow", &declared.at_expire, Feature::by_name)?,
            packets_per_flow,
            flow_bytes: declared.flow_bytes,
            version: declared.version,
            description: declared.description,
            cuts_flows: declared.cuts_flows,
            packed: declared.packed,
            needs_one_meter: declared.needs_one_meter,
            hides_addresses: rules.grants.allow(Sensitivity::Pseudonyms),
        };
        manifest.check_availability()?;
        rules.check_grants(&manifest)?;
        rules.check_presence(&manifest)?;
        Ok(Self {
            payload_bytes: manifest.payload_bytes.min(rules.grants.payload()),
            packet_bytes: manifest.packet_bytes.min(rules.grants.bytes()),
            ..manifest
        })
    }

    /// Checks that plugins can request the flow fields, whatever the run and the grants.
    fn check_availability(&self) -> Result<(), LoadErrorKind> {
        match self.flow_fields().find(|field| field.group.follows_end()) {
            None => Ok(()),
            Some(field) => Err(LoadErrorKind::FieldFollowsEnd { field: field.name }),
        }
    }

    fn flow_fields(&self) -> impl Iterator<Item = &'static Feature> {
        let fields = self.at_init.iter().chain(&self.at_update);
        fields.chain(&self.at_expire).copied()
    }
}

impl ManifestRules<'_> {
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
    fn check_grants(&self, manifest: &Manifest) -> Result<(), LoadErrorKind> {
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
        })
    }

    /// Checks that this run has all flow fields that the plugin requests.
    fn check_presence(&self, manifest: &Manifest) -> Result<(), LoadErrorKind> {
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

/// Finds the fields of these names. `of` is the kind of the fields.
fn fields<F>(
    of: &'static str,
    names: &[String],
    find: impl Fn(&str) -> Option<F>,
) -> Result<Vec<F>, LoadErrorKind> {
    let mut seen = HashSet::new();
    let one = |name: &String| {
        let escaped = || {
            let start = name.chars().take(64);
            start.flat_map(char::escape_debug).collect::<String>()
        };
        let Some(field) = find(name) else {
            let field = escaped();
            return Err(LoadErrorKind::UnknownField { of, field });
        };
        if !seen.insert(name.clone()) {
            let field = escaped();
            return Err(LoadErrorKind::FieldTwice { of, field });
        }
        Ok(field)
    };
    names.iter().map(one).collect()
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

fn outputs<'n>(plugin: &str, declared: &'n [wit::Output]) -> Result<Vec<UdpColumn>, LoadErrorKind> {
    if declared.len() > MAX_OUTPUTS {
        return Err(LoadErrorKind::TooManyOutputs {
            count: declared.len(),
            max: MAX_OUTPUTS,
        });
    }
    let mut seen = HashSet::new();
    let one = |output: &'n wit::Output| {
        let name = &output.name;
        if !is_name(name) {
            return Err(LoadErrorKind::BadOutputName {
                name: name.chars().take(64).collect(),
            });
        }
        if !seen.insert(name) {
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
    declared.iter().map(one).collect()
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
