//! What a live capture gives up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::net::{DNS_FLOWS, Live, Net, until};

/// The sets of capabilities of all threads.
fn capabilities(live: &Live) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", live.pid())).expect("it runs");
    let mut sets: Vec<_> = threads
        .flat_map(|thread| {
            let status = thread.expect("it runs").path().join("status");
            let status = fs::read_to_string(status).unwrap_or_default();
            let sets = status.lines().filter(|line| line.starts_with("Cap"));
            sets.map(|line| line.replace('\t', " ")).collect::<Vec<_>>()
        })
        .collect();
    sets.sort();
    sets.dedup();
    sets
}

#[test]
fn nothing_is_kept_but_the_right_to_capture_and_the_files_of_the_run() {
    let Some(net) = Net::new() else { return };
    let live = net.meter([
        "--n-meters",
        "2",
        "--idle-timeout",
        "0",
        "--metrics",
        "9100",
    ]);
    live.logs("kept of all capabilities: CAP_NET_RAW");
    live.logs("closed by Landlock");
    // CAP_NET_RAW is number 13.
    let sets = [
        "Amb: 0000000000000000",
        "Bnd: 0000000000000000",
        "Eff: 0000000000002000",
    ];
    let sets = sets
        .into_iter()
        .chain(["Inh: 0000000000000000", "Prm: 0000000000002000"]);
    let sets: Vec<_> = sets.map(|set| format!("Cap{set}")).collect();
    assert_eq!(capabilities(&live), sets);

    // A file elsewhere stays as it is, even if the output leads there.
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "it\n").expect("a temporary file");
    until("the output is there", || live.output().exists());
    fs::remove_file(live.output()).expect("the output can be removed");
    symlink(&secret, live.output()).expect("links can be made");
    live.signal("HUP");
    live.logs("Permission denied (os error 13): flows are lost until it works again");
    fs::remove_file(live.output()).expect("the link can be removed");
    live.signal("HUP");
    net.replay(Path::new("dns.pcap"), &[]);
    until("flows are written", || !live.flows().is_empty());
    live.stop().exits(0);
    assert_eq!(fs::read_to_string(&secret).ok().as_deref(), Some("it\n"));
}

#[test]
fn all_is_kept_if_that_is_asked_for() {
    let Some(net) = Net::new() else { return };
    let live = net.meter(["--keep-privileges"]);
    let kept = capabilities(&live);
    assert!(
        !kept.contains(&"CapEff: 0000000000002000".to_owned()),
        "{kept:?}"
    );
    let ended = live.stop().exits(0);
    assert!(!ended.log.contains("Landlock"), "{}", ended.log);
}

#[test]
fn root_keeps_the_right_to_write_where_somebody_else_owns_the_folder() {
    let Some(net) = Net::new() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let chown = Command::new("chown")
        .arg("65534")
        .arg(folder.path())
        .status();
    assert!(chown.expect("chown is there").success());
    let file = folder.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    let live = net.meter(["--output", path]);
    live.logs("kept of all capabilities: CAP_DAC_OVERRIDE, CAP_NET_RAW");
    net.replay(Path::new("dns.pcap"), &[]);
    live.stop().exits(0);
    let text = fs::read_to_string(&file).expect("flows are text");
    assert_eq!(text.lines().count(), DNS_FLOWS);
}

#[test]
fn who_may_not_capture_is_told_how_to() {
    let Some(net) = Net::new() else { return };
    let may_not = [
        "setpriv",
        "--bounding-set",
        "-net_raw",
        "--inh-caps",
        "-net_raw",
    ];
    let ended = Live::start(&net, Some(&may_not), []).end().exits(1);
    let flowloom = fs::canonicalize(env!("CARGO_BIN_EXE_flowloom")).expect("it is there");
    let said = format!(
        "flowloom: cannot capture from far: that takes the capability CAP_NET_RAW; run it as root, or \
         give it to the command: sudo setcap cap_net_raw+ep {}\n",
        flowloom.display()
    );
    assert!(ended.log.ends_with(&said), "{}", ended.log);
}
