//! Checks that every test that docs/nfstream-differences.md names exists.

use std::fs;
use std::path::Path;

use crate::command::{HOST, meter};

/// Returns whether a test with this path exists: `decode::ip::tests::NAME` is in `decode/ip.rs` or
/// `decode/ip/tests.rs` of a crate, `system::golden::NAME` in `tests/system/golden.rs`, and
/// `python::test_nfstream::NAME` in `tests/python/test_nfstream.py`.
fn is_there(test: &str) -> bool {
    let (module, name) = test.rsplit_once("::").expect("a path");
    let root = Path::new(HOST);
    if let Some(file) = module.strip_prefix("python::") {
        let file = root.join(format!("../../tests/python/{file}.py"));
        return fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("\ndef {name}(")));
    }
    let files = match module.strip_prefix("system::") {
        Some(file) => {
            let file = file.replace("::", "/");
            vec![root.join(format!("../../tests/system/{file}.rs"))]
        }
        None => {
            let file = module.replace("::", "/");
            let inline = file.strip_suffix("/tests").unwrap_or(&file);
            let in_crate = |name| {
                let sources = root.join(format!("../{name}/src"));
                [file.as_str(), inline].map(|file| sources.join(format!("{file}.rs")))
            };
            ["core", "plugin", "flowloom"]
                .into_iter()
                .flat_map(in_crate)
                .collect()
        }
    };
    files.iter().any(|file| {
        fs::read_to_string(file).is_ok_and(|text| {
            text.contains(&format!("    fn {name}()")) || text.contains(&format!("\nfn {name}()"))
        })
    })
}

#[test]
fn every_difference_has_a_test() {
    let page = fs::read_to_string(Path::new(HOST).join("../../docs/nfstream-differences.md"))
        .expect("the page exists");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| NFStream"))
        // The table of differences from nDPI's reader has three columns. `make parity-l7` checks it.
        .filter(|line| line.matches(" | ").count() > 2)
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 40, "{} rows", rows.len());
    for row in rows {
        assert_eq!(row.len(), 4, "{row:?}");
        let tests: Vec<_> = row[3]
            .split(", ")
            .map(|test| test.trim_matches('`'))
            .collect();
        for test in tests {
            assert!(
                is_there(test),
                "there is no test {test}, of the row `{}`",
                row[1]
            );
        }
    }
}

#[test]
fn max_nflows_omits_the_other_flows() {
    let all = meter("dns.pcap").jsonl().run().done().flows();
    let some = meter("dns.pcap")
        .jsonl()
        .args(["--max-nflows", "2"])
        .run()
        .done();
    assert_eq!(some.flows(), all[..2]);
    some.reports_line("flows    2 written, 7 more omitted: --max-nflows");
}
