//! The options, and the manifest that depends on them.

use crate::bindings::flowloom::plugin::manifest::{Manifest, Output, ValueType};

/// The options.
pub(crate) struct Options {
    pub(crate) mode: String,
    pub(crate) at: String,
    pub(crate) after: u64,
    /// The number that is added to the count.
    pub(crate) plus: i64,
    /// The option has the form `name:type`. A `+` separates several, as in all lists.
    pub(crate) outputs: Vec<(String, ValueType)>,
    pub(crate) packet: Vec<String>,
    payload: u32,
    pub(crate) bytes: u32,
    at_init: Vec<String>,
    at_update: Vec<String>,
    at_expire: Vec<String>,
    packets_per_flow: Option<u32>,
    flow_bytes: u32,
    cuts: bool,
    version: String,
}

impl Options {
    /// Returns whether the manifest requests this packet field.
    pub(crate) fn asks_for(&self, field: &str) -> bool {
        self.packet.iter().any(|name| name == field)
    }

    pub(crate) fn parse(given: &[(String, String)]) -> Result<Self, String> {
        let find = |key: &str| {
            let found = given.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.as_str())
        };
        let text = |key: &str| find(key).unwrap_or_default().to_owned();
        let number = |key: &str| match find(key) {
            None => Ok(None),
            Some(value) => match value.parse::<u32>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("option `{key}` must be a number")),
            },
        };
        let list = |key: &str| {
            let words = find(key).into_iter().flat_map(|words| words.split('+'));
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let mode = text("mode");
        let outputs = match find("outputs") {
            Some(_) => list("outputs"),
            None => declared(&mode).split('+').map(str::to_owned).collect(),
        };
        Ok(Self {
            at: text("at"),
            after: number("after")?.unwrap_or(0).into(),
            plus: number("plus")?.unwrap_or(0).into(),
            outputs: outputs
                .iter()
                .map(|output| match output.split_once(':') {
                    Some((name, kind)) => Ok((name.to_owned(), value_type(kind)?)),
                    None => Err(format!("output `{output}` has no type")),
                })
                .collect::<Result<_, String>>()?,
            packet: list("packet"),
            payload: number("payload")?.unwrap_or(0),
            bytes: number("bytes")?.unwrap_or(0),
            at_init: list("at_init"),
            at_update: list("at_update"),
            at_expire: list("at_expire"),
            packets_per_flow: number("packets_per_flow")?,
            flow_bytes: number("flow_bytes")?.unwrap_or(0),
            cuts: find("cuts").is_some(),
            version: find("version").unwrap_or("6.6.6").to_owned(),
            mode,
        })
    }

    pub(crate) fn manifest(&self) -> Manifest {
        Manifest {
            version: self.version.clone(),
            description: "Misbehaves as its options say.".to_owned(),
            outputs: self
                .outputs
                .iter()
                .map(|(name, kind)| Output {
                    name: name.clone(),
                    kind: *kind,
                    description: "A value.".to_owned(),
                })
                .collect(),
            options: Vec::new(),
            packet: self.packet.clone(),
            payload_bytes: self.payload,
            packet_bytes: self.bytes,
            at_init: self.at_init.clone(),
            at_update: self.at_update.clone(),
            at_expire: self.at_expire.clone(),
            packets_per_flow: self.packets_per_flow,
            flow_bytes: self.flow_bytes,
            cuts_flows: self.cuts,
            packed: false,
            needs_one_meter: false,
        }
    }
}

/// Returns the outputs that a mode declares.
fn declared(mode: &str) -> &'static str {
    match mode {
        "wrong_type" => "count:integer+honest:integer",
        "too_few" | "too_many" => "count:integer+more:integer",
        "no_number" => "nan:float+more:float+less:float",
        "not_utf8" => "text:text+honest:integer",
        "not_json" => "json:json+honest:integer",
        "huge_text" => "text:text",
        "shown" => "src_ip:text+payload:bytes+bytes:bytes",
        "every_type" => {
            "boolean:boolean+integer:integer+float:float+text:text+bytes:bytes+integers:integers\
             +floats:floats+texts:texts+json:json+empty:text+nothing:text"
        }
        _ => "count:integer",
    }
}

fn value_type(name: &str) -> Result<ValueType, String> {
    Ok(match name {
        "boolean" => ValueType::Boolean,
        "integer" => ValueType::Integer,
        "float" => ValueType::Float,
        "text" => ValueType::Text,
        "bytes" => ValueType::Bytes,
        "integers" => ValueType::Integers,
        "floats" => ValueType::Floats,
        "texts" => ValueType::Texts,
        "json" => ValueType::Json,
        _ => return Err(format!("`{name}` is not a type")),
    })
}
