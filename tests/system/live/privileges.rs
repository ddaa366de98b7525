//! What a live capture gives up.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::net::{DNS_FLOWS, Live, Net, until};
use crate::command::meter;
use crate::guests::{file, plugin};

/// The number of `nobody`.
const NOBODY: u32 = 65_534;

/// What the system says of all threads in lines that begin so.
fn status(live: &Live, kinds: &[&str]) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", live.pid())).expect("it runs");
    let mut lines: Vec<_> = threads
        .flat_map(|thread| {
            let status = thread.expect("it runs").path().join("status");
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

/// The sets of capabilities of all threads.
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

    // A file elsewhere stays as it is, even if the output leads there.
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

/// A folder of `nobody`.
fn folder_of_nobody() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    folder
}

/// Users, groups and capabilities of all threads.
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
    // The output can be begun anew.
    until("the output is there", || file.exists());
    fs::rename(&file, folder.path().join("moved")).expect("root may");
    live.signal("HUP");
    until("there is a new file", || file.exists());
    live.stop().exits(0);
    let lines = ["moved", "flows.jsonl"].map(|name| {
        let file = folder.path().join(name);
        assert_eq!(fs::metadata(&file).expect("it is there").uid(), NOBODY);
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
    // That user may not write there, and nothing is.
    let live = Live::start(&net, Some(&sudo), []);
    let output = live.output().to_owned();
    let ended = live.end().exits(1);
    let said = format!(
        "flowloom: cannot write to {} as user nobody (65534): permission denied\n\
         hint: write to a folder of that user, or give --user\n",
        output.parent().expect("it is in a folder").display()
    );
    assert!(ended.log.ends_with(&said), "{}", ended.log);
    // Root stays root if that is asked for.
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
        fs::remove_file(&file).expect("it was written");
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
    // The folder of the policy is root's alone.
    let say = |plus: &str| format!("version = 1\n[plugins.evil.options]\nplus = {plus}\n");
    let (folder, policy) = file("flowloom.toml", say("1000"));
    let evil = folder.path().join("evil.wasm");
    fs::copy(plugin("evil"), &evil).expect("it is there");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("root may");
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
        // One write of the same length: whoever reads it meanwhile finds a whole policy.
        let mut file = File::options().write(true).open(&policy).expect("root may");
        file.write_all(say(&plus.to_string()).as_bytes())
            .expect("root may");
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
        let may_not = ["setpriv", "--bounding-set", missing, "--inh-caps", missing];
        let ended = Live::start(&net, Some(&may_not), ["--output", path]).end();
        let ended = ended.exits(1);
        assert_eq!(
            ended.log,
            "flowloom: cannot drop privileges: cannot become user nobody (65534): EPERM: Operation not \
             permitted\nhint: --keep-privileges keeps all of them\n"
        );
        assert!(!file.exists());
    }
    let may_not = [
        "setpriv",
        "--bounding-set",
        "-setuid",
        "--inh-caps",
        "-setuid",
    ];
    let words = ["--output", path, "--keep-privileges"];
    Live::start(&net, Some(&may_not), words).stop().exits(0);
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

/// Runs a command for which the kernel has no `landlock_create_ruleset`, system call 444 everywhere.
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
    let said = "flowloom: cannot deny access to files: this kernel has no Landlock\n\
                hint: --keep-privileges=files keeps access to files, and drops all other privileges\n";
    assert!(ended.log.ends_with(said), "{}", ended.log);
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
    let say = |plus: &str| format!("version = 1\n[plugins.evil.options]\nplus = {plus}\n");
    let evil = plugin("evil");
    for attack in [true, false] {
        let (folder, policy) = file("flowloom.toml", say("0"));
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
        // When there are flows, the policy has been read.
        net.replay(Path::new("dns.pcap"), &[]);
        until("flows are written", || !live.flows().is_empty());
        if attack {
            // Another file of the folder stands in for the policy.
            fs::remove_file(&policy).expect("it can be removed");
            symlink(&secret, &policy).expect("links can be made");
        } else {
            // A file with a new policy is moved to its place.
            let new = folder.path().join("new");
            fs::write(&new, say("100")).expect("a temporary file");
            fs::rename(&new, &policy).expect("it can be moved");
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
    // The file that was there is read again.
    let (_folder, policy) = file("flowloom.toml", say("0"));
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
    fs::write(&policy, say("100")).expect("it can be written");
    live.signal("HUP");
    live.logs(" newly started flows use it");
    live.stop().exits(0);
}

#[test]
fn a_missing_capability_to_capture_is_an_error_with_a_hint() {
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
        "flowloom: cannot capture from 'far': the capability CAP_NET_RAW is missing; run the command as \
         root, or give it the capability: sudo setcap cap_net_raw+ep {}\n",
        flowloom.display()
    );
    assert!(ended.log.ends_with(&said), "{}", ended.log);
}
