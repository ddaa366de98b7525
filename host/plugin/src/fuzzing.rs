//! Entry points for fuzz targets: data that crosses the plugin boundary, made from arbitrary bytes.

use std::collections::HashSet;

use arbitrary::{Result, Unstructured};
use flowloom_core::fields::PACKET_FIELDS;
use flowloom_core::meter::Settings;
use flowloom_core::schema::UdpColumn;
use flowloom_core::value::{Type, Value};

use crate::contract::batch_feature::{
    FloatLists, IntegerListsResult, OutputColumn, TextLists, TextsResult, Values,
};
use crate::contract::manifest as wit;
use crate::dispatch::outputs;
use crate::grants::Grants;
use crate::load::compile::{answer, structure};
use crate::load::manifest::{MAX_OUTPUTS, Manifest, ManifestRules};

const TYPES: [(wit::ValueType, Type); 9] = [
    (wit::ValueType::Boolean, Type::Boolean),
    (wit::ValueType::Integer, Type::I64),
    (wit::ValueType::Float, Type::Float),
    (wit::ValueType::Text, Type::Text),
    (wit::ValueType::Bytes, Type::Bytes),
    (wit::ValueType::Integers, Type::Integers),
    (wit::ValueType::Floats, Type::Floats),
    (wit::ValueType::Texts, Type::Texts),
    (wit::ValueType::Json, Type::Json),
];

/// Checks a manifest. An accepted one never exceeds its grants. A rejected one gives a short text without
/// control characters.
pub fn manifest(data: &[u8]) {
    let mut from = Unstructured::new(data);
    let _ = try_manifest(&mut from);
}

