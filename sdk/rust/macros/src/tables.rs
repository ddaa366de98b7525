//! The packet fields and flow fields of Flowloom that this SDK knows.

/// The name and the type of a field.
pub(crate) type Row = (&'static str, &'static str);

/// The packet fields.
pub(crate) const PACKET: &[Row] = &[
    ("time_ns", "u64"),
    ("time_ms", "u64"),
    ("time_us", "u64"),
    ("delta_time_ms", "u64"),
    ("direction", "Direction"),
    ("raw_size", "u32"),
    ("ip_size", "u32"),
    ("transport_size", "u32"),
    ("payload_size", "u32"),
    ("src_ip", "&str"),
    ("src_mac", "&str"),
    ("src_oui", "&str"),
    ("dst_ip", "&str"),
    ("dst_mac", "&str"),
    ("dst_oui", "&str"),
    ("src_pseudonym", "u64"),
    ("dst_pseudonym", "u64"),
    ("src_port", "u16"),
    ("dst_port", "u16"),
    ("protocol", "u8"),
    ("ip_version", "u8"),
    ("vlan_id", "u16"),
    ("tunnel_id", "u32"),
    ("tcp_flags", "u8"),
    ("syn", "bool"),
    ("cwr", "bool"),
    ("ece", "bool"),
    ("urg", "bool"),
    ("ack", "bool"),
    ("psh", "bool"),
    ("rst", "bool"),
    ("fin", "bool"),
    ("ttl", "u8"),
    ("ip_id", "u16"),
    ("tcp_window", "u16"),
    ("tcp_seq", "u32"),
    ("tcp_ack", "u32"),
    ("icmp_type", "u8"),
    ("icmp_code", "u8"),
];

/// The flow fields that exist once per flow.
const FLOW: &[Row] = &[
    ("id", "u64"),
    ("capture", "u32"),
    ("expiration_id", "i64"),
    ("src_ip", "&str"),
    ("src_mac", "&str"),
    ("src_oui", "&str"),
    ("src_ip_is_private", "bool"),
    ("src_port", "u16"),
    ("dst_ip", "&str"),
    ("dst_mac", "&str"),
    ("dst_oui", "&str"),
    ("dst_ip_is_private", "bool"),
    ("dst_port", "u16"),
    ("protocol", "u8"),
    ("ip_version", "u8"),
    ("vlan_id", "u16"),
    ("tunnel_id", "u32"),
    ("splt_direction", "&[i64]"),
    ("splt_ps", "&[i64]"),
    ("splt_piat_ms", "&[i64]"),
    ("application_name", "&str"),
    ("application_category_name", "&str"),
    ("application_is_guessed", "bool"),
    ("application_confidence", "u8"),
    ("requested_server_name", "&str"),
    ("client_fingerprint", "&str"),
    ("server_fingerprint", "&str"),
    ("user_agent", "&str"),
    ("content_type", "&str"),
    ("client_ja4", "&str"),
    ("tcp_fingerprint", "&str"),
    ("application_domain", "&str"),
    ("application_stack", "&str"),
    ("application_risks", "&str"),
    ("application_risk_score", "u16"),
];

/// The prefixes of [`DIRECTED`].
pub(crate) const DIRECTIONS: [&str; 3] = ["bidirectional", "src2dst", "dst2src"];

/// The flow fields that exist three times, with the prefixes [`DIRECTIONS`].
const DIRECTED: &[Row] = &[
    ("first_seen_ms", "u64"),
    ("last_seen_ms", "u64"),
    ("duration_ms", "u64"),
    ("packets", "u64"),
    ("bytes", "u64"),
    ("min_ps", "u32"),
    ("mean_ps", "f64"),
    ("stddev_ps", "f64"),
    ("max_ps", "u32"),
    ("min_piat_ms", "u64"),
    ("mean_piat_ms", "f64"),
    ("stddev_piat_ms", "f64"),
    ("max_piat_ms", "u64"),
    ("syn_packets", "u64"),
    ("cwr_packets", "u64"),
    ("ece_packets", "u64"),
    ("urg_packets", "u64"),
    ("ack_packets", "u64"),
    ("psh_packets", "u64"),
    ("rst_packets", "u64"),
    ("fin_packets", "u64"),
];

/// Returns all flow fields.
pub(crate) fn flow() -> Vec<(String, &'static str)> {
    let one = FLOW.iter().map(|&(name, kind)| (name.to_owned(), kind));
    let directed = DIRECTIONS.into_iter().flat_map(|direction| {
        DIRECTED
            .iter()
            .map(move |&(name, kind)| (format!("{direction}_{name}"), kind))
    });
    one.chain(directed).collect()
}

/// Returns all packet fields.
pub(crate) fn packet() -> Vec<(String, &'static str)> {
    PACKET
        .iter()
        .map(|&(name, kind)| (name.to_owned(), kind))
        .collect()
}

/// Returns the types in which a struct may hold a field of this type.
///
/// `Holds` of `flowloom-sdk` has the same types.
pub(crate) fn holders(kind: &str) -> &'static [&'static str] {
    match kind {
        "u8" => &["u8", "u16", "u32", "u64", "i16", "i32", "i64", "f64"],
        "u16" => &["u16", "u32", "u64", "i32", "i64", "f64"],
        "u32" => &["u32", "u64", "i64", "f64"],
        "u64" => &["u64"],
        "i64" => &["i64"],
        "f64" => &["f64"],
        "bool" => &["bool"],
        "Direction" => &["Direction"],
        "&str" => &["&'a str", "String"],
        "&[i64]" => &["&'a [i64]", "Vec<i64>"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for table in [packet(), flow()] {
            let mut names: Vec<_> = table.iter().map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), table.len());
        }
    }
}
