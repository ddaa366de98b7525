//! Messages, with the text and the marks that users see.

use std::fmt::Write;

use super::super::foreign::expressions;
use super::super::{Limits, Program};

/// Texts with errors. Their messages are in `errors.txt`, which `FLOWLOOM_BLESS=1` rewrites.
const TEXTS: &[&str] = &[
    "big = count(where ip_sise > 1000)",
    "syns = count(where tcp.flags.syn == 1)",
    "size = ip_size * 2",
    "gap = mean(iat)",
    "slow = count(iat > 5)",
    "pause = mean(iat where iat > 5s)",
    "mid = median(ip_size)",
    "get = any(payload contains \"GET \")",
    "mid = count(0 < ip_size < 100)",
    "s = sum(tcp_seq)",
    "m = avg(ip_size)",
    "big = count()\nsmall = count(where ip_size < 10)\nall = list(ip_size first 256)",
    "sizes = list(ip_size first 20)\nall = list(ip_size first 256)",
    "m = mean(syn)",
    "a = tcp_seq * tcp_ack",
    "a = max(float(tcp_seq) * tcp_ack) + max(tcp_seq * tcp_seq * tcp_ack)",
    "a = count() / duration()",
    "a = mean(mean(ip_size))",
    "a = mean(count() per bursts)",
    "runs b = break when iat > 1s\na = mean(max(count() per b) per b)",
    "a = mean(ip_size, src2dst, dst2src)",
    "a = mean(ip_size) where syn",
    "a = sum(ip_size) in ms",
    "a = count(where ip_size > 10",
    "a = count(where payload[4:] == \"GET\")",
    "a = last(time)",
    "a = last(time) + first(time)",
    "a = count()\na = count()\nb = a + 1",
    "let ttl = 5\nlet first = 6\nlanguage 2\nnulls 0.5\nb = first(ip_size where syn)",
    "a = std(ip_size)\nb = nunique(ttl)\nc = coalesce(count(), 0)\nd = cuont()",
    "a = count(where src_ip == \"10.0.0.1\")",
    "a = quantile(ip_size, 2 first 8)\nb = hist(ip_size, [5, 3])\nc = distinct(ttl)",
    "a = count(where bidirectional_packets > 5)",
    "a = @ + 1\nb = \"GET\nc = x\"1\"\nd = \"\\q\"\ne = 9223372036854775808\nf = 1e999",
    "# Nothing.",
    "A = 1\nb = \ncount()\nlet",
    // Names and words of other programs.
    "a = max(frame.len)\nb = count(where udp.port == 53)\nc = max(tcp.hdr_len)\nd = count(where ip.src == 1)",
    "a = flow_iat_mean\nb = tot_fwd_pkts\nc = fwd_pkt_len_max\nd = max(packet.payload_size)\ne = flow.src2dst_bytes",
    "a = max(size)\nb = count(where proto == 6)\nc = max(sport)\nd = mean(delta_time)\ne = count(SYN)\nf = packets",
    "a = COUNT()\nb = ip_size.mean()\nc = np.median(ip_size)\nd = any(payload.contains(\"GET\"))\ne = ceil(1.5)",
    "a = count(where ip_size > 1000 AND syn)\nb = count() WHERE syn\nc = mean(ip_size if syn)\nd = count(syn is null)",
    "a = count(where src_port in [80, 443])\nb = count(where src_port in {80-443})\nc = count(where ttl <> 1)\nd = count(*)",
    "a = count() ** 2\nb = count() ^ 2\nc = count(syn) ? 1 : 0\nd = count();\ne = application_name",
];

