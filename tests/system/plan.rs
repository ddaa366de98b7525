//! `flowloom plan` and `flowloom run-task`: the flows of all tasks are those of one run.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command::{Command, captures, flowloom};
use crate::flows::Flow;
use crate::guests::plugin;
use crate::pcap;

/// Does all tasks in a folder, and returns their flows in the order of capture and id.
fn flows_of_tasks(tasks: &Path) -> Vec<Flow> {
    let mut paths: Vec<_> = fs::read_dir(tasks)
        .expect("the plan has written tasks")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    let mut flows = Vec::new();
    for path in paths {
        let output = path.with_extension("jsonl");
        flowloom()
            .arg("run-task")
            .arg(&path)
            .arg("-o")
            .arg(&output)
            .run()
            .done();
        let text = fs::read_to_string(&output).expect("the task has an output");
        flows.extend(
            text.lines()
                .map(|line| serde_json::from_str(line).expect("JSON")),
        );
    }
    sorted(flows)
}

fn sorted(mut flows: Vec<Flow>) -> Vec<Flow> {
    let number = |flow: &Flow, column: &str| flow.get(column).and_then(Value::as_u64);
    flows.sort_by_key(|flow| (number(flow, "capture"), number(flow, "id")));
    flows
}

#[test]
fn tasks_have_the_flows_of_one_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tasks = folder.path().join("tasks");
    let sources = [
        "dns.pcap",
        "tls12.pcap",
        "part1.pcap",
        "part2.pcap",
        "idle.pcap",
    ];
    let sources = sources.map(|name| captures().join(name));
    let run = |command: Command| {
        command
            .args(&sources)
            .args([
                "--statistical-analysis",
                "--splt-analysis",
                "3",
                "--source-file",
            ])
            .args([
                "--where",
                "bidirectional_packets > 1",
                "--n-dissections",
                "0",
            ])
            .args(["--plugin".as_ref(), plugin("packet_stats").as_os_str()])
    };
    let whole = run(flowloom().args(["meter", "--format", "jsonl"]))
        .run()
        .done();
    let whole = sorted(whole.flows());
    assert!(whole.len() > 5);
    let plan = flowloom()
        .args([
            "plan",
            "--scan",
            "--task-size",
            "2kB",
            "--max-shards",
            "3",
            "--tasks-to",
        ])
        .arg(&tasks);
    let printed = run(plan).run().done().stdout;
    assert!(printed.contains("5 captures of 5 files"), "{printed}");
    assert!(printed.contains("are shards; all tasks read"), "{printed}");
    assert!(fs::read_dir(&tasks).expect("a folder").count() > 5);
    assert_eq!(flows_of_tasks(&tasks), whole);
}

#[test]
fn a_plan_says_what_its_tasks_cost() {
    let plan = || flowloom().arg("plan").arg(captures().join("dns.pcap"));
    let printed = plan().run().done().stdout;
    // All packets of a small file are sampled.
    assert!(printed.contains("\nestimate: 34 packets, "), "{printed}");
    assert!(
        printed.ends_with(" of CPU time on this machine without writing (from 7.9 KiB)\n"),
        "{printed}"
    );
    let printed = plan().arg("--no-estimate").run().done().stdout;
    assert!(!printed.contains("estimate"), "{printed}");
}

#[test]
fn a_task_without_an_output_file_is_an_arrow_stream() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plan = flowloom().arg("plan").arg(captures().join("dns.pcap"));
    plan.arg("--tasks-to").arg(folder.path()).run().done();
    let mut command = flowloom()
        .arg("run-task")
        .arg(folder.path().join("task-00000.json"));
    let output = command
        .start()
        .wait_with_output()
        .expect("the command ends");
    assert!(output.status.success());
    // The marker of a message of the stream format.
    assert_eq!(output.stdout[..4], [0xff; 4]);
    let summary = String::from_utf8_lossy(&output.stderr);
    assert!(summary.contains("flows    9"), "{summary}");
}

#[test]
fn a_plan_is_json_and_its_tasks_are_pinned() {
    let plan = flowloom()
        .args(["plan", "--json", "--plugin"])
        .arg(plugin("packet_stats"))
        .arg(captures().join("dns.pcap"));
    let printed = plan.run().done().stdout;
    let plan: Value = serde_json::from_str(&printed).expect("JSON");
    let task = &plan["tasks"][0];
    assert_eq!(
        task["config"]["plugins"][0]["sha256"]
            .as_str()
            .map(str::len),
        Some(64)
    );
    // The component is another one.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("task.json");
    let digest = task["config"]["plugins"][0]["sha256"]
        .as_str()
        .expect("a digest");
    fs::write(&path, task.to_string().replace(digest, &"0".repeat(64))).expect("a temporary file");
    let run = flowloom().arg("run-task").arg(&path).run().exits(1);
    assert!(
        run.stderr.contains("packet_stats") && run.stderr.contains("SHA-256"),
        "{run}"
    );
}

#[test]
fn what_cannot_be_planned_or_done_is_explained() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fails = |command: Command, code: i32, message: &str| {
        let run = command.run().exits(code);
        assert!(run.stderr.contains(message), "{run}");
    };
    let plan = |words: &[&str]| flowloom().args(["plan", "dns.pcap"]).args(words);
    let message = "--max-nflows: a task does not know the flows of other tasks";
    fails(plan(&["--max-nflows", "5"]), 2, message);
    fails(plan(&["--max-shards", "0"]), 2, "--max-shards");
    fails(
        plan(&["--task-size", "5"]),
        2,
        "expected a size such as 256MiB",
    );
    fails(plan(&["/nowhere.pcap"]), 1, "cannot open '/nowhere.pcap'");
    let task = |text: &str| {
        let path = folder.path().join("task.json");
        fs::write(&path, text).expect("a temporary file");
        flowloom().arg("run-task").arg(&path)
    };
    fails(task("{}"), 1, "missing field `version`");
    fails(task("[1"), 1, "cannot read task");
    // A file that has changed since.
    let capture = folder.path().join("x.pcap");
    fs::write(&capture, pcap::capture([(0, 4_000)])).expect("a temporary file");
    let tasks = folder.path().join("tasks");
    let plan = flowloom().arg("plan").arg(&capture);
    plan.arg("--tasks-to").arg(&tasks).run().done();
    fs::write(&capture, pcap::capture([(0, 4_000), (1, 4_000)])).expect("a temporary file");
    let run = flowloom()
        .arg("run-task")
        .arg(tasks.join("task-00000.json"));
    fails(run, 1, "when the run was planned; plan the run again");
}
