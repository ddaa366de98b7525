//! Arrow and Parquet outputs, chosen columns, and files that begin at a time.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use crate::command::{captures, flowloom, meter};
use crate::pcap;

/// The time after which a run hangs.
const HANGS: Duration = Duration::from_secs(60);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Returns the paths of all files below a folder, relative to it.
fn files(folder: &Path) -> Vec<String> {
    fn add(root: &Path, folder: &Path, files: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => add(root, &path, files),
                path => {
                    let name = path.strip_prefix(root).expect("it is below the folder");
                    files.push(name.to_str().expect("text").to_owned());
                }
            }
        }
    }
    let mut files_below = Vec::new();
    add(folder, folder, &mut files_below);
    files_below.sort();
    files_below
}

/// Returns the batches of a Parquet file, and its key-value metadata.
fn parquet(path: &Path) -> (Vec<RecordBatch>, BTreeMap<String, String>) {
    let file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file");
    let metadata = reader.metadata().file_metadata().key_value_metadata();
    let metadata = metadata.into_iter().flatten();
    let metadata = metadata.map(|entry| {
        let value = entry.value.clone().unwrap_or_default();
        (entry.key.clone(), value)
    });
    let metadata = metadata.collect();
    let batches = reader.build().expect("a Parquet file");
    (
        batches.map(|batch| batch.expect("a batch")).collect(),
        metadata,
    )
}

/// Returns the ids of the flows in a Parquet file.
fn ids(path: &Path) -> Vec<i64> {
    let (batches, _) = parquet(path);
    let ids = batches.iter().flat_map(|batch| {
        let ids = batch.column_by_name("id").expect("every flow has it");
        ids.as_primitive::<Int64Type>().values().to_vec()
    });
    ids.collect()
}

/// Writes a capture with one UDP packet for each time. Each packet is a flow. Times are seconds since 2026-11-29 13:00
/// UTC.
fn capture(folder: &TempDir, seconds: &[u64]) -> PathBuf {
    const BEGIN_MS: u64 = 1_795_957_200_000;
    let path = folder.path().join("x.pcap");
    let packets = (1..).zip(seconds);
    let packets = packets.map(|(port, second)| (BEGIN_MS + second * 1_000, port));
    fs::write(&path, pcap::capture(packets)).expect("the folder is writable");
    path
}

#[test]
fn a_parquet_file_has_the_flows_and_says_what_made_them() {
    let folder = folder();
    let path = folder.path().join("flows.parquet");
    let run = meter("dns.pcap").dissected().arg("-o").arg(&path);
    run.args(["--idle-timeout", "20", "--capture-digests"])
        .run()
        .done();
    assert_eq!(files(folder.path()), ["flows.parquet"]);
    assert_eq!(ids(&path).len(), 9);
    let (_, metadata) = parquet(&path);
    assert_eq!(metadata["flowloom.schema_version"], "1");
    assert_eq!(metadata["flowloom.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(metadata["flowloom.plugins"], "[]");
    let library = crate::applications::library();
    assert_eq!(metadata["flowloom.ndpi_library"], library.to_string_lossy());
    assert!(metadata["flowloom.ndpi_version"].starts_with(['4', '5']));
    let json = |key: &str| -> serde_json::Value {
        serde_json::from_str(&metadata[key]).unwrap_or_else(|error| panic!("{key}: {error}"))
    };
    assert_eq!(json("flowloom.run")["settings"]["idle_timeout"], 20);
    assert_eq!(json("flowloom.counters")["flows"], 9);
    let of_capture = &json("flowloom.captures")[0];
    let bytes = fs::read(captures().join("dns.pcap")).expect("one of our captures");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&bytes);
    assert_eq!(of_capture["sha256"], hex::encode(digest));
    assert_eq!(of_capture["bytes"], bytes.len());
}

#[test]
fn arrow_is_a_stream_on_standard_output_and_a_file_elsewhere() {
    let folder = folder();
    let path = folder.path().join("flows.arrow");
    meter("dns.pcap").arg("-o").arg(&path).run().done();
    let file = fs::File::open(&path).expect("the file is complete");
    let file = arrow_ipc::reader::FileReader::try_new(file, None).expect("an Arrow file");
    assert_eq!(file.custom_metadata()["flowloom.plugins"], "[]");
    assert_eq!(
        file.map(|batch| batch.expect("a batch").num_rows())
            .sum::<usize>(),
        9
    );
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_flowloom"))
        .args(["meter", "--format", "arrow", "-q"])
        .arg(captures().join("dns.pcap"))
        .output()
        .expect("the command runs");
    let stream = arrow_ipc::reader::StreamReader::try_new(&output.stdout[..], None);
    let stream = stream.expect("an Arrow stream");
    assert_eq!(stream.schema().metadata()["flowloom.plugins"], "[]");
    assert_eq!(
        stream
            .map(|batch| batch.expect("a batch").num_rows())
            .sum::<usize>(),
        9
    );
}

#[test]
fn selected_columns_come_in_their_order_in_every_format() {
    let folder = folder();
    let select = ["--select", "dst_port,first_seen,src_ip"];
    let csv = meter("dns.pcap").args(select).run().done();
    let first = csv.stdout.lines().next();
    assert_eq!(first, Some("dst_port,first_seen,src_ip"));
    let jsonl = meter("dns.pcap").jsonl().args(select).run().done();
    assert!(
        jsonl
            .stdout
            .starts_with("{\"dst_port\":53,\"first_seen\":\""),
        "{jsonl}"
    );
    let path = folder.path().join("flows.parquet");
    meter("dns.pcap")
        .arg("-o")
        .arg(&path)
        .args(select)
        .run()
        .done();
    let (batches, _) = parquet(&path);
    let names: Vec<_> = batches[0]
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["dst_port", "first_seen", "src_ip"]);
}

