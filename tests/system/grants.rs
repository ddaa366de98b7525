//! Tests of grants: plugins receive only the data that the operator grants.

use crate::command::{Command, meter};
use crate::guests::{file, udps};

#[test]
fn missing_grants_are_rejected_with_a_hint() {
    for (request, message) in [
        (
            "packet=ip_size+src_ip",
            "requests packet field src_ip, which was not granted\nhint: add --grant evil=addresses",
        ),
        (
            "packet=dst_mac",
            "requests packet field dst_mac, which was not granted\nhint: add --grant evil=addresses",
        ),
        (
            "packet=src_pseudonym",
            "requests packet field src_pseudonym, which was not granted\nhint: add --grant evil=pseudonyms",
        ),
        (
            "at_init=src_ip",
            "requests flow field src_ip, which was not granted\nhint: add --grant evil=addresses",
        ),
        (
            "at_update=dst_mac",
            "requests flow field dst_mac, which was not granted\nhint: add --grant evil=addresses",
        ),
        (
            "at_expire=src_oui",
            "requests flow field src_oui, which was not granted\nhint: add --grant evil=addresses",
        ),
        (
            "payload=64",
            "requests payload bytes (64), which were not granted\nhint: add --grant evil=payload:64",
        ),
        (
            "bytes=100",
            "requests packet bytes (100), which were not granted\nhint: add --grant evil=bytes:100",
        ),
        (
            "packet=src_ip,payload=1500",
            "requests packet field src_ip and payload bytes (1500), which were not granted\nhint: add --grant evil=addresses,payload:1500",
        ),
        // The grant `bytes` starts at the IP header, so it includes addresses.
        (
            "packet=src_ip,bytes=1500,at_expire=src_mac",
            "requests packet field src_ip, flow field src_mac and packet bytes (1500), which were not granted\nhint: add --grant evil=bytes:1500",
        ),
    ] {
        meter("http.pcap")
            .plugin(&format!("evil,{request}"))
            .run()
            .fails(&format!("plugin 'evil': {message}"));
    }
}

#[test]
fn the_grant_of_the_hint_is_sufficient() {
    for (request, grant) in [
        ("packet=src_ip", "evil=addresses"),
        ("packet=dst_pseudonym", "evil=pseudonyms"),
        ("payload=64", "evil=payload:64"),
        ("bytes=100", "evil=bytes:100"),
        ("packet=src_mac,payload=9,bytes=8", "evil=payload:9,bytes:8"),
    ] {
        meter("http.pcap")
            .plugin(&format!("evil,{request}"))
            .grant(grant)
            .run()
            .done();
    }
}

#[test]
fn one_grant_does_not_imply_another() {
    meter("http.pcap")
        .plugin("evil,payload=64")
        .grant("evil=addresses")
        .run()
        .fails(
            "plugin 'evil': requests payload bytes (64), which were not granted\nhint: add --grant evil=payload:64",
        );
    meter("http.pcap")
        .plugin("evil,packet=src_ip")
        .grant("evil=payload:64")
        .run()
        .fails(
            "plugin 'evil': requests packet field src_ip, which was not granted\nhint: add --grant evil=addresses",
        );
}

#[test]
fn a_grant_applies_to_one_plugin() {
    meter("http.pcap")
        .plugin("evil,packet=src_ip")
        .plugin("packet_stats")
        .grant("packet_stats=addresses")
        .run()
        .fails(
            "plugin 'evil': requests packet field src_ip, which was not granted\nhint: add --grant evil=addresses",
        );
    meter("http.pcap")
        .plugin("packet_stats")
        .grant("evil=addresses")
        .run()
        .refuses_usage("--grant evil=…: this run has no plugin of that name");
}

