use std::collections::HashMap;
use std::net::IpAddr;

use flowloom_core::meter::Settings;
use flowloom_core::schema::{Schema, UdpColumn};
use flowloom_core::value::{Type, Value};
use proptest::prelude::*;

use super::{Filter, Row};

/// Returns the columns of a run with statistics and one plugin.
pub(super) fn schema() -> Schema {
    let mut settings = Settings::default();
    settings.statistical_analysis = true;
    settings.n_dissections = 20;
    settings.identity_columns.community_id = true;
    settings.identity_columns.flow_uid = true;
    let udp = |name: &str, ty| UdpColumn::new("p", name, ty, String::new());
    settings.schema().with_udps(vec![
        udp("score", Type::Float),
        udp("count", Type::I64),
        udp("is_odd", Type::Boolean),
        udp("text", Type::Text),
        udp("bytes", Type::Bytes),
        udp("list", Type::Integers),
        udp("floats", Type::Floats),
        udp("json", Type::Json),
    ])
}

/// A row with some values; the others are null.
pub(super) struct Values<'a> {
    pub(super) schema: &'a Schema,
    pub(super) values: HashMap<&'a str, Value<'a>>,
}

impl Row for Values<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        let name = self.schema.column(column).unwrap().name;
        self.values.get(name).copied().unwrap_or(Value::Null)
    }
}

/// Evaluates a condition for these values, as a row and as a batch.
fn evaluate(text: &str, values: &[(&'static str, Value<'static>)]) -> Option<bool> {
    let schema = schema();
    let filter = Filter::parse(text, &schema).unwrap_or_else(|error| panic!("{error}"));
    let row = Values {
        schema: &schema,
        values: values.iter().copied().collect(),
    };
    let result = filter.condition.evaluate(&row);
    #[cfg(feature = "arrow")]
    assert_eq!(
        super::batch::tests::evaluate(text, values),
        result,
        "{text}"
    );
    result
}

fn ip(text: &str) -> Value<'static> {
    Value::Ip(text.parse().unwrap())
}

fn flow() -> Vec<(&'static str, Value<'static>)> {
    vec![
        ("src_ip", ip("10.1.2.3")),
        ("dst_ip", ip("2001:db8::1")),
        ("src_mac", Value::Mac([2, 0, 0, 0, 0, 0xab])),
        ("community_id", Value::CommunityId([0; 20])),
        ("src_port", Value::Integer(50_000)),
        ("dst_port", Value::Integer(443)),
        ("src_ip_is_private", Value::Boolean(true)),
        ("bidirectional_duration_ms", Value::Integer(1_500)),
        ("bidirectional_bytes", Value::Integer(20_000_000)),
        ("src2dst_bytes", Value::Integer(100)),
        ("dst2src_bytes", Value::Integer(300)),
        ("application_name", Value::Text("TLS.Google")),
        ("requested_server_name", Value::Text("www.example.com")),
        ("user_agent", Value::Text("")),
        ("udps.p.score", Value::Float(0.9)),
        ("udps.p.is_odd", Value::Boolean(false)),
        ("udps.p.text", Value::Text("a*b")),
        ("udps.p.bytes", Value::Bytes(&[0x16, 3])),
        ("udps.p.list", Value::Integers(&[1])),
    ]
}

