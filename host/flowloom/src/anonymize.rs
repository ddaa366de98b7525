//! Anonymisation: replaces values by keyed hashes before flows are written.
//!
//! The hashes equal those of NFStream 6.6.0 with the same key. A hash has 128 hexadecimal digits.
//! It is the keyed BLAKE2b-512 (RFC 7693) of the text that Python's `str` returns for the value.
//! Equal values therefore have equal hashes in all rows and columns, and in all runs with the same
//! key.

use std::fmt::Write as _;

use blake2::Blake2bMac512;
use blake2::digest::Mac as _;
use flowloom_core::flow::{Flow, Replacement};
use flowloom_core::schema::Schema;
use flowloom_core::value::Value;
use flowloom_plugin::AnonymizationKey;
use serde_json::json;

use crate::columns::UnknownColumn;

/// Replaces the values of some columns by keyed hashes.
///
/// It affects neither the values that plugins see, nor [`Flow::id`] and [`Flow::expiration`].
pub struct Anonymizer {
    /// Indices of features in the schema.
    features: Vec<usize>,
    /// The paths of plugin outputs. Their indices may change with the plugins.
    udps: Vec<String>,
    keyed: Blake2bMac512,
}

impl Anonymizer {
    /// Creates an anonymiser of these columns (`src_ip`, `udps.dns.query`) for flows with this
    /// schema.
    ///
    /// # Errors
    ///
    /// Returns an error if flows with this schema do not have one of the columns.
    pub fn new<C: AsRef<str>>(
        columns: impl IntoIterator<Item = C>,
        key: &AnonymizationKey,
        schema: &Schema,
    ) -> Result<Self, UnknownColumn> {
        let (mut features, mut udps) = (Vec::new(), Vec::new());
        for column in columns {
            let column = column.as_ref();
            let at = schema
                .names()
                .position(|name| name == column)
                .ok_or_else(|| UnknownColumn::new(column, schema))?;
            match at.checked_sub(schema.features().len()) {
                None => features.push(at),
                Some(_) => udps.push(column.to_owned()),
            }
        }
        Ok(Self {
            features,
            udps,
            keyed: key.mac(),
        })
    }

    /// Returns the schema that flows with `schema` have after [`anonymize`](Self::anonymize): the
    /// anonymised columns are text.
    #[must_use]
    pub fn schema(&self, schema: &Schema) -> Schema {
        schema.with_hashes(|name| {
            let mut features = self.features.iter();
            features.any(|&at| {
                let feature = schema.features().get(at);
                feature.is_some_and(|feature| feature.name == name)
            }) || self.udps.iter().any(|path| path == name)
        })
    }

    /// Replaces the values of a flow by hashes. Null values, and columns that this flow does not
    /// have, are not affected.
    pub fn anonymize(&self, flow: &mut Flow) {
        let mut text = String::new();
        let (view, schema) = (flow.view(), flow.schema());
        let features = self
            .features
            .iter()
            .map(|&at| (at, schema.features()[at].value(&view)));
        let place = |path: &String| {
            let mut columns = schema.udps().iter();
            columns.position(|column| column.path() == path)
        };
        let udps = self
            .udps
            .iter()
            .filter_map(place)
            .map(|at| (schema.features().len() + at, flow.outputs.value(at)));
        let replaced: Box<[_]> = features
            .chain(udps)
            .filter_map(|(at, value)| {
                let text = self.hash(value, &mut text)?;
                Some(Replacement { at, text })
            })
            .collect();
        flow.replaced = (!replaced.is_empty()).then_some(replaced);
    }

    fn hash(&self, value: Value<'_>, text: &mut String) -> Option<Box<str>> {
        if value == Value::Null {
            return None;
        }
        text.clear();
        write_str(value, text);
        let mac = self.keyed.clone().chain_update(text.as_bytes());
        Some(hex::encode(mac.finalize().into_bytes()).into())
    }
}

/// Writes a value as Python's `str` does. Booleans are 1 and 0, as in NFStream. Bytes, which
/// NFStream does not have, are hexadecimal. Lists of texts, which it does not have either, are JSON.
fn write_str(value: Value<'_>, out: &mut String) {
    match value {
        Value::Null => {}
        Value::Boolean(value) => out.push(if value { '1' } else { '0' }),
        Value::Integer(value) => out.push_str(itoa::Buffer::new().format(value)),
        Value::Float(value) => write_repr(value, out),
        Value::Bytes(bytes) => out.push_str(&hex::encode(bytes)),
        Value::Integers(values) => write_list(values, out, |value, out| {
            out.push_str(itoa::Buffer::new().format(*value));
        }),
        Value::Floats(values) => write_list(values, out, |value, out| write_repr(*value, out)),
        Value::Texts(_) => out.push_str(&json!(value).to_string()),
        Value::Time(_)
        | Value::Ip(_)
        | Value::Mac(_)
        | Value::Oui(_)
        | Value::CommunityId(_)
        | Value::FlowUid(_)
        | Value::Text(_)
        | Value::Json(_) => {
            value.write_text(out);
        }
    }
}

