//! Runs the plugins in `tests/frozen`, which were built when a version of the contract was released. Every later
//! Flowloom must run them to the same values.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::command::{HOST, Run, flowloom};
use crate::guests;

/// The captures that the plugins see: copies of those in `tests/captures`, which may be made anew.
const CAPTURES: [&str; 7] = [
    "dns.pcap",
    "http.pcap",
    "tls13.pcap",
    "ipv6.pcap",
    "icmp.pcap",
    "idle.pcap",
    "active.pcap",
];

/// The files of 0.1.0 that are the same plugin in different languages.
const EVERY_TYPE: [&str; 6] = [
    "every_type_c",
    "every_type_go",
    "every_type_javascript",
    "every_type_rust",
    "every_type_wit",
    "every_type_zig",
];

/// All plugins of 0.1.0.
const PLUGINS: usize = EVERY_TYPE.len() + 2;

/// The name that the plugins have in a run.
const NAME: &str = "frozen";

/// A run of plugins that have the same values.
struct Case {
    /// The file of the expected values.
    expected: &'static str,
    plugins: &'static [&'static str],
    /// The options of the plugin.
    options: &'static str,
    grants: &'static str,
    /// Whether the run computes statistics and SPLT.
    analyses: bool,
    /// Whether the plugin cuts flows, so that both call modes are the same.
    cuts: bool,
}

impl Case {
    const EVERY_TYPE: Self = Self {
        expected: "every_type",
        plugins: &EVERY_TYPE,
        options: "",
        grants: "addresses,payload:8,bytes:20",
        analyses: true,
        cuts: false,
    };

    fn all() -> [Self; 6] {
        [
            Self::EVERY_TYPE,
            // An option of every type, a limit on packets, log lines, state across flows, and smaller grants.
            Self {
                expected: "every_type-options",
                options: ",add=7,factor=0.25,negate=true,name=ü-x,most=2",
                grants: "addresses,payload:5,bytes:12",
                ..Self::EVERY_TYPE
            },
            Self {
                expected: "every_type-cuts",
                options: ",cuts=3",
                cuts: true,
                ..Self::EVERY_TYPE
            },
            // What is available in a run.
            Self {
                expected: "adapts",
                plugins: &["adapts_c"],
                options: ",share=0.5",
                grants: "payload:4",
                analyses: false,
                cuts: false,
            },
            Self {
                expected: "adapts-options",
                plugins: &["adapts_c"],
                options: ",share=2.5,count=9,all=true,name=x",
                grants: "addresses,payload:20,bytes:100",
                analyses: true,
                cuts: false,
            },
            // Compiled from a file of features: batches only.
            Self {
                expected: "features",
                plugins: &["features"],
                options: "",
                grants: "",
                analyses: true,
                cuts: false,
            },
        ]
    }

    /// Returns the values and log lines of a plugin.
    fn run(&self, file: &Path, calls: &str) -> Outcome {
        let mut command = flowloom()
            .folder(&folder().join("captures"))
            .compiles()
            .arg("meter")
            .args(CAPTURES)
            .args(["--format", "jsonl", "--n-dissections", "0", "-v"])
            // Python's interpreter.
            .args(["--compile-time", "300"])
            .args(["--plugin-calls", calls, "--plugin"])
            .arg(format!("{NAME}={}{}", file.display(), self.options));
        if self.analyses {
            command = command.args(["--statistical-analysis", "--splt-analysis", "5"]);
        }
        if !self.grants.is_empty() {
            command = command.grant(&format!("{NAME}={}", self.grants));
        }
        Outcome::of(&command.run().done())
    }

    /// Returns how the values of a plugin differ from the expected values in any call mode.
    fn difference(&self, file: &Path) -> Option<String> {
        let expected = Outcome::expected(self.expected, || self.run(file, "auto"));
        let modes: &[_] = match self.cuts {
            true => &["auto"],
            false => &["auto", "per-event"],
        };
        modes.iter().find_map(|calls| {
            let difference = expected.difference(&self.run(file, calls))?;
            let (file, expected) = (file.display(), self.expected);
            Some(format!("{file}, {expected}, {calls}: {difference}"))
        })
    }
}

/// What a plugin computed and logged.
#[derive(PartialEq)]
struct Outcome(Vec<Value>);

impl Outcome {
    fn of(run: &Run) -> Self {
        let flows = run.flows().into_iter().map(|flow| {
            let values = &flow["udps"][NAME];
            json!({"capture": flow["capture"], "id": flow["id"], "values": values})
        });
        let marker = format!("plugin {NAME}: ");
        let lines = run.stderr.lines().filter(|line| line.contains(&marker));
        let lines = lines.map(|line| json!({"log": line.trim_start()}));
        Self(flows.chain(lines).collect())
    }

