//! `flowloom plugin cache`

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use flowloom::plugin::{CacheFolder, CachedKind, escaped_path};

use super::super::compile::CacheOption;
use super::super::exit::{Exit, Failure};
use super::super::number::within;
use super::super::standard;

const EXAMPLES: &str = "\
Examples:
  Show what the cache contains:
    flowloom plugin cache list
  Delete what was not used for a week:
    flowloom plugin cache clean --unused 7

Documentation: docs/sandbox.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Cache {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the files of the cache, the last used file first.
    List(List),
    /// Delete compiled plugins. Flowloom compiles them again when it needs them.
    Clean(Clean),
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    cache: CacheOption,
}

#[derive(Args)]
struct Clean {
    #[command(flatten)]
    cache: CacheOption,

    /// Delete only files that were not used for this number of days.
    ///
    /// Flowloom records the use of a file once an hour.
    #[arg(long, value_name = "DAYS", value_parser = within(1..=MAX_DAYS), allow_negative_numbers = true)]
    unused: Option<u64>,
}

/// A hundred years.
const MAX_DAYS: u64 = 36_500;

const DAY: u64 = 86_400;

impl Cache {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::List(list) => list.run(),
            Command::Clean(clean) => clean.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<Exit, Failure> {
        let Some((folder, cache)) = open(&self.cache)? else {
            return Ok(Exit::Done);
        };
        let files = cache.files().map_err(|error| unreadable(&folder, error))?;
        let mut text = String::new();
        let now = SystemTime::now();
        let mut bytes = 0;
        for file in &files {
            bytes += file.size;
            let kind = match file.kind {
                CachedKind::Image => "plugin",
                CachedKind::Functions => "functions",
                _ => "unfinished",
            };
            let unused = now.duration_since(file.used).unwrap_or_default();
            text += &format!(
                "{kind:<10} {:>10}  used {:<12} {}\n",
                megabytes(file.size),
                ago(unused),
                // The name is a digest.
                file.name.get(..12).unwrap_or(&file.name)
            );
        }
        text += &format!(
            "{}: {} files, {} of at most {}\n",
            escaped_path(&folder),
            files.len(),
            megabytes(bytes),
            megabytes(CacheFolder::MAX_BYTES)
        );
        standard::print(text)?;
        Ok(Exit::Done)
    }
}

impl Clean {
    fn run(self) -> Result<Exit, Failure> {
        let Some((folder, cache)) = open(&self.cache)? else {
            return Ok(Exit::Done);
        };
        let (max_bytes, age) = match self.unused {
            None => (0, Duration::ZERO),
            Some(days) => (u64::MAX, Duration::from_secs(days * DAY)),
        };
        let cleaned = cache
            .clean(max_bytes, age)
            .map_err(|error| unreadable(&folder, error))?;
        standard::print(format_args!(
            "{}: deleted {} files, {}\n",
            escaped_path(&folder),
            cleaned.files,
            megabytes(cleaned.bytes)
        ))?;
        Ok(Exit::Done)
    }
}

/// Opens the cache. Returns `None`, and says so, if there is none.
fn open(option: &CacheOption) -> Result<Option<(PathBuf, CacheFolder)>, Failure> {
    let Some(folder) = option.folder(None) else {
        return Err(Failure::usage("there is no folder of compiled plugins")
            .hint("set HOME or XDG_CACHE_HOME, or give --plugin-cache DIR"));
    };
    // Opening would create it.
    if folder.symlink_metadata().is_err() {
        standard::print(format_args!(
            "{}: it does not exist; nothing was compiled yet\n",
            escaped_path(&folder)
        ))?;
        return Ok(None);
    }
    match CacheFolder::open(&folder) {
        Ok(cache) => Ok(Some((folder, cache))),
        Err(reason) => Err(Failure::failed(format_args!(
            "cannot use {}: {reason}",
            escaped_path(&folder)
        ))),
    }
}

fn unreadable(folder: &std::path::Path, error: std::io::Error) -> Failure {
    Failure::failed(format_args!(
        "cannot read {}, or delete a file in it: {error}",
        escaped_path(folder)
    ))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Returns a time span in the unit that suits it.
fn ago(time: Duration) -> String {
    match time.as_secs() {
        0..=7_199 => "recently".to_owned(),
        seconds @ 7_200..=172_799 => format!("{} hours ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / DAY),
    }
}
