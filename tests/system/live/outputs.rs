//! Tests of files that begin at a time, and of Arrow streams, while packets arrive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::net::{DNS_FLOWS, Net, until};

/// Returns the files in the partitions of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let days = entries(folder).into_iter().flat_map(|day| entries(&day));
    days.flat_map(|hour| entries(&hour)).collect()
}

/// Returns the number of flows in a complete Parquet file.
fn rows(path: &Path) -> i64 {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    let file = fs::File::open(path).expect("the file is complete");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    reader.metadata().file_metadata().num_rows()
}

/// Ends a run with SIGTERM.
fn stop(mut child: Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").arg(&pid).status();
    assert!(sent.expect("kill is installed").success());
    let status = child.wait().expect("the process ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_file_is_complete_when_its_time_is_over_even_if_no_flow_follows() {
    let Some(net) = Net::new() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let child = net
        .command(env!("CARGO_BIN_EXE_flowloom"))
        .args([
            "meter",
            "far",
            "--n-dissections",
            "0",
            "--idle-timeout",
            "0",
        ])
        .args(["--rotate-interval", "1s", "--partition", "hour", "--output"])
        .arg(folder.path().join("flows.parquet"))
        .env_remove("SUDO_UID")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let complete = || {
        let mut files = files(folder.path());
        files.retain(|path| path.extension().is_some_and(|it| it == "parquet"));
        files
    };
    // Flows come only until a file has begun.
    until("a file begins", || {
        net.replay(Path::new("dns.pcap"), &[]);
        !files(folder.path()).is_empty()
    });
    until("the file is complete", || !complete().is_empty());
    until("no other file is open", || {
        files(folder.path()).len() == complete().len()
    });
    let rows: i64 = complete().iter().map(|path| rows(path)).sum();
    assert!(rows as usize >= DNS_FLOWS, "{rows}");
    stop(child);
}

#[test]
fn a_stream_has_flows_while_the_capture_goes_on() {
    let Some(net) = Net::new() else { return };
    let mut child = net
        .command(env!("CARGO_BIN_EXE_flowloom"))
        .args([
            "meter",
            "far",
            "--n-dissections",
            "0",
            "--idle-timeout",
            "0",
        ])
        .args(["--format", "arrow"])
        .env_remove("SUDO_UID")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let stdout = child.stdout.take().expect("the stream is piped");
    let (sender, flows) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let stream = arrow_ipc::reader::StreamReader::try_new(stdout, None);
        for batch in stream.expect("an Arrow stream") {
            let _ = sender.send(batch.expect("a batch").num_rows());
        }
    });
    until("flows arrive", || {
        net.replay(Path::new("dns.pcap"), &[]);
        flows.try_recv().is_ok()
    });
    stop(child);
    // The stream has its end.
    reader.join().expect("the stream is complete");
}
