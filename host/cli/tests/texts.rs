//! The texts of the command: help, versions, usage errors, summaries and errors of bad files.
//!
//! Each file in `tests/texts` is a console session: lines that begin with `$` are commands, and the lines after
//! them are their output, with the exit code if it is not 0. `FLOWLOOM_BLESS=1 cargo test -p flowloom-cli --test
//! texts` writes the output anew; look at what changed before you commit it.
//!
//! The crate trycmd does the same, but switches on features of crates that wasmtime uses, so that tests would
//! compile it once more.

// The help has other defaults in a build without nDPI.
#![cfg(feature = "ndpi")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the commands of a session, and returns it with their present output.
fn replay(session: &str, cache: &Path) -> String {
    let mut text = String::new();
    let title = session.lines().take_while(|line| !line.starts_with("$ "));
    for line in title {
        text += &format!("{line}\n");
    }
    for line in session.lines() {
        let Some(command) = line.strip_prefix("$ flowloom") else {
            continue;
        };
        text += &format!("{line}\n{}\n", run(&words(command), cache));
    }
    text.trim_end().to_owned() + "\n"
}

/// Splits a command into words. Quotation marks join words.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in command.split('"').enumerate() {
        match n % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// Returns both outputs of a command, and its exit code if it is not 0.
fn run(words: &[String], cache: &Path) -> String {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures");
    let output = Command::new(env!("CARGO_BIN_EXE_flowloom"))
        .args(words)
        .current_dir(captures)
        .env_remove("FLOWLOOM_LOG")
        .env("XDG_CACHE_HOME", cache)
        // The width of help.
        .env("COLUMNS", "100")
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let mut text = String::new();
    for part in [output.stdout, output.stderr] {
        for line in String::from_utf8_lossy(&part).lines() {
            text += &format!("{}\n", without_variables(line));
        }
    }
    match output.status.code() {
        Some(0) => text,
        code => text + &format!("exit code {}\n", code.expect("no signal ends it")),
    }
}

/// Replaces the parts of a line that differ between runs or machines.
fn without_variables(line: &str) -> String {
    let first = line.split(' ').next().unwrap_or_default();
    match first {
        "time" => "time     …".to_owned(),
        "flowloom" if line.contains(env!("CARGO_PKG_VERSION")) => "flowloom VERSION".to_owned(),
        "wasmtime" | "libpcap" | "nDPI" => format!("{first} VERSION"),
        _ => line.trim_end().to_owned(),
    }
}

#[test]
fn texts_are_those_of_the_sessions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/texts");
    let cache = tempfile::tempdir().expect("a temporary folder");
    let is_blessed = std::env::var_os("FLOWLOOM_BLESS").is_some_and(|bless| bless == "1");
    let mut sessions = 0;
    for entry in fs::read_dir(&folder).expect("the folder of sessions") {
        let path = entry.expect("an entry").path();
        let expected = fs::read_to_string(&path).expect("a session is text");
        let actual = replay(&expected, cache.path());
        sessions += 1;
        if is_blessed {
            fs::write(&path, actual).expect("a session can be written");
            continue;
        }
        let lines = expected.lines().zip(actual.lines()).enumerate();
        let different = lines
            .into_iter()
            .find(|(_, (expected, actual))| expected != actual);
        assert!(
            expected == actual,
            "{} differs; FLOWLOOM_BLESS=1 writes it anew. First line that differs: {different:#?}\n{actual}",
            path.display()
        );
    }
    assert!(sessions > 0, "there are no sessions");
}
