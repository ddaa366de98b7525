//! Tests of invalid input. The command prints one line for each error, and does not crash.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::command::{captures, flowloom, meter};
use crate::guests::file;

fn capture(name: &str) -> Vec<u8> {
    fs::read(captures().join(name)).expect("one of our captures")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

const DNS_REPORT: [&str; 3] = [
    "packets  34 read, 32 metered",
    "         2 ignored, not-ip: the frame does not carry IP",
    "flows    9",
];

#[test]
fn no_such_file() {
    meter("missing.pcap")
        .run()
        .fails("cannot open 'missing.pcap': No such file or directory (os error 2)");
    // All sources are opened before the first packet is read.
    meter("dns.pcap")
        .arg("missing.pcap")
        .run()
        .fails("cannot open 'missing.pcap': No such file or directory (os error 2)");
}

#[test]
fn not_a_capture() {
    let (_folder, path) = file("notes.txt", "Dear diary");
    meter(&path).run().fails(&format!(
        "cannot read '{}': it is not a capture (first bytes 44 65 61 72 20 64 69 61); \
         use pcap or pcapng, uncompressed or compressed with gzip or zstd",
        shown(&path)
    ));
}

#[test]
fn an_empty_file() {
    let (_folder, path) = file("empty", "");
    meter(&path).run().fails(&format!(
        "cannot read '{}': the file is empty",
        shown(&path)
    ));
}

#[test]
fn a_capture_without_packets_is_fine() {
    let run = meter("empty.pcap").run().done();
    let run = run.reports(&["packets  0 read, 0 metered", "flows    0"]);
    assert!(run.stdout.starts_with("id,expiration_id,"), "{run}");
    assert_eq!(run.stdout.lines().count(), 1, "{run}");
    assert_eq!(meter("empty.pcap").jsonl().run().done().stdout, "");
}

#[test]
fn a_truncated_file_header() {
    let (_folder, path) = file("header.pcap", &capture("dns.pcap")[..20]);
    meter(&path).run().fails(&format!(
        "cannot read '{}': the file ends inside its header, after 20 bytes",
        shown(&path)
    ));
}

#[test]
fn a_folder_without_captures() {
    let (folder, _) = file("notes.txt", "Dear diary");
    meter(folder.path()).run().fails(&format!(
        "cannot read folder '{}': it contains no captures",
        shown(folder.path())
    ));
}

#[test]
fn a_link_type_without_decoder_is_counted() {
    let mut bytes = capture("dns.pcap");
    bytes[20] = 187; // BLUETOOTH_HCI_H4
    let (_folder, path) = file("user.pcap", bytes);
    let run = meter(&path).jsonl().run().done().reports(&[
        "packets  34 read, 0 metered",
        "         34 ignored, unknown-link-type: Flowloom does not decode this link type: BLUETOOTH_HCI_H4 (187)",
        "flows    0",
    ]);
    assert_eq!(run.stdout, "");
}

#[test]
fn a_capture_that_ends_mid_record() {
    let whole = meter("dns.pcap").jsonl().run().done();
    let cut = meter("cut.pcap").jsonl().run().incomplete().reports(&[
        " WARN cannot read 'cut.pcap' at byte 7965, packet 34: the file ends inside a record, \
         after 52 of 82 bytes; the rest of the file is skipped",
        "packets  33 read, 31 metered",
        "         2 ignored, not-ip: the frame does not carry IP",
        "flows    9",
    ]);
    // All flows are complete, except that of the last packet.
    let (whole, cut) = (whole.flows(), cut.flows());
    let same = cut.iter().filter(|flow| whole.contains(flow));
    assert_eq!((cut.len(), same.count()), (9, 8));
}

#[test]
fn a_capture_that_ends_mid_header() {
    meter("cut-header.pcap").run().incomplete().reports(&[
        " WARN cannot read 'cut-header.pcap' at byte 1104, packet 11: the file ends inside a record, \
         after 8 of 16 bytes; the rest of the file is skipped",
        "packets  10 read, 8 metered",
        "         2 ignored, not-ip: the frame does not carry IP",
        "flows    4",
    ]);
}

#[test]
fn a_record_of_an_impossible_length() {
    meter("bad-length.pcap").run().incomplete().reports(&[
        " WARN cannot read 'bad-length.pcap' at byte 1104, packet 11: the record length is 2952790016 \
         bytes, but the maximum is 262144; the rest of the file is skipped",
        "packets  10 read, 8 metered",
        "         2 ignored, not-ip: the frame does not carry IP",
        "flows    4",
    ]);
}

#[test]
fn a_pcapng_that_ends_mid_block() {
    meter("cut.pcapng").run().incomplete().reports_line(
        " WARN cannot read 'cut.pcapng' at byte 8576, packet 34: the file ends inside a record, \
         after 70 of 100 bytes; the rest of the file is skipped",
    );
}

#[test]
fn a_damaged_capture_in_the_middle_of_a_list() {
    let damaged = meter("dns.pcap")
        .args(["cut-header.pcap", "ssh.pcap"])
        .jsonl()
        .run()
        .incomplete()
        .reports_line(
            " WARN cannot read 'cut-header.pcap' at byte 1104, packet 11: the file ends inside a \
             record, after 8 of 16 bytes; the rest of the file is skipped",
        );
    let packets = |run: &crate::command::Run| -> u64 {
        run.flows()
            .iter()
            .map(|flow| flow["bidirectional_packets"].as_u64().expect("a number"))
            .sum()
    };
    let ssh = packets(&meter("ssh.pcap").jsonl().run().done());
    // The packets of dns.pcap, the first ones of cut-header.pcap, and those of ssh.pcap.
    assert_eq!(packets(&damaged), 32 + 8 + ssh);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory")
}

#[test]
fn compressed_captures() {
    let plain = meter("dns.pcap").run().done().stdout;
    for compress in [gzip, zstd] {
        let (_folder, path) = file("dns", compress(&capture("dns.pcap")));
        let run = meter(&path).run().done().reports(&DNS_REPORT);
        assert_eq!(run.stdout, plain);
    }
}

#[test]
fn truncated_compressed_captures() {
    let bytes = capture("dns.pcap");
    let (first, second) = bytes.split_at(4_000);
    for compress in [gzip, zstd] {
        // Two compressed parts are one capture. Flowloom meters the packets of the first part.
        let mut bytes = [compress(first), compress(second)].concat();
        bytes.truncate(bytes.len() - 10);
        let (_folder, path) = file("dns", bytes);
        let run = meter(&path).run().incomplete();
        let warning = format!(" WARN cannot read '{}' at byte ", shown(&path));
        assert!(run.stderr.starts_with(&warning), "{run}");
        assert!(
            run.stderr.contains(": the compressed data is damaged: "),
            "{run}"
        );
        assert!(run.stdout.lines().count() > 1, "{run}");
    }
}

#[test]
fn standard_input() {
    let plain = meter("dns.pcap").run().done().stdout;
    let run = meter("-").stdin(capture("dns.pcap")).run().done();
    assert_eq!(run.reports(&DNS_REPORT).stdout, plain);
    let run = meter("-").stdin(zstd(&capture("dns.pcap"))).run().done();
    assert_eq!(run.stdout, plain);
    meter("-").stdin("").run().exits(1).reports(&[
        " WARN cannot read standard input: the file is empty",
        "packets  0 read, 0 metered",
        "flows    0",
    ]);
    meter("-").stdin("Dear diary").run().exits(1).reports_line(
        " WARN cannot read standard input: it is not a capture (first bytes 44 65 61 72 20 64 69 61); \
             use pcap or pcapng, uncompressed or compressed with gzip or zstd",
    );
    meter("-")
        .arg("-")
        .run()
        .fails("cannot read standard input twice; name - once");
    let cut = &capture("dns.pcap")[..1_000];
    meter("-").stdin(cut).run().incomplete().reports_line(
        " WARN cannot read standard input at byte 982, packet 10: the file ends inside a record, \
         after 18 of 122 bytes; the rest of the file is skipped",
    );
}

#[test]
fn invalid_option_values() {
    for (option, value, message) in [
        (
            "--accounting-mode",
            "4",
            "invalid value '4' for '--accounting-mode <MODE>': a whole number from 0 to 3 is accepted",
        ),
        (
            "--format",
            "xml",
            "invalid value 'xml' for '--format <csv|jsonl|parquet|arrow>'",
        ),
        (
            "--idle-timeout",
            "soon",
            "invalid value 'soon' for '--idle-timeout <SECONDS>': a whole number from 0 to \
             18446744073709551 is accepted",
        ),
        (
            "--idle-timeout",
            "18446744073709552",
            "invalid value '18446744073709552' for '--idle-timeout <SECONDS>': a whole number from 0 \
             to 18446744073709551 is accepted",
        ),
        (
            "--decode-tunnels",
            "gtp,ipsec",
            "invalid value 'gtp,ipsec' for '--decode-tunnels <TUNNEL,…>': 'ipsec' is not one of gtp, \
             capwap, tzsp, vxlan, gre, geneve",
        ),
        (
            "--decode-tunnels",
            "false",
            "invalid value 'false' for '--decode-tunnels <TUNNEL,…>': expected a list of gtp, capwap, \
             tzsp, vxlan, gre, geneve; --no-decode-tunnels decodes none",
        ),
        (
            "--snapshot-length",
            "0",
            "invalid value '0' for '--snapshot-length <BYTES>': a whole number from 1 to 4294967295 is \
             accepted",
        ),
        (
            "--max-nflows",
            "-1",
            "invalid value '-1' for '--max-nflows <N>': a whole number from 0 to 18446744073709551615 \
             is accepted",
        ),
        (
            "--grant",
            "slicer",
            "invalid value 'slicer' for '--grant <NAME=WHAT[,WHAT…]>': \
             give NAME=WHAT, as in slicer=addresses,payload:64",
        ),
        (
            "--plugin",
            "slicer.wasm,limit",
            "invalid value 'slicer.wasm,limit' for '--plugin <[NAME=]FILE[,KEY=VALUE…]>': \
             'limit' is not an option; give key=value, or key=@FILE for the text of a file",
        ),
        (
            "--frobnicate",
            "1",
            "unexpected argument '--frobnicate' found",
        ),
    ] {
        meter("dns.pcap")
            .args([option, value])
            .run()
            .refuses_arguments(message);
    }
    flowloom()
        .arg("meter")
        .run()
        .refuses_arguments("the following required arguments were not provided:");
}

#[test]
fn an_invalid_filter() {
    meter("dns.pcap")
        .args(["--bpf-filter", "prot 6"])
        .run()
        .refuses_usage(
            "cannot use filter 'prot 6' for link type 1: \
             can't parse filter expression: syntax error",
        );
}

#[test]
fn a_filter_for_another_link_type() {
    meter("dns.pcap")
        .args(["--bpf-filter", "wlan type mgt"])
        .run()
        .exits(1)
        .reports_line(
            " WARN cannot use filter 'wlan type mgt' for link type 1: \
             802.11 link-layer types supported only on 802.11",
        );
}

#[test]
fn a_filter_counts_the_packets_that_it_drops() {
    let run = meter("dns.pcap")
        .args(["--bpf-filter", "tcp"])
        .jsonl()
        .run()
        .done();
    let flows = run.flows();
    assert!(!flows.is_empty(), "{run}");
    assert!(flows.iter().all(|flow| flow["protocol"] == 6), "{run}");
    let metered: u64 = flows
        .iter()
        .filter_map(|flow| flow["bidirectional_packets"].as_u64())
        .sum();
    run.reports(&[
        &format!("packets  34 read, {metered} metered"),
        &format!("         {} filtered out", 34 - metered),
        &format!("flows    {}", flows.len()),
    ]);
}

#[test]
fn an_output_that_cannot_be_written() {
    let output = |path: &str| meter("dns.pcap").args(["--output", path]).run();
    output("missing/flows.csv").fails(
        "cannot write to 'missing/flows.csv': folder 'missing' does not exist; create it first",
    );
    output(".").fails("cannot write to '.': it is a folder; give the name of a file");
    output("/dev/full").fails("cannot write to '/dev/full': No space left on device (os error 28)");
}

#[test]
fn an_output_that_is_a_source() {
    let (folder, path) = file("dns.pcap", capture("dns.pcap"));
    let link = folder.path().join("flows.csv");
    let refused = |output: &Path| {
        meter("icmp.pcap")
            .arg(&path)
            .arg("--output")
            .arg(output)
            .run()
            .refuses_usage(&format!("{} is both a source and the output", shown(&path)));
        assert!(
            fs::read(&path).unwrap() == capture("dns.pcap"),
            "overwritten"
        );
    };
    refused(&path);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    refused(&link);
    fs::remove_file(&link).unwrap();
    fs::hard_link(&path, &link).unwrap();
    refused(&link);
}

#[test]
fn an_unknown_log_level() {
    meter("dns.pcap")
        .env("FLOWLOOM_LOG", "nonsense")
        .run()
        .refuses_usage("FLOWLOOM_LOG=nonsense: error, warn, info, debug or trace is accepted");
}

#[test]
fn log_lines_of_a_pipe_have_a_time() {
    let cut = capture("cut.pcap");
    let run = meter("-").stdin(cut).run().incomplete();
    let (time, _) = run
        .stderr
        .split_once("  WARN ")
        .expect("a warning is logged");
    assert_eq!(time.len(), "2026-01-31T23:59:59.123Z".len(), "{run}");
    assert!(time.ends_with('Z'), "{run}");
    let run = meter("cut.pcap").run().incomplete();
    assert!(run.stderr.starts_with(" WARN "), "{run}");
}
