use std::io::Read as _;

use flowloom_core::meter::testing::flows;

use super::*;
use crate::sink::Compression;

/// Writes `count` flows. Returns the names of all files in the folder, with the first column of
/// each line.
fn written(count: u64, make: impl Fn(PathBuf) -> OutputFiles) -> Vec<(String, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let flows = flows(count);
    let mut sink = make(folder.path().join("csv.d.csv"))
        .create(&flowloom_core::meter::Settings::default().schema().into())
        .unwrap();
    for flow in &flows {
        sink.write(flow).unwrap();
    }
    sink.finish().unwrap();
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            let first = |line: &str| line.split(',').next().unwrap().to_owned();
            let name = entry.file_name().into_string().unwrap();
            (name, text.lines().map(first).collect())
        })
        .collect();
    files.sort();
    files
}

fn expected(files: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let owned = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
    files
        .iter()
        .map(|&(name, lines)| (name.to_owned(), owned(lines)))
        .collect()
}

#[test]
fn all_flows_are_in_one_file_by_default() {
    assert_eq!(
        written(3, OutputFiles::new),
        expected(&[("csv.d.csv", &["id", "0", "1", "2"])])
    );
}

#[test]
fn every_file_has_a_number_a_header_and_flows() {
    assert_eq!(
        written(5, |path| OutputFiles::new(path).flows_per_file(2)),
        expected(&[
            ("csv.d.1.csv", &["id", "0", "1"]),
            ("csv.d.2.csv", &["id", "2", "3"]),
            ("csv.d.3.csv", &["id", "4"]),
        ])
    );
    // No file is opened without a flow for it, except the first.
    assert_eq!(
        written(2, |path| OutputFiles::new(path).flows_per_file(2)),
        expected(&[("csv.d.1.csv", &["id", "0", "1"])])
    );
    assert_eq!(
        written(0, |path| OutputFiles::new(path).flows_per_file(2)),
        expected(&[("csv.d.1.csv", &["id"])])
    );
}

#[test]
fn a_ring_overwrites_its_oldest_file() {
    let rotated = |files| {
        written(7, move |path| {
            OutputFiles::new(path).flows_per_file(2).rotate_files(files)
        })
    };
    assert_eq!(
        rotated(3),
        expected(&[
            ("csv.d.1.csv", &["id", "6"]),
            ("csv.d.2.csv", &["id", "2", "3"]),
            ("csv.d.3.csv", &["id", "4", "5"]),
        ])
    );
    assert_eq!(rotated(1), expected(&[("csv.d.1.csv", &["id", "6"])]));
}

#[test]
fn rotation_requires_flows_per_file() {
    let error = OutputFiles::new("/nowhere/flows.csv")
        .rotate_files(3)
        .create(&flowloom_core::meter::Settings::default().schema().into())
        .map(drop)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "rotate_files 3: it is accepted only together with flows_per_file"
    );
}

#[test]
fn reopen_creates_a_moved_file_and_continues_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.csv");
    let mut sink = OutputFiles::new(&path)
        .create(&flowloom_core::meter::Settings::default().schema().into())
        .unwrap();
    let flows = flows(3);
    sink.write(&flows[0]).unwrap();
    sink.reopen().unwrap();
    sink.write(&flows[1]).unwrap();
    let moved = folder.path().join("moved.csv");
    fs::rename(&path, &moved).unwrap();
    sink.reopen().unwrap();
    sink.write(&flows[2]).unwrap();
    sink.finish().unwrap();
    let ids = |path| {
        let text = fs::read_to_string(path).unwrap();
        let first = |line: &str| line.split(',').next().unwrap().to_owned();
        text.lines().map(first).collect::<Vec<_>>()
    };
    assert_eq!(ids(&moved), ["id", "0", "1"]);
    assert_eq!(ids(&path), ["id", "2"]);
}

#[test]
fn flows_of_an_unopened_file_are_discarded_once() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("flows.2.csv");
    fs::create_dir(&second).unwrap();
    let mut sink = OutputFiles::new(folder.path().join("flows.csv"))
        .flows_per_file(2)
        .create(&flowloom_core::meter::Settings::default().schema().into())
        .unwrap();
    let flows = flows(4);
    sink.write(&flows[0]).unwrap();
    sink.write(&flows[1]).unwrap();
    sink.write(&flows[2]).unwrap_err();
    assert_eq!(sink.forget(), 1);
    fs::remove_dir(&second).unwrap();
    sink.write(&flows[3]).unwrap();
    sink.finish().unwrap();
    let text = fs::read_to_string(&second).unwrap();
    assert_eq!(text.lines().nth(1).unwrap().split(',').next(), Some("3"));
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let second = folder.path().join("flows.2.csv");
    fs::create_dir(&second).unwrap();
    let mut sink = OutputFiles::new(folder.path().join("flows.csv"))
        .flows_per_file(1)
        .create(&flowloom_core::meter::Settings::default().schema().into())
        .unwrap();
    let flows = flows(2);
    sink.write(&flows[0]).unwrap();
    let error = sink.write(&flows[1]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("'{}': ", second.display())));
}

