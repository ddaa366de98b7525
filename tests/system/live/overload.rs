//! What is given up when packets come too quickly: it is counted, and the counters sum.

use std::path::Path;
use std::thread;
use std::time::Duration;

use super::net::{Ended, Net};
use crate::guests::plugin;

/// Packets of `tls13.pcap`.
const PACKETS: u64 = 54;

/// Replays packets while the command does not run, so that they wait for it.
fn held_up(net: &Net, times: u64, options: &[&str]) -> Ended {
    let live = net.meter(options.iter().copied());
    live.signal("STOP");
    // Signals take their time.
    thread::sleep(Duration::from_millis(50));
    net.replay(Path::new("tls13.pcap"), &[&format!("--loop={times}")]);
    live.signal("CONT");
    live.stop()
}

/// The first of some runs in which the kernel dropped nothing: on a busy machine it drops a packet now and
/// then although there is room, not always.
#[track_caller]
fn without_a_drop(run: impl Fn() -> Ended) -> Ended {
    let mut runs = (0..5).map(|_| run());
    let is_whole = |ended: &Ended| ended.count(" dropped by the kernel") == 0;
    runs.find(is_whole)
        .expect("there is room in the kernel's buffer")
}

#[test]
fn packets_that_the_kernel_drops_are_counted() {
    let Some(net) = Net::new() else { return };
    for meters in ["1", "2"] {
        let options = ["--socket-buffer-size", "1000000", "--n-meters", meters];
        let ended = held_up(&net, 200, &options).exits(0);
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
        // The last one counts.
        options.extend(["--n-dissections", "20"]);
        let ended = without_a_drop(|| {
            let ended = held_up(&net, 1_000, &options).exits(0);
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
