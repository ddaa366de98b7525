//! The report of nDPI 5.0 about a flow, in JSON.

use serde_json::Value;

/// The longest report that is read, in bytes. Reports are below 4 KiB.
const MAX_REPORT: usize = 1 << 20;
/// The longest text that is read, in bytes.
const MAX_TEXT: usize = 4096;

/// What Flowloom needs of a report. A text that it does not contain is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) confidence: u8,
    pub(crate) domain: String,
    pub(crate) tcp_fingerprint: String,
    pub(crate) client_ja4: String,
    pub(crate) server_ja3: String,
    pub(crate) dhcp_fingerprint: String,
    pub(crate) hassh_client: String,
    pub(crate) hassh_server: String,
    pub(crate) user_agent: String,
    pub(crate) content_type: String,
    /// The risks by number. Bit 0 is no risk.
    pub(crate) risks: u64,
}

impl Report {
    /// Reads a report, or returns `None` if it is not JSON of a known form.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_REPORT {
            return None;
        }
        // Texts of packets need not be UTF-8.
        let text = String::from_utf8_lossy(bytes);
        let all: Value = serde_json::from_str(&text).ok()?;
        let ndpi = all.get("ndpi")?;
        let block = |name: &str| ndpi.get(name).unwrap_or(&Value::Null);
        let (http, quic, ssh) = (block("http"), block("quic"), block("ssh"));
        let tls = quic.get("tls").unwrap_or(block("tls"));
        let mut report = Self {
            confidence: first_number(block("confidence")).unwrap_or_default(),
            domain: text_of(ndpi, "domainame"),
            tcp_fingerprint: text_of(&all, "tcp_fingerprint"),
            client_ja4: text_of(tls, "ja4"),
            server_ja3: text_of(tls, "ja3s"),
            dhcp_fingerprint: text_of(block("dhcp"), "fingerprint"),
            hassh_client: text_of(ssh, "hassh_client"),
            hassh_server: text_of(ssh, "hassh_server"),
            user_agent: text_of(http, "user_agent"),
            content_type: text_of(http, "content_type"),
            ..Self::default()
        };
        if report.user_agent.is_empty() {
            report.user_agent = text_of(quic, "user_agent");
        }
        for number in block("flow_risk").as_object().into_iter().flatten() {
            if let Ok(bit @ 1..64) = number.0.parse::<u32>() {
                report.risks |= 1 << bit;
            }
        }
        Some(report)
    }
}

/// Returns the number that is the first key of an object.
fn first_number(value: &Value) -> Option<u8> {
    value.as_object()?.keys().next()?.parse().ok()
}

/// Returns a member that is a text, truncated at 4 KiB.
fn text_of(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_members_are_read() {
        let report = br#"{"tcp_fingerprint":"2_64_1","ndpi":{
            "flow_risk":{"6":{"risk":"A","risk_score":{"total":3}},"99":{"risk":"B"},"x":1},
            "confidence":{"6":"DPI"},"hostname":"h","domainame":"d",
            "quic":{"user_agent":"u","tls":{"ja4":"q","ja3s":1}}}}"#;
        let report = Report::read(report).expect("it is a report");
        let expected = Report {
            confidence: 6,
            domain: "d".to_owned(),
            tcp_fingerprint: "2_64_1".to_owned(),
            client_ja4: "q".to_owned(),
            user_agent: "u".to_owned(),
            risks: 1 << 6,
            ..Report::default()
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn other_texts_are_no_reports() {
        let deep = "[".repeat(100_000);
        let long = format!("{{\"ndpi\":\"{}\"}}", "x".repeat(MAX_REPORT));
        for text in ["", "{}", "[]", "{\"ndpi\":", &deep, &long] {
            assert_eq!(Report::read(text.as_bytes()), None);
        }
        assert_eq!(Report::read(b"{\"ndpi\":7}"), Some(Report::default()));
        let bytes = b"{\"ndpi\":{\"domainame\":\"\xff\"}}";
        let report = Report::read(bytes).expect("it is a report");
        assert_eq!(report.domain, "\u{fffd}");
    }
}