#[test]
fn conditions_have_the_documented_meaning() {
    for (text, expected) in [
        ("dst_port = 443", Some(true)),
        ("dst_port == 443 && src_port != 443", Some(true)),
        ("dst_port < 443 or dst_port > 443", Some(false)),
        ("dst_port <= 443 and dst_port >= 443", Some(true)),
        ("not dst_port = 80", Some(true)),
        ("!dst_port = 80", Some(true)),
        ("dst_port in {80, 443}", Some(true)),
        ("dst_port in {80, 8000..8080}", Some(false)),
        ("dst_port in {400..443}", Some(true)),
        ("dst_port not in {80}", Some(true)),
        ("dst_port in 443", Some(true)),
        ("dst_port in {442.5..443.5}", Some(true)),
        ("dst_port = 0x1bb", Some(true)),
        ("src_ip in 10.0.0.0/8", Some(true)),
        ("src_ip in {192.168.0.0/16, 10.1.2.3}", Some(true)),
        ("src_ip in 2001:db8::/32", Some(false)),
        ("dst_ip in 2001:db8::/32", Some(true)),
        ("dst_ip = 2001:DB8:0::1", Some(true)),
        ("src_ip = \"10.1.2.3\"", Some(true)),
        ("\"10.1.2.3\" = src_ip", Some(true)),
        ("src_ip = dst_ip", Some(false)),
        ("src_ip in 0.0.0.0/0", Some(true)),
        ("src_mac = 02:00:00:00:00:AB", Some(true)),
        ("src_mac ~ \"02:*\"", Some(true)),
        (
            "community_id = \"1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\"",
            Some(true),
        ),
        ("community_id ~ \"1:*\"", Some(true)),
        ("flow_uid is null", Some(true)),
        ("src_ip_is_private", Some(true)),
        ("src_ip_is_private = false", Some(false)),
        ("bidirectional_duration_ms > 1s", Some(true)),
        ("bidirectional_duration_ms = 1.5s", Some(true)),
        ("bidirectional_duration_ms >= 2s", Some(false)),
        ("bidirectional_duration_ms > 500us", Some(true)),
        ("bidirectional_duration_ms in {1s..2s}", Some(true)),
        ("bidirectional_bytes > 10M", Some(true)),
        ("bidirectional_bytes > 20Mi", Some(false)),
        ("bidirectional_bytes = 20_000_000", Some(true)),
        ("dst2src_bytes > 2 * src2dst_bytes", Some(true)),
        ("dst2src_bytes - src2dst_bytes = 200", Some(true)),
        ("src2dst_bytes / dst2src_bytes < 0.34", Some(true)),
        ("src2dst_bytes / 0 > 1", None),
        ("-src2dst_bytes = -100", Some(true)),
        ("src2dst_bytes * 9223372036854775807 > 0", None),
        ("application_name ~ \"TLS*\"", Some(true)),
        ("application_name ~ \"tls*\"", Some(false)),
        ("application_name ~ \"???.Goo?le\"", Some(true)),
        ("application_name in {\"DNS\", \"TLS.Google\"}", Some(true)),
        (
            "application_name >= \"TLS\" and application_name < \"TLT\"",
            Some(true),
        ),
        ("sni:*.example.com", Some(true)),
        ("app:DNS", Some(false)),
        ("app:\"TLS.*\"", Some(true)),
        ("443", Some(true)),
        ("80", Some(false)),
        ("10.1.2.3", Some(true)),
        ("2001:db8::/64 and 443", Some(true)),
        ("user_agent = \"\"", Some(true)),
        ("user_agent is null", Some(false)),
        ("udps.p.count is null", Some(true)),
        ("udps.p.count is not null", Some(false)),
        ("udps.p.count = 1", None),
        ("not udps.p.count = 1", None),
        ("udps.p.count = 1 or dst_port = 443", Some(true)),
        ("udps.p.count = 1 or dst_port = 80", None),
        ("udps.p.count = 1 and dst_port = 443", None),
        ("udps.p.count = 1 and dst_port = 80", Some(false)),
        ("udps.p.count in {1}", None),
        ("udps.p.score > 0.8", Some(true)),
        ("udps.p.score > 0", Some(true)),
        ("udps.p.score in {0..1}", Some(true)),
        ("udps.p.is_odd", Some(false)),
        ("udps.p.text ~ \"a\\*b\"", Some(true)),
        ("udps.p.text ~ \"a\\?b\"", Some(false)),
        ("udps.p.bytes = x\"1603\"", Some(true)),
        ("udps.p.bytes > x'15'", Some(true)),
        ("udps.p.list is not null", Some(true)),
        ("udps.p.json is null", Some(true)),
        ("(dst_port = 80 or dst_port = 443) and true", Some(true)),
        ("dst_port = 80 or dst_port = 443 and false", Some(false)),
    ] {
        assert_eq!(evaluate(text, &flow()), expected, "{text}");
    }
}

#[test]
fn filters_know_the_columns_that_they_read() {
    for (text, expected) in [
        ("true", &[][..]),
        ("443 and src_port > 1", &["src_port", "dst_port"]),
        ("not -(dst2src_bytes / 2) is null", &["dst2src_bytes"]),
        (
            "sni:a or udps.p.is_odd or udps.p.text in {\"a\"}",
            &["requested_server_name", "udps.p.is_odd", "udps.p.text"],
        ),
    ] {
        let filter = Filter::parse(text, &schema()).unwrap();
        assert!(filter.columns().eq(expected.iter().copied()), "{text}");
    }
}

