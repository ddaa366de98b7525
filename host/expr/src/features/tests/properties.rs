//! What holds for every text.

use std::fmt::Write;

use flowloom_core::fields::PacketField;
use flowloom_core::value::Type;
use proptest::prelude::*;

use super::super::interpret::check_types;
use super::super::parse::parse;
use super::super::{Limits, Packet, Program};
use super::program;

/// The features of CICFlowMeter that differ in form.
const CIC: &str = r#"
language 1
about "CICFlowMeter's features, by its corrected definitions"
nulls 0
let t    = floor(time, 1us)
let gap  = delta(t)
let head = transport_size - payload_size
let secs = (last(t) - first(t)) / 1s
let gaps = count(gap > 1s)
runs bulk = where payload_size > 0 break when changed(direction) or delta(t) > 1s
runs busy = break when delta(t) > 5s drop last
flow_duration = (last(t) - first(t)) // 1us  # Duration in µs.
tot_fwd_pkts = count(src2dst)
totlen_fwd_pkts = sum(payload_size, src2dst)
fwd_pkt_len_std = stddev(payload_size, src2dst)
flow_byts_s = sum(payload_size) / secs
flow_iat_mean = mean(gap) in us
fwd_iat_tot = sum(delta(t), src2dst) in us
fwd_psh_flags = count(psh, src2dst)
fwd_header_len = sum(head, src2dst)
pkt_len_var = variance(payload_size)
down_up_ratio = count(dst2src) / count(src2dst)
fwd_byts_b_avg = mean(sum(payload_size) per bulk where count() >= 4 and first(src2dst))
fwd_blk_rate_avg = sum(sum(payload_size) per bulk where count() >= 4 and first(src2dst))
    / (sum(last(t) - first(t) per bulk where count() >= 4 and first(src2dst)) / 1s)
subflow_fwd_pkts = count(src2dst) / gaps
init_bwd_win_byts = first(tcp_window, dst2src where tcp_window > 0)
fwd_act_data_pkts = count(payload_size > 0, src2dst)
fwd_seg_size_min = min(head, src2dst)
active_mean = mean(last(t) - first(t) per busy where last(t) > first(t)) in us
idle_std = stddev(gap where gap > 5s) in us
"#;

#[test]
fn the_features_of_cicflowmeter_are_accepted() {
    let program = program(CIC);
    assert_eq!(program.outputs().len(), 19);
    assert_eq!(program.outputs()[0].description, "Duration in µs.");
    assert!(program.outputs().iter().all(|output| !output.is_nullable));
    let fields: Vec<_> = program
        .packet_fields()
        .iter()
        .map(|field| field.name)
        .collect();
    let expected = [
        "time_ns",
        "direction",
        "transport_size",
        "payload_size",
        "psh",
        "tcp_window",
    ];
    assert_eq!(fields, expected);
    check_form(CIC);
}

/// Checks that the printed form of a text parses to the same tree.
fn check_form(text: &str) {
    let (file, errors) = parse(text);
    if errors.is_empty() {
        let printed = file.to_string();
        let (again, errors) = parse(&printed);
        assert!(errors.is_empty(), "{printed}: {errors:?}");
        assert_eq!(again, file, "{printed}");
    }
}

/// Returns a packet with this number in each field, or the largest that the field can have.
fn packet(program: &Program, number: u64) -> Packet {
    let value = |field: &&PacketField| match field.ty {
        _ if field.name == "direction" => number.min(1),
        Type::Boolean => number.min(1),
        Type::U8 => number.min(u8::MAX.into()),
        Type::U16 => number.min(u16::MAX.into()),
        Type::U32 => number.min(u32::MAX.into()),
        _ => number.min(i64::MAX as u64),
    };
    let fields = program.packet_fields().iter().map(value).collect();
    Packet::new(fields, vec![number as u8; 40])
}

