//! Serialisation of flows with serde.

use std::fmt;

use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::{Flow, Udps};
use crate::schema::Origin;
use crate::value::Value;

/// Serialises the flow as an object of its features. If there are plugins, the object has a member `udps`.
impl Serialize for Flow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.features() {
            map.serialize_entry(name, &value)?;
        }
        if !self.udps().is_empty() {
            map.serialize_entry("udps", &self.udps())?;
        }
        map.end()
    }
}

/// Serialises the values of plugins as an object with one object of outputs for each plugin.
impl Serialize for Udps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for plugin in self.plugins() {
            let outputs: PluginOutputs<'_> = PluginOutputs(*self, plugin);
            map.serialize_entry(plugin, &outputs)?;
        }
        map.end()
    }
}

/// The outputs of one plugin, which is given by name.
struct PluginOutputs<'a>(Udps<'a>, &'a str);

impl Serialize for PluginOutputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of_plugin = self
            .0
            .iter()
            .filter_map(|(column, value)| match column.origin {
                Origin::Plugin { plugin, output } if plugin == self.1 => Some((output, value)),
                _ => None,
            });
        serializer.collect_map(of_plugin)
    }
}

/// Serialises a value. In JSON, NaN and infinities become null, bytes become hexadecimal text, and lists
/// become arrays. JSON values are written unchanged.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(value),
            Self::Integer(value) => serializer.serialize_i64(value),
            Self::Float(value) => serializer.serialize_f64(value),
            Self::Integers(values) => values.serialize(serializer),
            Self::Floats(values) => values.serialize(serializer),
            Self::Texts(texts) => serializer.collect_seq(texts.iter().map(|text| &**text)),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Ip(address) => serializer.collect_str(&address),
            Self::Time(_)
            | Self::Mac(_)
            | Self::Oui(_)
            | Self::CommunityId(_)
            | Self::FlowUid(_)
            | Self::Bytes(_) => serializer.collect_str(&ValueText(*self)),
            Self::Json(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(json) => json.serialize(serializer),
                Err(error) => Err(S::Error::custom(error)),
            },
        }
    }
}

/// Displays a value as text: bytes in hexadecimal, addresses in their usual form.
struct ValueText<'a>(Value<'a>);

impl fmt::Display for ValueText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bytes(bytes) => f.write_str(&hex::encode(bytes)),
            value => {
                value.write_text(f);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_serialised_as_documented() {
        for (value, expected) in [
            (Value::Null, "null"),
            (Value::Boolean(true), "true"),
            (Value::Integer(1 << 60), "1152921504606846976"),
            (Value::Float(0.1), "0.1"),
            (Value::Float(f64::NAN), "null"),
            (Value::Float(f64::INFINITY), "null"),
            (Value::Floats(&[1.0, f64::NAN]), "[1.0,null]"),
            (Value::Bytes(b"\x00\xff"), "\"00ff\""),
            (
                Value::Mac([0xaa, 0xbb, 0xcc, 0, 1, 2]),
                "\"aa:bb:cc:00:01:02\"",
            ),
            (
                Value::FlowUid([0xa0; 16]),
                "\"a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0\"",
            ),
            (Value::Text("a\"\u{1b}"), "\"a\\\"\\u001b\""),
            (Value::Json("{\"a\": [1, 2]}"), "{\"a\": [1, 2]}"),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), expected);
        }
    }
}
