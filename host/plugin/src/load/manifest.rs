//! A plugin's manifest, checked against the field tables and the operator's grants.

use std::collections::HashSet;

use flowloom_core::fields::{Feature, PacketField, Sensitivity};
use flowloom_core::schema::{Schema, UdpColumn};
use flowloom_core::value::Type;

use crate::config::grants::Grants;
use crate::contract::manifest as wit;
use crate::error::LoadErrorKind;

/// Outputs that a plugin may declare.
pub(crate) const MOST_OUTPUTS: usize = 64;

/// Bytes of its version, and of each description.
const MOST_VERSION: usize = 256;
const MOST_DESCRIPTION: usize = 4 << 10;

/// What a plugin adds and what it is shown. One that exists is known to be granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The plugin's own version.
    pub version: String,
    /// What it says it computes.
    pub description: String,
    /// The columns it adds.
    pub outputs: Vec<UdpColumn>,
    /// What it is shown of each packet.
    pub packet: Vec<&'static PacketField>,
    /// Bytes it is shown of each packet's transport payload: the smaller of what it asked for and
    /// what it was granted.
    pub payload_bytes: u32,
    /// Bytes it is shown of each packet from its IP header on, as `payload_bytes`.
    pub packet_bytes: u32,
    /// What it is shown of the flow at init.
    pub at_init: Vec<&'static Feature>,
    /// What it is shown of the flow at update.
    pub at_update: Vec<&'static Feature>,
    /// What it is shown of the flow at expire.
    pub at_expire: Vec<&'static Feature>,
    /// After so many packets of a flow there are no updates; `u64::MAX` where there is no limit.
    pub packets_per_flow: u64,
    /// Whether it may end flows early.
    pub cuts_flows: bool,
    /// Whether it wants columns as bytes.
    pub packed: bool,
    /// Whether the run must have one meter.
    pub needs_one_meter: bool,
    /// Whether payload that may hold addresses in a header is kept from it: it was granted pseudonyms in
    /// their place.
    pub hides_addresses: bool,
}

/// What checking needs to know besides the manifest.
pub(crate) struct Terms<'a> {
    /// The operator's name for the plugin.
    pub(crate) name: &'a str,
    pub(crate) grants: Grants,
    /// The flow fields that flows of this run have.
    pub(crate) schema: &'a Schema,
    /// Whether events can be delivered one at a time.
    pub(crate) has_feature: bool,
}

impl Manifest {
    /// Checks what a plugin declared.
    pub(crate) fn accept(
        declared: wit::Manifest,
        terms: &Terms<'_>,
    ) -> Result<Self, LoadErrorKind> {
        if declared.cuts_flows && !terms.has_feature {
            return Err(LoadErrorKind::CannotCut);
        }
        check_len("version", &declared.version, MOST_VERSION)?;
        check_len("description", &declared.description, MOST_DESCRIPTION)?;
        let packets_per_flow = match declared.packets_per_flow {
            None => u64::MAX,
            Some(0) => return Err(LoadErrorKind::NoPackets),
            Some(n) => n.into(),
        };
        Ok(Self {
            outputs: outputs(terms.name, &declared.outputs)?,
            packet: terms.packet_fields(&declared.packet)?,
            payload_bytes: terms.bytes(
                "payload",
                "payload",
                declared.payload_bytes,
                terms.grants.payload(),
            )?,
            packet_bytes: terms.bytes(
                "packet",
                "bytes",
                declared.packet_bytes,
                terms.grants.bytes(),
            )?,
            at_init: terms.flow_fields(&declared.at_init)?,
            at_update: terms.flow_fields(&declared.at_update)?,
            at_expire: terms.flow_fields(&declared.at_expire)?,
            packets_per_flow,
            version: declared.version,
            description: declared.description,
            cuts_flows: declared.cuts_flows,
            packed: declared.packed,
            needs_one_meter: declared.needs_one_meter,
            hides_addresses: terms.grants.allow(Sensitivity::Pseudonyms),
        })
    }
}

