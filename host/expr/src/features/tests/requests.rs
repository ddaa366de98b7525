//! What programs ask the host for.

use super::super::{Limits, Program};
use super::program;

fn with(state_bytes: u32) -> Limits {
    Limits {
        state_bytes,
        ..Limits::default()
    }
}

#[test]
fn only_payload_that_outputs_read_is_requested() {
    let payload = |text: &str| {
        let program = program(text);
        let span = program.payload_span();
        let place = span.map(|span| text[span].to_owned());
        (program.payload_bytes(), place)
    };
    let unused = "let a = u32(payload, 60)\n";
    assert_eq!(payload(&format!("{unused}n = count()")), (0, None));
    let text = format!("{unused}n = count(payload[1] > 3)\nm = max(u16(payload, 3))");
    let place = Some("u16(payload, 3)".to_owned());
    assert_eq!(payload(&text), (5, place));
    let head = "let a = head(payload, 64)\nh = head(payload, 8)";
    assert_eq!(payload(head), (8, Some("head(payload, 8)".to_owned())));
    let head = "runs r = break when payload[9] == 1\nn = count()";
    assert_eq!(payload(head).0, 0);
}

#[test]
fn packets_without_effect_are_not_requested() {
    let check = |text: &str, expected| {
        assert_eq!(program(text).packets_per_flow(), expected, "{text}");
    };
    check("a = count()", None);
    check("a = sum(ip_size where index <= 10)", Some(10));
    check("a = sum(ip_size where index < 10 and syn)", Some(9));
    check("a = any(syn where 3 >= index)", Some(3));
    check("a = count(where index in {2..4})", Some(4));
    check("a = count(where index == 2 or index == 5)", Some(5));
    check("a = count(where index <= 2 or syn)", None);
    check("a = count(where index >= 2)", None);
    check("a = count(where index <= 0)", Some(1));
    check("let early = index <= 4\na = count(early, src2dst)", Some(4));
    check(
        "let s = ip_size, src2dst where index <= 4\na = count(s > 9)",
        None,
    );
    // Every packet has a size, but not every one is the next of its direction.
    check("a = mean(ip_size first 5)", Some(5));
    check("a = mean(ip_size first 5, src2dst)", None);
    check("a = mean(iat first 5) in ms", None);
    check("a = first(ttl)\nb = nth(ttl, 3)", Some(3));
    check("a = last(ttl)", None);
    check("a = list(ip_size first 20)", Some(20));
    check("a = head(payload, 20)", None);
    check("a = head(payload, 20 where index <= 2)", Some(2));
    check("a = float(bidirectional_packets) * 2", Some(1));
    check(
        "a = max(ttl where index <= 7)\nb = bidirectional_packets",
        Some(7),
    );
    check("a = max(ttl where index <= 7)\nb = count()", None);
    let runs = "runs r = where index <= 9 break when syn\n";
    check(&format!("{runs}a = max(count() per r)"), Some(9));
    let runs = "runs r = break when syn\n";
    check(&format!("{runs}a = max(count(index <= 9) per r)"), None);
    check(&format!("{runs}a = first(count() per r)"), None);
}

#[test]
fn conditions_that_double_take_no_time() {
    let mut text = "let a0 = index <= 3 and syn\n".to_owned();
    for number in 1..60 {
        let before = number - 1;
        text += &format!("let a{number} = a{before} and a{before}\n");
    }
    let program = program(&(text + "n = count(where a59)"));
    assert_eq!(program.packets_per_flow(), Some(3));
    assert_eq!(program.state_bytes(), 16);
}

#[test]
fn the_state_is_limited() {
    // The statistics of a value of 32 bits in both directions, 64 bytes each.
    let line = |n: u32| {
        let value = format!("ip_size // {}", n + 2);
        format!("a{n} = stddev({value}) + min({value})\nb{n} = max({value})\n")
    };
    let text: String = (0..32).map(line).collect();
    let bytes = program(&text).state_bytes();
    assert!((900..=1_024).contains(&bytes), "{bytes}");
    assert_eq!(bytes % 64, 0);
    assert!(Program::parse("test", &text, &with(bytes)).is_ok());
    let result = Program::parse("test", &text, &with(bytes - 1));
    let error = result.map(|_| ()).unwrap_err();
    let [error] = error.diagnostics() else {
        panic!("{error}");
    };
    let message = format!(
        "the features need {bytes} bytes of each flow, and at most {} are allowed; flowloom plugin compile --state-bytes \
         {bytes} allows them",
        bytes - 1
    );
    assert_eq!(error.message, message);
    assert!(text[error.span.clone()].starts_with("stddev("));
    // A limit of more than 4,096 bytes is one of 4,096.
    let text: String = (0..63).map(line).collect();
    let large = { text.replace("min(", "skew(") }.replace("ip_size", "ip_size * 100000");
    let result = Program::parse("test", &large, &with(u32::MAX));
    let message = result.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("at most 4096 are allowed"), "{message}");
}

#[test]
fn previous_values_alone_have_a_place_in_the_error() {
    let text: String = (0..100)
        .map(|n| format!("a{n} = count(where prev_{n})\n"))
        .collect();
    let lets: String = (0..100)
        .map(|n| {
            format!(
                "let prev_{n} = prev(ttl) > {n} and prev(ip_size // {}) > 1\n",
                n + 2
            )
        })
        .collect();
    let error = Program::parse("test", &(lets + &text), &with(1_024)).unwrap_err();
    assert_eq!(
        error.diagnostics()[0].message.split(' ').next(),
        Some("the")
    );
    assert!(!error.diagnostics()[0].span.is_empty());
}
