//! The sources of packets, and how files form captures.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flowloom::RunConfig;
use flowloom::capture::{self, Grouping};

use super::exit::Failure;

/// Maximum size of a list of files: a million names of 256 bytes.
const MAX_LIST_BYTES: u64 = 256 << 20;

const SOURCES: &str = "Sources";

/// Options that choose the sources.
#[derive(Args)]
pub(super) struct SourceOptions {
    /// Capture files, folders of captures, one interface, or `-` for standard input.
    ///
    /// Captures are pcap or pcapng files, plain or compressed with gzip or zstd. Files and folders can be URLs:
    /// s3://bucket/captures/, gs://, az://, https:// and file://. docs/storage.md has the details.
    #[arg(required_unless_present_any = ["files_from", "config"], value_name = "SOURCE")]
    sources: Vec<PathBuf>,

    /// Also meter the captures that FILE lists.
    ///
    /// The list has one path per line, or paths separated by NUL. `-` reads the list from standard input.
    #[arg(long, value_name = "FILE", help_heading = SOURCES)]
    files_from: Option<PathBuf>,

    /// How files form captures.
    ///
    /// A capture is a sequence of packets with one clock. When a capture ends, all its flows end. Flow ids,
    /// the clock and the dissector start again with the next capture.
    ///
    /// auto: Rotated files of one link form one capture, sorted by time. Every other file is a capture of its
    /// own.
    ///
    /// one: All files form one capture, in the given order, as in NFStream.
    ///
    /// each: Every file is a capture of its own.
    #[arg(long, default_value = "auto", value_name = "auto|one|each", hide_possible_values = true, help_heading = SOURCES)]
    group: Group,

    /// Skip files that cannot be read, and exit with code 3.
    ///
    /// Such files cannot be opened, or are not captures. Flowloom names each of them. Without this option,
    /// it meters nothing if one file cannot be read.
    #[arg(long, help_heading = SOURCES)]
    skip_unreadable: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Group {
    Auto,
    One,
    Each,
}

/// The kind of source that a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// Capture files only.
    Files,
    /// At least one pipe, FIFO or socket. Its packets may be captured while they are metered.
    Pipe,
    /// A network interface.
    Interface,
}

impl SourceKind {
    /// Returns the kind of these sources.
    pub(super) fn of(sources: &[PathBuf]) -> Result<Self, Failure> {
        if capture::interface(sources)
            .map_err(Failure::failed)?
            .is_some()
        {
            return Ok(Self::Interface);
        }
        let is_pipe = |source: &PathBuf| {
            let data = match source == Path::new("-") {
                true => fs::metadata("/dev/stdin"),
                false => fs::metadata(source),
            };
            data.is_ok_and(|data| !data.is_file() && !data.is_dir())
        };
        Ok(match sources.iter().any(is_pipe) {
            true => Self::Pipe,
            false => Self::Files,
        })
    }
}

impl SourceOptions {
    /// Returns all sources, including those of the list.
    pub(super) fn sources(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut sources = self.sources.clone();
        if let Some(list) = &self.files_from {
            if list == Path::new("-") && sources.iter().any(|source| source == Path::new("-")) {
                return Err(Failure::usage(
                    "standard input cannot be both a capture and the list of --files-from",
                ));
            }
            sources.extend(read_list(list).map_err(|error| {
                Failure::failed(format_args!(
                    "cannot read --files-from {}: {error}",
                    list.display()
                ))
            })?);
        }
        if sources.is_empty() && self.files_from.is_none() {
            return Err(Failure::usage("there is no source").hint(
                "give a capture or an interface, or the key `sources` in the file of --config",
            ));
        }
        Ok(sources)
    }

    /// Returns the file that lists sources.
    pub(super) fn list(&self) -> Option<&Path> {
        self.files_from.as_deref()
    }

    /// Sets how the sources are read.
    pub(super) fn set(&self, config: &mut RunConfig) {
        config.grouping = match self.group {
            Group::Auto => Grouping::Auto,
            Group::One => Grouping::One,
            Group::Each => Grouping::Each,
        };
        config.skip_unreadable = self.skip_unreadable;
    }
}

/// Returns the names in a list. NUL separates them if the list contains one, else the end of a line.
/// Empty names are ignored.
fn read_list(list: &Path) -> io::Result<Vec<PathBuf>> {
    let input: Box<dyn Read> = match list == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(list)?),
    };
    let mut bytes = Vec::new();
    input.take(MAX_LIST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LIST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {} MiB", MAX_LIST_BYTES >> 20),
        ));
    }
    let names: Vec<PathBuf> = match bytes.contains(&0) {
        true => bytes.split(|&byte| byte == 0).filter_map(name).collect(),
        false => (bytes.split(|&byte| byte == b'\n'))
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter_map(name)
            .collect(),
    };
    match names.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it names no file",
        )),
        false => Ok(names),
    }
}

fn name(bytes: &[u8]) -> Option<PathBuf> {
    (!bytes.is_empty()).then(|| OsString::from_vec(bytes.to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Result<Vec<PathBuf>, String> {
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), text).unwrap();
        read_list(list.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_has_a_name_a_line_or_between_nuls() {
        let names = |names: &[&str]| Ok(names.iter().map(PathBuf::from).collect());
        assert_eq!(
            listed("a.pcap\nb c.pcap\r\n\n"),
            names(&["a.pcap", "b c.pcap"])
        );
        assert_eq!(listed("a\n.pcap\0b.pcap\0"), names(&["a\n.pcap", "b.pcap"]));
        assert_eq!(listed("\n\n"), Err("it names no file".into()));
    }
}
