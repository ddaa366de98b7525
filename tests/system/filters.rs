//! Conditions on flows: they select the same flows for any number of meters, and see values from before anonymisation.

use crate::command::{Command, flowloom};

fn metering() -> Command {
    let capture = crate::command::captures().join("dns.pcap");
    flowloom()
        .args(["meter", "--format", "jsonl", "--n-dissections", "0"])
        .arg(capture)
}

#[test]
fn a_condition_selects_the_same_flows_for_any_number_of_meters() {
    let all = metering().run().flows();
    let wanted: Vec<_> = all
        .iter()
        .filter(|flow| flow["bidirectional_packets"] == 16 || flow["id"] == 0)
        .cloned()
        .collect();
    assert!(!wanted.is_empty() && wanted.len() < all.len());
    for meters in ["1", "2", "3"] {
        let condition = "bidirectional_packets = 16 or id = 0";
        let run = metering()
            .args(["--n-meters", meters, "--where", condition])
            .run();
        assert_eq!(run.flows(), wanted, "{run}");
        let excluded = format!(
            "         {} excluded: --where is not true for them\n",
            all.len() - wanted.len()
        );
        assert!(run.stderr.contains(&excluded), "{run}");
    }
}

#[test]
fn a_condition_sees_addresses_before_they_are_anonymised() {
    let some = metering().args(["--where", "src_ip in 0.0.0.0/0"]).run();
    let hashed = metering()
        .args(["--where", "src_ip in 0.0.0.0/0"])
        .args(["--columns-to-anonymize", "src_ip"])
        .run();
    assert!(!some.flows().is_empty());
    assert_eq!(hashed.flows().len(), some.flows().len());
}

#[test]
fn the_limit_counts_selected_flows() {
    let run = metering()
        .args(["--where", "dst_port = 53", "--max-nflows", "1"])
        .run();
    assert_eq!(run.flows().len(), 1, "{run}");
}
