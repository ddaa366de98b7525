//! Passes the commit of the sources to the command, for `flowloom --version`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Empty outside a checkout of Flowloom, for example in a source archive.
    let commit = match git(&["rev-parse", "--show-prefix"]).as_deref() {
        Some("host/cli/") => git(&["describe", "--always", "--exclude=*", "--abbrev=10"]),
        _ => None,
    };
    if commit.is_some() {
        // The file that every commit and every checkout changes.
        let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
        if let Some(log) = log.filter(|log| Path::new(log).exists()) {
            println!("cargo::rerun-if-changed={log}");
        }
    }
    let suffix = commit.map(|commit| format!(" ({commit})"));
    println!(
        "cargo::rustc-env=FLOWLOOM_COMMIT={}",
        suffix.unwrap_or_default()
    );
}

/// Returns the output of git, or `None` if it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
