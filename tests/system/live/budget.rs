//! Tests of plugins that take too much time per event.

use std::path::Path;

use super::net::{Ended, Net, until};
use crate::flows::Flow;
use crate::guests::{file, plugin, udps};

/// The number of metered packets of `tls13.pcap`. They form two flows.
const PACKETS: u64 = 52;

/// Runs a plugin that takes some ms for each packet except the first one of a flow. It never exceeds the time limit
/// of a call.
fn slow(net: &Net, policy: &str) -> Ended {
    let evil = format!("{},mode=busy,at=update", plugin("evil").display());
    let (_folder, policy) = file("flowloom.toml", format!("version = 1\n{policy}\n"));
    let live = net.meter([
        "--plugin",
        &evil,
        "--plugin-calls",
        "per-event",
        "--policy",
        policy.to_str().expect("the path is text"),
        "--performance-report",
        "1",
    ]);
    net.replay(Path::new("tls13.pcap"), &["--loop=2"]);
    let metered = format!("\"packets_processed\":{}", 2 * PACKETS);
    until("all packets are metered", || live.log().contains(&metered));
    live.stop()
}

fn is_complete(ended: &Ended) {
    let packets = |flow: &Flow| flow["bidirectional_packets"].as_u64();
    let packets: u64 = ended.flows.iter().filter_map(packets).sum();
    assert_eq!(packets, 2 * PACKETS, "{}", ended.log);
    assert_eq!(ended.flows.len(), 2, "{}", ended.log);
}

fn has_values(ended: &Ended) -> bool {
    let has = |flow: &Flow| udps(flow, "evil")["count"] == flow["bidirectional_packets"];
    ended.flows.iter().all(has)
}

#[test]
fn a_plugin_above_its_time_per_event_gets_a_back_off_unless_the_policy_allows_it() {
    let Some(net) = Net::new() else { return };
    let ended = slow(&net, "").exits(3);
    is_complete(&ended);
    assert!(!has_values(&ended), "{}", ended.log);
    let is_logged = ended.log.lines().any(|line| {
        line.contains("ERROR plugin evil: stopped in update, packet ")
            && line.contains(" ns of CPU time per event; 80000 are allowed; ")
    });
    assert!(is_logged, "{}", ended.log);
    let summary = "1 back-offs: the plugin took too much time; results depend on the machine";
    assert!(ended.log.contains(summary), "{}", ended.log);
    assert!(ended.log.contains("\"excesses\":1"), "{}", ended.log);

    for limit in ["0", "1000000000"] {
        let policy = format!("[plugins.evil.limits]\nns-per-event = {limit}");
        let ended = slow(&net, &policy).exits(0);
        is_complete(&ended);
        assert!(has_values(&ended), "{}", ended.log);
    }
}
