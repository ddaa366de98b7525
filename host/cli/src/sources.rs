//! What is metered, and how files are joined into captures.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flowloom::capture::{self, Grouping};

use super::exit::Failure;

/// Bytes of a list of files: a million names of 256 bytes.
const MOST_LIST_BYTES: u64 = 256 << 20;

/// Options that say what is metered.
#[derive(Args)]
pub(super) struct SourceOptions {
    /// Captures (pcap or pcapng, plain or compressed with gzip or zstd), or folders of captures; `-` is
    /// standard input. Or the name of one interface.
    #[arg(required_unless_present = "files_from", value_name = "SOURCE")]
    sources: Vec<PathBuf>,

    /// Meter the captures that FILE lists as well, one a line or with NUL between them; `-` is standard
    /// input.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,

    /// How files are joined into captures. With each capture all flows end, and flow ids, clock and
    /// dissector begin anew.
    #[arg(long, default_value = "auto", value_name = "HOW")]
    group: Group,

    /// Leave out files that cannot be opened or are no captures, say which, and exit with 3. By default
    /// nothing is metered if there are such files.
    #[arg(long)]
    skip_unreadable: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Group {
    /// Rotated files of one link are one capture, sorted by time; every other file is its own.
    Auto,
    /// All files are one capture, in the order in which they are given, as in NFStream.
    One,
    /// Every file is a capture of its own.
    Each,
}

/// What packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKind {
    /// Captures that were written before.
    Files,
    /// A pipe, FIFO or socket among them, whose packets may come as they are captured.
    Pipe,
    Interface,
}

impl SourceKind {
    /// What these sources are.
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
    /// All sources, those of the list included.
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
        Ok(sources)
    }

    /// The list of sources, if there is one.
    pub(super) fn list(&self) -> Option<&Path> {
        self.files_from.as_deref()
    }

    pub(super) fn grouping(&self) -> Grouping {
        match self.group {
            Group::Auto => Grouping::Auto,
            Group::One => Grouping::One,
            Group::Each => Grouping::Each,
        }
    }

    pub(super) fn skip_unreadable(&self) -> bool {
        self.skip_unreadable
    }
}

/// The names in a list: between NULs if there is one, else on lines. Empty ones do not count.
fn read_list(list: &Path) -> io::Result<Vec<PathBuf>> {
    let input: Box<dyn Read> = match list == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(list)?),
    };
    let mut bytes = Vec::new();
    input.take(MOST_LIST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_LIST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {} MiB", MOST_LIST_BYTES >> 20),
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
