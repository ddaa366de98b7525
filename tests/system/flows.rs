//! Compares flows, which are JSON objects, as multisets.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A flow's columns and their values.
pub(crate) type Flow = Map<String, Value>;

/// The columns that NFStream 6.6.0 always writes, in its order, without `id`: NFStream numbers flows in the order
/// of output, and Flowloom by their first packets.
pub(crate) const COLUMNS: [&str; 28] = [
    "expiration_id",
    "src_ip",
    "src_mac",
    "src_oui",
    "src_port",
    "dst_ip",
    "dst_mac",
    "dst_oui",
    "dst_port",
    "protocol",
    "ip_version",
    "vlan_id",
    "tunnel_id",
    "bidirectional_first_seen_ms",
    "bidirectional_last_seen_ms",
    "bidirectional_duration_ms",
    "bidirectional_packets",
    "bidirectional_bytes",
    "src2dst_first_seen_ms",
    "src2dst_last_seen_ms",
    "src2dst_duration_ms",
    "src2dst_packets",
    "src2dst_bytes",
    "dst2src_first_seen_ms",
    "dst2src_last_seen_ms",
    "dst2src_duration_ms",
    "dst2src_packets",
    "dst2src_bytes",
];

/// Parses flows in JSON lines.
pub(crate) fn parse(lines: &str) -> Vec<Flow> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a flow is a JSON object"))
        .collect()
}

/// Returns the [`COLUMNS`] of a flow.
pub(crate) fn core(flow: &Flow) -> Flow {
    only(flow, &COLUMNS.map(str::to_owned))
}

/// Returns these columns of a flow. A missing column becomes null, a value that no flow has in these columns.
fn only(flow: &Flow, columns: &[String]) -> Flow {
    columns
        .iter()
        .map(|name| (name.clone(), flow.get(name).cloned().unwrap_or_default()))
        .collect()
}

/// Returns whether two flows with the same columns are equal.
fn is_same(one: &Flow, other: &Flow) -> bool {
    one.iter()
        .all(|(name, value)| is_same_value(value, &other[name]))
}

/// Returns whether two values are equal. Floats may differ slightly: NFStream accumulates rounding errors of means
/// and deviations with each packet, and Flowloom does not.
fn is_same_value(one: &Value, other: &Value) -> bool {
    const RELATIVE_ERROR: f64 = 1e-9;
    let float = |value: &Value| value.as_f64().filter(|_| value.is_f64());
    match (float(one), float(other)) {
        (Some(one), Some(other)) => {
            (one - other).abs() <= RELATIVE_ERROR * one.abs().max(other.abs())
        }
        _ => one == other,
    }
}

/// The flows that only one of two sides contains.
pub(crate) struct Difference {
    /// [`COLUMNS`], and the further columns of the other side.
    columns: Vec<String>,
    ours: Vec<Flow>,
    theirs: Vec<Flow>,
}

impl Difference {
    pub(crate) fn of(ours: &[Flow], theirs: &[Flow]) -> Self {
        let mut columns = COLUMNS.map(str::to_owned).to_vec();
        for name in theirs.first().into_iter().flat_map(Flow::keys) {
            if name != "id" && !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let mut theirs: Vec<_> = theirs.iter().map(|flow| only(flow, &columns)).collect();
        let mut only_ours = Vec::new();
        for flow in ours.iter().map(|flow| only(flow, &columns)) {
            match theirs.iter().position(|their| is_same(their, &flow)) {
                Some(at) => _ = theirs.swap_remove(at),
                None => only_ours.push(flow),
            }
        }
        Self {
            columns,
            ours: only_ours,
            theirs,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ours.is_empty() && self.theirs.is_empty()
    }

    /// Describes which flows differ, and in which columns. Each flow is compared with the most similar one of the
    /// other side.
    pub(crate) fn describe(&self, whose: &str) -> String {
        let mut text = String::new();
        let mut theirs: Vec<_> = self.theirs.iter().collect();
        for ours in &self.ours {
            let like = |theirs: &Flow| {
                let same = self
                    .columns
                    .iter()
                    .filter(|&name| is_same_value(&ours[name], &theirs[name]));
                same.count()
            };
            let nearest = (0..theirs.len())
                .max_by_key(|&at| like(theirs[at]))
                .filter(|&at| like(theirs[at]) * 2 > self.columns.len());
            let Some(nearest) = nearest else {
                let _ = writeln!(text, "  only we have  {}", name(ours));
                continue;
            };
            let theirs = theirs.swap_remove(nearest);
            let _ = writeln!(text, "  {}", name(ours));
            for column in &self.columns {
                let (our, their) = (&ours[column], &theirs[column]);
                if !is_same_value(our, their) {
                    let _ = writeln!(text, "      {column}: ours {our}, {whose} {their}");
                }
            }
        }
        for theirs in theirs {
            let _ = writeln!(text, "  missing       {}", name(theirs));
        }
        text
    }
}

/// Returns a short description of a flow.
fn name(flow: &Flow) -> String {
    let word = |column: &str| match &flow[column] {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    format!(
        "{} port {} > {} port {}, protocol {}, {} packets from {} ms on",
        word("src_ip"),
        word("src_port"),
        word("dst_ip"),
        word("dst_port"),
        word("protocol"),
        word("bidirectional_packets"),
        word("bidirectional_first_seen_ms"),
    )
}

#[test]
fn a_difference_names_flow_and_column() {
    let flow = |port: u16, packets: u64| {
        let mut flow: Flow = COLUMNS
            .iter()
            .map(|&name| (name.to_owned(), Value::from(0)))
            .collect();
        flow["src_port"] = port.into();
        flow["bidirectional_packets"] = packets.into();
        flow
    };
    let ours = [flow(1, 5), flow(2, 5), flow(2, 5)];
    let theirs = [flow(2, 5), flow(1, 6), flow(2, 5), flow(3, 1)];
    assert_eq!(
        Difference::of(&ours, &theirs).describe("NFStream's"),
        "  0 port 1 > 0 port 0, protocol 0, 5 packets from 0 ms on
      bidirectional_packets: ours 5, NFStream's 6
  missing       0 port 3 > 0 port 0, protocol 0, 1 packets from 0 ms on\n"
    );
    assert!(Difference::of(&ours, &ours).is_empty());
    assert!(!Difference::of(&ours, &ours[..2]).is_empty());
}
