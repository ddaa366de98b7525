//! Columns of identifiers: Community IDs, flow UIDs that are the same in every run, and source files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::command::{Command, Run, captures, flowloom, meter};
use crate::flows::Flow;
use crate::pcap;

/// The time of the first packet, in ms since 1970.
const START_MS: u64 = 1_700_000_000_000;

fn metering() -> Command {
    flowloom().args(["meter", "--format", "jsonl", "--n-dissections", "0"])
}

/// Returns the values of a column, in the order of the flows.
fn values(run: &Run, column: &str) -> Vec<Value> {
    let value = |flow: &Flow| flow.get(column).cloned();
    let values = run.flows().iter().map(value).collect::<Option<_>>();
    values.unwrap_or_else(|| panic!("a flow has no {column} in\n{run}"))
}

/// Copies a capture to a folder. Returns the path of the copy.
fn copy(name: &str, folder: &Path, new_name: &str) -> PathBuf {
    let path = folder.join(new_name);
    fs::create_dir_all(folder).expect("a temporary folder");
    fs::copy(captures().join(name), &path).expect("the capture can be copied");
    path
}

/// From another implementation: Python's hashlib and base64, by the pseudocode of the specification.
#[test]
fn community_ids_are_those_of_other_tools() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.pcap");
    fs::write(&path, pcap::capture([(START_MS, 4_000)])).expect("a temporary file");
    for (seed, expected) in [
        (&[][..], "1:ynDohBxHtFQz9vpov9cJqYUh5es="),
        (
            &["--community-id-seed", "1"][..],
            "1:qdw/RoIuHIoOW/lSghif3s5/H/s=",
        ),
    ] {
        let run = metering().arg(&path).arg("--community-id").args(seed);
        let run = run.run().done();
        assert_eq!(values(&run, "community_id"), [json!(expected)], "{run}");
    }
    let run = meter("icmp.pcap").jsonl().arg("--community-id");
    let run = run.run().done();
    for flow in run.flows() {
        let is_icmp = flow["protocol"] == 1 || flow["protocol"] == 58;
        assert_eq!(flow["community_id"].is_null(), is_icmp, "{run}");
    }
}

#[test]
fn columns_are_added_only_on_request() {
    let before = meter("dns.pcap").run().done();
    let options = ["--community-id", "--flow-uid", "--source-file"];
    let run = meter("dns.pcap").args(options).run().done();
    let header = |run: &Run| run.stdout.lines().next().map(str::to_owned);
    let expected = header(&before)
        .map(|header| header.replacen(',', ",community_id,flow_uid,source_file,", 1));
    assert_eq!(header(&run), expected);
    assert_eq!(run.stdout.lines().count(), before.stdout.lines().count());
    meter("dns.pcap")
        .args(["--community-id-seed", "1"])
        .run()
        .refuses_arguments("the following required arguments were not provided:");
}

#[test]
fn a_condition_selects_the_flow_of_a_community_id() {
    let all = meter("dns.pcap").jsonl().arg("--community-id").run().done();
    let flows = all.flows();
    let id = flows[0]["community_id"].as_str().expect("a text");
    let wanted: Vec<_> = flows
        .iter()
        .filter(|flow| flow["community_id"] == id)
        .collect();
    assert!(wanted.len() < flows.len());
    let run = meter("dns.pcap").jsonl().arg("--community-id");
    let run = run.args(["--where", &format!("community_id = \"{id}\"")]);
    assert_eq!(run.run().done().flows().iter().collect::<Vec<_>>(), wanted);
    // Without the option, there is no such column.
    let run = meter("dns.pcap").args(["--where", "community_id is null"]);
    assert!(run.run().exits(2).stderr.contains("community_id"));
}

#[test]
fn identifiers_are_hashed_and_selected_like_other_columns() {
    let run = meter("dns.pcap").jsonl().arg("--community-id");
    let run = run.args(["--columns-to-anonymize", "community_id"]);
    let run = run.run().done();
    for id in values(&run, "community_id") {
        let id = id.as_str().expect("a text");
        assert!(
            id.len() == 128 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{run}"
        );
    }
    let run = meter("dns.pcap")
        .arg("--flow-uid")
        .args(["--select", "flow_uid,id"]);
    assert!(run.run().done().stdout.starts_with("flow_uid,id\n"));
}

