//! Tests of text from packets in CSV and JSON lines.

use std::process::{Command, Stdio};

use crate::command::meter;
use crate::flows::Flow;

/// Returns a pcap of raw IP with a TCP handshake and an HTTP request with this user agent.
fn request(user_agent: &str) -> Vec<u8> {
    let request =
        format!("GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: {user_agent}\r\n\r\n");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let mut pcap = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        pcap.extend(word.to_le_bytes());
    }
    let (client, server) = ([192, 0, 2, 1, 0xc3, 0x50], [192, 0, 2, 2, 0, 80]);
    for (n, (from, to, seq, ack, flags, payload)) in [
        (client, server, 1_u32, 0, 0x02, ""),
        (server, client, 1, 2, 0x12, ""),
        (client, server, 2, 2, 0x10, ""),
        (client, server, 2, 2, 0x18, &*request),
        (server, client, 2, 2 + request.len() as u32, 0x18, answer),
    ]
    .into_iter()
    .enumerate()
    {
        let len = 40 + payload.len() as u32;
        for word in [1_000, n as u32, len, len] {
            pcap.extend(word.to_le_bytes());
        }
        pcap.extend([0x45, 0]);
        pcap.extend((len as u16).to_be_bytes());
        pcap.extend([0, 1, 0, 0, 64, 6, 0, 0]);
        pcap.extend([&from[..4], &to[..4], &from[4..], &to[4..]].concat());
        pcap.extend(seq.to_be_bytes());
        pcap.extend(ack.to_be_bytes());
        pcap.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
        pcap.extend(payload.as_bytes());
    }
    pcap
}

/// Meters the request. Returns the field `user_agent` of the only row as Python's CSV reader returns it, and the
/// raw text.
fn field(user_agent: &str, words: &[&str]) -> (String, String) {
    let run = meter("-")
        .stdin(request(user_agent))
        .dissected()
        .args(words)
        .run()
        .done();
    let read = "import csv, sys\nprint(list(csv.DictReader(sys.stdin))[0]['user_agent'], end='')";
    let mut python = Command::new("python3")
        .args(["-c", read])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python is installed");
    let mut stdin = python.stdin.take().expect("the stream is piped");
    std::io::Write::write_all(&mut stdin, run.stdout.as_bytes())
        .expect("the command reads its input");
    drop(stdin);
    let output = python.wait_with_output().expect("the process ends");
    let field = String::from_utf8(output.stdout).expect("text");
    (field, run.stdout)
}

#[test]
fn control_characters_of_packets_do_not_reach_a_terminal_or_a_spreadsheet() {
    let agent = "a\u{1b}[31m\u{7}\u{8}\tb\u{7f}, \"c\"\u{9b}1m";
    let (read, raw) = field(agent, &[]);
    let is_control = |c: char| c.is_control() && c != '\n';
    assert!(!raw.contains(is_control), "{raw:?}");
    assert_eq!(raw.lines().count(), 2, "{raw:?}");
    assert!(
        read.starts_with("a\\x1b[31m\\x07\\x08\\x09b\\x7f"),
        "{read}"
    );
    let run = meter("-")
        .stdin(request(agent))
        .dissected()
        .jsonl()
        .run()
        .done();
    assert!(!run.stdout.contains(is_control), "{run}");
    let flows: Vec<Flow> = run.flows();
    let text = flows[0]["user_agent"].as_str().expect("text");
    assert!(
        text.starts_with("a\u{1b}[31m\u{7}\u{8}\tb\u{7f}"),
        "{text:?}"
    );
}

#[test]
fn formulas_are_kept_unless_the_option_escapes_them() {
    for agent in ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1,2)"] {
        assert_eq!(field(agent, &[]).0, agent);
        assert_eq!(field(agent, &["--csv-formulas", "keep"]).0, agent);
        let (escaped, raw) = field(agent, &["--csv-formulas", "escape"]);
        assert_eq!(escaped, format!("'{agent}"));
        // Negative numbers are not escaped.
        assert!(!raw.contains(",'0") && !raw.contains(",'-1,"), "{raw}");
    }
    let agent = "Mozilla/5.0 (=1)";
    assert_eq!(field(agent, &["--csv-formulas", "escape"]).0, agent);
}
