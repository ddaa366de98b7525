//! A task: a part of a run that any machine can do.

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::capture::TaskFile;
use crate::run::PlannedPart;
use crate::{Part, RunConfig, StreamerBuilder};

/// The version of the form of tasks.
const VERSION: u32 = 1;
/// The most packets before a task. No capture has so many.
const MAX_ORDINAL: u64 = 1 << 62;

/// A part of a planned run. It names files and plugins, which the machine that does it must have.
///
/// The flows of all tasks of a plan are those of one run over all sources: with the same values, `capture` and `id`. Only
/// their order is another one. These values can differ:
///
/// - applications: nDPI remembers what it has seen of other flows, and each task has its own nDPI;
/// - values of plugins that keep state between flows, if a capture is divided.
///
/// # Examples
///
/// ```
/// use flowloom::RunConfig;
/// use flowloom::plan::{Plan, PlanOptions, Task};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let mut config = RunConfig::default();
/// config.sources.push(capture.into());
/// let plan = Plan::new(config, &PlanOptions::default())?;
/// let text = serde_json::to_string(&plan.tasks[0])?;
/// // On another machine:
/// let task: Task = serde_json::from_str(&text)?;
/// assert_eq!(task.builder()?.build()?.count(), 9);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Task {
    /// The version of this form: 1.
    version: u32,
    /// The parameters and plugins of the run. It has no sources.
    pub config: RunConfig,
    /// The files, in the order of reading.
    pub files: Vec<TaskFile>,
    /// The first capture and packet, and the flows of the task.
    pub part: Part,
    /// Whether flows have the column `capture`.
    pub has_captures: bool,
}

impl Task {
    pub(super) fn new(config: RunConfig, has_captures: bool) -> Self {
        Self {
            version: VERSION,
            config,
            files: Vec::new(),
            part: Part::default(),
            has_captures,
        }
    }

    /// Returns the size of all files in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Returns the builder of a run that does the task.
    ///
    /// # Errors
    ///
    /// Another version of Flowloom made the task, it has no files, its shard or begin does not exist, or its configuration is not
    /// valid.
    pub fn builder(&self) -> Result<StreamerBuilder, PlanError> {
        if self.version != VERSION {
            return Err(PlanError::Version {
                found: self.version,
                expected: VERSION,
            });
        }
        let shard = self.part.shard;
        if shard.of == 0 || shard.index >= shard.of {
            return Err(PlanError::Shard {
                index: shard.index,
                of: shard.of,
            });
        }
        let captures = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        if self.part.first_capture.checked_add(captures).is_none()
            || self.part.first_ordinal > MAX_ORDINAL
        {
            return Err(PlanError::Begin);
        }
        if self.files.is_empty() || !self.config.sources.is_empty() {
            return Err(PlanError::Files);
        }
        let builder = self.config.clone().builder()?;
        Ok(builder.planned(PlannedPart {
            files: self.files.clone(),
            part: self.part,
            has_captures: self.has_captures,
        }))
    }
}