#[test]
fn a_flow_uid_is_the_same_in_every_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let uids = |source: &Path, more: &[&str]| {
        let run = metering().arg(source).arg("--flow-uid").args(more);
        values(&run.run().done(), "flow_uid")
    };
    let expected = uids(&captures().join("http.pcap"), &[]);
    let mut distinct: Vec<_> = expected.iter().map(Value::to_string).collect();
    distinct.sort();
    distinct.dedup();
    assert!(!expected.is_empty());
    assert_eq!(distinct.len(), expected.len());
    assert!(
        expected
            .iter()
            .all(|uid| uid.as_str().is_some_and(|uid| uid.len() == 32))
    );
    assert_eq!(
        uids(&captures().join("http.pcap"), &["--n-meters", "3"]),
        expected
    );
    let moved = copy("http.pcap", &folder.path().join("moved"), "http.pcap");
    assert_eq!(uids(&moved, &[]), expected);
    let compressed = copy("http.pcap", folder.path(), "http.pcap.gz");
    assert_eq!(uids(&compressed, &[]), expected);
    // Another capture with the same packets.
    let renamed = copy("http.pcap", folder.path(), "other.pcap");
    let other = uids(&renamed, &[]);
    assert!(expected.iter().zip(&other).all(|(one, other)| one != other));
    let run = metering()
        .arg(&moved)
        .arg(&renamed)
        .arg("--flow-uid")
        .run()
        .done();
    assert_eq!(
        values(&run, "flow_uid"),
        [expected, other].concat(),
        "{run}"
    );
}

/// Writes two files of one link. Returns their paths. The flows of ports 1 to 3 begin in the first file, and those of ports
/// 4 and 5 in the second one.
fn parts(folder: &Path, names: [&str; 2]) -> [PathBuf; 2] {
    let ports: [&[u16]; 2] = [&[1, 2, 2, 3, 3, 3], &[3, 4, 1, 4, 5]];
    let mut time = START_MS;
    [0, 1].map(|part| {
        let packets = ports[part].iter().map(|port| {
            time += 10;
            (time, *port)
        });
        let path = folder.join(names[part]);
        fs::write(&path, pcap::capture(packets)).expect("a temporary file");
        path
    })
}

#[test]
fn a_flow_has_the_file_of_its_first_packet() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let filter = ["--bpf-filter", "udp[0:2] > 2"];
    for (names, how) in [
        (["part1.pcap", "part2.pcap"], "one"),
        (["part1.pcap", "part2.pcap"], "each"),
        (["link.pcap", "link.pcap1"], "auto"),
    ] {
        let paths = parts(folder.path(), names);
        for meters in ["1", "3"] {
            // Only packets that match the filter have ordinals.
            for more in [&[][..], &filter] {
                let run = metering().args(&paths).args(["--group", how]);
                let run = run.args(["--source-file", "--n-meters", meters]).args(more);
                let run = run.run().done();
                let pair = |flow: &Flow| (flow["src_port"].clone(), flow["source_file"].clone());
                let mut found: Vec<_> = run.flows().iter().map(pair).collect();
                found.sort_by_key(|pair| format!("{pair:?}"));
                // The second file begins flows of its own if it is a capture of its own.
                let expected: &[(u16, usize)] = match (how, more.is_empty()) {
                    ("each", true) => &[(1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (4, 1), (5, 1)],
                    ("each", false) => &[(3, 0), (3, 1), (4, 1), (5, 1)],
                    (_, true) => &[(1, 0), (2, 0), (3, 0), (4, 1), (5, 1)],
                    (_, false) => &[(3, 0), (4, 1), (5, 1)],
                };
                let pair = |(port, part): &(u16, usize)| (json!(port), json!(paths[*part]));
                let expected: Vec<_> = expected.iter().map(pair).collect();
                assert_eq!(found, expected, "{run}");
            }
        }
    }
}

#[test]
fn files_of_folders_and_standard_input_have_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = pcap::capture([(START_MS, 4_000)]);
    // The name is from outside, so outputs escape it.
    let path = folder.path().join("a,\u{1b}[31m.pcap");
    fs::write(&path, &bytes).expect("a temporary file");
    let run = metering()
        .arg(folder.path())
        .arg("--source-file")
        .run()
        .done();
    assert_eq!(values(&run, "source_file"), [json!(path)], "{run}");
    assert!(!run.stdout.contains('\u{1b}'), "{run}");
    let run = meter(folder.path()).args(["--source-file", "--select", "source_file"]);
    let run = run.run().done();
    let expected = format!(
        "source_file\n\"{}/a,\\x1b[31m.pcap\"\n",
        folder.path().display()
    );
    assert_eq!(run.stdout, expected, "{run}");
    let run = metering()
        .args(["-", "--source-file", "--flow-uid"])
        .stdin(bytes);
    let run = run.run().done();
    assert_eq!(values(&run, "source_file"), [json!("-")], "{run}");
    assert_eq!(
        values(&run, "flow_uid"),
        [json!("9f6db84c90514a086559f1d0d20d3c4c")],
        "{run}"
    );
}
