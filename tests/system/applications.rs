//! Tests of the columns of dissection, and of what plugins receive of them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::command::{Command, flowloom, meter};
use crate::guests::udps;

#[test]
fn dissection_adds_fifteen_columns() {
    let header = |command: Command| {
        let run = command.args(["--format", "csv"]).run().done();
        run.stdout.lines().next().unwrap_or_default().to_owned()
    };
    let with = header(meter("tls13.pcap").dissected());
    let without = header(meter("tls13.pcap"));
    let more = ",application_name,application_category_name,application_is_guessed,\
                application_confidence,requested_server_name,client_fingerprint,\
                server_fingerprint,user_agent,content_type,client_ja4,tcp_fingerprint,\
                application_domain,application_stack,application_risks,application_risk_score";
    assert_eq!(with, without + more);
}

/// Returns the path of the nDPI that the command finds.
pub(crate) fn library() -> PathBuf {
    let run = flowloom().args(["applications", "--format", "json"]);
    let list: Value = serde_json::from_str(&run.run().done().stdout).expect("it is JSON");
    let path = list["ndpi"]["library"].as_str().expect("nDPI is installed");
    path.into()
}

#[test]
fn without_a_library_flows_have_no_application_columns() {
    let none = || meter("tls13.pcap").dissected().args(["--format", "csv"]);
    for run in [
        none().env("FLOWLOOM_NDPI", "none").run(),
        none().args(["--ndpi", "none"]).run(),
        // The option is more important than the variable.
        none()
            .env("FLOWLOOM_NDPI", "/nowhere")
            .args(["--ndpi", "none"])
            .run(),
    ] {
        let run = run.done();
        let header = run.stdout.lines().next().unwrap_or_default();
        assert!(!header.contains("application_name"), "{run}");
        assert_eq!(run.stdout.lines().count(), 3, "{run}");
        assert!(!run.stderr.contains("nDPI"), "{run}");
    }
    // A library that was asked for is not left out.
    let run = none().args(["--ndpi", "/nowhere/libndpi.so"]).run();
    run.fails(
        "cannot open nDPI library '/nowhere/libndpi.so': No such file or directory (os error 2)\n\
         hint: --ndpi none meters without nDPI",
    );
    let run = none().env("FLOWLOOM_NDPI", "/nowhere/libndpi.so").run();
    let run = run.exits(1);
    assert!(run.stderr.contains("/nowhere/libndpi.so"), "{run}");
    // Without dissection, no library is opened.
    let run = none().args(["--ndpi", "/nowhere", "--n-dissections", "0"]);
    run.run().done();
}

#[test]
fn a_run_says_which_library_it_uses() {
    let path = library();
    let path = path.to_str().expect("the path is text");
    let report = tempfile::NamedTempFile::new().expect("a temporary file");
    let run = meter("tls13.pcap").dissected().args(["--ndpi", path]);
    let run = run.args(["--performance-report", "1", "--performance-report-file"]);
    let run = run.arg(report.path()).run().done();
    let line = run.stderr.lines().find(|line| line.starts_with("nDPI "));
    let line = line.expect("the summary names the library");
    assert!(line.ends_with(path), "{line}");
    assert!(line.contains("4.2") || line.contains("5.0"), "{line}");
    let versions = flowloom().arg("--version").run().done().stdout;
    let version = line.trim_start_matches("nDPI").trim();
    assert!(versions.contains(&format!("nDPI {version}")), "{versions}");
    let json = fs::read_to_string(report.path()).expect("it is there");
    assert!(!json.is_empty(), "there is no report");
    for line in json.lines() {
        let line: Value = serde_json::from_str(line).expect("it is JSON");
        assert_eq!(line["ndpi"]["library"], path);
    }
    // A short version needs no library.
    let short = flowloom().env("FLOWLOOM_NDPI", "/nowhere").arg("-V");
    assert_eq!(short.run().done().stdout.lines().count(), 1);
}

#[test]
fn risks_and_protocols_are_lists() {
    let tls = || meter("tls12.pcap").dissected();
    let flow = tls().jsonl().run().done().flows().remove(0);
    assert_eq!(flow["application_stack"], json!(["TLS"]));
    let risks = [
        "Self-signed Certificate",
        "TLS Certificate Validity Too Long",
    ];
    assert_eq!(flow["application_risks"], json!(risks));
    assert_eq!(flow["application_risk_score"], 150);
    let csv = tls().args([
        "--format",
        "csv",
        "--select",
        "application_stack,application_risks",
    ]);
    let csv = csv.run().done().stdout;
    let line = csv.lines().nth(1).expect("a flow");
    let expected =
        r#""[""TLS""]","[""Self-signed Certificate"",""TLS Certificate Validity Too Long""]""#;
    assert_eq!(line, expected);
    // A flow without risks has an empty list.
    let flow = meter("tls13.pcap")
        .dissected()
        .jsonl()
        .run()
        .done()
        .flows()
        .remove(0);
    assert_eq!(flow["application_risks"], json!([]));
    assert_eq!(flow["application_risk_score"], 0);
    // The texts that this version does not determine are empty.
    for column in ["client_ja4", "tcp_fingerprint", "application_domain"] {
        assert_eq!(flow[column], "", "{column}");
    }
    let risky = |condition: &str| {
        let run = tls().args(["--where", condition]).jsonl().run().done();
        run.flows().len()
    };
    assert_eq!(risky("application_risk_score >= 150"), 2);
    assert_eq!(risky("application_risk_score > 150"), 0);
}

