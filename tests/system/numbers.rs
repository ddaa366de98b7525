//! Tests of the range of every number on the command line.

use std::process::{Command, Stdio};

use crate::command::{captures, flowloom, meter};
use crate::guests::plugin;

/// The options of `meter` that take a number.
const OPTIONS: [&str; 17] = [
    "--flows-per-file",
    "--rotate-files",
    "--idle-timeout",
    "--active-timeout",
    "--accounting-mode",
    "--splt-analysis",
    "--snapshot-length",
    "--max-nflows",
    "--n-dissections",
    "--max-live-flows",
    "--n-meters",
    "--socket-buffer-size",
    "--drain-timeout",
    "--performance-report",
    "--compile-time",
    "--compile-memory",
    "--queue-mib",
];

/// Values that are not in the range of any option.
const INVALID_NUMBERS: [&str; 12] = [
    "",
    "-1",
    "x",
    "1.5",
    "1e3",
    "0x10",
    " 1",
    "1 ",
    "1,000",
    "١",
    "18446744073709551616",
    "-18446744073709551616",
];

/// Runs the command with little memory. A large number must not make Flowloom allocate memory before it needs it.
fn run(words: &[&str]) -> (Option<i32>, String) {
    let line = "ulimit -v 6000000; exec timeout 60 \"$@\"";
    let run = Command::new("sh")
        .args(["-c", line, "sh", env!("CARGO_BIN_EXE_flowloom")])
        .args(words)
        .current_dir(captures())
        .env_remove("FLOWLOOM_LOG")
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .output()
        .expect("a shell is installed");
    let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
    (run.status.code(), stderr)
}

fn metered(option: &str, value: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = folder.path().join("flows.csv");
    let output = output.to_str().expect("the path is text");
    let mut words = vec!["meter", "dns.pcap", "-o", output, option, value];
    if option != "--n-dissections" {
        words.extend(["--n-dissections", "0"]);
    }
    if option == "--rotate-files" {
        words.extend(["--flows-per-file", "1"]);
    }
    run(&words)
}

#[test]
fn numbers_are_accepted_or_rejected_with_the_range() {
    for option in OPTIONS {
        for value in [
            "0",
            "1",
            "2",
            "255",
            "256",
            "257",
            "65535",
            "65536",
            "2147483647",
            "2147483648",
            "4294967295",
            "4294967296",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551614",
            "18446744073709551615",
        ] {
            let (code, stderr) = metered(option, value);
            match code {
                Some(0) => {}
                Some(2) => assert!(stderr.contains("accepted"), "{option} {value}\n{stderr}"),
                _ => panic!("{option} {value}: {code:?}\n{stderr}"),
            }
            assert!(!stderr.contains("panicked"), "{option} {value}\n{stderr}");
        }
        let least = if option == "--queue-mib" { "16" } else { "1" };
        assert_eq!(metered(option, least).0, Some(0), "{option} {least}");
    }
}

#[test]
fn invalid_numbers_are_rejected_with_the_range() {
    for option in OPTIONS {
        for value in INVALID_NUMBERS {
            let (code, stderr) = metered(option, value);
            assert_eq!(code, Some(2), "{option} {value:?}\n{stderr}");
            let named = stderr.contains(&format!("'{value}' for '{option} <"));
            let named = named || value.is_empty() && stderr.contains(&format!("'{option} <"));
            assert!(named, "{option} {value:?}\n{stderr}");
            assert!(
                stderr.contains("a whole number from "),
                "{option} {value:?}\n{stderr}"
            );
        }
    }
    let slicer = plugin("slicer");
    for value in INVALID_NUMBERS
        .into_iter()
        .chain(["0", "10001", "4294967295"])
    {
        let words = [
            "plugin",
            "bench",
            slicer.to_str().expect("text"),
            "--rounds",
            value,
        ];
        let (code, stderr) = run(&words);
        assert_eq!(code, Some(2), "--rounds {value:?}\n{stderr}");
        assert!(stderr.contains("from 1 to 10000 is accepted"), "{stderr}");
    }
}

#[test]
fn too_many_meters_are_rejected() {
    for meters in ["257", "100000", "18446744073709551615"] {
        meter("dns.pcap")
            .args(["--n-meters", meters])
            .run()
            .refuses_arguments(&format!(
                "invalid value '{meters}' for '--n-meters <N>': a whole number from 0 to 256 is accepted"
            ));
    }
}

#[test]
fn a_report_interval_above_one_year_is_rejected() {
    flowloom()
        .args(["meter", "dns.pcap", "--performance-report", "18446744073709551615"])
        .run()
        .refuses_arguments(
            "invalid value '18446744073709551615' for '--performance-report <SECONDS>': a whole number from 0 \
             to 31536000 is accepted",
        );
}
