//! Tests of `flowloom plugin check`, which prints the requests and outputs of a plugin and whether it can be
//! loaded.

use crate::command::flowloom;
use crate::guests::{file, named, plugin};

#[test]
fn prints_requests_and_outputs_of_a_plugin() {
    let run = flowloom()
        .args(["plugin", "check"])
        .arg(format!("mine={},limit=4", plugin("slicer").display()))
        .run()
        .done();
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[0], "plugin       mine 0.1.0", "{run}");
    // The time of compilation differs from run to run.
    assert!(
        lines[2].starts_with("file         ") && lines[2].contains(" bytes; loaded in "),
        "{run}"
    );
    for line in [
        "called       with single events",
        "memory       58 bytes per live flow",
        "cuts         may end flows early",
        "options      limit, an integer from 1 to 18446744073709551615, default 20: \
         Packets after which a flow ends.",
    ] {
        assert!(lines.contains(&line), "no `{line}` in\n{run}");
    }
    let outputs: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split_once(" udps.mine."))
        .map(|(_, output)| output.split_once(": ").map(|(named, _)| named))
        .collect();
    assert_eq!(
        outputs,
        [Some("packets, i64"), Some("sliced, boolean")],
        "{run}"
    );
}

#[test]
fn rejects_what_a_run_rejects() {
    let check = || {
        flowloom()
            .args(["plugin", "check"])
            .arg(plugin("packet_bytes"))
    };
    // The operator sees everything that it wants also if it is refused.
    let run = check().run().exits(1);
    assert_eq!(
        run.stderr,
        "flowloom: plugin 'packet_bytes': requests packet bytes (64), which were not granted\n\
         hint: add --grant packet_bytes=bytes:64\n"
    );
    for line in [
        "imports      flowloom:plugin/log@0.1.0\n",
        "IP packet    the first 64 bytes of each packet\n",
        "missing      bytes:64, which the run must grant\n",
        "outputs      udps.packet_bytes.",
    ] {
        assert!(run.stdout.contains(line), "no `{line}` in\n{run}");
    }
    let run = check()
        .args(["--grant", "packet_bytes=bytes:64"])
        .run()
        .done();
    assert!(
        run.stdout
            .contains("IP packet    the first 64 bytes of each packet\n"),
        "{run}"
    );
    flowloom()
        .args([
            "plugin",
            "check",
            &named("a", "evil"),
            "--grant",
            "b=addresses",
        ])
        .run()
        .refuses_usage("--grant b=…: the plugin is called a");
}

#[test]
fn applies_the_policy() {
    let check = |policy: &str| {
        let (folder, path) = file("flowloom.toml", policy);
        let run = flowloom()
            .args(["plugin", "check"])
            .arg(plugin("packet_bytes"))
            .arg("--policy")
            .arg(path)
            .run();
        drop(folder);
        run
    };
    check("version = 1\n[plugins.packet_bytes]\ngrants = [\"bytes:64\"]\n").done();
    let run = check("version = 1\n").exits(1);
    assert!(
        run.stderr
            .contains("hint: add \"bytes:64\" to the grants of [plugins.packet_bytes] in "),
        "{run}"
    );
    let run = check("version = 1\nunlisted = \"refuse\"\n").exits(1);
    assert!(
        run.stderr.starts_with("flowloom: plugin 'packet_bytes': "),
        "{run}"
    );
}

#[test]
fn everything_that_a_plugin_wants_is_shown_with_everything_that_is_wrong() {
    let wants = "packet=ip_siz+src_ip+ttl,at_expire=splt_ps+community_id,payload=9,outputs=count:integer+X:text";
    let run = flowloom()
        .args(["plugin", "check"])
        .arg(format!("{},{wants}", plugin("evil").display()))
        .run()
        .exits(1);
    for line in [
        "plugin       evil 6.6.6\n",
        "sha256       ",
        "imports      flowloom:plugin/log@0.1.0\n",
        "packet       src_ip, ttl\n",
        "payload      the first 9 bytes of each packet\n",
        "at expire    splt_ps\n",
        "missing      addresses,payload:9, which the run must grant\n",
        "outputs      udps.evil.count, i64: ",
    ] {
        assert!(run.stdout.contains(line), "no `{line}` in\n{run}");
    }
    for message in [
        "requests packet field 'ip_siz', which does not exist in this version of Flowloom; did you mean 'ip_size'?\n",
        "requests flow field community_id, which plugins cannot request; ",
        "declares output 'X', which is not a valid name; ",
        "requests packet field src_ip and payload bytes (9), which were not granted\n",
        "hint: add --grant evil=addresses,payload:9\n",
    ] {
        assert!(run.stderr.contains(message), "no `{message}` in\n{run}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_described_too() {
    let run = flowloom()
        .args(["plugin", "check"])
        .arg(format!("{},unknown=1", plugin("slicer").display()))
        .run()
        .exits(1);
    assert!(
        run.stdout.starts_with("plugin       slicer\nfile         ")
            && run
                .stdout
                .contains("\nimports      flowloom:plugin/log@0.1.0\n"),
        "{run}"
    );
    assert!(
        run.stderr
            .starts_with("flowloom: plugin 'slicer': cannot be opened: unknown option `unknown`; "),
        "{run}"
    );
}