fn write_list<T>(values: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    out.push('[');
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        write(value, out);
    }
    out.push(']');
}

/// Writes a float as Python's `repr` does: the shortest digits that are read back as the same
/// value. The exponent has at least two digits. It is used from 1e16 and below 1e-4.
fn write_repr(value: f64, out: &mut String) {
    if !value.is_finite() {
        out.push_str(match value {
            f64::INFINITY => "inf",
            f64::NEG_INFINITY => "-inf",
            _ => "nan",
        });
        return;
    }
    // Writing to a `String` cannot fail.
    let magnitude = value.abs();
    let _ = if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        write!(out, "{digits}e{exponent:+03}")
    } else {
        // This format keeps at least one digit after the point.
        write!(out, "{value:?}")
    };
}

#[cfg(test)]
mod tests {
    use flowloom_core::meter::testing::flows;
    use flowloom_core::schema::UdpColumn;
    use flowloom_core::value::{Type, UdpValue};

    use super::*;

    /// The bytes 0 to 63.
    fn key() -> AnonymizationKey {
        AnonymizationKey::from(std::array::from_fn(|n| n as u8))
    }

    fn anonymizer(columns: &[&str]) -> Result<Anonymizer, UnknownColumn> {
        Anonymizer::new(
            columns,
            &key(),
            &flowloom_core::meter::Settings::default().schema(),
        )
    }

    /// From Python: `hashlib.blake2b(str(value).encode(), digest_size=64, key=bytes(range(64)))`.
    #[test]
    fn hashes_are_those_of_nfstream() {
        let anonymizer = anonymizer(&[]).unwrap();
        for (value, expected) in [
            (
                Value::Ip([192, 0, 2, 1].into()),
                "091d169402e2c327bcc06678cb2a6837c6f75e4cba602abac7a6ba5253ad454ac486cdcaac1a822803c232f6d0dd294f64ef811f6a4996ea2e4565f6ce7d6537",
            ),
            (
                Value::Integer(0),
                "17de3afe2f4e596c9e810890862d3fc2e297380c85ee853d2e9031376e26ac424edd9b9e55420e9c0657de3e0c2d8d5b4495474f1f03923f665f8aa91fe7de81",
            ),
            (
                Value::Float(302.368_421_052_631_56),
                "03698a12db5f3a486f71e8854f345c20388d7438ccd98d4c2904e85682252314e7cc521b03cd0b82ff6afb5af51ddcc58a82ef2f64cd518b0a94f824ac81ceab",
            ),
            (
                Value::Integers(&[0, 1, -1]),
                "e1142248a5d9654d4fd09e6977854d417f0b960f3fbab0d0993bbb8c6a31c71fd1df64eaccb9cfef028d6b1ae91ad03f3915a8b3ef0390e720e1393e70364073",
            ),
            (
                Value::Text("ü"),
                "e1f59b2b03aa6365a07b3bc90b729884b3df4748fb2b14c70d8a6843573441fa8f6b36e9dea027015bdc271ba1e76463b13e4cd27f3537a33cf2e48aa2d48c3d",
            ),
        ] {
            let hash = anonymizer.hash(value, &mut String::new());
            assert_eq!(hash.as_deref(), Some(expected), "{value:?}");
        }
        assert_eq!(anonymizer.hash(Value::Null, &mut String::new()), None);
    }