/// Returns the messages of a text.
fn messages(text: &str) -> String {
    match Program::parse("test.features", text, &Limits::default()) {
        Ok(program) => panic!("{text} is accepted: {program:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn errors_show_the_place_and_what_to_write() {
    let mut all = String::new();
    for text in TEXTS {
        writeln!(all, "{}\n", messages(text)).unwrap();
    }
    if std::env::var_os("FLOWLOOM_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/features/tests/errors.txt");
        std::fs::write(path, &all).unwrap();
        return;
    }
    for (line, expected) in all.lines().zip(include_str!("errors.txt").lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(all, include_str!("errors.txt"));
}

#[test]
fn what_is_written_instead_is_accepted() {
    for here in expressions() {
        let here = here.replace('X', "ip_size").replace("CONDITION", "syn");
        let here = here.replace('Y', "2").replace("a ?? b", "ip_size ?? 2");
        let here = here.split(" for a value").next().unwrap_or(&here);
        let here = here.split(", which").next().unwrap_or(here);
        for text in here.split(" or round") {
            let forms = [
                format!("a = {text}"),
                format!("a = last({text})"),
                format!("a = last({text}) in ms"),
                format!("a = last({text}) - first({text}) in ms"),
                format!("a = head({text}, 4)"),
                format!("a = last(round{text})"),
            ];
            let is_accepted =
                |text: &String| Program::parse("test", text, &Limits::default()).is_ok();
            assert!(forms.iter().any(is_accepted), "{text}");
        }
    }
}

#[test]
fn at_most_ten_errors_are_reported() {
    let text = "x = unknown_name\n".repeat(40);
    let error = Program::parse("test", &text, &Limits::default()).unwrap_err();
    assert_eq!(error.diagnostics().len(), 10);
}

#[test]
fn texts_beyond_the_limits_are_refused() {
    let refused = |text: &str, message: &str| {
        let error = Program::parse("test", text, &Limits::default()).unwrap_err();
        let found = &error.diagnostics()[0].message;
        assert!(found.contains(message), "{found}");
    };
    for open in ["(", "-", "not ", "!", "abs(", "[", "x[", "count(where "] {
        refused(
            &format!("a = {}", open.repeat(30_000 / open.len())),
            "too many levels",
        );
    }
    refused(&format!("a = {}1", "1 + ".repeat(100)), "too many levels");
    refused(&format!("# {}", "x".repeat(64 << 10)), "bytes");
    let lets: Vec<_> = (0..4_200)
        .map(|number| format!("let a{number}={number}"))
        .collect();
    refused(&lets.join("\n"), "too large");
    let features: Vec<_> = (0..129)
        .map(|number| format!("a{number} = count()"))
        .collect();
    refused(&features.join("\n"), "129 features");
    refused("a = list(ip_size first 65535)", "bytes of each flow");
    refused("a = list(ip_size first 99999999999)", "too large");
    refused(
        "a = count(where age > 9223372036854775807h)",
        "cannot be represented",
    );
    refused(
        "a = count(where index * 9223372036854775807 > 0)",
        "more than 64 bits",
    );
    let text = "a = list(ip_size first 500)";
    let with = |state_bytes| Limits {
        state_bytes,
        ..Limits::default()
    };
    assert!(Program::parse("test", text, &with(2_048)).is_ok());
    assert!(Program::parse("test", text, &with(2_047)).is_err());
}

#[test]
fn doubling_lets_stay_small() {
    let mut text = "let a0 = float(ip_size)\n".to_owned();
    for number in 1..60 {
        let before = number - 1;
        writeln!(text, "let a{number} = a{before} + a{before}").unwrap();
    }
    text += "sum = sum(a59)";
    let program = super::program(&text);
    assert!(program.graph.values.len() < 70);
    // Each uses the one before as value and as condition.
    let mut text = "let a0 = ip_size > 1\n".to_owned();
    for number in 1..200 {
        let before = number - 1;
        writeln!(text, "let a{number} = a{before} where a{before}").unwrap();
    }
    text += "count = count(a199)";
    super::program(&text).compile().unwrap();
}

#[test]
fn many_signs_have_a_printed_form() {
    let program = super::program(&format!("a = {}first(ttl)", "-".repeat(60)));
    let source = program.source();
    assert_eq!(super::program(&source).source(), source);
}
