//! Standard input, output and error that are closed, full, or not read to the end.

use std::process::{Command, Output, Stdio};

use crate::command::captures;
use crate::guests::plugin;

/// Runs a command line of bash in the folder of the captures. In it, `F` is the command `flowloom`.
fn shell(line: &str) -> Output {
    // The time limit ends a command that does not notice that the other side of the pipe is closed.
    let line = format!(
        "F() {{ timeout 60 {} \"$@\"; }}\n{line}",
        env!("CARGO_BIN_EXE_flowloom")
    );
    Command::new("bash")
        .args(["-c", &line])
        .current_dir(captures())
        .env_remove("FLOWLOOM_LOG")
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::null())
        .output()
        .expect("a shell is installed")
}

#[track_caller]
fn fails(line: &str, message: &str) {
    let run = shell(line);
    let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{line}\n{stderr}");
    assert!(stderr.contains(message), "{line}\n{stderr}");
    assert!(!stderr.contains("panicked"), "{line}\n{stderr}");
}

#[track_caller]
fn is_done(line: &str) -> String {
    let run = shell(line);
    let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(0), "{line}\n{stderr}");
    assert!(!stderr.contains("panicked"), "{line}\n{stderr}");
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn closed_standard_output_is_an_error() {
    let closed = "cannot write to standard output: it is closed";
    fails("F meter dns.pcap --n-dissections 0 >&-", closed);
    fails("F meter dns.pcap --n-dissections 0 <&- >&-", closed);
    fails("F fields >&-", closed);
    fails("F interfaces >&-", closed);
    let slicer = plugin("slicer");
    fails(&format!("F plugin check {} >&-", slicer.display()), closed);
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        fails(
            &format!("F meter dns.pcap --n-dissections 0 -o {name} >&-"),
            &format!("cannot open {name}: standard output is closed"),
        );
    }
}

#[test]
fn standard_output_that_cannot_be_written_is_an_error() {
    fails(
        "F meter dns.pcap --n-dissections 0 1</dev/null",
        "cannot write to standard output: it is open for reading only",
    );
    let full = "cannot write to standard output: No space left on device (os error 28)";
    fails("F meter dns.pcap --n-dissections 0 >/dev/full", full);
    fails("F fields >/dev/full", full);
    let slicer = plugin("slicer");
    fails(
        &format!("F plugin check {} >/dev/full", slicer.display()),
        full,
    );
}

#[test]
fn closed_standard_input_and_error_are_errors_if_needed() {
    let input = "cannot read from standard input: it is closed";
    fails("F meter - --n-dissections 0 <&-", input);
    fails(
        "F meter /dev/stdin --n-dissections 0 <&-",
        "cannot open /dev/stdin: standard input is closed",
    );
    let run = shell("F meter dns.pcap --n-dissections 0 --performance-report 9 2>&-");
    assert_eq!(run.status.code(), Some(1));
    let flows = is_done("F meter dns.pcap --n-dissections 0 <&- 2>&-");
    assert_eq!(flows.lines().count(), 10);
}

/// Standard output may be /dev/null in all modes. Python, for example, opens it for reading and writing.
#[test]
fn standard_output_may_be_dev_null() {
    for null in [">/dev/null", "1<>/dev/null", ">>/dev/null"] {
        is_done(&format!("F meter dns.pcap --n-dissections 0 {null}"));
    }
}

#[test]
fn a_closed_pipe_ends_the_run_without_an_error() {
    let captures = "dns.pcap ".repeat(400);
    for (line, words) in [
        (format!("F meter {captures} --n-dissections 0"), "id,"),
        (
            format!("F meter {captures} --n-dissections 0 --n-meters 2 -o /dev/stdout"),
            "id,",
        ),
        (
            format!("F meter {captures} --n-dissections 0 --format jsonl"),
            "{",
        ),
        ("F fields".to_owned(), "Fields"),
        ("F interfaces".to_owned(), ""),
        (
            format!("F plugin check {}", plugin("slicer").display()),
            "plugin",
        ),
    ] {
        // The reader ends before the first write, and after 9 bytes.
        for reader in ["true", "head -c 9"] {
            let run = shell(&format!("{line} | {reader}; exit ${{PIPESTATUS[0]}}"));
            let stderr = String::from_utf8_lossy(&run.stderr);
            assert_eq!(run.status.code(), Some(0), "{line} | {reader}\n{stderr}");
            let is_quiet = stderr.is_empty() || stderr.starts_with("packets ");
            assert!(is_quiet, "{line} | {reader}\n{stderr}");
            if reader != "true" {
                let read = String::from_utf8_lossy(&run.stdout);
                assert!(read.starts_with(words), "{line}\n{read}");
            }
        }
    }
}

/// The command writes errors, warnings and the summary there.
#[test]
fn standard_error_without_a_reader_changes_nothing() {
    let lines = "{ F meter dns.pcap --n-dissections 0; echo $?; } 2> >(true)";
    let out = is_done(lines);
    assert_eq!((out.lines().count(), out.lines().last()), (11, Some("0")));
    for (line, code) in [
        ("F meter missing.pcap", 1),
        ("F meter dns.pcap -o x.orc", 2),
        ("head -c 1500 dns.pcap | F meter - --n-dissections 0", 3),
    ] {
        let out = is_done(&format!(
            "{{ sleep 0.1; {line} >/dev/null; echo $?; }} 2> >(true)"
        ));
        assert_eq!(out, format!("{code}\n"), "{line}");
    }
}