    #[test]
    fn hashed_texts_are_those_of_python() {
        for (value, expected) in [
            (Value::Boolean(true), "1"),
            (Value::Boolean(false), "0"),
            (Value::Integer(-1), "-1"),
            (Value::Float(0.0), "0.0"),
            (Value::Float(-0.0), "-0.0"),
            (Value::Float(74.0), "74.0"),
            (Value::Float(0.1 + 0.2), "0.30000000000000004"),
            (Value::Float(0.0001), "0.0001"),
            (Value::Float(0.00001), "1e-05"),
            (Value::Float(-1.5e-7), "-1.5e-07"),
            (Value::Float(9_999_999_999_999_998.0), "9999999999999998.0"),
            (Value::Float(1e16), "1e+16"),
            (Value::Float(1.25e17), "1.25e+17"),
            (Value::Float(f64::MAX), "1.7976931348623157e+308"),
            (Value::Float(5e-324), "5e-324"),
            (Value::Float(f64::NAN), "nan"),
            (Value::Float(f64::NEG_INFINITY), "-inf"),
            (Value::Floats(&[0.5, 1e20]), "[0.5, 1e+20]"),
            (Value::Integers(&[]), "[]"),
            (Value::Bytes(b"\x00\xff"), "00ff"),
            (Value::Mac([0xaa, 0xbb, 0xcc, 0, 1, 2]), "aa:bb:cc:00:01:02"),
            (Value::Ip("2001:db8::1".parse().unwrap()), "2001:db8::1"),
            (
                Value::CommunityId([0; 20]),
                "1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
        ] {
            let mut text = String::new();
            write_str(value, &mut text);
            assert_eq!(text, expected, "{value:?}");
        }
    }

    #[test]
    fn only_the_named_columns_are_replaced() {
        let before = flows(2);
        let mut after = before.clone();
        let anonymizer = anonymizer(&["src_ip", "dst_port", "src_ip_is_private"]).unwrap();
        for (before, after) in before.iter().zip(&mut after) {
            anonymizer.anonymize(after);
            for ((name, old), (_, new)) in before.iter().zip(after.iter()) {
                if ["src_ip", "dst_port", "src_ip_is_private"].contains(&name) {
                    assert!(
                        matches!(new, Value::Text(text) if text.len() == 128),
                        "{name}"
                    );
                } else {
                    assert_eq!(new, old, "{name}");
                }
            }
        }
        let [first, second] = &after[..] else {
            panic!("two flows")
        };
        assert_eq!(first.get("src_ip"), second.get("src_ip"));
        // The hash of 1 is the same as in other columns.
        let one = anonymizer.hash(Value::Integer(1), &mut String::new());
        let private = first.get("src_ip_is_private");
        assert_eq!(private, one.as_deref().map(Value::Text));
        let json = serde_json::to_value(first).unwrap();
        assert_eq!(json["src_ip"].as_str().unwrap().len(), 128);
        assert_eq!(json["dst_ip"], "192.0.2.2");
    }

    #[test]
    fn plugin_outputs_are_replaced_except_nulls() {
        let outputs =
            ["query", "answer"].map(|name| UdpColumn::new("dns", name, Type::Text, String::new()));
        let schema = Schema::new(|_| true, outputs.into());
        let columns = ["udps.dns.query", "udps.dns.answer"];
        let anonymizer = Anonymizer::new(columns, &key(), &schema).unwrap();
        let mut flow = flows(1).remove(0);
        flow.schema = schema.into();
        flow.outputs
            .put(columns.len(), 0, [UdpValue::Text("ü".into())], 2);
        anonymizer.anonymize(&mut flow);
        assert!(
            matches!(flow.get(columns[0]), Some(Value::Text(text)) if text.starts_with("e1f59b2b"))
        );
        assert_eq!(flow.get(columns[1]), Some(Value::Null));
    }

    #[test]
    fn anonymised_columns_are_text_in_the_schema() {
        let outputs =
            ["ttl", "count"].map(|name| UdpColumn::new("dns", name, Type::I64, String::new()));
        let schema = Schema::new(|_| true, outputs.into());
        let columns = ["src_port", "bidirectional_mean_ps", "udps.dns.ttl"];
        let anonymizer = Anonymizer::new(columns, &key(), &schema).unwrap();
        let after = anonymizer.schema(&schema);
        assert_eq!(after.columns().count(), schema.columns().count());
        for (after, before) in after.columns().zip(schema.columns()) {
            assert_eq!(after.name, before.name);
            let expected = match columns.contains(&after.name) {
                true => Type::Text,
                false => before.ty,
            };
            assert_eq!(after.ty, expected, "{}", after.name);
        }
        assert_eq!(after.udps()[0].ty(), Type::Text);
        assert_eq!(after.udps()[1].ty(), Type::I64);
    }

    #[test]
    fn the_error_of_an_unknown_column_names_similar_ones() {
        let error = anonymizer(&["src_ip", "src_pi"]).err().unwrap();
        let message = error.to_string();
        assert!(
            message.starts_with("'src_pi': there is no such column; did you mean 'src_ip' or '"),
            "{message}"
        );
        assert!(message.contains("`flowloom fields` lists"), "{message}");
        let message = anonymizer(&["\u{1b}[31m"]).err().unwrap().to_string();
        assert!(!message.contains('\u{1b}'), "{message}");
        let mut settings = flowloom_core::meter::Settings::default();
        settings.decode_tunnels = false.into();
        let schema = settings.schema();
        let error = Anonymizer::new(["tunnel_id"], &key(), &schema)
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "'tunnel_id': the flows of this run do not have it; it exists unless decode_tunnels is false"
        );
    }
}