impl Terms<'_> {
    fn packet_fields(&self, names: &[String]) -> Result<Vec<&'static PacketField>, LoadErrorKind> {
        self.fields("packet", names, PacketField::by_name, |field| {
            field.sensitivity
        })
    }

    fn flow_fields(&self, names: &[String]) -> Result<Vec<&'static Feature>, LoadErrorKind> {
        let fields = self.fields("flow", names, Feature::by_name, |field| field.sensitivity)?;
        match fields
            .iter()
            .find(|field| !self.schema.features().contains(field))
        {
            None => Ok(fields),
            Some(field) => Err(LoadErrorKind::NotThere {
                field: field.name,
                when: field.group.when(),
            }),
        }
    }

    fn fields<'n, F: Copy>(
        &self,
        of: &'static str,
        names: &'n [String],
        find: impl Fn(&str) -> Option<F>,
        sensitivity: impl Fn(F) -> Sensitivity,
    ) -> Result<Vec<F>, LoadErrorKind> {
        let mut seen = HashSet::new();
        let one = |name: &'n String| {
            let shown = || {
                name.chars()
                    .take(64)
                    .flat_map(char::escape_debug)
                    .collect::<String>()
            };
            let field =
                find(name).ok_or_else(|| LoadErrorKind::UnknownField { of, field: shown() })?;
            if !seen.insert(name) {
                return Err(LoadErrorKind::FieldTwice { of, field: shown() });
            }
            let sensitivity = sensitivity(field);
            if !self.grants.allow(sensitivity) {
                let (name, grant) = (self.name.to_owned(), sensitivity.grant().to_owned());
                return Err(LoadErrorKind::NotGranted {
                    name,
                    of,
                    field: shown(),
                    grant,
                });
            }
            Ok(field)
        };
        names.iter().map(one).collect()
    }

    fn bytes(
        &self,
        of: &'static str,
        grant: &'static str,
        asked: u32,
        granted: u32,
    ) -> Result<u32, LoadErrorKind> {
        match asked {
            0 => Ok(0),
            _ if asked > Grants::MOST_BYTES => Err(LoadErrorKind::TooManyBytes {
                of,
                asked,
                most: Grants::MOST_BYTES,
            }),
            _ if granted == 0 => Err(LoadErrorKind::BytesNotGranted {
                name: self.name.to_owned(),
                of,
                grant,
                asked,
            }),
            _ => Ok(asked.min(granted)),
        }
    }
}

fn outputs<'n>(plugin: &str, declared: &'n [wit::Output]) -> Result<Vec<UdpColumn>, LoadErrorKind> {
    if declared.len() > MOST_OUTPUTS {
        return Err(LoadErrorKind::TooManyOutputs {
            count: declared.len(),
            most: MOST_OUTPUTS,
        });
    }
    let mut seen = HashSet::new();
    let one = |output: &'n wit::Output| {
        let name = &output.name;
        if !is_output_name(name) {
            return Err(LoadErrorKind::BadOutputName {
                name: name.chars().take(64).collect(),
            });
        }
        if !seen.insert(name) {
            return Err(LoadErrorKind::OutputTwice { name: name.clone() });
        }
        check_len("description", &output.description, MOST_DESCRIPTION)?;
        Ok(UdpColumn::new(
            plugin,
            name,
            value_type(output.kind),
            output.description.clone(),
        ))
    };
    declared.iter().map(one).collect()
}

fn check_len(of: &'static str, text: &str, most: usize) -> Result<(), LoadErrorKind> {
    match text.len() {
        len if len > most => Err(LoadErrorKind::TextTooLong { of, len, most }),
        _ => Ok(()),
    }
}

/// `[a-z][a-z0-9_]{0,31}`
fn is_output_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
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
        wit::ValueType::Json => Type::Json,
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::meter::Settings;

    use super::*;

    fn accept(version: usize, description: usize, of_output: usize) -> Result<Manifest, String> {
        let schema = Settings::default().schema();
        let terms = Terms {
            name: "p",
            grants: Grants::default(),
            schema: &schema,
            has_feature: true,
        };
        let declared = wit::Manifest {
            version: "v".repeat(version),
            description: "d".repeat(description),
            outputs: vec![wit::Output {
                name: "x".into(),
                kind: wit::ValueType::Integer,
                description: "o".repeat(of_output),
            }],
            packet: Vec::new(),
            payload_bytes: 0,
            packet_bytes: 0,
            at_init: Vec::new(),
            at_update: Vec::new(),
            at_expire: Vec::new(),
            packets_per_flow: None,
            cuts_flows: false,
            packed: false,
            needs_one_meter: false,
        };
        Manifest::accept(declared, &terms).map_err(|problem| problem.to_string())
    }

    #[test]
    fn texts_of_a_manifest_are_bounded() {
        assert!(accept(MOST_VERSION, MOST_DESCRIPTION, MOST_DESCRIPTION).is_ok());
        for (lens, what) in [
            ([MOST_VERSION + 1, 0, 0], "version"),
            ([0, MOST_DESCRIPTION + 1, 0], "description"),
            ([0, 0, MOST_DESCRIPTION + 1], "description"),
        ] {
            let error = accept(lens[0], lens[1], lens[2]).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }
}