#[test]
fn nan_is_equal_to_itself_and_greater_than_all_other_numbers() {
    for (text, value, expected) in [
        ("udps.p.score = udps.p.score", f64::NAN, true),
        ("udps.p.score > 1e308", f64::NAN, true),
        ("udps.p.score < 0", f64::NAN, false),
        ("udps.p.score in {0..1}", f64::NAN, false),
        ("udps.p.score = 0", -0.0, true),
        ("udps.p.score >= 0", -0.0, true),
        ("udps.p.score > 1e308", f64::INFINITY, true),
    ] {
        let values = [("udps.p.score", Value::Float(value))];
        assert_eq!(evaluate(text, &values), Some(expected), "{text} {value}");
    }
}

#[test]
fn errors_show_the_place_and_what_is_accepted() {
    for (text, place, message, label) in [
        (
            "",
            "",
            "the expression is incomplete",
            "expected a column or a value",
        ),
        (
            "dst_prt = 443",
            "dst_prt",
            "there is no column 'dst_prt'",
            "did you mean 'dst_port'?",
        ),
        (
            "tunnel = 1",
            "tunnel",
            "there is no column 'tunnel'",
            "did you mean 'tunnel_id'?",
        ),
        (
            "nonsense = 1",
            "nonsense",
            "there is no column 'nonsense'",
            "`flowloom fields` lists the columns; put text into quotation marks",
        ),
        (
            "splt_ps is null",
            "splt_ps",
            "the flows of this run have no column 'splt_ps'",
            "it is present with splt_analysis",
        ),
        (
            "dst_port",
            "dst_port",
            "'dst_port' is a number, not a condition",
            "compare it, as in dst_port > 0",
        ),
        (
            "application_name = TLS",
            "TLS",
            "there is no column 'TLS'",
            "`flowloom fields` lists the columns; put text into quotation marks",
        ),
        (
            "application_name = 5",
            "application_name = 5",
            "text cannot be compared with a number",
            "put text into quotation marks",
        ),
        (
            "src_ip < 10.0.0.1",
            "src_ip < 10.0.0.1",
            "addresses have no order here",
            "use in, for example src_ip in 10.0.0.0/8",
        ),
        (
            "src_ip = 10.0.0.0/8",
            "10.0.0.0/8",
            "a network is not compared",
            "write in before it, as in src_ip in 10.0.0.0/8",
        ),
        (
            "src_ip in 10.0.0.0/33",
            "10.0.0.0/33",
            "the network has no valid number of bits",
            "0 to 32 bits are accepted, as in 10.0.0.0/8",
        ),
        (
            "src_port in {1023..1}",
            "1023..1",
            "the range is empty",
            "write the smaller number first",
        ),
        (
            "dst_port = null",
            "null",
            "a comparison with null is never true",
            "write is null or is not null",
        ),
        (
            "dst_port = 5m",
            "m",
            "'m' is no unit",
            "write min for minutes, M for millions",
        ),
        (
            "dst_port = 5s",
            "dst_port = 5s",
            "a time is compared with a number that is no time",
            "leave out the unit, or compare a column with a unit of time",
        ),
        (
            "1 < src_port < 9",
            "<",
            "compares a comparison",
            "join two comparisons with and, or give a range, as in src_port in {1..1023}",
        ),
        (
            "(dst_port = 1",
            "",
            "a bracket is open",
            "expected and, or, or )",
        ),
        (
            "dst_port = 1 src_port = 2",
            "src_port",
            "the expression should end here",
            "expected and, or, or the end",
        ),
        (
            "application_name ~ TLS",
            "TLS",
            "the pattern is not text",
            "put it into quotation marks, as in \"*.example.com\"",
        ),
        (
            "dst_port ~ \"4*\"",
            "dst_port",
            "this is a number, and only text has patterns",
            "compare it with = or <",
        ),
        (
            "x:1",
            "x:1",
            "'x:' has no meaning",
            "expected one of app: (application_name), category: (application_category_name), sni: (requested_server_name), ua: (user_agent)",
        ),
        (
            "dst_port = \"",
            "\"",
            "the text does not end",
            "add \" at its end",
        ),
        (
            "dst_port = 99999999999999999999",
            "99999999999999999999",
            "the number cannot be represented",
            "whole numbers from 0 to 9223372036854775807 are accepted",
        ),
        (
            "70000",
            "70000",
            "a value alone is not a condition",
            "compare a column with it; only a port, an address or a network can stand alone",
        ),
        (
            "dst_port # 5",
            "#",
            "'#' has no meaning here",
            "put text into quotation marks",
        ),
        (
            "udps.p.list = 1",
            "udps.p.list = 1",
            "a list cannot be compared with a number",
            "only is null and is not null are accepted here",
        ),
    ] {
        let error = Filter::parse(text, &schema()).unwrap_err();
        let [diagnostic] = error.diagnostics() else {
            panic!("{text}: {error}");
        };
        assert_eq!(&text[diagnostic.span.clone()], place, "{text}");
        assert_eq!(diagnostic.message, message, "{text}");
        assert_eq!(diagnostic.label, label, "{text}");
    }
}

