//! Tests of the privileges that a live capture drops.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::net::{DNS_FLOWS, Live, Net, until};
use crate::command::meter;
use crate::guests::{file, plugin};

/// The user ID and group ID of `nobody`.
const NOBODY: u32 = 65_534;

/// Returns the lines of /proc/PID/task/*/status that begin with these words, without duplicates.
fn status(live: &Live, kinds: &[&str]) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", live.pid())).expect("the process runs");
    let mut lines: Vec<_> = threads
        .flat_map(|thread| {
            let status = thread.expect("the process runs").path().join("status");
            let status = fs::read_to_string(status).unwrap_or_default();
            let lines = status
                .lines()
                .filter(|line| kinds.iter().any(|kind| line.starts_with(kind)));
            lines
                .map(|line| line.replace('\t', " ").trim_end().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

/// Returns the capability sets of all threads.
fn capabilities(live: &Live) -> Vec<String> {
    status(live, &["Cap"])
}

#[test]
fn only_cap_net_raw_and_the_files_of_the_run_are_kept() {
    let Some(net) = Net::new() else { return };
    let live = net.meter([
        "--n-meters",
        "2",
        "--idle-timeout",
        "0",
        "--metrics",
        "9100",
    ]);
    live.logs("kept capabilities: CAP_NET_RAW");
    live.logs("running as root without its capabilities (owner of ");
    live.logs("Landlock denies access to TCP and to all files except the output and the plugins");
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

    // A file in another folder is not modified, even if the output becomes a link to it.
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "it\n").expect("a temporary file");
    until("the output is there", || live.output().exists());
    fs::remove_file(live.output()).expect("the output can be removed");
    symlink(&secret, live.output()).expect("links can be made");
    live.signal("HUP");
    live.logs("Permission denied (os error 13); flows are lost until it works again");
    fs::remove_file(live.output()).expect("the link can be removed");
    live.signal("HUP");
    net.replay(Path::new("dns.pcap"), &[]);
    until("flows are written", || !live.flows().is_empty());
    live.stop().exits(0);
    assert_eq!(fs::read_to_string(&secret).ok().as_deref(), Some("it\n"));
}

#[test]
fn keep_privileges_keeps_all_capabilities() {
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

/// Creates a folder that `nobody` owns.
fn folder_of_nobody() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root has permission");
    folder
}

/// Checks user, groups and capabilities of all threads.
fn is_nobody(live: &Live) {
    let ids = ["Uid", "Gid"].map(|kind| format!("{kind}:{}", " 65534".repeat(4)));
    let all = status(
        live,
        &["Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd"],
    );
    let empty = "0000000000000000";
    let raw = "0000000000002000";
    let mut expected = vec![
        format!("CapBnd: {empty}"),
        format!("CapEff: {raw}"),
        format!("CapPrm: {raw}"),
        "Groups:".into(),
    ];
    expected.extend(ids);
    expected.sort();
    assert_eq!(all, expected);
}

#[test]
fn root_becomes_the_owner_of_the_outputs_folder() {
    let Some(net) = Net::new() else { return };
    let folder = folder_of_nobody();
    let file = folder.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    let live = net.meter(["--output", path, "--n-meters", "2", "--metrics", "9100"]);
    live.logs(&format!(
        "running as user nobody (65534): owner of {}\n",
        folder.path().display()
    ));
    live.logs("kept capabilities: CAP_NET_RAW\n");
    is_nobody(&live);
    net.replay(Path::new("dns.pcap"), &[]);
    // The run can reopen its output.
    until("the output is there", || file.exists());
    fs::rename(&file, folder.path().join("moved")).expect("root has permission");
    live.signal("HUP");
    until("there is a new file", || file.exists());
    live.stop().exits(0);
    let lines = ["moved", "flows.jsonl"].map(|name| {
        let file = folder.path().join(name);
        assert_eq!(fs::metadata(&file).expect("the path exists").uid(), NOBODY);
        fs::read_to_string(file)
            .expect("flows are text")
            .lines()
            .count()
    });
    assert_eq!(lines.iter().sum::<usize>(), DNS_FLOWS);
}

#[test]
fn root_becomes_the_user_that_invoked_sudo() {
    let Some(net) = Net::new() else { return };
    let sudo = ["env", "SUDO_UID=65534", "SUDO_GID=65534"];
    let folder = folder_of_nobody();
    let file = folder.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    let live = Live::start(&net, Some(&sudo), ["--output", path]);
    live.logs("running as user nobody (65534): invoked sudo\n");
    is_nobody(&live);
    live.stop().exits(0);
    // The user has no write access to the folder: the run fails.
    let live = Live::start(&net, Some(&sudo), []);
    let output = live.output().to_owned();
    let ended = live.end().exits(1);
    let message = format!(
        "flowloom: cannot write to {} as user nobody (65534): permission denied\n\
         hint: write to a folder of that user, or give --user\n",
        output
            .parent()
            .expect("the output is in a folder")
            .display()
    );
    assert!(ended.log.ends_with(&message), "{}", ended.log);
    // With `--user root` the run stays root.
    let live = Live::start(&net, Some(&sudo), ["--user", "root"]);
    live.logs("running as root without its capabilities (chosen by --user)");
    assert_eq!(status(&live, &["Uid", "CapEff"])[1], "Uid: 0 0 0 0");
    live.stop().exits(0);
}

#[test]
fn the_option_user_selects_the_user() {
    let Some(net) = Net::new() else { return };
    let folder = folder_of_nobody();
    let file = folder.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    for user in ["nobody", "65534"] {
        let live = net.meter(["--output", path, "--user", user]);
        is_nobody(&live);
        live.stop().exits(0);
        fs::remove_file(&file).expect("the file was written");
    }
    let ended = net.meter(["--user", "nobody-at-all"]).end().exits(2);
    assert_eq!(
        ended.log,
        "flowloom: --user nobody-at-all: no user has this name\nhint: give a name or a number\n"
    );
    let ended = net.meter(["--user", "0", "--keep-privileges"]).end();
    ended.exits(2);
    meter("dns.pcap")
        .args(["--user", "0"])
        .run()
        .refuses_usage("--user 0: only the capture of an interface can become another user");
}

#[test]
fn a_run_without_output_file_becomes_nobody_and_keeps_read_access() {
    let Some(net) = Net::new() else { return };
    let live = net.meter(["--output", "-"]);
    live.logs("running as user nobody (65534): no output file\n");
    is_nobody(&live);
    live.stop().exits(0);
    // Only root has access to the folder of the policy.
    let policy_text = |plus: &str| format!("version = 1\n[plugins.evil.options]\nplus = {plus}\n");
    let (folder, policy) = file("flowloom.toml", policy_text("1000"));
    let evil = folder.path().join("evil.wasm");
    fs::copy(plugin("evil"), &evil).expect("the path exists");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("root has permission");
    let words = [&policy, &evil].map(|path| path.to_str().expect("the path is text"));
    let words = ["--policy", words[0], "--plugin", words[1]];
    let live = net.meter(
        words
            .into_iter()
            .chain(["--output", "-", "--idle-timeout", "0"]),
    );
    live.logs("user nobody (65534) may not read ");
    live.logs("; keeping the capability to read it\n");
    live.logs("kept capabilities: CAP_DAC_READ_SEARCH, CAP_NET_RAW\n");
    let mut plus = 1_000;
    until("the policy is read again", || {
        plus += 1;
        // The text has the same length and is written at once: a reader always finds a complete policy.
        let mut file = File::options()
            .write(true)
            .open(&policy)
            .expect("root has permission");
        file.write_all(policy_text(&plus.to_string()).as_bytes())
            .expect("root has permission");
        live.signal("HUP");
        live.log().contains(" newly started flows use it")
    });
    live.stop().exits(0);
}

#[test]
fn a_failure_to_drop_privileges_ends_the_run() {
    let Some(net) = Net::new() else { return };
    let folder = folder_of_nobody();
    let file = folder.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    for missing in ["-setuid", "-setgid"] {
        let setpriv = ["setpriv", "--bounding-set", missing, "--inh-caps", missing];
        let ended = Live::start(&net, Some(&setpriv), ["--output", path]).end();
        let ended = ended.exits(1);
        assert_eq!(
            ended.log,
            "flowloom: cannot drop privileges: cannot become user nobody (65534): EPERM: Operation not \
             permitted\nhint: --keep-privileges keeps all of them\n"
        );
        assert!(!file.exists());
    }
    let setpriv = [
        "setpriv",
        "--bounding-set",
        "-setuid",
        "--inh-caps",
        "-setuid",
    ];
    let words = ["--output", path, "--keep-privileges"];
    Live::start(&net, Some(&setpriv), words).stop().exits(0);
}

#[test]
fn a_run_without_root_keeps_its_user() {
    let Some(net) = Net::new() else { return };
    let folder = folder_of_nobody();
    let file = folder.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+net_raw",
        "--ambient-caps=+net_raw",
    ];
    let words = ["--output", path, "--user", "nobody"];
    let live = Live::start(&net, Some(&nobody), words);
    live.logs("kept capabilities: CAP_NET_RAW\n");
    let ids = format!("Uid:{}", " 65534".repeat(4));
    assert_eq!(
        status(&live, &["Uid", "CapPrm", "CapAmb"]),
        ["CapAmb: 0000000000000000", "CapPrm: 0000000000002000", &ids]
    );
    net.replay(Path::new("dns.pcap"), &[]);
    let ended = live.stop().exits(0);
    assert!(!ended.log.contains("running as"), "{}", ended.log);
    let words = ["--output", path, "--user", "root"];
    let ended = Live::start(&net, Some(&nobody), words).end().exits(2);
    assert_eq!(
        ended.log,
        "flowloom: --user root: only root can run as another user\nhint: leave it out, or use sudo\n"
    );
}

/// A program that runs a command without `landlock_create_ruleset`. Its number is 444 on all architectures.
const WITHOUT_LANDLOCK: &str = r#"
import ctypes, os, struct, sys
program = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50000 | 38), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
filter = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(22, 2, ctypes.c_char_p(filter), 0, 0) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_kernel_without_landlock_ends_the_run() {
    let Some(net) = Net::new() else { return };
    let without = ["/usr/bin/python3", "-c", WITHOUT_LANDLOCK];
    let ended = Live::start(&net, Some(&without), []).end().exits(1);
    let message = "flowloom: cannot deny access to files: this kernel has no Landlock\n\
                hint: --keep-privileges=files keeps access to files, and drops all other privileges\n";
    assert!(ended.log.ends_with(message), "{}", ended.log);
    let live = Live::start(&net, Some(&without), ["--keep-privileges=files"]);
    live.logs("kept capabilities: CAP_NET_RAW\n");
    live.stop().exits(0);
}