#[test]
fn anonymised_columns_are_text() {
    let folder = folder();
    for extension in ["parquet", "arrow"] {
        let path = folder.path().join(format!("flows.{extension}"));
        let run = meter("dns.pcap").arg("-o").arg(&path);
        run.args(["--columns-to-anonymize", "src_port,src_mac,src_ip"])
            .run()
            .done();
    }
    let (batches, _) = parquet(&folder.path().join("flows.parquet"));
    let ports = batches[0]
        .column_by_name("src_port")
        .expect("every flow has it");
    assert_eq!(ports.as_string::<i32>().value(0).len(), 128);
}

#[test]
fn analyses_that_nothing_needs_are_not_run_and_conditions_need_theirs() {
    let run = |words: &[&str]| {
        flowloom()
            .args([
                "meter",
                "--select",
                "id",
                "--statistical-analysis",
                "--splt-analysis",
                "3",
            ])
            .args(words)
            .arg(captures().join("dns.pcap"))
            .run()
            .done()
    };
    let all = run(&[]).stdout.lines().count();
    assert_eq!(all, 10);
    let some = run(&[
        "--where",
        "bidirectional_max_ps > 0 and splt_ps is not null",
    ]);
    assert_eq!(some.stdout.lines().count(), all);
    let none = run(&["--where", "application_name = \"nothing\""]);
    assert_eq!(none.stdout.lines().count(), 1);
}

#[test]
fn columns_that_do_not_exist_are_named_with_similar_ones() {
    for (select, message) in [
        (
            "src_pi",
            "cannot select column 'src_pi': there is no such column; did you mean 'src_ip' or 'src_oui' \
             or 'src_port'? `flowloom fields` lists the fields of flows; udps.<plugin>.<name> is an output \
             of a plugin",
        ),
        (
            "splt_ps",
            "cannot select column 'splt_ps': the flows of this run do not have it; it exists with \
             --splt-analysis",
        ),
        ("id,src_ip,id", "cannot select column 'id' twice"),
    ] {
        meter("dns.pcap")
            .args(["--select", select])
            .run()
            .refuses_usage(message);
    }
}

