//! Tests of numbered files, anonymized columns and `--end-on-fin`.

use std::fs;

use crate::command::meter;

#[test]
fn numbered_files_hold_the_flows_of_one_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = |name: &str| folder.path().join(name);
    meter("dns.pcap")
        .arg("-o")
        .arg(output("one.csv"))
        .run()
        .done();
    meter("dns.pcap")
        .arg("-o")
        .arg(output("many.csv"))
        .args(["--flows-per-file", "4"])
        .run()
        .done();
    let lines = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(output(name)).expect("a file was written");
        text.lines().map(str::to_owned).collect()
    };
    let one = lines("one.csv");
    let (header, flows) = one.split_first().expect("a header");
    let mut found = Vec::new();
    for (name, count) in [("many.1.csv", 4), ("many.2.csv", 4), ("many.3.csv", 1)] {
        let many = lines(name);
        assert_eq!(&many[0], header);
        assert_eq!(many.len(), 1 + count, "{name}");
        found.extend(many.into_iter().skip(1));
    }
    assert_eq!(found, flows);
    assert_eq!(
        fs::read_dir(folder.path())
            .expect("the path exists")
            .count(),
        4
    );
}

#[test]
fn equal_keys_give_equal_hashes_and_random_keys_do_not() {
    let key = "00".repeat(64);
    let addresses = |words: &[&str]| -> Vec<serde_json::Value> {
        let run = meter("dns.pcap")
            .jsonl()
            .args(["--columns-to-anonymize", "src_ip,dst_ip"])
            .args(words)
            .run()
            .done();
        let flows = run.flows();
        flows.iter().map(|flow| flow["src_ip"].clone()).collect()
    };
    let first = addresses(&["--anonymization-key", &key]);
    assert_eq!(addresses(&["--anonymization-key", &key]), first);
    assert_ne!(addresses(&[]), addresses(&[]));
    let is_hash = |text: &str| text.len() == 128;
    assert!(
        first
            .iter()
            .all(|address| address.as_str().is_some_and(is_hash))
    );
}

/// The end of a connection depends on TCP sequence numbers in packet headers. With several meters, the reader
/// passes headers to the meters only if they need them.
#[test]
fn end_on_fin_does_not_depend_on_the_number_of_meters() {
    let flows = |meters: &str| {
        let run = meter("http.pcap")
            .arg("ssh.pcap")
            .jsonl()
            .args(["--end-on-fin", "--n-meters", meters])
            .run()
            .done();
        run.flows()
    };
    let one = flows("1");
    assert!(one.iter().any(|flow| flow["expiration_id"] == 2));
    assert_eq!(flows("3"), one);
}
