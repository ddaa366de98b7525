//! Checks a plugin's manifest against the existing fields and the operator's grants.

use std::collections::HashSet;

use flowloom_core::fields::{Feature, PacketField, Sensitivity};
use flowloom_core::schema::{Schema, UdpColumn};
use flowloom_core::value::Type;

use crate::contract::manifest as wit;
use crate::error::{LoadErrorKind, RequestedData};
use crate::grants::Grants;

/// The maximum number of outputs of a plugin.
pub(crate) const MAX_OUTPUTS: usize = 128;

/// The maximum number of bytes of the version.
const MAX_VERSION: usize = 256;
/// The maximum number of bytes of each description.
const MAX_DESCRIPTION: usize = 4 << 10;

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
            packet: fields("packet", &declared.packet, PacketField::by_name)?,
            payload_bytes: declared.payload_bytes,
            packet_bytes: declared.packet_bytes,
            at_init: fields("flow", &declared.at_init, Feature::by_name)?,
            at_update: fields("flow", &declared.at_update, Feature::by_name)?,
            at_expire: fields("flow", &declared.at_expire, Feature::by_name)?,
            packets_per_flow,
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
        if !is_output_name(name) {
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

fn check_len(of: &'static str, text: &str, max: usize) -> Result<(), LoadErrorKind> {
    match text.len() {
        len if len > max => Err(LoadErrorKind::TextTooLong { of, len, max }),
        _ => Ok(()),
    }
}

/// Returns whether a name matches `[a-z][a-z0-9_]{0,31}`.
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

    /// A manifest with one output, which requests nothing.
    fn declared() -> wit::Manifest {
        wit::Manifest {
            version: String::new(),
            description: String::new(),
            outputs: vec![wit::Output {
                name: "x".into(),
                kind: wit::ValueType::Integer,
                description: String::new(),
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
        }
    }

    fn check(declared: wit::Manifest, grants: &str) -> Result<Manifest, String> {
        let schema = Settings::default().schema();
        let rules = ManifestRules {
            name: "p",
            grants: match grants {
                "" => Grants::default(),
                grants => grants.parse().unwrap(),
            },
            schema: &schema,
            has_feature: true,
        };
        Manifest::accept(declared, &rules).map_err(|problem| problem.to_string())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn accept(version: usize, description: usize, of_output: usize) -> Result<Manifest, String> {
        let mut declared = declared();
        declared.version = "v".repeat(version);
        declared.description = "d".repeat(description);
        declared.outputs[0].description = "o".repeat(of_output);
        check(declared, "")
    }

    #[test]
    fn one_missing_grant_is_reported_with_what_requests_it() {
        let error = |declared, grants| check(declared, grants).unwrap_err();
        let packet = || wit::Manifest {
            packet: names(&["ip_size", "src_ip"]),
            ..declared()
        };
        let src_ip = "requests packet field src_ip, which was not granted; it needs addresses";
        assert_eq!(error(packet(), ""), src_ip);
        assert_eq!(error(packet(), "payload:64,names"), src_ip);
        assert!(check(packet(), "addresses").is_ok());
        let payload = || wit::Manifest {
            payload_bytes: 64,
            ..declared()
        };
        assert_eq!(
            error(payload(), "addresses"),
            "requests payload bytes (64), which were not granted; it needs payload:64"
        );
        // A smaller number may be granted.
        assert_eq!(check(payload(), "payload:9").unwrap().payload_bytes, 9);
    }

    #[test]
    fn fields_that_follow_the_end_of_a_flow_cannot_be_requested() {
        let schema = Schema::new(|_| true, Vec::new());
        let rules = ManifestRules {
            name: "p",
            grants: "addresses".parse().unwrap(),
            schema: &schema,
            has_feature: true,
        };
        for field in [
            "community_id",
            "flow_uid",
            "source_file",
            "system_process_pid",
            "system_process_name",
        ] {
            let declared = wit::Manifest {
                at_expire: names(&["id", field]),
                ..declared()
            };
            let expected = format!(
                "requests flow field {field}, which plugins cannot request; Flowloom computes it after the flow has ended"
            );
            // The run has the columns, or it does not.
            let problem = Manifest::accept(declared.clone(), &rules).unwrap_err();
            assert_eq!(problem.to_string(), expected);
            assert_eq!(check(declared, "").unwrap_err(), expected);
        }
    }

    #[test]
    fn all_missing_grants_are_reported_at_once() {
        let declared = wit::Manifest {
            packet: names(&["src_ip", "dst_ip"]),
            payload_bytes: 1_500,
            at_init: names(&["src_ip"]),
            at_update: names(&["src_ip"]),
            ..declared()
        };
        assert_eq!(
            check(declared.clone(), "").unwrap_err(),
            "requests packet fields src_ip, dst_ip, flow field src_ip and payload bytes (1500), which \
             were not granted; it needs addresses,payload:1500"
        );
        // What was granted is not listed.
        assert_eq!(
            check(declared.clone(), "payload:1").unwrap_err(),
            "requests packet fields src_ip, dst_ip and flow field src_ip, which were not granted; it \
             needs addresses"
        );
        assert!(check(declared, "addresses,payload:1500").is_ok());
    }

    #[test]
    fn packet_bytes_include_addresses() {
        let declared = wit::Manifest {
            packet: names(&["src_ip"]),
            packet_bytes: 1_500,
            ..declared()
        };
        assert_eq!(
            check(declared.clone(), "").unwrap_err(),
            "requests packet field src_ip and packet bytes (1500), which were not granted; it needs \
             bytes:1500"
        );
        assert!(check(declared, "bytes:1500").is_ok());
    }

    #[test]
    fn pseudonyms_are_not_granted_together_with_addresses() {
        let with_bytes = wit::Manifest {
            packet: names(&["src_pseudonym"]),
            packet_bytes: 20,
            ..declared()
        };
        let error = "but pseudonyms cannot be granted together with addresses or packet bytes, which \
                     reveal the addresses behind them";
        for (grants, requests) in [
            ("", "packet field src_pseudonym and packet bytes (20)"),
            ("pseudonyms", "packet bytes (20)"),
            ("bytes:20", "packet field src_pseudonym"),
        ] {
            let expected = format!("requests {requests}, {error}");
            assert_eq!(check(with_bytes.clone(), grants).unwrap_err(), expected);
        }
        let alone = wit::Manifest {
            packet: names(&["src_pseudonym"]),
            ..declared()
        };
        assert_eq!(
            check(alone, "").unwrap_err(),
            "requests packet field src_pseudonym, which was not granted; it needs pseudonyms"
        );
    }

    #[test]
    fn the_texts_of_a_manifest_are_bounded() {
        assert!(accept(MAX_VERSION, MAX_DESCRIPTION, MAX_DESCRIPTION).is_ok());
        for (lens, what) in [
            ([MAX_VERSION + 1, 0, 0], "version"),
            ([0, MAX_DESCRIPTION + 1, 0], "description"),
            ([0, 0, MAX_DESCRIPTION + 1], "description"),
        ] {
            let error = accept(lens[0], lens[1], lens[2]).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn what_is_declared_is_accepted_unchanged() {
        let kinds = [
            (wit::ValueType::Boolean, Type::Boolean),
            (wit::ValueType::Integer, Type::I64),
            (wit::ValueType::Float, Type::Float),
            (wit::ValueType::Text, Type::Text),
            (wit::ValueType::Bytes, Type::Bytes),
            (wit::ValueType::Integers, Type::Integers),
            (wit::ValueType::Floats, Type::Floats),
            (wit::ValueType::Json, Type::Json),
        ];
        let outputs = kinds.iter().enumerate().map(|(n, (kind, _))| wit::Output {
            name: format!("x{n}"),
            kind: *kind,
            description: format!("d{n}"),
        });
        let all = wit::Manifest {
            version: "1.2".into(),
            description: "counts".into(),
            outputs: outputs.collect(),
            packet: names(&["ip_size", "src_ip"]),
            payload_bytes: 9,
            packet_bytes: 65_575,
            at_init: names(&["id"]),
            at_update: names(&["src_port", "protocol"]),
            at_expire: names(&["bidirectional_packets"]),
            packets_per_flow: Some(7),
            cuts_flows: true,
            packed: true,
            needs_one_meter: true,
        };
        let accepted = check(all, "payload:64,bytes:100").unwrap();
        assert_eq!(
            (&*accepted.version, &*accepted.description),
            ("1.2", "counts")
        );
        for (n, (column, (_, ty))) in accepted.outputs.iter().zip(kinds).enumerate() {
            assert_eq!((column.plugin(), column.ty()), ("p", ty));
            let (name, description) = (format!("x{n}"), format!("d{n}"));
            assert_eq!(
                (column.name(), column.description()),
                (&*name, &*description)
            );
        }
        let of = |fields: &[&Feature]| fields.iter().map(|field| field.name).collect::<Vec<_>>();
        let packet: Vec<_> = accepted.packet.iter().map(|field| field.name).collect();
        assert_eq!(packet, ["ip_size", "src_ip"]);
        assert_eq!(of(&accepted.at_init), ["id"]);
        assert_eq!(of(&accepted.at_update), ["src_port", "protocol"]);
        assert_eq!(of(&accepted.at_expire), ["bidirectional_packets"]);
        // The smaller of the requested and the granted number.
        assert_eq!((accepted.payload_bytes, accepted.packet_bytes), (9, 100));
        assert_eq!(accepted.packets_per_flow, 7);
        assert!(accepted.cuts_flows && accepted.packed && accepted.needs_one_meter);
        assert!(!accepted.hides_addresses);
        let few = check(declared(), "pseudonyms").unwrap();
        assert_eq!(few.packets_per_flow, u64::MAX);
        assert!(!few.cuts_flows && !few.packed && !few.needs_one_meter);
        assert!(few.hides_addresses);
    }

    #[test]
    fn names_of_outputs_are_short_and_plain() {
        let output = |name: &str| wit::Output {
            name: name.into(),
            kind: wit::ValueType::Integer,
            description: String::new(),
        };
        let with = |outputs: Vec<wit::Output>| {
            let declared = wit::Manifest {
                outputs,
                ..declared()
            };
            check(declared, "").map(|_| ()).err().unwrap_or_default()
        };
        for name in ["a", "a_1", &"x".repeat(32)] {
            assert_eq!(with(vec![output(name)]), "", "{name}");
        }
        for name in ["", "1a", "_a", "A", "aB", "a.b", "ä", &"x".repeat(33)] {
            let error = with(vec![output(name)]);
            assert!(
                error.contains("which is not a valid name"),
                "{name}: {error}"
            );
        }
        assert_eq!(
            with(vec![output("a"), output("a")]),
            "declares output 'a' twice"
        );
        let many = |count| (0..count).map(|n| output(&format!("x{n}"))).collect();
        assert_eq!(with(many(128)), "");
        assert_eq!(
            with(many(129)),
            "declares 129 outputs; at most 128 are accepted"
        );
    }

    #[test]
    fn a_plugin_that_does_not_read_pseudonyms_can_do_without_their_grant() {
        for declared in [
            wit::Manifest {
                at_init: names(&["src_ip"]),
                ..declared()
            },
            wit::Manifest {
                packet: names(&["src_ip"]),
                ..declared()
            },
        ] {
            let error = check(declared, "pseudonyms").unwrap_err();
            assert!(
                error.ends_with("not granted; it needs addresses"),
                "{error}"
            );
        }
    }
}