#[test]
fn options_that_do_not_fit_the_format_are_refused() {
    for (words, message) in [
        (
            &["-o", "x.csv", "--compression", "zstd"][..],
            "--compression: CSV is text\nhint: give the name of the output the extension .gz or .zst",
        ),
        (
            &["-o", "x.arrow", "--row-group-size", "9"],
            "--row-group-size: Arrow has no row groups\nhint: write to a file with the extension .parquet",
        ),
        (
            &["-o", "x.parquet", "--append"],
            "--append: a file of Parquet is complete\nhint: start new files with --flows-per-file N",
        ),
        (
            &["-o", "x.csv", "--keep", "1h"],
            "--keep: all flows are in one file\nhint: add --rotate-interval TIME or --rotate-size SIZE",
        ),
        (
            &["--rotate-interval", "1h"],
            "--rotate-interval: standard output is not a file\nhint: give --output FILE",
        ),
        (
            &[
                "-o",
                "x.csv",
                "--rotate-interval",
                "1h",
                "--rotate-files",
                "2",
            ],
            "--rotate-files 2: files with a time in their names are not numbered\nhint: give --keep \
             TIME,SIZE",
        ),
    ] {
        meter("dns.pcap").args(words).run().refuses_usage(message);
    }
}

#[test]
fn a_file_of_each_interval_has_the_flows_of_its_time() {
    let folder = folder();
    // The flows end in the order of their packets.
    let capture = capture(&folder, &[0, 100, 299, 301, 900, 901]);
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("the folder is writable");
    let run = |extension: &str, words: &[&str]| {
        let run = flowloom().args(["meter", "--n-dissections", "0", "-o"]);
        let run = run.arg(out.join(format!("f.{extension}"))).args(words);
        run.arg(&capture).run().done()
    };
    run("parquet", &["--rotate-interval", "5min"]);
    let names = [
        "f.20261129T130000Z",
        "f.20261129T130500Z",
        "f.20261129T131500Z",
    ];
    let with = |extension: &str| names.map(|name| format!("{name}.{extension}"));
    assert_eq!(files(&out), with("parquet"));
    for (name, expected) in with("parquet").iter().zip([&[0, 1, 2][..], &[3], &[4, 5]]) {
        assert_eq!(ids(&out.join(name)), expected, "{name}");
    }
    // The same run again replaces its files.
    run("parquet", &["--rotate-interval", "5min"]);
    assert_eq!(files(&out), with("parquet"));
    fs::remove_dir_all(&out).expect("the folder exists");
    fs::create_dir(&out).expect("the folder is writable");
    run(
        "csv.gz",
        &["--rotate-interval", "5min", "--flows-per-file", "2"],
    );
    assert_eq!(
        files(&out),
        [
            "f.20261129T130000Z-1.csv.gz",
            "f.20261129T130000Z.csv.gz",
            "f.20261129T130500Z.csv.gz",
            "f.20261129T131500Z.csv.gz"
        ]
    );
}

#[test]
fn numbered_files_are_continued_by_further_files() {
    let folder = folder();
    let path = folder.path().join("f.parquet");
    for append in [&[][..], &["--append"]] {
        let run = meter("dns.pcap").arg("-o").arg(&path);
        run.args(["--flows-per-file", "5"])
            .args(append)
            .run()
            .done();
    }
    let names = [1, 2, 3, 4].map(|number| format!("f.{number}.parquet"));
    assert_eq!(files(folder.path()), names);
    let counts = names.map(|name| ids(&folder.path().join(name)).len());
    assert_eq!(counts, [5, 4, 5, 4]);
}

#[test]
fn partitions_are_folders_and_old_files_are_removed() {
    let folder = folder();
    let capture = capture(&folder, &[0, 3_600, 7_200, 90_000]);
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("the folder is writable");
    let run = |words: &[&str]| {
        let run = flowloom().args(["meter", "--n-dissections", "0", "-o"]);
        run.arg(out.join("f.parquet"))
            .args(words)
            .arg(&capture)
            .run()
            .done()
    };
    run(&["--partition", "hour"]);
    let all = [
        "date=2026-11-29/hour=13/f.20261129T130000Z.parquet",
        "date=2026-11-29/hour=14/f.20261129T140000Z.parquet",
        "date=2026-11-29/hour=15/f.20261129T150000Z.parquet",
        "date=2026-11-30/hour=14/f.20261130T140000Z.parquet",
    ];
    assert_eq!(files(&out), all);
    fs::write(out.join("date=2026-11-29/hour=13/notes.txt"), "").expect("the folder exists");
    // The clock is at 14:00 of the second day: only what began at 14:00 or later remains.
    run(&["--partition", "hour", "--keep", "24h"]);
    let notes = "date=2026-11-29/hour=13/notes.txt";
    assert_eq!(files(&out), [notes, all[1], all[2], all[3]]);
    run(&["--partition", "hour", "--keep", "1kB"]);
    assert_eq!(files(&out), [notes, all[3]]);
    assert!(!out.join("date=2026-11-29/hour=14").exists());
}

