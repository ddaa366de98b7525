//! All flow fields, in groups that an operator may select.

use flowloom_sdk::Chosen;
use serde_json::{Map, Value};

/// The groups that an operator may add to the fields that are always present.
pub(crate) const GROUPS: &str = "tunnel, statistics, splt, application";

/// The name and the type of a field.
type Field = (String, Kind);

/// The type of a field in Flowloom.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    U8,
    U16,
    U32,
    U64,
    I64,
    Float,
    Boolean,
    Text,
    Texts,
    List,
}

/// The selected flow fields, in the order of Flowloom's own columns.
pub(crate) struct Fields {
    fields: Vec<Field>,
    /// Whether fields that are not available are left out.
    are_optional: bool,
}

impl Fields {
    /// Selects the fields that are always present, and those of the groups in `groups`, which are joined by `+`.
    /// `None` selects all groups, without the fields that are not available.
    pub(crate) fn with(groups: Option<&str>) -> Result<Self, String> {
        let are_optional = groups.is_none();
        let known: Vec<_> = GROUPS.split(", ").collect();
        let groups = match groups {
            Some(groups) => groups.split('+').filter(|name| !name.is_empty()).collect(),
            None => known.clone(),
        };
        if let Some(group) = groups.iter().find(|group| !known.contains(group)) {
            return Err(format!(
                "option `fields` has the unknown group `{group}`; the groups are {GROUPS}"
            ));
        }
        let has = |group| groups.contains(&group);
        let mut fields = named(&ENDS);
        if has("tunnel") {
            fields.push(("tunnel_id".to_owned(), Kind::U32));
        }
        fields.extend(counters());
        if has("statistics") {
            fields.extend(statistics());
        }
        if has("splt") {
            let lists = ["direction", "ps", "piat_ms"];
            fields.extend(lists.map(|list| (format!("splt_{list}"), Kind::List)));
        }
        if has("application") {
            fields.extend(named(&APPLICATION));
        }
        Ok(Fields {
            fields,
            are_optional,
        })
    }

    /// Leaves out the optional fields that are not `available`.
    pub(crate) fn adapt(&mut self, available: &[String]) {
        if self.are_optional {
            self.fields.retain(|(name, _)| available.contains(name));
        }
    }

    /// Returns the names of the fields.
    pub(crate) fn names(&self) -> Vec<String> {
        self.fields.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Adds the values of the fields to an object.
    pub(crate) fn read(&self, flow: &Chosen<'_>, into: &mut Map<String, Value>) {
        for (n, (name, kind)) in self.fields.iter().enumerate() {
            let value = match kind {
                Kind::U8 => flow.get::<u8>(n, name).into(),
                Kind::U16 => flow.get::<u16>(n, name).into(),
                Kind::U32 => flow.get::<u32>(n, name).into(),
                Kind::U64 => flow.get::<u64>(n, name).into(),
                Kind::I64 => flow.get::<i64>(n, name).into(),
                Kind::Float => flow.get::<f64>(n, name).into(),
                Kind::Boolean => flow.get::<bool>(n, name).into(),
                Kind::Text => flow.get::<&str>(n, name).into(),
                // A list of texts is one text, with line feeds.
                Kind::Texts => flow.get::<&str>(n, name).lines().collect(),
                Kind::List => flow.get::<&[i64]>(n, name).into(),
            };
            into.insert(name.clone(), value);
        }
    }
}

const DIRECTIONS: [&str; 3] = ["bidirectional", "src2dst", "dst2src"];

const ENDS: [(&str, Kind); 15] = [
    ("id", Kind::U64),
    ("expiration_id", Kind::I64),
    ("src_ip", Kind::Text),
    ("src_ip_is_private", Kind::Boolean),
    ("src_mac", Kind::Text),
    ("src_oui", Kind::Text),
    ("src_port", Kind::U16),
    ("dst_ip", Kind::Text),
    ("dst_ip_is_private", Kind::Boolean),
    ("dst_mac", Kind::Text),
    ("dst_oui", Kind::Text),
    ("dst_port", Kind::U16),
    ("protocol", Kind::U8),
    ("ip_version", Kind::U8),
    ("vlan_id", Kind::U16),
];

const APPLICATION: [(&str, Kind); 15] = [
    ("application_name", Kind::Text),
    ("application_category_name", Kind::Text),
    ("application_is_guessed", Kind::Boolean),
    ("application_confidence", Kind::U8),
    ("requested_server_name", Kind::Text),
    ("client_fingerprint", Kind::Text),
    ("server_fingerprint", Kind::Text),
    ("user_agent", Kind::Text),
    ("content_type", Kind::Text),
    ("client_ja4", Kind::Text),
    ("tcp_fingerprint", Kind::Text),
    ("application_domain", Kind::Text),
    ("application_stack", Kind::Texts),
    ("application_risks", Kind::Texts),
    ("application_risk_score", Kind::U16),
];

fn named(fields: &[(&str, Kind)]) -> Vec<Field> {
    let named = fields.iter().map(|&(name, kind)| (name.to_owned(), kind));
    named.collect()
}

fn counters() -> Vec<Field> {
    let mut fields = Vec::new();
    for direction in DIRECTIONS {
        for what in [
            "first_seen_ms",
            "last_seen_ms",
            "duration_ms",
            "packets",
            "bytes",
        ] {
            fields.push((format!("{direction}_{what}"), Kind::U64));
        }
    }
    fields
}

fn statistics() -> Vec<Field> {
    let mut fields = Vec::new();
    for (what, whole) in [("ps", Kind::U32), ("piat_ms", Kind::U64)] {
        for direction in DIRECTIONS {
            for (of, kind) in [
                ("min", whole),
                ("mean", Kind::Float),
                ("stddev", Kind::Float),
                ("max", whole),
            ] {
                fields.push((format!("{direction}_{of}_{what}"), kind));
            }
        }
    }
    for direction in DIRECTIONS {
        for flag in ["syn", "cwr", "ece", "urg", "ack", "psh", "rst", "fin"] {
            fields.push((format!("{direction}_{flag}_packets"), Kind::U64));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(groups: &str) -> Vec<String> {
        Fields::with(Some(groups)).expect("known groups").names()
    }

    #[test]
    fn groups_add_fields_in_the_order_of_the_columns() {
        let always = names("");
        assert_eq!(always.len(), 30);
        assert!(!always.contains(&"tunnel_id".to_owned()));
        let all = names("application+tunnel+splt+statistics");
        assert_eq!(all.len(), 30 + 1 + 48 + 3 + 15);
        assert_eq!(all[15], "tunnel_id");
        assert_eq!(all[31], "bidirectional_min_ps");
        assert_eq!(all[90], "content_type");
    }

    #[test]
    fn without_groups_the_available_fields_are_selected() {
        let available = ["dst_port", "splt_ps", "id"].map(str::to_owned);
        let adapted = |groups| {
            let mut fields = Fields::with(groups).expect("known groups");
            fields.adapt(&available);
            fields.names()
        };
        assert_eq!(adapted(None), ["id", "dst_port", "splt_ps"]);
        // Groups that the operator gave must be available.
        assert_eq!(adapted(Some("splt")), names("splt"));
    }

    #[test]
    fn an_unknown_group_is_an_error() {
        let expected = "option `fields` has the unknown group `stats`; the groups are tunnel, \
                        statistics, splt, application";
        let error = Fields::with(Some("tunnel+stats")).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}
