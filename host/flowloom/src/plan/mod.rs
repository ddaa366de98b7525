//! Plans, which divide a run into tasks for several machines.
//!
//! A [`Plan`] finds out which captures the files of a run form, and divides them into [`Task`]s. A task is data: any machine
//! that has its files and plugins can do it, at any time and any number of times. The flows of all tasks are those of the run.
//!
//! A capture is divided in two ways:
//!
//! - between two files, if no flow can be live there: the gap is at least the idle timeout. It needs a
//!   [scan](PlanOptions::scans) of all files, which knows their last packets;
//! - into [shards](Shard): each task reads all packets, and has the flows with some keys.

mod estimate;
mod known_files;
mod scan;
mod task;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use flowloom_core::time::Time;
use flowloom_plugin::{PluginSource, Sha256};
use serde::{Serialize, Serializer};

pub use self::estimate::{Estimate, EstimateError};
pub use self::task::Task;
use crate::capture::{self, CaptureError, CheckedFile, Grouping, TaskFile};
use crate::{ConfigError, RunConfig, Shard};
use known_files::KnownCaptures;
use scan::FileFacts;

/// How a run is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlanOptions {
    /// The bytes of a task: smaller captures are put together, and larger ones divided where that is possible.
    pub task_bytes: u64,
    /// The maximum number of shards of a task with more bytes; 1 is none.
    pub max_shards: u32,
    /// Whether all packets of all files are read. Captures are then known, and can be divided at gaps.
    pub scans: bool,
    /// A folder that keeps the first packets of files, so that they are not read again in the next plan. It is created,
    /// and must be closed to other users. A file with another size, time or mark (ETag) is another file.
    pub cache: Option<PathBuf>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            task_bytes: 256 << 20,
            max_shards: 1,
            scans: false,
            cache: None,
        }
    }
}

/// A run that is divided into tasks. It can be written with serde.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The captures, in the order of their numbers.
    pub captures: Vec<PlannedCapture>,
    /// The tasks, in the order of their captures.
    pub tasks: Vec<Task>,
    /// The errors of files that are skipped.
    #[serde(serialize_with = "as_texts")]
    pub skipped: Vec<CaptureError>,
}

fn as_texts<S: Serializer>(errors: &[CaptureError], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(errors.iter().map(ToString::to_string))
}

/// A capture of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedCapture {
    /// The files, in the order of reading.
    pub files: Vec<PathBuf>,
    /// Their size in bytes.
    pub bytes: u64,
    /// The number of packets, if all were read.
    pub packets: Option<u64>,
    /// The positions of files before which no flow is live.
    pub cuts: Vec<usize>,
    /// Whether it would continue the capture before it, if its first file did not begin before that one ends.
    pub overlaps: bool,
}

/// The reason why a run cannot be planned, or a task cannot be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A source cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The configuration is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A parameter has no meaning for a part of a run.
    #[error("{parameter}: {reason}")]
    Parameter {
        /// The parameter.
        parameter: &'static str,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// A plugin cannot be read.
    #[error("cannot read plugin '{}': {error}", file.display())]
    Plugin {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        #[source]
        error: std::io::Error,
    },
    /// Another version of Flowloom made the task.
    #[error(
        "the task has version {found}; this version of Flowloom does tasks of version {expected}"
    )]
    Version {
        /// The version of the task.
        found: u32,
        /// The version that is supported.
        expected: u32,
    },
    /// The task has a shard that does not exist.
    #[error("the task has shard {index} of {of}; shards are numbered from 0")]
    Shard {
        /// The number of the shard.
        index: u32,
        /// The number of shards.
        of: u32,
    },
    /// The task begins at a capture or a packet that does not exist.
    #[error("the task begins at a capture or a packet that does not exist")]
    Begin,
    /// The task has no files, or sources too.
    #[error("a task needs files, and no sources")]
    Files,
}

/// A file of the run.
struct File {
    path: PathBuf,
    bytes: u64,
    etag: Option<String>,
    first: Option<Time>,
    facts: Option<FileFacts>,
}

