//! Tests of plans.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::Streamer;

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures");

fn config(sources: &[PathBuf]) -> RunConfig {
    let mut config = RunConfig {
        sources: sources.to_vec(),
        source_file: true,
        ..RunConfig::default()
    };
    config.settings.n_dissections = 0;
    config.settings.statistical_analysis = true;
    config.settings.splt_analysis = 5;
    config
}

/// The flows of a run as texts, in the order of capture and id.
fn flows(streamer: Streamer) -> Vec<String> {
    let mut flows: Vec<_> = streamer
        .map(|flow| ((flow.capture(), flow.id()), format!("{flow:?}")))
        .collect();
    flows.sort();
    flows.into_iter().map(|(_, text)| text).collect()
}

fn flows_of_tasks(plan: &Plan) -> Vec<String> {
    let mut all = Vec::new();
    for task in &plan.tasks {
        let text = serde_json::to_string(task).expect("a task is JSON");
        let task: Task = serde_json::from_str(&text).expect("and can be read");
        let streamer = task.builder().expect("valid").build().expect("files exist");
        all.extend(streamer.map(|flow| ((flow.capture(), flow.id()), format!("{flow:?}"))));
    }
    all.sort();
    all.into_iter().map(|(_, text)| text).collect()
}

fn options(task_bytes: u64, max_shards: u32, scans: bool) -> PlanOptions {
    PlanOptions {
        task_bytes,
        max_shards,
        scans,
        ..PlanOptions::default()
    }
}

/// Checks that the tasks of plans have the flows of one run, and returns the number of tasks of each plan.
fn check_equal(config: &RunConfig, plans: &[PlanOptions]) -> Vec<usize> {
    let whole = flows(
        config
            .clone()
            .builder()
            .expect("valid")
            .build()
            .expect("sources exist"),
    );
    assert!(!whole.is_empty());
    let count = |options| {
        let plan = Plan::new(config.clone(), options).expect("a plan");
        assert_eq!(flows_of_tasks(&plan), whole, "{options:?}");
        plan.tasks.len()
    };
    plans.iter().map(count).collect()
}

/// Writes a capture of one flow, with a UDP packet at each of these times in ms.
fn write(path: &Path, times_ms: &[u64]) {
    let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([0, 0, 1, 0, 101, 0, 0, 0]);
    for (n, ms) in times_ms.iter().enumerate() {
        let packet = [
            0x45,
            0,
            0,
            28,
            0,
            0,
            0,
            0,
            64,
            17,
            0,
            0,
            192,
            0,
            2,
            1,
            192,
            0,
            2,
            2,
            0,
            7,
            0,
            n as u8 % 3,
            0,
            8,
            0,
            0,
        ];
        bytes.extend((*ms as u32 / 1000).to_le_bytes());
        bytes.extend((*ms as u32 % 1000 * 1000).to_le_bytes());
        bytes.extend([28, 0, 0, 0, 28, 0, 0, 0]);
        bytes.extend(packet);
    }
    fs::write(path, bytes).expect("a temporary file");
}

#[test]
fn tasks_have_the_flows_of_one_run() {
    let names = [
        "dns.pcap",
        "tls12.pcap",
        "idle.pcap",
        "gtp.pcap",
        "vlan.pcap",
        "ipv6.pcap",
        "empty.pcap",
    ];
    let sources: Vec<_> = names.map(|name| Path::new(CAPTURES).join(name)).into();
    let counts = check_equal(
        &config(&sources),
        &[
            options(1 << 30, 1, false),
            options(1, 1, false),
            options(1, 1, true),
            options(1 << 12, 3, true),
            options(1, 7, false),
        ],
    );
    // Several meters in each task.
    let mut parallel = config(&sources);
    parallel.n_meters = 2;
    check_equal(&parallel, &[options(1 << 12, 3, true)]);
    assert_eq!(counts[..3], [1, names.len(), names.len()]);
    assert!(counts[3] > 3 && counts[4] > names.len());
}

#[test]
fn a_folder_and_a_filter_and_other_groupings() {
    let folder = [PathBuf::from(CAPTURES)];
    let mut config = config(&folder);
    config.skip_unreadable = true;
    config.bpf_filter = Some("udp or vlan".to_owned());
    for grouping in [Grouping::Auto, Grouping::Each, Grouping::One] {
        config.grouping = grouping;
        check_equal(
            &config,
            &[options(100_000, 2, true), options(1 << 30, 1, false)],
        );
    }
}