#[test]
fn includes_finds_existing_and_future_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["cap.csv", "cap.2.csv", "cap.x.csv", "cap.9.csv"] {
        fs::write(path(name), "").unwrap();
    }
    fs::hard_link(path("cap.2.csv"), path("hard")).unwrap();
    std::os::unix::fs::symlink("cap.4.csv", path("dangling")).unwrap();
    let one = OutputFiles::new(path("cap.csv"));
    assert!(one.includes(&path("./cap.csv")));
    assert!(!one.includes(&path("cap.2.csv")));
    let many = one.flows_per_file(10).rotate_files(5);
    for ours in ["cap.2.csv", "hard", "cap.3.csv", "dangling"] {
        assert!(many.includes(&path(ours)), "{ours}");
    }
    for other in [
        "cap.csv",
        "cap.x.csv",
        "cap.9.csv",
        "cap.6.csv",
        "none/cap.3.csv",
    ] {
        assert!(!many.includes(&path(other)), "{other}");
    }
}

/// Writes the flows with these ids.
fn rerun(
    folder: &Path,
    name: &str,
    ids: std::ops::Range<u64>,
    make: impl Fn(OutputFiles) -> OutputFiles,
) -> Result<(), String> {
    let schema = flowloom_core::meter::Settings::default().schema().into();
    let mut sink = make(OutputFiles::new(folder.join(name)))
        .create(&schema)
        .map_err(|error| error.to_string())?;
    for flow in flows(ids.end).into_iter().skip(ids.start as usize) {
        sink.write(&flow).unwrap();
    }
    sink.finish().unwrap();
    Ok(())
}

fn text(path: &Path) -> String {
    let file = fs::File::open(path).unwrap();
    let mut text = String::new();
    let mut reader: Box<dyn io::Read> = match Compression::of(path) {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(file).unwrap()),
    };
    reader.read_to_string(&mut text).unwrap();
    text
}

fn ids(path: &Path) -> Vec<String> {
    let first = |line: &str| line.split(',').next().unwrap().to_owned();
    text(path).lines().map(first).collect()
}

#[test]
fn an_existing_file_is_overwritten_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.csv");
    let run = |ids, existing| {
        rerun(folder.path(), "f.csv", ids, |files| {
            files.existing(existing)
        })
    };
    for existing in [Existing::Refuse, Existing::Continue] {
        run(0..2, existing).unwrap();
        let rejected = format!("cannot write to '{}': it exists", file.display());
        assert_eq!(run(2..3, existing), Err(rejected));
        assert_eq!(ids(&file), ["id", "0", "1"]);
        fs::remove_file(&file).unwrap();
    }
    run(0..2, Existing::Append).unwrap();
    run(2..3, Existing::Append).unwrap();
    assert_eq!(ids(&file), ["id", "0", "1", "2"]);
    run(4..5, Existing::Overwrite).unwrap();
    assert_eq!(ids(&file), ["id", "4"]);
    // An empty file, for example from mktemp, may be written to.
    fs::write(&file, "").unwrap();
    run(5..6, Existing::Refuse).unwrap_err();
    run(5..6, Existing::Continue).unwrap();
    assert_eq!(ids(&file), ["id", "5"]);
}

#[test]
fn compressed_files_are_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["f.csv.gz", "f.csv.zst"] {
        for range in [0..3, 3..3, 3..5] {
            let append = |files: OutputFiles| files.existing(Existing::Append);
            rerun(folder.path(), name, range, append).unwrap();
        }
        let file = folder.path().join(name);
        assert_eq!(ids(&file), ["id", "0", "1", "2", "3", "4"]);
        // After a killed run, the file contains all flows that were flushed.
        let append = |files: OutputFiles| files.existing(Existing::Append);
        let mut killed = append(OutputFiles::new(&file))
            .create(&flowloom_core::meter::Settings::default().schema().into())
            .unwrap();
        for flow in flows(7).iter().skip(5) {
            killed.write(flow).unwrap();
            killed.flush().unwrap();
        }
        rerun(folder.path(), name, 7..9, append).unwrap();
        drop(killed);
        assert_eq!(
            ids(&file),
            ["id", "0", "1", "2", "3", "4", "5", "6", "7", "8"]
        );
    }
}

