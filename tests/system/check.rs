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