#[test]
fn a_capture_is_divided_at_gaps_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write(&path("x.pcap0"), &[0, 1_000, 9_000]);
    // Not late enough for a flow of the first file.
    write(&path("x.pcap1"), &[23_999, 24_500]);
    // Late enough, but its second packet comes before the idle timeout.
    write(&path("x.pcap2"), &[39_500, 39_499, 50_000]);
    write(&path("x.pcap3"), &[65_000, 66_000]);
    let config = config(&[folder.path().to_owned()]);
    let plans = [
        options(1, 1, true),
        options(1, 1, false),
        options(1, 2, true),
        options(1 << 20, 1, true),
    ];
    assert_eq!(check_equal(&config, &plans), [2, 1, 4, 1]);
    let plan = Plan::new(config, &plans[0]).expect("a plan");
    let [capture] = &plan.captures[..] else {
        panic!("{:?}", plan.captures);
    };
    assert_eq!((capture.packets, &capture.cuts[..]), (Some(10), &[3][..]));
    assert_eq!(plan.tasks[1].part.first_ordinal, 8);
}

#[test]
fn files_that_overlap_are_captures_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write(&path("x.pcap0"), &[0, 20_000]);
    write(&path("x.pcap1"), &[10_000, 30_000]);
    write(&path("x.pcap2"), &[31_000]);
    let config = config(&[folder.path().to_owned()]);
    check_equal(&config, &[options(1, 1, true), options(1 << 20, 2, true)]);
    let plan = Plan::new(config.clone(), &options(1 << 20, 1, true)).expect("a plan");
    let overlaps: Vec<_> = plan
        .captures
        .iter()
        .map(|capture| capture.overlaps)
        .collect();
    assert_eq!(overlaps, [false, true]);
    // Without a scan, the task finds it out.
    let plan = Plan::new(config, &options(1 << 20, 1, false)).expect("a plan");
    let mut streamer = plan.tasks[0]
        .builder()
        .expect("valid")
        .build()
        .expect("files");
    assert!(streamer.by_ref().count() > 0);
    let summary = streamer.summary();
    let [problem] = summary.problems else {
        panic!("{:?}", summary.problems);
    };
    assert!(
        problem.to_string().contains("plan the run with --scan"),
        "{problem}"
    );
}

#[test]
fn a_file_that_has_changed_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.pcap");
    write(&path, &[0]);
    let plan =
        Plan::new(config(std::slice::from_ref(&path)), &PlanOptions::default()).expect("a plan");
    write(&path, &[0, 1]);
    let error = plan.tasks[0]
        .builder()
        .expect("valid")
        .build()
        .map(drop)
        .expect_err("an error");
    assert!(
        error
            .to_string()
            .contains("and had 68 when the run was planned"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_planned_is_an_error() {
    let file = Path::new(CAPTURES).join("dns.pcap");
    let error = |change: fn(&mut RunConfig)| {
        let mut config = config(std::slice::from_ref(&file));
        change(&mut config);
        Plan::new(config, &PlanOptions::default())
            .expect_err("an error")
            .to_string()
    };
    assert!(error(|config| config.max_nflows = 1).starts_with("max_nflows: "));
    assert!(error(|config| config.settings.max_flows = 1).starts_with("max_live_flows: "));
    assert!(error(|config| config.sources = vec!["-".into()]).contains("it is not a file"));
    assert!(error(|config| config.sources = vec!["/nowhere.pcap".into()]).contains("cannot open"));
    let task = |text: &str| serde_json::from_str::<Task>(text);
    let plan = Plan::new(config(&[file]), &PlanOptions::default()).expect("a plan");
    let text = serde_json::to_string(&plan.tasks[0]).expect("JSON");
    for (from, to, expected) in [
        ("\"version\":1", "\"version\":2", "the task has version 2"),
        ("\"of\":1", "\"of\":0", "the task has shard 0 of 0"),
        ("\"index\":0", "\"index\":5", "the task has shard 5 of 1"),
        (
            "\"first_capture\":0",
            "\"first_capture\":4294967295",
            "the task begins at a capture",
        ),
        (
            "\"first_ordinal\":0",
            "\"first_ordinal\":18446744073709551615",
            "the task begins at a capture",
        ),
    ] {
        let changed = task(&text.replace(from, to)).expect("a task");
        let error = changed
            .builder()
            .map(drop)
            .expect_err("an error")
            .to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(task(&text.replace("\"files\"", "\"file\"")).is_err());
}