#[test]
fn keep_privileges_files_keeps_access_to_files() {
    let Some(net) = Net::new() else { return };
    let live = net.meter(["--output", "-", "--keep-privileges=files"]);
    is_nobody(&live);
    let ended = live.stop().exits(0);
    assert!(!ended.log.contains("Landlock"), "{}", ended.log);
}

#[test]
fn access_to_an_input_file_does_not_include_its_folder() {
    let Some(net) = Net::new() else { return };
    let policy_text = |plus: &str| format!("version = 1\n[plugins.evil.options]\nplus = {plus}\n");
    let evil = plugin("evil");
    for attack in [true, false] {
        let (folder, policy) = file("flowloom.toml", policy_text("0"));
        let secret = folder.path().join("secret");
        fs::write(&secret, "the secret = it\n").expect("a temporary file");
        let words = [&policy, &evil].map(|path| path.to_str().expect("the path is text"));
        let words = [
            "--policy",
            words[0],
            "--plugin",
            words[1],
            "--idle-timeout",
            "0",
        ];
        let live = net.meter(words);
        // Once flows are written, the policy has been read.
        net.replay(Path::new("dns.pcap"), &[]);
        until("flows are written", || !live.flows().is_empty());
        if attack {
            // A link to another file of the folder replaces the policy.
            fs::remove_file(&policy).expect("the file can be removed");
            symlink(&secret, &policy).expect("links can be made");
        } else {
            // A new file replaces the policy.
            let new = folder.path().join("new");
            fs::write(&new, policy_text("100")).expect("a temporary file");
            fs::rename(&new, &policy).expect("the file can be moved");
        }
        live.signal("HUP");
        live.logs("Permission denied (os error 13)");
        live.logs(&format!(
            " WARN {} was replaced by another file, which this run may not open",
            policy.display()
        ));
        let ended = live.stop().exits(0);
        assert!(!ended.log.contains("the secret"), "{}", ended.log);
        assert!(
            !ended.log.contains("newly started flows use it"),
            "{}",
            ended.log
        );
    }
    // A change of the same file is read.
    let (_folder, policy) = file("flowloom.toml", policy_text("0"));
    let words = [&policy, &evil].map(|path| path.to_str().expect("the path is text"));
    let words = [
        "--policy",
        words[0],
        "--plugin",
        words[1],
        "--idle-timeout",
        "0",
    ];
    let live = net.meter(words);
    net.replay(Path::new("dns.pcap"), &[]);
    until("flows are written", || !live.flows().is_empty());
    fs::write(&policy, policy_text("100")).expect("the file can be written");
    live.signal("HUP");
    live.logs(" newly started flows use it");
    live.stop().exits(0);
}

#[test]
fn a_missing_capability_to_capture_is_an_error_with_a_hint() {
    let Some(net) = Net::new() else { return };
    let setpriv = [
        "setpriv",
        "--bounding-set",
        "-net_raw",
        "--inh-caps",
        "-net_raw",
    ];
    let ended = Live::start(&net, Some(&setpriv), []).end().exits(1);
    let flowloom = fs::canonicalize(env!("CARGO_BIN_EXE_flowloom")).expect("the path exists");
    let message = format!(
        "flowloom: cannot capture from 'far': the capability CAP_NET_RAW is missing; run the command as \
         root, or give it the capability: sudo setcap cap_net_raw+ep {}\n",
        flowloom.display()
    );
    assert!(ended.log.ends_with(&message), "{}", ended.log);
}