/// Checks what holds for every text.
fn check(text: &str) {
    check_form(text);
    match Program::parse("test", text, &Limits::default()) {
        Ok(program) => {
            let packets: Vec<_> = [0, 1, 1, 255, u64::MAX]
                .into_iter()
                .map(|number| packet(&program, number))
                .collect();
            check_types(&program, &packets);
            let values = program.interpret(&packets, &[]);
            assert_eq!(values.len(), program.outputs().len());
            for (value, output) in values.iter().zip(program.outputs()) {
                let is_null = *value == flowloom_core::value::UdpValue::Null;
                // Flow fields are missing here.
                assert!(
                    output.is_nullable || !is_null || !program.flow_fields().is_empty(),
                    "{text}"
                );
            }
            let source = program.source();
            let again = Program::parse("test", &source, &Limits::default()).unwrap();
            assert_eq!(again.interpret(&packets, &[]), values, "{source}");
            // An accepted program compiles.
            let component = program.compile();
            assert!(component.is_ok(), "{:?}: {source}", component.err());
        }
        Err(error) => {
            assert!(!error.diagnostics().is_empty());
            for diagnostic in error.diagnostics() {
                assert!(
                    text.get(diagnostic.span.clone()).is_some(),
                    "{text:?}: {diagnostic:?}"
                );
            }
            assert!(error.to_string().starts_with("error: "));
        }
    }
}

const WORDS: &[&str] = &[
    "a",
    "b",
    "ip_size",
    "payload_size",
    "time",
    "iat",
    "age",
    "index",
    "payload",
    "syn",
    "src2dst",
    "direction",
    "tcp_seq",
    "bidirectional_packets",
    "let",
    "runs",
    "where",
    "first",
    "per",
    "break",
    "when",
    "drop",
    "last",
    "in",
    "ms",
    "and",
    "or",
    "not",
    "contains",
    "count(",
    "sum(",
    "mean(",
    "max(",
    "stddev(",
    "list(",
    "head(",
    "prev(",
    "if(",
    "floor(",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    "..",
    ":",
    "=",
    "==",
    "<",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "&",
    "|",
    "??",
    "1",
    "0",
    "7",
    "1s",
    "2.5",
    "\"GET\"",
    "x\"00ff\"",
    "true",
    "\n",
    "# text",
    "nulls",
    "language",
    "about",
    "§",
    "\"",
];

/// Returns an expression of packets that is of numbers.
fn numbers() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "ip_size",
        "index",
        "ttl",
        "3",
        "-2",
        "2.5",
        "payload[3]",
        "u16(payload, 1)",
        "iat / 1ms",
        "prev(ip_size)",
        "tcp_flags",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(4, 20, 2, |inner| {
            let operator =
                prop::sample::select(vec!["+", "-", "*", "/", "//", "%", "&", "|", "??"]);
            prop_oneof![
                (inner.clone(), operator, inner.clone())
                    .prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
                inner.clone().prop_map(|a| format!("-({a})")),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| format!("if({a} < {b}, {a}, {b})")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("least({a}, {b})")),
            ]
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_gives_a_program_or_errors(text in "\\PC{0,60}") {
        check(&text);
        check(&format!("a = {text}"));
    }

    #[test]
    fn any_words_give_a_program_or_errors(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..24),
    ) {
        check(&words.join(" "));
        check(&format!("a = {}", words.join(" ")));
    }

    #[test]
    fn aggregates_of_any_numbers_are_refused_or_interpreted(
        number in numbers(),
        aggregate in prop::sample::select(vec![
            "sum", "mean", "min", "max", "stddev", "variance_pop", "skew", "kurtosis", "first", "last",
        ]),
        other in numbers(),
    ) {
        let mut text = String::new();
        writeln!(text, "let x = {number}").unwrap();
        writeln!(text, "a = {aggregate}(x where ip_size > 0)\nb = corr(x, {other})").unwrap();
        writeln!(text, "c = median({other} first 4)").unwrap();
        check(&text);
    }
}