impl Plan {
    /// Plans a run. It reads the first packet of each file, or [all packets](PlanOptions::scans).
    ///
    /// # Errors
    ///
    /// A file cannot be read and [`skip_unreadable`](RunConfig::skip_unreadable) is not set, a plugin cannot be read, or a
    /// parameter has no meaning for a part of a run.
    pub fn new(mut config: RunConfig, options: &PlanOptions) -> Result<Self, PlanError> {
        check(&config, options)?;
        pin_plugins(&mut config)?;
        let sources = std::mem::take(&mut config.sources);
        if let Some(interface) = capture::interface(&sources)? {
            return Err(CaptureError::NoFile {
                capture: interface.name,
            }
            .into());
        }
        let sources = capture::expand(sources)?;
        let has_captures = sources.files.len() > 1 || sources.has_folder;
        let known = KnownCaptures::open(options.cache.as_deref());
        let checked = capture::check_files(sources, config.skip_unreadable, &known)?;
        known.keep(&checked.files);
        let (files, skipped) = (checked.files, checked.errors);
        let groups = match config.grouping {
            Grouping::Auto => {
                let heads: Vec<_> = files.iter().map(|file| file.head.clone()).collect();
                capture::group(&heads)
            }
            Grouping::One => vec![(0..files.len()).collect()],
            Grouping::Each => (0..files.len()).map(|at| vec![at]).collect(),
        };
        let mut files: Vec<_> = files
            .into_iter()
            .map(|CheckedFile { head, version }| File {
                path: head.path,
                bytes: version.bytes,
                etag: version.etag,
                first: head.first.map(|(time, _)| time),
                facts: None,
            })
            .collect();
        if options.scans {
            let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
            let facts = scan::scan(&paths, config.bpf_filter.as_deref())?;
            for (file, facts) in files.iter_mut().zip(facts) {
                file.facts = Some(facts);
            }
        }
        let mut planner = Planner {
            options,
            config,
            has_captures,
            captures: Vec::new(),
            tasks: Vec::new(),
        };
        for group in groups {
            planner.add_group(&files, &group);
        }
        let Planner {
            captures,
            tasks,
            options,
            ..
        } = planner;
        Ok(Self {
            captures,
            tasks: tasks
                .into_iter()
                .flat_map(|task| sharded(task, options))
                .collect(),
            skipped,
        })
    }

    /// Returns the size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.captures.iter().map(|capture| capture.bytes).sum()
    }

    /// Returns the bytes that all tasks read. Each shard reads all files of its task.
    pub fn bytes_read(&self) -> u64 {
        self.tasks.iter().map(Task::bytes).sum()
    }
}

/// Checks that the run can be divided.
fn check(config: &RunConfig, options: &PlanOptions) -> Result<(), PlanError> {
    let refuse = |parameter, reason| Err(PlanError::Parameter { parameter, reason });
    if config.max_nflows > 0 {
        return refuse(
            "max_nflows",
            "a task does not know the flows of other tasks",
        );
    }
    if config.settings.max_flows > 0 {
        return refuse(
            "max_live_flows",
            "which flows end early would depend on the tasks",
        );
    }
    if config.plugin_folder.is_some() {
        return refuse("plugin_folder", "name the plugins of the folder one by one");
    }
    if config.system_visibility || config.fanout {
        return refuse("system_visibility and fanout", "they are for interfaces");
    }
    if !config.columns_to_anonymize.is_empty() {
        return refuse(
            "columns_to_anonymize",
            "a task contains no keys; hash the columns of the result",
        );
    }
    if options.max_shards == 0 || options.task_bytes == 0 {
        return refuse("max_shards and task_bytes", "they must be at least 1");
    }
    Ok(())
}