#[test]
fn the_numbers_of_existing_files_are_continued() {
    let folder = tempfile::tempdir().unwrap();
    let files = || {
        let names = fs::read_dir(folder.path()).unwrap();
        let name =
            |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<_> = names.map(name).collect();
        names.sort();
        names
    };
    let go_on = |files: OutputFiles| files.flows_per_file(2).existing(Existing::Continue);
    rerun(folder.path(), "f.csv.gz", 0..3, go_on).unwrap();
    rerun(folder.path(), "f.csv.gz", 3..4, go_on).unwrap();
    assert_eq!(files(), ["f.1.csv.gz", "f.2.csv.gz", "f.3.csv.gz"]);
    assert_eq!(ids(&folder.path().join("f.3.csv.gz")), ["id", "3"]);
    let refuse = |files: OutputFiles| files.flows_per_file(2).existing(Existing::Refuse);
    let rejected = rerun(folder.path(), "f.csv.gz", 0..3, refuse).unwrap_err();
    assert!(rejected.ends_with("f.1.csv.gz': it exists"), "{rejected}");
    assert_eq!(files().len(), 3);
}

#[test]
fn numbers_of_files_of_other_processes_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = |number: u32| folder.path().join(format!("f.{number}.csv"));
    let mut sink = OutputFiles::new(folder.path().join("f.csv"))
        .flows_per_file(1)
        .existing(Existing::Continue)
        .create(&flowloom_core::meter::Settings::default().schema().into())
        .unwrap();
    let flows = flows(2);
    sink.write(&flows[0]).unwrap();
    fs::write(path(2), "theirs").unwrap();
    std::os::unix::fs::symlink("/nowhere/else", path(3)).unwrap();
    sink.write(&flows[1]).unwrap();
    sink.finish().unwrap();
    assert_eq!(fs::read_to_string(path(2)).unwrap(), "theirs");
    assert_eq!(ids(&path(4)), ["id", "1"]);
}

#[test]
fn a_ring_continues_after_its_newest_file_and_follows_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = |number: u32| folder.path().join(format!("f.{number}.csv"));
    let ring = |files: OutputFiles| {
        files
            .flows_per_file(1)
            .rotate_files(3)
            .existing(Existing::Continue)
    };
    rerun(folder.path(), "f.csv", 0..2, ring).unwrap();
    rerun(folder.path(), "f.csv", 2..3, ring).unwrap();
    assert_eq!(ids(&path(3)), ["id", "2"]);
    let secret = folder.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    fs::remove_file(path(1)).unwrap();
    std::os::unix::fs::symlink(&secret, path(1)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(&secret).unwrap().set_modified(old).unwrap();
    rerun(folder.path(), "f.csv", 3..4, ring).unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(ids(&path(1)), ["id", "3"]);
}

#[test]
fn inputs_are_not_overwritten_under_any_number() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("x.pcap");
    fs::write(&capture, "packets").unwrap();
    for existing in [Existing::Overwrite, Existing::Append] {
        let inputs = |files: OutputFiles| files.inputs(FileId::at(&capture)).existing(existing);
        let link = folder.path().join("f.csv");
        fs::hard_link(&capture, &link).unwrap();
        let rejected = rerun(folder.path(), "f.csv", 0..1, inputs).unwrap_err();
        assert!(
            rejected.ends_with("f.csv': the run reads this file"),
            "{rejected}"
        );
        fs::remove_file(&link).unwrap();
    }
    // A later number.
    fs::hard_link(&capture, folder.path().join("n.2.csv")).unwrap();
    let mut sink = OutputFiles::new(folder.path().join("n.csv"))
        .flows_per_file(1)
        .inputs(FileId::at(&capture))
        .create(&flowloom_core::meter::Settings::default().schema().into())
        .unwrap();
    let flows = flows(2);
    sink.write(&flows[0]).unwrap();
    let rejected = sink.write(&flows[1]).unwrap_err().to_string();
    assert!(
        rejected.ends_with("n.2.csv': the run reads this file"),
        "{rejected}"
    );
    assert_eq!(fs::read_to_string(&capture).unwrap(), "packets");
}

