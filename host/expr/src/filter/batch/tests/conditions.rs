//! Random conditions on the columns of the test schema, as text.

use proptest::prelude::*;
use proptest::sample::select;

const BOOLEANS: &[&str] = &["src_ip_is_private", "dst_ip_is_private", "udps.p.is_odd"];
const NUMBERS: &[&str] = &[
    "src_port",
    "dst_port",
    "src2dst_bytes",
    "dst2src_bytes",
    "expiration_id",
    "bidirectional_duration_ms",
    "bidirectional_mean_ps",
    "bidirectional_stddev_ps",
    "udps.p.count",
    "udps.p.score",
];
const LITERAL_NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "443",
    "0x1bb",
    "10M",
    "9223372036854775807",
    "-9223372036854775807",
    "9007199254740993",
    "0.0",
    "-0.0",
    "0.5",
    "-1.5",
    "443.0",
    "9223372036854775808.0",
    "1e308",
];
const TIMES: &[&str] = &["0s", "1ms", "1.5s", "500us", "-1s", "1h"];
/// Members of sets; none of the ranges is empty.
const RANGES: &[&str] = &[
    "0",
    "443",
    "-1",
    "0.5",
    "1..443",
    "-1..0",
    "-0.5..0.5",
    "400..443.5",
    "0.0..0",
    "9223372036854775806..9223372036854775807",
    "-1e308..-1",
    "1..1e308",
];
const TEXTS: &[&str] = &[
    "application_name",
    "application_category_name",
    "requested_server_name",
    "user_agent",
    "src_mac",
    "dst_mac",
    "src_oui",
    "community_id",
    "flow_uid",
    "udps.p.text",
];
const LITERAL_TEXTS: &[&str] = &[
    "\"\"",
    "\"TLS\"",
    "\"TLS.Google\"",
    "'a*b'",
    "\"ü\"",
    "\"www.example.com\"",
    "02:00:00:00:00:AB",
    "\"02:00:00\"",
    "\"1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\"",
    "\"abababababababababababababababab\"",
];
const PATTERNS: &[&str] = &[
    "\"\"",
    "\"*\"",
    "\"?\"",
    "\"TLS*\"",
    "\"*.example.com\"",
    "\"a\\*b\"",
    "\"02:*\"",
    "\"*o*e*\"",
];
const ADDRESSES: &[&str] = &["src_ip", "dst_ip"];
const LITERAL_ADDRESSES: &[&str] = &["10.1.2.3", "192.168.0.1", "2001:db8::1", "::1", "0.0.0.0"];
const NETWORKS: &[&str] = &[
    "10.1.2.3",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "192.168.0.0/24",
    "2001:db8::/32",
    "::/0",
    "\"::1\"",
];
const BYTES: &[&str] = &["udps.p.bytes", "x\"\"", "x\"16\"", "x\"1603\"", "x\"ff\""];
const SHORT_FORMS: &[&str] = &[
    "443",
    "0",
    "10.1.2.3",
    "10.0.0.0/8",
    "2001:db8::/64",
    "sni:*.example.com",
    "app:TLS*",
    "category:Web",
    "ua:*",
    "true",
    "false",
];
const COMPARISONS: &[&str] = &["=", "!=", "<", "<=", ">", ">="];

/// Returns conditions, all of which are valid.
pub(super) fn condition() -> impl Strategy<Value = String> {
    test().prop_recursive(4, 24, 3, |inner| {
        let all = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|inner| format!("not ({inner})")),
            all.clone()
                .prop_map(|all| format!("({})", all.join(" and "))),
            all.prop_map(|all| format!("({})", all.join(" or "))),
        ]
    })
}

/// Returns conditions without inner conditions.
fn test() -> impl Strategy<Value = String> {
    let equality = || select(&["=", "!="][..]);
    let boolean = || select([BOOLEANS, &["true", "false"]].concat());
    let address = || mostly(ADDRESSES, LITERAL_ADDRESSES);
    prop_oneof![
        1 => select(BOOLEANS).prop_map(str::to_owned),
        1 => select(SHORT_FORMS).prop_map(str::to_owned),
        1 => (boolean(), equality(), boolean()).prop_map(words),
        6 => (number(), select(COMPARISONS), number()).prop_map(words),
        1 => (select(COMPARISONS), select(TIMES)).prop_map(|(comparison, time)| {
            format!("bidirectional_duration_ms {comparison} {time}")
        }),
        3 => (number(), set(RANGES)).prop_map(|(number, set)| format!("{number} {set}")),
        3 => (text(), select(COMPARISONS), text()).prop_map(words),
        2 => (text(), select(PATTERNS)).prop_map(|(text, pattern)| format!("{text} ~ {pattern}")),
        2 => (text(), set(&LITERAL_TEXTS[..6])).prop_map(|(text, set)| format!("{text} {set}")),
        2 => (address(), equality(), address()).prop_map(words),
        3 => (address(), set(NETWORKS)).prop_map(|(address, set)| format!("{address} {set}")),
        2 => (select(BYTES), select(COMPARISONS), select(BYTES)).prop_map(words),
        3 => (value(), select(&["is null", "is not null"][..]))
            .prop_map(|(value, is)| format!("{value} {is}")),
    ]
}

fn words(
    (left, operator, right): (impl std::fmt::Display, &str, impl std::fmt::Display),
) -> String {
    format!("{left} {operator} {right}")
}

/// Returns members of `in` or `not in`.
fn set(members: &'static [&'static str]) -> impl Strategy<Value = String> {
    let members = prop::collection::vec(select(members), 1..4);
    (select(&["in", "not in"][..]), members)
        .prop_map(|(operator, members)| format!("{operator} {{{}}}", members.join(", ")))
}

/// Returns columns three times as often as literals.
fn mostly(
    columns: &'static [&'static str],
    literals: &'static [&'static str],
) -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => select(columns), 1 => select(literals)]
}

fn text() -> impl Strategy<Value = &'static str> {
    mostly(TEXTS, LITERAL_TEXTS)
}

fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![2 => select(NUMBERS), 1 => select(LITERAL_NUMBERS)];
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 8, 2, |inner| {
            prop_oneof![
                1 => inner.clone().prop_map(|inner| format!("-({inner})")),
                4 => (inner.clone(), select(&["+", "-", "*", "/"][..]), inner)
                    .prop_map(|(left, operator, right)| format!("({left} {operator} {right})")),
            ]
        })
}

fn value() -> impl Strategy<Value = String> {
    let others = [
        BOOLEANS,
        TEXTS,
        ADDRESSES,
        BYTES,
        &["udps.p.list", "udps.p.floats", "udps.p.json", "\"\"", "::1"],
    ];
    prop_oneof![number(), select(others.concat()).prop_map(str::to_owned),]
}
