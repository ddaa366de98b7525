//! Grouping of files into captures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use flowloom_core::link_type::LinkType;
use flowloom_core::time::Time;
use regex::Regex;
use serde::{Deserialize, Serialize};

/// The rule that joins the files of a run into captures.
///
/// At the start of each capture, all flows of the previous one end. Clock, flow ids and dissector
/// start again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Grouping {
    /// Rotated files of one link continue each other, as defined by [`group`] and [`continues`].
    /// Every other file is a capture of its own.
    #[default]
    Auto,
    /// All files are one capture, in the given order, as in NFStream.
    One,
    /// Every file is a capture of its own.
    Each,
}

/// The properties of a capture file that determine its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHead {
    /// The path of the file.
    pub path: PathBuf,
    /// The time and the link type of its first packet, or `None` if it has no packets.
    pub first: Option<(Time, LinkType)>,
}

/// The maximum time by which a file of a group may begin before the newest packet so far. Rotation
/// may separate packets that several queues deliver slightly out of order.
pub const MAX_OVERLAP: Duration = Duration::from_secs(1);

/// Puts files into groups, each of which may be one capture.
///
/// The files of a group have the same folder, link type and name, apart from the suffix that
/// rotation adds. They are sorted by the time of their first packets.
///
/// The result contains indices into `files`. Groups are in the order of their first member in
/// `files`. Within a group, a file still has to [continue](continues) the previous one.
///
/// The known suffixes are those of `tcpdump -C` and `-W` (digits after the name), of `tcpdump -G`
/// (date and time), of dumpcap and editcap (`_00001_20260131235959`), and a number before the
/// extension (`.1`). The endings `.gz` and `.zst` are ignored.
pub fn group(files: &[FileHead]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known = HashMap::new();
    // Many files are in few folders.
    let mut folders: HashMap<&Path, PathBuf> = HashMap::new();
    for (at, file) in files.iter().enumerate() {
        let link = file.first.map(|(_, link)| link);
        let parent = parent(&file.path);
        let folder = folders.entry(parent).or_insert_with(|| canonical(parent));
        let key = (folder.clone(), base_name(&file.path), link);
        let group = *known.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(at);
    }
    for group in &mut groups {
        // The sort is stable: files that begin at the same time keep their order.
        group.sort_by_key(|&at| files[at].first.map(|(time, _)| time));
    }
    groups
}

/// Returns whether a file continues a capture. `first` is the time of its first packet, `newest`
/// the newest time of the capture so far.
pub fn continues(newest: Time, first: Time) -> bool {
    first >= newest.before(MAX_OVERLAP)
}

/// Returns the folder of a file.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Returns the path of a folder without links. A URL has none.
fn canonical(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// Stands for the part of a name that rotation changes. No file name contains it.
const ROTATED: &str = "\0";

/// Returns the name of a file without its rotation suffix.
fn base_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut name = name.as_ref();
    for ending in [".gz", ".zst"] {
        name = name.strip_suffix(ending).unwrap_or(name);
    }
    let name = without_times(name);
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem, Some(extension)),
        _ => (&*name, None),
    };
    let digits = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    match extension {
        // `cap.pcap3`; the first file of `tcpdump -C` is `cap.pcap`.
        Some(extension) if extension.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            let extension = &extension[..digits(extension)];
            let is_number = |text: &str| !text.is_empty() && digits(text) == 0;
            match stem.rsplit_once('.') {
                // `cap.3.pcap`, but not `192.0.2.1.pcap`
                Some((before, number))
                    if is_number(number)
                        && !before.is_empty()
                        && !is_number(before.rsplit('.').next().unwrap_or_default()) =>
                {
                    format!("{before}{ROTATED}.{extension}")
                }
                _ => format!("{stem}.{extension}"),
            }
        }
        Some(_) => name,
        // `cap3`
        None => name[..digits(&name)].to_owned(),
    }
}

/// Rotation suffixes that are times. The alternatives are tried in this order.
static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    const YEAR: &str = "(?:19|20)[0-9]{2}";
    const MONTH: &str = "(?:0[1-9]|1[0-2])";
    const DAY: &str = "(?:0[1-9]|[12][0-9]|3[01])";
    const HOUR: &str = "(?:[01][0-9]|2[0-3])";
    const SIXTY: &str = "[0-5][0-9]";
    let date = format!("(?:{YEAR}[-_.]?{MONTH}[-_.]?{DAY}|{DAY}[-_.]{MONTH}[-_.]{YEAR})");
    let zone = "(?:Z|[+-][0-9]{4})";
    let time = format!("[-_.T@ ]?{HOUR}(?:[-_.:h]?{SIXTY}(?:[-_.:m]?{SIXTY}s?)?)?{zone}?");
    let pattern = [
        // dumpcap and editcap: a number of five digits or more before or after the time.
        format!("_[0-9]{{5,}}_{YEAR}{MONTH}{DAY}{HOUR}{SIXTY}{SIXTY}"),
        format!("_{YEAR}{MONTH}{DAY}{HOUR}{SIXTY}{SIXTY}_[0-9]{{5,}}"),
        format!("{date}(?:{time})?"),
        // strftime's %s: seconds since 1970, in the years 2001 to 2286.
        "[1-9][0-9]{9}".to_owned(),
        // Separated parts of a time: month, day, hour, minute and second, or fewer of them.
        "[0-9]{2}(?:[-_:][0-9]{2}){2,4}".to_owned(),
    ]
    .join("|");
    Regex::new(&pattern).unwrap_or_else(|error| unreachable!("the pattern is constant: {error}"))
});

