//! Tests that no output overwrites an input of the run or another output.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::command::{Run, captures, flowloom, meter};
use crate::guests::plugin;

/// A folder with every kind of input of a run.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let write = |name: &str, bytes: &[u8]| {
            let path = files.path(name);
            fs::create_dir_all(path.parent().expect("a folder"))
                .expect("the folder can be created");
            fs::write(path, bytes).expect("the folder is writable");
        };
        write(
            "x.pcap",
            &fs::read(captures().join("dns.pcap")).expect("a capture"),
        );
        write("p.wasm", &fs::read(plugin("evil")).expect("a plugin"));
        write(
            "all/q.wasm",
            &fs::read(plugin("packet_stats")).expect("a plugin"),
        );
        write("policy.toml", b"version = 1\n");
        write("option.txt", b"shown");
        write("key", "00".repeat(64).as_bytes());
        write("protos.txt", b"");
        write("categories.txt", b"");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for folder in [self.path(""), self.path("all")] {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                found.extend(fs::read(&path).ok().map(|bytes| (path, bytes)));
            }
        }
        found.sort();
        found
    }

    fn run(&self, more: &[&str]) -> Run {
        let option = format!("p.wasm,mode=@{}", self.path("option.txt").display());
        meter("x.pcap")
            .folder(self.folder.path())
            .args([
                "--plugin",
                &option,
                "--plugins",
                "all",
                "--policy",
                "policy.toml",
            ])
            .args(["--anonymization-key", "@key"])
            .args([
                "--ndpi-protocols",
                "protos.txt",
                "--ndpi-categories",
                "categories.txt",
            ])
            .args(more)
            .run()
    }
}

const INPUTS: [(&str, &str); 8] = [
    ("x.pcap", "a source"),
    ("p.wasm", "a plugin"),
    ("all/q.wasm", "a plugin"),
    ("policy.toml", "the policy"),
    ("option.txt", "the text of a plugin's option"),
    ("key", "the key"),
    ("protos.txt", "the list of protocols"),
    ("categories.txt", "the list of categories"),
];

#[test]
fn outputs_are_compared_with_all_inputs_through_links() {
    let files = Files::new();
    for (input, what) in INPUTS {
        for (n, name) in ["link.csv", "hard.csv", input, "n.7.csv"]
            .into_iter()
            .enumerate()
        {
            let link = files.path(name);
            match n {
                0 => symlink(files.path(input), &link).expect("a link"),
                2 => {}
                _ => fs::hard_link(files.path(input), &link).expect("a link"),
            }
            let before = files.contents();
            let refused = |run: Run, output: &str| {
                let run = run.exits(2);
                let line = run.stderr.lines().next().unwrap_or_default();
                let (path, rest) = line.split_once(" is both ").unwrap_or((line, ""));
                assert!(path.ends_with(input), "{input} as {name}\n{run}");
                assert_eq!(rest, format!("{what} and {output}"), "{run}");
                assert!(files.contents() == before, "{input} as {name} was changed");
            };
            if n == 3 {
                let words = ["-o", "n.csv", "--flows-per-file", "2"];
                refused(files.run(&words), "the output");
            } else {
                refused(files.run(&["-o", name, "--format", "csv"]), "the output");
                for kept in ["--append", "--no-clobber"] {
                    let words = ["-o", name, "--format", "csv", kept];
                    refused(files.run(&words), "the output");
                }
                let words = [
                    "--performance-report",
                    "9",
                    "--performance-report-file",
                    name,
                ];
                refused(files.run(&words), "the performance report");
            }
            if n != 2 {
                fs::remove_file(&link).expect("the link exists");
            }
        }
    }
}

