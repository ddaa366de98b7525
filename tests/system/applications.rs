//! Tests of the columns of dissection, and of what plugins receive of them.

use std::fs;

use crate::command::{Command, meter};
use crate::guests::udps;

#[test]
fn dissection_adds_nine_columns() {
    let header = |command: Command| {
        let run = command.args(["--format", "csv"]).run().done();
        run.stdout.lines().next().unwrap_or_default().to_owned()
    };
    let with = header(meter("tls13.pcap").dissected());
    let without = header(meter("tls13.pcap"));
    let more = ",application_name,application_category_name,application_is_guessed,\
                application_confidence,requested_server_name,client_fingerprint,\
                server_fingerprint,user_agent,content_type";
    assert_eq!(with, without + more);
}

#[test]
fn without_a_library_flows_have_no_application_columns() {
    let run = meter("tls13.pcap").dissected().env("FLOWLOOM_NDPI", "none");
    let run = run.run().done();
    let header = run.stdout.lines().next().unwrap_or_default();
    assert!(!header.contains("application_name"), "{run}");
    assert_eq!(run.stdout.lines().count(), 3, "{run}");
    let warning = "flows have no application columns: FLOWLOOM_NDPI is none";
    assert!(run.stderr.contains(warning), "{run}");
    // A library that was asked for is not left out.
    let run = meter("tls13.pcap").dissected();
    let run = run
        .env("FLOWLOOM_NDPI", "/nowhere/libndpi.so")
        .run()
        .exits(1);
    assert!(run.stderr.contains("/nowhere/libndpi.so"), "{run}");
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
            let run = meter("http.pcap")
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
                assert_eq!(shown["names"], "Unknown,HTTP", "{run}");
                let text = |name: &str| flow[name].as_str().unwrap_or_default().to_owned();
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
                ];
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