    /// Reads expected values. With FLOWLOOM_BLESS=1 it creates a file that is missing, but never replaces one.
    fn expected(name: &str, run: impl FnOnce() -> Self) -> Self {
        let path = folder().join("expected").join(name).with_extension("jsonl");
        let text = read_or_create(&path, || {
            run().0.iter().map(|line| format!("{line}\n")).collect()
        });
        let lines = text.lines().map(|line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        let expected = Self(lines.collect());
        assert!(!expected.0.is_empty(), "{} is empty", path.display());
        expected
    }

    fn difference(&self, actual: &Self) -> Option<String> {
        if self == actual {
            return None;
        }
        let count = self.0.len().max(actual.0.len());
        let at = (0..count).find(|&at| self.0.get(at) != actual.0.get(at))?;
        let show = |outcome: &Self| outcome.0.get(at).map_or("nothing".into(), Value::to_string);
        Some(format!("{}\nexpected {}", show(actual), show(self)))
    }
}

/// Returns the folder of the contract version.
pub(crate) fn folder() -> PathBuf {
    Path::new(HOST).join("../../tests/frozen/0.1.0")
}

/// Reads a frozen file. With FLOWLOOM_BLESS=1 it creates a file that is missing, but never replaces one.
pub(crate) fn read_or_create(path: &Path, contents: impl FnOnce() -> String) -> String {
    let is_blessed = std::env::var_os("FLOWLOOM_BLESS").is_some_and(|bless| bless == "1");
    if is_blessed && !path.exists() {
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(path, contents()))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files of all frozen plugins.
pub(crate) fn plugins() -> Vec<PathBuf> {
    let cases = Case::all();
    let names: BTreeSet<_> = cases.iter().flat_map(|case| case.plugins).collect();
    let files: Vec<_> = names
        .iter()
        .map(|name| folder().join(name).with_extension("wasm"))
        .collect();
    assert_eq!(files.len(), PLUGINS);
    files
}

#[test]
fn frozen_plugins_have_the_expected_values() {
    let mut differences = Vec::new();
    for case in Case::all() {
        for name in case.plugins {
            let file = folder().join(name).with_extension("wasm");
            differences.extend(case.difference(&file));
        }
    }
    assert!(
        differences.is_empty(),
        "This Flowloom must run the plugins of released contracts to the same values \
         (tests/frozen/README.md):\n{}",
        differences.join("\n")
    );
}

/// The component for Python has 18 MB, so it is not in the repository. `make languages` builds it with the SDK of
/// today.
#[test]
fn the_frozen_values_are_those_of_the_plugin_in_python() {
    let file = guests::plugin("every_type_python");
    let every_type = |case: &Case| case.plugins == EVERY_TYPE;
    let differences: Vec<_> = Case::all()
        .iter()
        .filter(|case| every_type(case))
        .filter_map(|case| case.difference(&file))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_frozen_plugin_rejects_wrong_options() {
    let file = folder().join("adapts_c.wasm");
    let run = flowloom()
        .folder(&folder().join("captures"))
        .args(["meter", "dns.pcap", "--plugin"])
        .arg(format!("{NAME}={},count=3", file.display()))
        .run()
        .exits(1);
    let message = "option `share` is missing; this plugin accepts `count` (an integer from 1 to 9, default 3)";
    assert!(run.stderr.contains(message), "{run}");
}

/// The list has the format of `sha256sum`, so `sha256sum -c SHA256SUMS` does the same.
#[test]
fn frozen_files_are_those_of_the_list() {
    let root = Path::new(HOST).join("../../tests/frozen");
    let list = fs::read_to_string(root.join("SHA256SUMS")).expect("tests/frozen/SHA256SUMS exists");
    let mut listed = BTreeSet::new();
    for line in list.lines() {
        let (digest, name) = line.split_once("  ").expect("DIGEST  NAME");
        let bytes = fs::read(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = hex::encode(Sha256::digest(bytes));
        assert_eq!(
            found, digest,
            "{name} is not the released file; files in tests/frozen are never replaced"
        );
        listed.insert(root.join(name));
    }
    let mut found = BTreeSet::new();
    let versions = fs::read_dir(&root).expect("tests/frozen can be read");
    for version in versions.map(|entry| entry.expect("an entry").path()) {
        if version.is_dir() {
            find(&version, &mut found);
        }
    }
    assert_eq!(found, listed, "tests/frozen/SHA256SUMS lists other files");
    let is_component = |path: &PathBuf| path.extension().is_some_and(|e| e == "wasm");
    let components: BTreeSet<_> = listed.into_iter().filter(is_component).collect();
    let run: BTreeSet<_> = plugins().into_iter().collect();
    assert_eq!(components, run, "the tests run other plugins");
}

/// Finds all files below a folder.
fn find(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of frozen files") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => find(&path, found),
            false => _ = found.insert(path),
        }
    }
}