/// Sets the digest of each plugin, so that a machine with another file of this name does not do the task.
fn pin_plugins(config: &mut RunConfig) -> Result<(), PlanError> {
    for plugin in &mut config.plugins {
        match &plugin.source {
            PluginSource::File(file) if plugin.sha256.is_none() => {
                let bytes = fs::read(file).map_err(|error| PlanError::Plugin {
                    file: file.clone(),
                    error,
                })?;
                plugin.sha256 = Some(Sha256::of(&bytes));
            }
            PluginSource::Bytes(_) => {
                return Err(PlanError::Parameter {
                    parameter: "plugins",
                    reason: "a task contains no components; name a file",
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Divides captures into tasks.
struct Planner<'a> {
    options: &'a PlanOptions,
    config: RunConfig,
    has_captures: bool,
    captures: Vec<PlannedCapture>,
    tasks: Vec<Task>,
}

impl Planner<'_> {
    /// Adds the files of a group: one capture, or several if files overlap.
    fn add_group(&mut self, files: &[File], group: &[usize]) {
        let is_auto = self.config.grouping == Grouping::Auto;
        let mut begin = 0;
        let mut newest: Option<Time> = None;
        for (nth, &at) in group.iter().enumerate() {
            // Without a scan, a file is assumed to continue its capture. The task checks it.
            if let (Some(known), Some(first)) = (newest, files[at].first)
                && is_auto
                && !capture::continues(known, first)
            {
                self.add_capture(files, &group[begin..nth], begin > 0);
                (begin, newest) = (nth, None);
            }
            newest = newest.max(files[at].facts.and_then(|facts| facts.newest));
        }
        self.add_capture(files, &group[begin..], begin > 0);
    }

    /// Adds a capture. It can be divided before a file if all packets from there on come after the idle timeout of all flows
    /// before.
    fn add_capture(&mut self, files: &[File], capture: &[usize], overlaps: bool) {
        let facts: Option<Vec<_>> = capture.iter().map(|&at| files[at].facts).collect();
        self.captures.push(PlannedCapture {
            overlaps,
            packets: facts
                .as_ref()
                .map(|facts| facts.iter().map(|facts| facts.packets).sum()),
            ..PlannedCapture::default()
        });
        let idle_timeout = Duration::from_secs(self.config.settings.idle_timeout);
        let cut_before = |nth: usize| -> Option<u64> {
            let (before, after) = facts.as_ref()?.split_at(nth);
            let newest = before.iter().filter_map(|facts| facts.newest).max()?;
            let oldest = after.iter().filter_map(|facts| facts.oldest).min()?;
            let packets = before.iter().map(|facts| facts.packets).sum();
            (oldest >= newest.after(idle_timeout)).then_some(packets)
        };
        for (nth, &at) in capture.iter().enumerate() {
            let cut = if nth == 0 { None } else { cut_before(nth) };
            self.add(&files[at], nth == 0, cut);
        }
    }

    /// Adds a file to the last task, or to a new one. `cut` is the number of the capture's packets before the file, if no flow
    /// is live there.
    fn add(&mut self, file: &File, begins: bool, cut: Option<u64>) {
        let is_auto = self.config.grouping == Grouping::Auto;
        let number = self.captures.len() - 1;
        let capture = &mut self.captures[number];
        if cut.is_some() {
            capture.cuts.push(capture.files.len());
        }
        capture.files.push(file.path.clone());
        capture.bytes += file.bytes;
        let is_full = |task: &Task| task.bytes() + file.bytes > self.options.task_bytes;
        let ends = match self.tasks.last() {
            None => true,
            Some(task) => (begins || cut.is_some()) && is_full(task),
        };
        if ends {
            let mut task = Task::new(self.config.clone(), self.has_captures);
            task.part.first_capture = number as u32;
            task.part.first_ordinal = cut.unwrap_or(0);
            self.tasks.push(task);
        }
        if let Some(task) = self.tasks.last_mut() {
            task.files.push(TaskFile {
                path: file.path.clone(),
                bytes: file.bytes,
                etag: file.etag.clone(),
                begins,
                // Files that are not grouped by time need not continue each other.
                first_ns: file.first.filter(|_| is_auto).map(Time::ns),
            });
        }
    }
}

/// Returns the shards of a task, if it has too many bytes.
fn sharded(task: Task, options: &PlanOptions) -> Vec<Task> {
    let wanted = task.bytes().div_ceil(options.task_bytes).max(1);
    let of = options
        .max_shards
        .min(u32::try_from(wanted).unwrap_or(u32::MAX));
    let shard = |index| {
        let mut task = task.clone();
        task.part.shard = Shard { index, of };
        task
    };
    (0..of).map(shard).collect()
}