#[test]
fn files_that_cannot_be_continued_are_rejected_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let schema = flowloom_core::meter::Settings::default().schema();
    let header = String::from_utf8(
        Format::Csv
            .header(&schema, &SinkOptions::default())
            .unwrap(),
    )
    .unwrap();
    let more = header.replace('\n', ",more\n");
    let less = header.replace(",protocol,", ",");
    let rejected = |name: &str, bytes: &[u8], why: &str| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let append = |files: OutputFiles| files.existing(Existing::Append);
        let error = rerun(folder.path(), name, 0..1, append).unwrap_err();
        let expected = format!(
            "cannot write to '{}': cannot append flows: {why}",
            path.display()
        );
        assert!(error.starts_with(&expected), "{error}");
        let way_out = "; choose another name, or move the file away";
        assert!(error.ends_with(way_out), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{name} was changed");
    };
    let count = header.split(',').count();
    for (name, text, why) in [
        (
            "less.csv",
            &*less,
            "its header has column 'ip_version' where the flows have 'protocol'".to_owned(),
        ),
        (
            "more.csv",
            &*more,
            format!(
                "its header has {} columns, but the flows have {count}",
                count + 1
            ),
        ),
        (
            "text.csv",
            "Dear \u{1b}diary",
            "its header has column 'Dear \\u{1b}diary' where the flows have 'id'".to_owned(),
        ),
        (
            "text.jsonl",
            &*header,
            "it does not begin with a JSON object".to_owned(),
        ),
        (
            "plain.csv.gz",
            &*header,
            "its gzip stream is damaged (".to_owned(),
        ),
    ] {
        rejected(name, text.as_bytes(), &why);
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut gzip, format!("{header}0,half a line").as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    rejected("half.csv.gz", &whole, "its text ends inside a line");
}

#[test]
fn an_incomplete_last_line_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let header = Format::Csv
        .header(
            &flowloom_core::meter::Settings::default().schema(),
            &SinkOptions::default(),
        )
        .unwrap();
    let header = String::from_utf8(header).unwrap();
    let long = "x".repeat(200_000);
    for (name, before, expected) in [
        ("empty.csv", String::new(), vec!["id", "7"]),
        ("header.csv", header[..20].to_owned(), vec!["id", "7"]),
        ("whole.csv", format!("{header}1,2\n"), vec!["id", "1", "7"]),
        (
            "torn.csv",
            format!("{header}1,2\n3,4"),
            vec!["id", "1", "7"],
        ),
        (
            "long.csv",
            format!("{header}1,2\n3,{long}"),
            vec!["id", "1", "7"],
        ),
        ("first.csv", format!("{header}1"), vec!["id", "7"]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, before).unwrap();
        let append = |files: OutputFiles| files.existing(Existing::Append);
        rerun(folder.path(), name, 7..8, append).unwrap();
        assert_eq!(ids(&path), expected, "{name}");
    }
    for (before, lines) in [
        ("{\"id\":1}\n{\"id\":2", vec!["{\"id\":1}"]),
        // A complete object is a flow.
        ("{\"id\":1}\n{\"id\":2}", vec!["{\"id\":1}", "{\"id\":2}"]),
        ("{\"id\":1", vec![]),
    ] {
        let path = folder.path().join("torn.jsonl");
        fs::write(&path, before).unwrap();
        let append = |files: OutputFiles| files.existing(Existing::Append);
        rerun(folder.path(), "torn.jsonl", 7..8, append).unwrap();
        let text = text(&path);
        let (last, rest) = text
            .lines()
            .rev()
            .collect::<Vec<_>>()
            .split_first()
            .map(|(last, rest)| {
                let mut rest = rest.to_vec();
                rest.reverse();
                ((*last).to_owned(), rest)
            })
            .unwrap();
        assert!(last.starts_with("{\"id\":7,"), "{last}");
        assert_eq!(rest, lines);
    }
}

#[test]
fn a_reopened_compressed_output_stays_valid() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["f.csv.gz", "f.csv.zst"] {
        let path = folder.path().join(name);
        let mut sink = OutputFiles::new(&path)
            .create(&flowloom_core::meter::Settings::default().schema().into())
            .unwrap();
        let flows = flows(3);
        sink.write(&flows[0]).unwrap();
        sink.reopen().unwrap();
        sink.write(&flows[1]).unwrap();
        let moved = folder.path().join(format!("moved-{name}"));
        fs::rename(&path, &moved).unwrap();
        sink.reopen().unwrap();
        assert_eq!(ids(&moved), ["id", "0", "1"]);
        sink.write(&flows[2]).unwrap();
        sink.finish().unwrap();
        assert_eq!(ids(&path), ["id", "2"]);
    }
}
