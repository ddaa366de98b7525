//! Tests of output files: existing files, names and compression.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::command::{Command, Run, captures, flowloom, meter};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Returns a run that reads the capture from standard input, which counts as a live capture.
fn live(capture: &str) -> Command {
    let packets = fs::read(captures().join(capture)).expect("one of our captures");
    meter("-").stdin(packets)
}

/// Returns the text of a file, decompressed according to its extension.
fn text(path: &Path) -> String {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader: Box<dyn std::io::Read> = match path.extension().and_then(|it| it.to_str()) {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(file).expect("zstd")),
        _ => Box::new(file),
    };
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    text
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).expect("a folder");
    let name = |entry: Result<fs::DirEntry, _>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("text"))
        .collect();
    names.sort();
    names
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn an_unknown_extension_is_rejected() {
    let folder = folder();
    for (name, extension) in [
        ("x.orc", "orc"),
        ("x.parquet.gz", "gz"),
        ("a.json", "json"),
        ("flows.csv.bz2", "bz2"),
        ("flows.tsv.gz", "tsv"),
        ("flows.", ""),
        ("flows.csv.gz.gz", "gz"),
    ] {
        let path = folder.path().join(name);
        let run = |words: &[&str]| meter("dns.pcap").arg("-o").arg(&path).args(words).run();
        for words in [&[][..], &["--flows-per-file", "2"], &["--append"]] {
            run(words).refuses_usage(&format!(
                "cannot determine the format of '{}': unknown extension .{extension}; use .parquet, \
                 .arrow, .csv, .jsonl or .ndjson, the last three optionally followed by .gz or .zst, or select the \
                 format with --format",
                shown(&path)
            ));
        }
        assert_eq!(names(&folder), [""; 0]);
        run(&["--format", "jsonl"]).done();
        fs::remove_file(&path).expect("the file was written");
    }
}

#[test]
fn extensions_select_the_compression() {
    let folder = folder();
    let written = |name: &str, words: &[&str]| {
        let path = folder.path().join(name);
        meter("dns.pcap")
            .arg("-o")
            .arg(&path)
            .args(words)
            .run()
            .done();
        text(&path)
    };
    let (csv, jsonl) = (written("plain.csv", &[]), written("plain.jsonl", &[]));
    assert_eq!((csv.lines().count(), jsonl.lines().count()), (10, 9));
    for compression in ["gz", "zst"] {
        let name = |inner: &str| format!("{inner}.{compression}");
        for inner in ["a.csv", "a", "a.CSV"] {
            assert_eq!(written(&name(inner), &[]), csv);
        }
        assert_eq!(written(&name("a.ndjson"), &[]), jsonl);
        assert_eq!(written(&name("b.csv"), &["--format", "jsonl"]), jsonl);
        let is = fs::metadata(folder.path().join(name("a.csv"))).expect("the path exists");
        assert!(
            (is.len() as usize) < csv.len(),
            "the file is not compressed"
        );
        let path = folder.path().join(name("n.csv"));
        let run = meter("dns.pcap")
            .arg("-o")
            .arg(path)
            .args(["--flows-per-file", "4"]);
        run.run().done();
        for (number, lines) in [(1, 5), (2, 5), (3, 2)] {
            let path = folder.path().join(format!("n.{number}.csv.{compression}"));
            assert_eq!(text(&path).lines().count(), lines);
        }
    }
}

#[test]
fn live_captures_do_not_overwrite_files() {
    let folder = folder();
    for name in [
        "flows.csv",
        "flows.jsonl",
        "flows.csv.gz",
        "flows.jsonl.zst",
    ] {
        let path = folder.path().join(name);
        let run = |capture: &str, words: &[&str]| -> Run {
            live(capture).arg("-o").arg(&path).args(words).run()
        };
        run("dns.pcap", &[]).done();
        let first = text(&path);
        run("icmp.pcap", &[]).fails(&format!(
            "cannot write to '{}': it exists\n\
             hint: continue it with --append, move it away, or choose another name",
            shown(&path)
        ));
        assert_eq!(text(&path), first);
        run("icmp.pcap", &["--append"]).done();
        let both = text(&path);
        let rest = both
            .strip_prefix(&first)
            .expect("the earlier flows are unchanged");
        let alone = folder.path().join(format!("alone-{name}"));
        live("icmp.pcap").arg("-o").arg(&alone).run().done();
        let alone = text(&alone);
        let flows = match name.contains("csv") {
            true => alone.split_once('\n').expect("a header").1,
            false => &alone,
        };
        assert_eq!(rest, flows);
    }
}

#[test]
fn a_capture_from_a_named_pipe_does_not_overwrite_files() {
    let folder = folder();
    let pipe = folder.path().join("packets.pcap");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo failed");
    let output = folder.path().join("flows.csv");
    fs::write(&output, "mine").expect("the folder is writable");
    let writer = {
        let pipe = pipe.clone();
        // An error is ignored: the run ends before it reads the pipe.
        std::thread::spawn(move || {
            let packets = fs::read(captures().join("dns.pcap")).expect("a capture");
            let _ = fs::File::options()
                .write(true)
                .read(true)
                .open(pipe)
                .map(|mut pipe| {
                    let _ = std::io::Write::write_all(&mut pipe, &packets);
                });
        })
    };
    let run = meter(&pipe).arg("-o").arg(&output).run().exits(1);
    assert!(
        run.stderr
            .contains("it exists\nhint: continue it with --append, "),
        "{run}"
    );
    assert_eq!(
        fs::read_to_string(&output).expect("the path exists"),
        "mine"
    );
    drop(writer);
}