fn try_manifest(from: &mut Unstructured<'_>) -> Result<()> {
    let mut settings = Settings::default();
    settings.statistical_analysis = from.arbitrary()?;
    settings.splt_analysis = from.int_in_range(0..=3)?;
    settings.n_dissections = 0;
    let grants: Grants = ["payload:9", "addresses", "bytes:70,names", "pseudonyms"]
        [from.choose_index(4)?]
    .parse()
    .unwrap_or_default();
    let grants = if from.ratio(1, 3)? {
        Grants::default()
    } else {
        grants
    };
    let schema = settings.schema();
    let known: Vec<&str> = PACKET_FIELDS
        .iter()
        .map(|field| field.name)
        .chain(schema.features().iter().map(|feature| feature.name))
        .collect();
    let declared = wit::Manifest {
        version: from.arbitrary()?,
        description: from.arbitrary()?,
        outputs: list(from, 140, |from| {
            Ok(wit::Output {
                name: name(from, &["a", "count", "x9_"])?,
                kind: TYPES[from.choose_index(TYPES.len())?].0,
                description: from.arbitrary()?,
            })
        })?,
        options: list(from, 140, |from| {
            Ok(wit::OptionDescription {
                name: name(from, &["a", "limit", "x9_"])?,
                kind: [wit::OptionType::Boolean, wit::OptionType::Text][from.choose_index(2)?],
                accepts: from.arbitrary()?,
                default: from.arbitrary()?,
                description: from.arbitrary()?,
            })
        })?,
        packet: list(from, 9, |from| name(from, &known))?,
        payload_bytes: from.arbitrary()?,
        packet_bytes: from.arbitrary()?,
        at_init: list(from, 9, |from| name(from, &known))?,
        at_update: list(from, 9, |from| name(from, &known))?,
        at_expire: list(from, 9, |from| name(from, &known))?,
        packets_per_flow: from.arbitrary()?,
        flow_bytes: from.arbitrary()?,
        cuts_flows: from.arbitrary()?,
        packed: from.arbitrary()?,
        needs_one_meter: from.arbitrary()?,
    };
    let rules = ManifestRules {
        name: "p",
        grants,
        schema: &schema,
        has_feature: from.arbitrary()?,
    };
    match Manifest::accept(declared, &rules) {
        Ok(accepted) => {
            assert!(accepted.outputs.len() <= MAX_OUTPUTS);
            let names: HashSet<_> = accepted.outputs.iter().map(UdpColumn::name).collect();
            assert_eq!(names.len(), accepted.outputs.len());
            assert!(accepted.payload_bytes <= grants.payload());
            assert!(accepted.packet_bytes <= grants.bytes());
            assert!(
                accepted
                    .packet
                    .iter()
                    .all(|field| grants.allow(field.sensitivity))
            );
            let at = [&accepted.at_init, &accepted.at_update, &accepted.at_expire];
            assert!(
                at.into_iter()
                    .flatten()
                    .all(|field| grants.allow(field.sensitivity))
            );
            assert!(accepted.packets_per_flow > 0);
        }
        Err(problem) => {
            let text = problem.to_string();
            assert!(text.chars().count() < 2_000, "{text}");
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
    Ok(())
}

/// Checks the structure of a plugin's file. It must not panic or overflow the stack.
pub fn structure(file: &[u8]) {
    let _ = structure::check(file);
}

/// Decodes the answer of a compiling process. A reason has no control characters.
pub fn answer(data: &[u8]) {
    for kind in [&b""[..], b"FLOWLOOM", b"FLOWLOOMn", b"FLOWLOOMd"] {
        if let Some(Err(error)) = answer::decode([kind, data].concat()) {
            let text = error.reason();
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// Checks the values that a plugin returns. Accepted values are of the declared types and within the limits.
pub fn columns(data: &[u8]) {
    let mut from = Unstructured::new(data);
    let _ = try_columns(&mut from);
}

fn try_columns(from: &mut Unstructured<'_>) -> Result<()> {
    let declared = list(from, 6, |from| {
        let (_, ty) = TYPES[from.choose_index(TYPES.len())?];
        Ok(UdpColumn::new("p", "x", ty, String::new()))
    })?;
    let rows = from.int_in_range(0..=40)?;
    let answered = list(from, 8, |from| {
        Ok(OutputColumn {
            values: values(from)?,
            valid: from.arbitrary()?,
        })
    })?;
    // The limit is small, so that some flows exceed it.
    let max = from.int_in_range(0..=100)?;
    let taken = outputs::accept_columns(&declared, answered, rows, max);
    assert!(taken.row_bytes.iter().all(|&bytes| bytes as usize <= max));
    let taken = taken.values;
    assert!(taken.is_empty() && rows == 0 || taken.len() == declared.len());
    for (column, declared) in taken.iter().zip(&declared) {
        for row in 0..rows {
            let value = column.value(row);
            assert!(is_of(&value, declared.ty()), "{value:?}");
        }
    }
    Ok(())
}

fn is_of(value: &Value<'_>, ty: Type) -> bool {
    match value {
        Value::Null => true,
        Value::Boolean(_) => ty == Type::Boolean,
        Value::Integer(_) => ty == Type::I64,
        Value::Float(_) => ty == Type::Float,
        Value::Text(_) => ty == Type::Text,
        Value::Bytes(_) => ty == Type::Bytes,
        Value::Integers(_) => ty == Type::Integers,
        Value::Floats(_) => ty == Type::Floats,
        Value::Texts(_) => ty == Type::Texts,
        Value::Json(text) => {
            ty == Type::Json
                && !text.contains(['\n', '\r'])
                && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        }
        Value::Time(_)
        | Value::Ip(_)
        | Value::Mac(_)
        | Value::Oui(_)
        | Value::CommunityId(_)
        | Value::FlowUid(_) => false,
    }
}

fn values(from: &mut Unstructured<'_>) -> Result<Values> {
    let texts = |from: &mut Unstructured<'_>| {
        Ok(TextsResult {
            bytes: from.arbitrary()?,
            ends: ends(from)?,
        })
    };
    Ok(match from.choose_index(9)? {
        0 => Values::Booleans(from.arbitrary()?),
        1 => Values::Integers(from.arbitrary()?),
        2 => Values::Floats(from.arbitrary()?),
        3 => Values::Texts(texts(from)?),
        4 => Values::Bytes(texts(from)?),
        5 => Values::IntegerLists(IntegerListsResult {
            values: from.arbitrary()?,
            ends: ends(from)?,
        }),
        6 => Values::FloatLists(FloatLists {
            values: from.arbitrary()?,
            ends: ends(from)?,
        }),
        7 => Values::TextLists(TextLists {
            texts: texts(from)?,
            ends: ends(from)?,
        }),
        _ => Values::Jsons(texts(from)?),
    })
}

/// Most numbers are small, so that some are valid.
fn ends(from: &mut Unstructured<'_>) -> Result<Vec<u32>> {
    list(from, 50, |from| match from.ratio(1, 10)? {
        true => from.arbitrary(),
        false => from.int_in_range(0..=40),
    })
}

fn name(from: &mut Unstructured<'_>, known: &[&str]) -> Result<String> {
    match from.ratio(3, 4)? {
        true => Ok((*from.choose(known)?).to_owned()),
        false => from.arbitrary(),
    }
}

fn list<T>(
    from: &mut Unstructured<'_>,
    max: usize,
    one: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let len = from.int_in_range(0..=max)?;
    (0..len).map(|_| one(from)).collect()
}
