//! Tests of overload: what Flowloom skips is counted, and the counters add up.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::net::{Ended, Net};
use crate::guests::plugin;

/// The number of packets of `tls13.pcap`.
const PACKETS: u64 = 54;

/// Stops the process while it replays packets, so that they wait in the buffer of the kernel.
fn after_a_stop(net: &Net, times: u64, options: &[&str]) -> Ended {
    let live = net.meter(options.iter().copied());
    live.signal("STOP");
    // The process receives the signal with a delay.
    thread::sleep(Duration::from_millis(50));
    net.replay(Path::new("tls13.pcap"), &[&format!("--loop={times}")]);
    live.signal("CONT");
    live.stop()
}

/// Repeats a run until the kernel has dropped nothing. On a busy machine it sometimes drops a packet although its
/// buffer has room.
#[track_caller]
fn without_a_drop(run: impl Fn() -> Ended) -> Ended {
    let mut runs = (0..5).map(|_| run());
    let is_whole = |ended: &Ended| ended.count(" dropped by the kernel") == 0;
    runs.find(is_whole)
        .expect("the kernel drops nothing in one of the runs")
}

#[test]
fn packets_that_the_kernel_drops_are_counted() {
    let Some(net) = Net::new() else { return };
    for meters in ["1", "2"] {
        let options = ["--socket-buffer-size", "1000000", "--n-meters", meters];
        let ended = after_a_stop(&net, 200, &options).exits(0);
        let dropped = ended.count(" dropped by the kernel");
        let read = ended.count(" read");
        assert!(dropped > 0 && read > 0, "{}", ended.log);
        assert_eq!(read + dropped, 200 * PACKETS, "{}", ended.log);
        let ignored = ended.count(" ignored, not-ip");
        assert_eq!(ended.count(" metered") + ignored, read, "{}", ended.log);
    }
}

#[test]
fn overload_skips_plugins_and_dissection_before_packets() {
    let Some(net) = Net::new() else { return };
    let stats = plugin("packet_stats");
    let stats = stats.to_str().expect("the path is text");
    for meters in ["1", "2"] {
        let mut options = vec!["--socket-buffer-size", "40000000", "--n-meters", meters];
        options.extend([
            "--idle-timeout",
            "0",
            "--plugin-calls",
            "per-event",
            "--plugin",
            stats,
        ]);
        // The command uses the last value of an option.
        options.extend(["--n-dissections", "20"]);
        let ended = without_a_drop(|| {
            let ended = after_a_stop(&net, 1_000, &options).exits(0);
            let read = ended.count(" read");
            let dropped = ended.count(" dropped by the kernel");
            assert_eq!(read + dropped, 1_000 * PACKETS, "{}", ended.log);
            let ignored = ended.count(" ignored, not-ip");
            assert_eq!(ended.count(" metered") + ignored, read, "{}", ended.log);
            ended
        });
        let undissected = ended.count(" not dissected: packets arrived too quickly");
        let flows = ended.flows.len() as u64;
        assert!(0 < undissected && undissected <= flows, "{}", ended.log);
        let shed = ended.count(" flows skipped: packets arrived too quickly");
        assert!(0 < shed && shed <= flows, "{}", ended.log);
        let without =
            |flow: &&crate::flows::Flow| flow["udps"]["packet_stats"]["src2dst_count"].is_null();
        assert_eq!(ended.flows.iter().filter(without).count() as u64, shed);
    }
}