#[test]
fn numbered_files_of_live_captures_continue_the_numbering() {
    let folder = folder();
    let run = |words: &[&str]| {
        let output = folder.path().join("flows.csv");
        let words = ["--flows-per-file", "4"]
            .into_iter()
            .chain(words.iter().copied());
        live("dns.pcap").arg("-o").arg(output).args(words).run()
    };
    run(&[]).done();
    let first = ["flows.1.csv", "flows.2.csv", "flows.3.csv"];
    assert_eq!(names(&folder), first);
    let before: Vec<_> = first.map(|name| text(&folder.path().join(name))).into();
    // Two further runs, as after a crash and a restart.
    run(&[]).done();
    run(&["--append"]).done();
    assert_eq!(names(&folder).len(), 9);
    let after: Vec<_> = first.map(|name| text(&folder.path().join(name))).into();
    assert_eq!(after, before);
    assert_eq!(text(&folder.path().join("flows.7.csv")), before[0]);
    run(&["--no-clobber"]).fails(&format!(
        "cannot write to '{}': it exists\nhint: move it away, or choose another name",
        shown(&folder.path().join("flows.1.csv"))
    ));
    run(&["--rotate-files", "4"]).fails(&format!(
        "cannot continue the numbering after '{}': its number exceeds the limit of 4 files; move the file \
         away, or choose another name",
        shown(&folder.path().join("flows.9.csv"))
    ));
    run(&["--rotate-files", "9"]).done();
    assert_eq!(names(&folder).len(), 9);
    let last = folder.path().join("flows.18446744073709551615.csv");
    fs::write(&last, "").expect("the folder is writable");
    run(&[]).fails(&format!(
        "cannot continue the numbering after '{}': there is no higher number; move the file away, or \
         choose another name",
        shown(&last)
    ));
}

#[test]
fn capture_files_overwrite_the_output_by_default() {
    let folder = folder();
    let path = folder.path().join("flows.csv");
    let run = |capture: &str, words: &[&str]| meter(capture).arg("-o").arg(&path).args(words).run();
    run("icmp.pcap", &[]).done();
    run("dns.pcap", &[]).done();
    let dns = text(&path);
    assert_eq!(dns.lines().count(), 10);
    run("icmp.pcap", &["--no-clobber"]).fails(&format!(
        "cannot write to '{}': it exists\nhint: move it away, or choose another name",
        shown(&path)
    ));
    assert_eq!(text(&path), dns);
    run("dns.pcap", &["--append"]).done();
    assert_eq!(text(&path).lines().count(), 19);
    run("dns.pcap", &["--append", "--no-clobber"]).exits(2);
    let help = flowloom().args(["meter", "--help"]).run().done().stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("Flows of capture files overwrite an existing file."),
        "{help}"
    );
    for option in ["--append", "--no-clobber"] {
        meter("dns.pcap").arg(option).run().refuses_usage(&format!(
            "{option}: standard output is not a file\nhint: give --output FILE"
        ));
    }
}

#[test]
fn flows_are_not_appended_to_other_columns_or_formats() {
    let folder = folder();
    let refused = |name: &str, before: &str, words: &[&str], why: &str| {
        let path = folder.path().join(name);
        fs::write(&path, before).expect("the folder is writable");
        let run = live("dns.pcap").arg("-o").arg(&path).args(words);
        run.arg("--append").run().fails(&format!(
            "cannot write to '{}': cannot append flows: {why}; choose another name, or move the file \
             away",
            shown(&path)
        ));
        assert_eq!(fs::read_to_string(&path).expect("the path exists"), before);
    };
    let path = folder.path().join("header.csv");
    meter("empty.pcap").arg("-o").arg(&path).run().done();
    let header = text(&path);
    let count = header.split(',').count();
    refused(
        "flows.csv",
        &header,
        &["--splt-analysis", "3"],
        &format!(
            "its header has {count} columns, but the flows have {}",
            count + 3
        ),
    );
    refused(
        "flows.csv",
        &header,
        &["--no-decode-tunnels"],
        "its header has column 'tunnel_id' where the flows have 'bidirectional_first_seen_ms'",
    );
    refused(
        "flows.jsonl",
        &header,
        &[],
        "it does not begin with a JSON object",
    );
}

#[test]
fn append_continues_after_the_last_complete_line() {
    let folder = folder();
    let run = |path: &PathBuf| {
        live("dns.pcap")
            .arg("-o")
            .arg(path)
            .arg("--append")
            .run()
            .done()
    };
    for name in ["flows.csv", "flows.jsonl"] {
        let path = folder.path().join(name);
        run(&path);
        let whole = text(&path);
        // The last line lacks its line feed, or its second half.
        for lost in [1, 40] {
            fs::write(&path, &whole[..whole.len() - lost]).expect("the folder is writable");
            let ended = run(&path);
            let text = text(&path);
            // A JSON object is complete without its line feed.
            let kept = match (name, lost) {
                ("flows.jsonl", 1) => whole.as_str(),
                _ => &whole[..whole[..whole.len() - 1].rfind('\n').expect("two lines") + 1],
            };
            let rest = text
                .strip_prefix(kept)
                .expect("complete lines are unchanged");
            assert_eq!(rest.lines().count(), 9, "{name}");
            let is_reported = ended
                .stderr
                .contains("bytes after the last complete line of '");
            assert_eq!(is_reported, kept != whole, "{ended}");
        }
    }
}