#[test]
fn applications_are_listed() {
    let text = flowloom().arg("applications").run().done().stdout;
    let has = |words: [&str; 2]| {
        let mut lines = text.lines();
        assert!(
            lines.any(|line| line.split_whitespace().eq(words)),
            "{words:?} in {text}"
        );
    };
    has(["DNS", "Network"]);
    has(["TLS", "Web"]);
    assert!(text.contains("\n  XSS Attack\n"), "{text}");
    let none = flowloom().args(["applications", "--ndpi", "/nowhere"]);
    none.run()
        .fails("cannot open nDPI library '/nowhere': No such file or directory (os error 2)");
}

#[test]
fn few_dissected_packets_give_a_guess() {
    for (n, name, guessed) in [("1", "TLS", true), ("3", "TLS", true), ("4", "TLS", false)] {
        let run = meter("tls13.pcap")
            .dissected()
            .args(["--n-dissections", n, "--bpf-filter", "tcp"])
            .jsonl()
            .run()
            .done();
        for flow in run.flows() {
            assert_eq!(flow["application_name"], name, "{n}: {run}");
            assert_eq!(flow["application_is_guessed"], guessed, "{n}: {run}");
            let named = flow["requested_server_name"] != "";
            assert_eq!(named, !guessed, "{n}: {run}");
        }
    }
}

#[test]
fn plugins_receive_the_current_dissection_result() {
    for call_mode in Command::CALLS {
        for meters in ["1", "2"] {
            let run = meter("tls12.pcap")
                .dissected()
                .plugin("applications")
                .grant("applications=application,names")
                .args(call_mode)
                .args(["--n-meters", meters, "--bpf-filter", "tcp"])
                .jsonl()
                .run()
                .done();
            assert!(!run.flows().is_empty(), "{run}");
            for flow in run.flows() {
                let shown = udps(&flow, "applications");
                assert_eq!(shown["names"], "Unknown,TLS", "{run}");
                let text = |name: &str| flow[name].as_str().unwrap_or_default().to_owned();
                let lines = |name: &str| {
                    let list = flow[name].as_array().expect("it is a list");
                    let texts: Vec<_> = list.iter().filter_map(Value::as_str).collect();
                    texts.join("\n")
                };
                let known = [
                    text("application_name"),
                    text("application_category_name"),
                    flow["application_is_guessed"].to_string(),
                    flow["application_confidence"].to_string(),
                    text("requested_server_name"),
                    text("client_fingerprint"),
                    text("server_fingerprint"),
                    text("user_agent"),
                    text("content_type"),
                    lines("application_stack"),
                    lines("application_risks"),
                    flow["application_risk_score"].to_string(),
                ];
                assert!(!lines("application_risks").is_empty(), "{run}");
                assert_eq!(shown["known"], known.join("|"), "{run}");
            }
        }
    }
}

#[test]
fn plugins_need_a_grant_for_application_fields() {
    for (field, grant) in [
        ("application_name", "application"),
        ("application_confidence", "application"),
        ("requested_server_name", "names"),
        ("user_agent", "names"),
    ] {
        let run = |more: Command| {
            more.dissected()
                .plugin(&format!("evil,at_expire={field}"))
                .run()
        };
        run(meter("http.pcap").grant("evil=addresses,payload:9")).fails(&format!(
            "plugin 'evil': requests flow field {field}, which was not granted\nhint: add --grant evil={grant}"
        ));
        run(meter("http.pcap").grant(&format!("evil={grant}"))).done();
    }
}

#[test]
fn plugins_cannot_request_application_fields_without_dissection() {
    meter("http.pcap")
        .plugin("applications")
        .grant("applications=application,names")
        .run()
        .fails(
            "plugin 'applications': requests flow field application_name, which this run does not \
             have; it exists unless n_dissections is 0",
        );
}

#[test]
fn files_add_protocols_and_categories() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [protocols, categories] =
        ["protos.txt", "categories.txt"].map(|name| folder.path().join(name));
    fs::write(&protocols, "tcp:9999@Beehive\nhost:\"example.com\"@Honey\n").expect("a file");
    fs::write(&categories, "www.example.com\t100\n").expect("a file");
    // nDPI keeps the name of the protocol if a file gives a category for the host.
    for (option, file, name, category) in [
        ("--ndpi-protocols", &protocols, "TLS.Honey", "Web"),
        ("--ndpi-categories", &categories, "TLS", "Malware"),
    ] {
        let run = meter("tls13.pcap")
            .dissected()
            .args(["--bpf-filter", "tcp", "--n-meters", "2"])
            .arg(option)
            .arg(file)
            .jsonl()
            .run()
            .done();
        assert!(!run.flows().is_empty(), "{run}");
        for flow in run.flows() {
            assert_eq!(flow["application_name"], name, "{run}");
            assert_eq!(flow["application_category_name"], category, "{run}");
        }
    }
    meter("tls13.pcap")
        .dissected()
        .args(["--ndpi-protocols", "/nowhere/protos.txt"])
        .run()
        .fails("cannot read '/nowhere/protos.txt': No such file or directory (os error 2)");
}