/// Returns the name with [`ROTATED`] in place of each time.
fn without_times(name: &str) -> String {
    let bytes = name.as_bytes();
    // Every time has six digits. Most runs therefore do not compile the pattern, which takes half a millisecond.
    if bytes.iter().filter(|byte| byte.is_ascii_digit()).count() < 6 {
        return name.to_owned();
    }
    let is_digit = |at: Option<usize>| {
        let byte = at.and_then(|at| bytes.get(at));
        byte.is_some_and(u8::is_ascii_digit)
    };
    let (mut shown, mut from) = (String::new(), 0);
    for found in TIMES.find_iter(name) {
        // A part of a longer number is not a time.
        let starts_inside = is_digit(Some(found.start())) && is_digit(found.start().checked_sub(1));
        if starts_inside || is_digit(Some(found.end())) {
            continue;
        }
        shown.push_str(&name[from..found.start()]);
        shown.push_str(ROTATED);
        from = found.end();
    }
    shown.push_str(&name[from..]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(names: &[&str]) -> bool {
        let mut bases = names.iter().map(|name| base_name(Path::new(name)));
        let first = bases.next();
        bases.all(|base| Some(base) == first)
    }

    #[test]
    fn rotated_files_have_the_same_base_name() {
        for names in [
            // tcpdump -C, also with -W and with -G
            &["cap.pcap", "cap.pcap1", "cap.pcap12"][..],
            &["cap.pcap00", "cap.pcap01", "cap.pcap09"],
            &["trace", "trace1", "trace2"],
            &["c-20260131.pcap", "c-20260131.pcap1", "c-20260201.pcap"],
            // tcpdump -G
            &["eth0-20260131-235959.pcap", "eth0-20260201-000959.pcap"],
            &[
                "eth0_2026-01-31_23:59:59.pcap",
                "eth0_2026-02-01_00:09:59.pcap",
            ],
            &[
                "2026-01-31T23:59:59+0100.cap",
                "2026-02-01T00:00:59+0100.cap",
            ],
            &["dump-1769900000.pcap", "dump-1769903600.pcap"],
            &["t-01-31-23-59-59.pcap", "t-02-01-00-00-59.pcap"],
            &["t_23-59-59.pcap", "t_00-00-59.pcap"],
            // dumpcap, in both orders, and compressed later
            &[
                "d_00001_20260131235959.pcapng",
                "d_00002_20260201000959.pcapng.gz",
                "d_12345_20260201000959.pcapng.zst",
            ],
            &[
                "d_20260131235959_00001.pcapng",
                "d_20260201000959_00002.pcapng",
            ],
            // Flowloom's numbers
            &["flows.1.pcap", "flows.2.pcap", "flows.10.pcap.gz"],
            &[
                "eth0_00001_20260131235959.pcap",
                "eth0_00002_20260201000959.pcap",
            ],
        ] {
            assert!(same(names), "{names:?}");
        }
    }

    #[test]
    fn different_captures_have_different_base_names() {
        for names in [
            ["monday.pcap", "tuesday.pcap"],
            ["cap.pcap", "cap.pcapng"],
            ["one_flow_1_5.pcap", "one_flow_6_10.pcap"],
            ["one_flow_11_15.pcap", "one_flow_16_19.pcap"],
            ["quic.pcap", "quic-29.pcap"],
            ["capture1.pcap", "capture2.pcap"],
            ["443-chrome.pcap", "443-firefox.pcap"],
            ["host-10.20.30.40.pcap", "host-10.20.30.41.pcap"],
            ["v1.2.pcap", "v2.2.pcap"],
            ["192.0.2.1.pcap", "192.0.2.2.pcap"],
            ["x_123456789012345.pcap", "x_123456789012346.pcap"],
            [
                "eth0_00001_20260131235959.pcap",
                "eth1_00001_20260131235959.pcap",
            ],
        ] {
            assert!(!same(&names), "{names:?}");
        }
    }

    fn head(name: &str, seconds: u64, link: u16) -> FileHead {
        FileHead {
            path: name.into(),
            first: Some((Time::from_ns(seconds * 1_000_000_000), LinkType(link))),
        }
    }

    #[test]
    fn groups_have_one_folder_name_and_link_type_and_are_sorted_by_time() {
        let files = [
            head("b/x.pcap2", 30, 1),
            head("a/x.pcap1", 20, 1),
            head("a/x.pcap", 10, 1),
            head("b/x.pcap1", 20, 1),
            head("a/x.pcap2", 30, 113),
            FileHead {
                path: "a/x.pcap3".into(),
                first: None,
            },
        ];
        assert_eq!(group(&files), [vec![3, 0], vec![2, 1], vec![4], vec![5]]);
    }

    #[test]
    fn a_file_continues_if_it_begins_at_most_a_second_before_the_newest_packet() {
        let at = |ms: u64| Time::from_ns(ms * 1_000_000);
        assert!(continues(at(5_000), at(4_000)));
        assert!(!continues(at(5_000), at(3_999)));
        assert!(continues(at(5_000), at(9_000_000)));
    }
}