#[test]
fn all_errors_are_reported_with_the_text() {
    let error = Filter::parse("dst_prt = 443 or src_port", &schema()).unwrap_err();
    let expected = "\
error: there is no column 'dst_prt'
 --> --where:1:1
  |
1 | dst_prt = 443 or src_port
  | ^^^^^^^ did you mean 'dst_port'?
  |
error: 'src_port' is a number, not a condition
 --> --where:1:18
  |
1 | dst_prt = 443 or src_port
  |                  ^^^^^^^^ compare it, as in src_port > 0";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn long_and_deep_expressions_are_refused_or_evaluated() {
    let deep =
        |open: &str, n: usize, close: &str| open.repeat(n) + "dst_port = 443" + &close.repeat(n);
    assert_eq!(evaluate(&deep("(", 50, ")"), &flow()), Some(true));
    assert_eq!(evaluate(&deep("not ", 50, ""), &flow()), Some(true));
    for text in [
        deep("(", 1_000, ")"),
        deep("not ", 10_000, ""),
        format!("dst_port = 1{}", "+1".repeat(10_000)),
        format!("dst_port = {}1", "-".repeat(10_000)),
    ] {
        let error = Filter::parse(&text, &schema()).unwrap_err();
        let message = &error.diagnostics()[0].message;
        assert_eq!(message, "the expression has too many levels");
    }
    let long = "dst_port = 443 and ".repeat(3_000) + "dst_port = 443";
    assert_eq!(evaluate(&long, &flow()), Some(true));
    let error = Filter::parse(&" ".repeat(70_000), &schema()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("at most 65536 bytes are accepted")
    );
}

fn matches(pattern: &str, text: &str) -> bool {
    super::glob::Glob::new(pattern).matches(text)
}

#[test]
fn patterns_that_retry_often_end() {
    assert!(matches("*a*a*a*b", &("a".repeat(1_000) + "b")));
    assert!(!matches(&"*a".repeat(100), &"b".repeat(1_000)));
    assert!(matches("?", "ü"));
    assert!(!matches("?", "ab"));
    assert!(matches("**", ""));
    assert!(!matches("", "a"));
}

/// Returns whether the text matches, by the definition of a pattern.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
        Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn patterns_match_as_defined(pattern in "[ab*?]{0,8}", text in "[abü]{0,8}") {
        let both = [&pattern, &text].map(|text| text.chars().collect::<Vec<_>>());
        prop_assert_eq!(matches(&pattern, &text), naive(&both[0], &both[1]));
    }

    #[test]
    fn any_text_gives_a_condition_or_an_error_that_can_be_shown(text in "(\\PC|dst_port|src_ip|[=<>~{}(),.:/0-9 \"']|and|or|not|in|is|null){0,30}") {
        if let Err(error) = Filter::parse(&text, &schema()) {
            prop_assert!(!error.diagnostics().is_empty());
            prop_assert!(error.to_string().starts_with("error: "));
        }
    }

    #[test]
    fn networks_contain_the_addresses_with_the_same_bits(network: u32, address: u32, bits in 0..=32_u8) {
        let text = format!("src_ip in {}/{bits}", IpAddr::from(network.to_be_bytes()));
        let filter = Filter::parse(&text, &schema()).unwrap();
        let schema = schema();
        let row = Values {
            schema: &schema,
            values: [("src_ip", Value::Ip(address.to_be_bytes().into()))].into(),
        };
        let mask = u64::MAX << (32 - bits) & 0xffff_ffff;
        let expected = u64::from(network) & mask == u64::from(address) & mask;
        prop_assert_eq!(filter.condition.evaluate(&row), Some(expected));
    }
}