#[test]
fn plugins_do_not_receive_data_that_they_did_not_request() {
    for call_mode in Command::CALLS {
        let run = meter("http.pcap")
            .plugin("evil,mode=shown")
            .grant("evil=addresses,payload:64,bytes:64")
            .args(call_mode)
            .jsonl()
            .run()
            .done();
        for flow in run.flows() {
            let shown = udps(&flow, "evil");
            assert!(shown.values().all(|value| value.is_null()), "{flow:?}");
        }
    }
}

#[test]
fn plugins_receive_no_more_than_granted() {
    // The payload is "GET /" or "HEAD ". The bytes are an IPv4 header up to the time to live.
    for (grant, payload, bytes) in [
        ("addresses,payload:5,bytes:9", "474554202f", 9),
        // With a smaller grant the plugin receives less. With a larger one it receives what it requested.
        ("addresses,payload:3,bytes:9", "474554", 9),
        ("addresses,payload:100,bytes:2", "474554202f", 2),
    ] {
        for call_mode in Command::CALLS {
            let run = meter("http.pcap")
                .plugin("evil,mode=shown,packet=src_ip+ip_size,payload=5,bytes=9")
                .grant(&format!("evil={grant}"))
                .args(call_mode)
                .args(["--bpf-filter", "tcp"])
                .jsonl()
                .run()
                .done();
            let flows = run.flows();
            assert!(!flows.is_empty(), "{run}");
            for flow in flows {
                let shown = udps(&flow, "evil");
                assert_eq!(shown["src_ip"], flow["src_ip"], "{run}");
                let start = shown["payload"].as_str().expect("bytes");
                let head = &"4845414420"[..payload.len()];
                assert!(start == payload || start == head, "{run}");
                let ip = shown["bytes"].as_str().expect("bytes");
                assert_eq!(ip.len(), bytes * 2, "{run}");
                assert!(ip.starts_with("4500"), "{run}");
            }
        }
    }
}

#[test]
fn invalid_grants_are_rejected() {
    for what in ["address", "payload", "bytes:0", "payload:70000", ""] {
        meter("http.pcap")
            .plugin("evil")
            .grant(&format!("evil={what}"))
            .run()
            .refuses_arguments(&format!(
                "invalid value 'evil={what}' for '--grant <NAME=WHAT[,WHAT…]>': '{what}' is not a \
                 grant; give addresses, pseudonyms, application, names, payload:N or bytes:N (N \
                 from 1 to 65575), separated by commas"
            ));
    }
}

#[test]
fn pseudonyms_exclude_grants_that_reveal_addresses() {
    for grant in ["pseudonyms,addresses", "pseudonyms,bytes:20"] {
        meter("http.pcap")
            .plugin("evil")
            .grant(&format!("evil={grant}"))
            .run()
            .fails(
                "plugin 'evil': has grants that reveal the addresses behind its pseudonyms; grant \
                 either pseudonyms, or addresses and bytes:N",
            );
    }
}

#[test]
fn the_hint_names_the_policy_in_force() {
    let (_folder, path) = file("flowloom.toml", "version = 1\n[plugins.evil]\n");
    meter("http.pcap")
        .plugin("evil,packet=src_ip")
        .arg("--policy")
        .arg(&path)
        .run()
        .fails(&format!(
            "plugin 'evil': requests packet field src_ip, which was not granted\n\
             hint: add \"addresses\" to the grants of [plugins.evil] in {}",
            path.display()
        ));
}

#[test]
fn a_policy_without_a_plugin_of_the_run_is_reported() {
    let (_folder, path) = file(
        "flowloom.toml",
        "version = 1\n[plugins.evli]\n[plugins.slicer]\n",
    );
    let warning = format!(
        " WARN the policy {} has no entry for a plugin of this run; entries: evli, slicer; plugins: evil",
        path.display()
    );
    let run = |plugin: &str| meter("http.pcap").plugin(plugin).arg("--policy").arg(&path);
    run("evil").run().done().reports_line(&warning);
    let run = run("slicer").run().done();
    assert!(!run.stderr.contains("WARN"), "{run}");
}
