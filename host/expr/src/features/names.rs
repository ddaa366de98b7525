//! Names that expressions can use.

use flowloom_core::fields::{FEATURES, Feature, PACKET_FIELDS, PacketField};
use flowloom_core::value::Type as FieldType;

use super::types::{Interval, Kind, LARGEST, Type};

/// Names of packets that are no fields.
pub(super) const PACKET_NAMES: [&str; 7] = [
    "age", "dst2src", "iat", "index", "payload", "src2dst", "time",
];

/// The largest size of a packet that is distinguished, in bytes. Larger sizes count as this one, so that every sum of
/// sizes is exact.
pub(super) const LARGEST_SIZE: i64 = (1 << 31) - 1;

/// The aggregates, with the form that messages show.
pub(super) const AGGREGATES: [(&str, &str); 26] = [
    ("all", "all(CONDITION)"),
    ("any", "any(CONDITION)"),
    ("corr", "corr(X, Y)"),
    ("count", "count() or count(CONDITION)"),
    ("distinct", "distinct(X, N)"),
    ("duration", "duration()"),
    ("first", "first(X)"),
    ("head", "head(payload, N)"),
    ("hist", "hist(X, [EDGE, …])"),
    ("kurtosis", "kurtosis(X)"),
    ("last", "last(X)"),
    ("list", "list(X first N)"),
    ("max", "max(X)"),
    ("mean", "mean(X)"),
    ("median", "median(X first N)"),
    ("min", "min(X)"),
    ("nth", "nth(X, N)"),
    ("quantile", "quantile(X, Q first N)"),
    ("rate", "rate(X)"),
    ("share", "share(CONDITION)"),
    ("skew", "skew(X)"),
    ("stddev", "stddev(X)"),
    ("stddev_pop", "stddev_pop(X)"),
    ("sum", "sum(X)"),
    ("variance", "variance(X)"),
    ("variance_pop", "variance_pop(X)"),
];

/// The other functions, with the form that messages show.
pub(super) const FUNCTIONS: [(&str, &str); 19] = [
    ("abs", "abs(X)"),
    ("changed", "changed(X)"),
    ("delta", "delta(X)"),
    ("entropy", "entropy(BYTES) or entropy(hist(…))"),
    ("float", "float(X)"),
    ("floor", "floor(X, STEP)"),
    ("greatest", "greatest(X, Y)"),
    ("if", "if(CONDITION, X, Y)"),
    ("least", "least(X, Y)"),
    ("len", "len(X)"),
    ("ln", "ln(X)"),
    ("log10", "log10(X)"),
    ("log2", "log2(X)"),
    ("prev", "prev(X)"),
    ("round", "round(X)"),
    ("sqrt", "sqrt(X)"),
    ("starts", "starts(payload, \"…\")"),
    ("u16", "u16(payload, N)"),
    ("u32", "u32(payload, N)"),
];

/// Returns the form of a function with which messages show it.
pub(super) fn form(name: &str) -> Option<&'static str> {
    let mut all = AGGREGATES.iter().chain(&FUNCTIONS);
    all.find(|(function, _)| *function == name)
        .map(|(_, form)| *form)
}

pub(super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.iter().any(|(aggregate, _)| *aggregate == name)
}

/// Returns the name that is most similar to an unknown one.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let similar = known.map(|known| (strsim::jaro_winkler(name, known), known));
    let (similarity, nearest) = similar.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (similarity > 0.8).then_some(nearest)
}

/// Returns the names of packets: of fields and of others.
pub(super) fn packet_names() -> impl Iterator<Item = &'static str> {
    let fields = PACKET_FIELDS.iter().map(|field| field.name);
    fields
        .filter(|name| Type::of_packet_field(name).is_some())
        .chain(PACKET_NAMES)
}

/// Returns the names of flow fields that a feature can read.
pub(super) fn flow_names() -> impl Iterator<Item = &'static str> {
    let names = FEATURES.iter().map(|feature| feature.name);
    names.filter(|name| Type::of_flow_field(name).is_some())
}

/// Returns the index of the packet field with this name.
pub(super) fn packet_field(name: &str) -> Option<(usize, &'static PacketField)> {
    let mut all = PACKET_FIELDS.iter().enumerate();
    all.find(|(_, field)| field.name == name)
}

fn interval(ty: FieldType) -> Interval {
    match ty {
        FieldType::Boolean => Interval::new(0, 1),
        FieldType::U8 => Interval::new(0, u8::MAX.into()),
        FieldType::U16 => Interval::new(0, u16::MAX.into()),
        FieldType::U32 => Interval::new(0, u32::MAX.into()),
        FieldType::U64 => Interval::NATURAL,
        _ => Interval::new(-LARGEST, LARGEST),
    }
}

impl Type {
    /// Returns the index and the type of a packet field, unless expressions cannot use it: texts, and times that
    /// are no [`Kind::Instant`].
    pub(super) fn of_packet_field(name: &str) -> Option<(usize, Self)> {
        let (index, field) = packet_field(name)?;
        let ty = match field.ty {
            _ if field.unit == "ns" || field.unit == "us" || field.unit == "ms" => return None,
            FieldType::Boolean => Self::new(Kind::Boolean),
            ty if !ty.is_number() || ty == FieldType::Float => return None,
            _ if name.ends_with("_size") => {
                Self::whole(Kind::Integer, Interval::new(0, LARGEST_SIZE))
            }
            _ if name == "direction" => Self::whole(Kind::Integer, Interval::new(0, 1)),
            ty => Self::whole(Kind::Integer, interval(ty)),
        };
        Some((index, ty))
    }

    /// Returns the index and the type of a flow field, unless expressions cannot use it.
    pub(super) fn of_flow_field(name: &str) -> Option<(usize, Self)> {
        let index = FEATURES.iter().position(|feature| feature.name == name)?;
        let feature: &Feature = &FEATURES[index];
        if feature.group.follows_end() {
            return None;
        }
        let ty = match feature.ty {
            FieldType::Boolean => Self::new(Kind::Boolean),
            // A float can be infinite or no number, which is null here.
            FieldType::Float => Self::new(Kind::Float).nullable(true),
            ty if ty.is_number() => Self::whole(Kind::Integer, interval(ty)),
            _ => return None,
        };
        Some((index, ty))
    }
}