#[test]
fn a_killed_run_leaves_no_file_and_the_next_run_removes_its_temporary_file() {
    let folder = folder();
    let path = folder.path().join("flows.parquet");
    let other = ".other.parquet.flowloom-abcdef.tmp";
    fs::write(folder.path().join(other), "").expect("the folder is writable");
    let mut run = meter("-").arg("-o").arg(&path).start();
    let mut stdin = run.stdin.take().expect("the stream is piped");
    stdin
        .write_all(&pcap::HEADER)
        .expect("the run reads its input");
    let start = Instant::now();
    let temporary = loop {
        stdin
            .write_all(&pcap::packet(0, 1))
            .expect("the run reads its input");
        let names = files(folder.path());
        if let Some(name) = names
            .iter()
            .find(|name| name.starts_with(".flows.parquet.flowloom-"))
        {
            break name.clone();
        }
        assert!(start.elapsed() < HANGS, "{names:?}");
        thread::sleep(Duration::from_millis(10));
    };
    // Another run of the same output does not remove the file that is in use.
    meter("dns.pcap").arg("-o").arg(&path).run().done();
    assert_eq!(
        files(folder.path()),
        [&temporary[..], other, "flows.parquet"]
    );
    run.kill().expect("the run has not ended");
    run.wait().expect("the run ends");
    let run = meter("icmp.pcap").arg("-o").arg(&path).run().done();
    assert!(
        run.stderr.contains("removed the incomplete file '"),
        "{run}"
    );
    assert_eq!(files(folder.path()), [other, "flows.parquet"]);
}

#[test]
fn a_full_disk_leaves_no_file() {
    let run = meter("dns.pcap")
        .args(["--format", "parquet", "-o", "/dev/full"])
        .run();
    run.fails("cannot write to '/dev/full': No space left on device (os error 28)");
}

#[test]
fn a_live_run_does_not_replace_a_file() {
    let folder = folder();
    let path = folder.path().join("flows.parquet");
    fs::write(&path, "theirs").expect("the folder is writable");
    let packets = pcap::capture([(0, 1)]);
    let run = meter("-").stdin(packets).arg("-o").arg(&path).run();
    let expected = format!("cannot write to '{}': it exists", path.display());
    assert!(run.stderr.contains(&expected), "{run}");
    assert_eq!(fs::read(&path).expect("it remains"), b"theirs");
    assert_eq!(files(folder.path()), ["flows.parquet"]);
}

#[test]
fn options_come_from_a_file_and_those_of_the_command_line_win() {
    let folder = folder();
    let config = folder.path().join("run.toml");
    let capture = captures().join("dns.pcap");
    let text = format!(
        "sources = ['{}']\nn-dissections = 0\nformat = 'jsonl'\nselect = ['id', 'dst_port']\nwhere = \"id = 2\"\n",
        capture.display()
    );
    fs::write(&config, &text).expect("the folder is writable");
    let run = |words: &[&str]| {
        flowloom()
            .args(["meter", "--config"])
            .arg(&config)
            .args(words)
            .run()
    };
    assert_eq!(run(&[]).done().stdout, "{\"id\":2,\"dst_port\":53}\n");
    assert_eq!(run(&["--select", "id"]).done().stdout, "{\"id\":2}\n");
    let checked = run(&["--check-config"]).done();
    assert_eq!(
        checked.stdout,
        "the configuration is valid: 1 sources, 0 plugins, 2 columns\n"
    );
    for (line, message) in [
        ("where2 = 1", "there is no option 'where2'"),
        ("where = 'nothing = 1'", "TOML parse error"),
        (
            "idle-timeout = 'x'",
            "invalid value 'x' for '--idle-timeout",
        ),
    ] {
        fs::write(&config, format!("{text}{line}\n")).expect("the folder is writable");
        let run = run(&["--check-config"]).exits(2);
        assert!(run.stderr.contains(message), "{run}");
    }
}