#[test]
fn outputs_are_compared_with_each_other_before_they_exist() {
    let files = Files::new();
    symlink("flows.csv", files.path("later.csv")).expect("a link");
    for (output, report) in [
        ("flows.csv", "./flows.csv"),
        ("flows.csv", "all/../flows.csv"),
        ("later.csv", "flows.csv"),
        ("flows.csv", "later.csv"),
    ] {
        let words = [
            "-o",
            output,
            "--performance-report",
            "9",
            "--performance-report-file",
            report,
        ];
        files.run(&words).refuses_usage(&format!(
            "{output} is both the output and the performance report"
        ));
    }
    let words = [
        "-o",
        "n.csv",
        "--flows-per-file",
        "2",
        "--performance-report",
        "9",
    ];
    let report = ["--performance-report-file", "n.3.csv"];
    files
        .run(&[&words[..], &report].concat())
        .refuses_usage("n.csv is both the output and the performance report");
    // Two outputs may be the same device.
    let words = ["-o", "/dev/null", "--performance-report", "9"];
    let report = ["--performance-report-file", "/dev/null"];
    meter("dns.pcap").args(words).args(report).run().done();
}

#[test]
fn standard_input_and_output_are_compared_too() {
    let files = Files::new();
    let shell = |line: &str| {
        let line = format!("F='{}'; {line}", env!("CARGO_BIN_EXE_flowloom"));
        let run = Command::new("sh")
            .args(["-c", &line])
            .current_dir(files.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("a shell is installed");
        let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{line}\n{stderr}");
        assert!(
            stderr.contains(" is both a source and the output"),
            "{stderr}"
        );
    };
    let before = files.contents();
    shell("$F meter - --n-dissections 0 < x.pcap -o x.pcap --format csv");
    shell("$F meter x.pcap --n-dissections 0 >> x.pcap");
    shell("$F meter x.pcap --n-dissections 0 -o /dev/stdout >> x.pcap");
    shell("$F meter - --n-dissections 0 < x.pcap >> x.pcap");
    assert!(files.contents() == before);
}

#[test]
fn a_module_is_not_overwritten_by_its_component() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = folder.path().join("module.wasm");
    let wasm = wat::parse_str("(module)").expect("a module");
    fs::write(&module, &wasm).expect("the folder is writable");
    let link = folder.path().join("component.wasm");
    symlink(&module, &link).expect("a link");
    for output in [&module, &link] {
        flowloom()
            .args(["plugin", "componentize"])
            .arg(&module)
            .arg("-o")
            .arg(output)
            .run()
            .refuses_usage(&format!(
                "{} is both the module and the component",
                module.display()
            ));
        assert!(fs::read(&module).expect("the path exists") == wasm);
    }
}

#[test]
fn inputs_of_a_plugin_project_are_not_overwritten() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("the folder is writable")
    };
    let describe = |source: &str, expected: &str| {
        write(
            "flowloom-plugin.toml",
            &format!(
                "[plugin]\nname = \"mine\"\nlanguage = \"c\"\nsource = \"{source}\"\n\
                 [[test]]\ncapture = \"x.pcap\"\nexpected = \"{expected}\"\n"
            ),
        );
    };
    write("plugin.c", "int x;");
    write("mine.wasm", "component");
    write("x.pcap", "packets");
    let run = |command: &str| {
        flowloom()
            .folder(folder.path())
            .args(["plugin", command, "."])
            .args((command == "test").then_some("--bless"))
            .run()
    };
    for (expected, what) in [
        ("./x.pcap", "a capture"),
        ("mine.wasm", "the plugin"),
        ("./plugin.c", "the plugin's source"),
        ("./flowloom-plugin.toml", "the description of the plugin"),
    ] {
        describe("plugin.c", expected.trim_start_matches("./"));
        let before = fs::read(folder.path().join(expected)).expect("the path exists");
        run("test").refuses_usage(&format!(
            "{expected} is both {what} and the expected values of a test"
        ));
        let after = fs::read(folder.path().join(expected)).expect("the path exists");
        assert!(after == before, "{expected}");
    }
    for source in ["mine.wasm", "mine.new.wasm"] {
        write(source, "source");
        describe(source, "x.jsonl");
        let run = run("build").exits(2);
        let message = format!("{source} is both the plugin's source and the component\n");
        assert!(run.stderr.ends_with(&message), "{run}");
        let text = fs::read_to_string(folder.path().join(source)).expect("the path exists");
        assert_eq!(text, "source");
    }
}
