//! The streamer: captures in, flows out, in one iterator.

use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::meter::Counters;
use flowloom_core::schema::Schema;
use flowloom_plugin::{
    FollowError, Following, KeyError, PluginError, PluginReport, PolicyError, Registry,
    RegistryError, SpecError, ThreadPanics, thread_time,
};

use super::meter::MeterError;
use super::reload::Reloader;
use super::single::SingleMeter;
use super::status::{CpuTime, ParallelMeters, Progress};
use super::summary::RunSummary;
use crate::anonymize::{Anonymizer, UnknownColumn};
use crate::capture::{CaptureError, FilterError, Stop};
use crate::dissect::DissectError;

/// Reads captures, or an interface, and gives the flows in them, one after the other.
///
/// The flows come in the order of the packets that ended them. Whatever is wrong in the middle of a
/// capture ends that capture, not the run: the flows up to there come out, and
/// [`report`](Streamer::report) says what happened.
///
/// ```
/// use flowloom::Streamer;
///
/// # fn main() -> Result<(), flowloom::StreamerError> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let mut streamer = Streamer::builder([capture]).idle_timeout(60).build()?;
/// for flow in &mut streamer {
///     for (name, value) in flow.iter() {
///         println!("{name}: {value:?}");
///     }
/// }
/// assert!(streamer.summary().problems.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Streamer {
    pub(crate) schema: Arc<Schema>,
    pub(crate) registry: Option<Registry>,
    pub(crate) reloader: Option<Reloader>,
    pub(crate) _following: Option<Following>,
    pub(crate) work: Work,
    pub(crate) anonymizer: Option<Anonymizer>,
    pub(crate) max_nflows: u64,
    pub(crate) given: u64,
    pub(crate) stop: Stop,
    pub(crate) panics: ThreadPanics,
}

/// Ends the reading of a [`Streamer`] from anywhere: the flows up to then come out.
#[derive(Clone, Debug)]
pub struct Stopper(Stop);

impl Stopper {
    /// Ends it. An interface captures nothing from then on, and what it has captured is still metered.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// One meter works in the caller's thread, several in their own.
pub(crate) enum Work {
    Single(Box<SingleMeter>),
    Parallel(Box<dyn ParallelMeters>),
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamerError {
    /// A capture cannot be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The filter is not one.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A plugin cannot be loaded.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A folder of plugins cannot be read.
    #[error(transparent)]
    Folder(#[from] SpecError),
    /// A folder of plugins cannot be followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// There is no policy to be under.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Flows cannot be dissected.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// A column that is to be anonymised is not there.
    #[error(transparent)]
    UnknownColumn(#[from] UnknownColumn),
    /// There is no key to anonymise with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no registry of plugins.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The system does not start a thread.
    #[error("the system does not start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// A parameter is out of its range.
    #[error("{parameter} {value}: {accepted}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        accepted: &'static str,
    },
}

impl From<MeterError> for StreamerError {
    fn from(error: MeterError) -> Self {
        match error {
            MeterError::Plugin(error) => error.into(),
            MeterError::Dissect(error) => error.into(),
            MeterError::Thread(error) => Self::Thread(error),
        }
    }
}

impl Streamer {
    /// The columns of the flows, when the run began. With [`SchemaMode::PerFlow`](flowloom_plugin::SchemaMode::PerFlow) flows that begin later may
    /// have others.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Returns the count of panics of this run's helper threads, for threads of the caller to add to.
    pub fn thread_panics(&self) -> &ThreadPanics {
        &self.panics
    }

    /// What ends the reading from another thread, or from a signal's handler.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// The plugins of the run, to change them under way; `None` where none were given and
    /// [`hot_loading`](StreamerBuilder::hot_loading) was not asked for.
    pub fn registry(&self) -> Option<&Registry> {
        self.registry.as_ref()
    }

    /// Reads the policy again, and the files of the plugins that were given one by one: what has changed
    /// is used for flows that begin from then on, and what is wrong is logged and changes nothing. That
    /// happens in one thread of its own; calls that come meanwhile are one. (A folder that is followed
    /// needs no such call.)
    pub fn reload_plugins(&self) {
        if let Some(reloader) = &self.reloader {
            reloader.request();
        }
    }

    /// Bytes of the captures read so far, and all of them where that is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let progress = self.work.progress();
        (progress.bytes_read, progress.total_bytes)
    }

    /// How many flows have begun, as far as is known by now: those that have ended, and those that are
    /// live.
    pub fn flows_begun(&self) -> u64 {
        match &self.work {
            Work::Single(single) => {
                single.meter.counters().flows + single.meter.live_flows() as u64
            }
            Work::Parallel(parallel) => {
                let state = parallel.state();
                state.counters.flows + state.flows_live
            }
        }
    }

    /// Returns what happened so far.
    pub fn summary(&self) -> RunSummary<'_> {
        let progress = self.work.progress();
        let counters = self.work.counters();
        RunSummary {
            packets_read: progress.packets_read,
            packets_filtered: progress.packets_filtered,
            bytes_read: progress.bytes_read,
            packets_dropped: progress.packets_dropped,
            captures: progress.captures,
            files_skipped: progress.files_skipped,
            clock_steps: progress.clock_steps,
            counters,
            flows_undissected: match &self.work {
                Work::Single(single) => single.meter.undissected(),
                Work::Parallel(parallel) => parallel.state().undissected,
            },
            flows_live: match &self.work {
                Work::Single(single) => single.meter.live_flows() as u64,
                Work::Parallel(parallel) => parallel.state().flows_live,
            },
            memory: match &self.work {
                Work::Single(single) => single.meter.memory() as u64,
                Work::Parallel(parallel) => parallel.state().memory,
            },
            packets_per_meter: match &self.work {
                Work::Single(_) => vec![counters.metered],
                Work::Parallel(parallel) => parallel.state().packets_per_meter.clone(),
            },
            flows_withheld: match self.work.is_finished() {
                true => counters.flows - self.given,
                false => 0,
            },
            plugins: match &self.work {
                Work::Single(single) => single.meter.plugins(),
                Work::Parallel(parallel) => {
                    let told = |reports: &&Vec<PluginReport>| !reports.is_empty();
                    PluginReport::sum(
                        parallel
                            .state()
                            .plugins
                            .iter()
                            .filter(told)
                            .cloned()
                            .collect(),
                    )
                }
            },
            changes_refused: self.registry.as_ref().map_or(0, Registry::refused),
            thread_panics: self.panics.count(),
            problems: match &self.work {
                Work::Single(single) => &single.problems,
                Work::Parallel(parallel) => &parallel.state().problems,
            },
            unknown_links: match &self.work {
                Work::Single(single) => single.meter.unknown_links(),
                Work::Parallel(parallel) => &parallel.state().unknown_links,
            },
            cpu_time: match &self.work {
                Work::Single(single) => CpuTime {
                    reader: None,
                    meters: vec![thread_time().saturating_sub(single.start)],
                },
                Work::Parallel(parallel) => parallel.state().cpu_time.clone(),
            },
        }
    }
}

/// What a step of a [`Streamer`] came to.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "most steps are flows, and a box for each would cost more"
)]
pub enum Step {
    /// A flow ended.
    Flow(Flow),
    /// Some packets were read, and no flow is ready: time to show progress, or to stop.
    Read,
    /// All is read, and all flows were given.
    End,
}

impl Streamer {
    /// Goes on by one step, which never takes long: by a flow, or by a block of packets.
    ///
    /// The iterator does the same until there is a flow.
    pub fn step(&mut self) -> Step {
        if self.max_nflows > 0 && self.given == self.max_nflows {
            // The rest ends as well, each plugin's expire included, and is counted.
            self.work.stop();
            return Step::End;
        }
        match self.work.ready() {
            Some(flow) => {
                self.given += 1;
                match &self.anonymizer {
                    // Flows are large: one that does not change is not copied once more.
                    None => Step::Flow(flow),
                    Some(anonymizer) => {
                        let mut flow = flow;
                        anonymizer.anonymize(&mut flow);
                        Step::Flow(flow)
                    }
                }
            }
            None if self.work.is_finished() => Step::End,
            None => {
                self.work.go_on();
                Step::Read
            }
        }
    }
}

impl Iterator for Streamer {
    type Item = Flow;

    fn next(&mut self) -> Option<Flow> {
        loop {
            match self.step() {
                Step::Flow(flow) => return Some(flow),
                Step::Read => {}
                Step::End => return None,
            }
        }
    }
}

impl Work {
    fn progress(&self) -> Progress {
        match self {
            Self::Single(single) => Progress::of(&single.origin),
            Self::Parallel(parallel) => parallel.state().progress,
        }
    }

    fn counters(&self) -> Counters {
        match self {
            Self::Single(single) => single.meter.counters(),
            Self::Parallel(parallel) => parallel.state().counters,
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Single(single) => single.finished,
            Self::Parallel(parallel) => parallel.state().finished,
        }
    }

    fn ready(&mut self) -> Option<Flow> {
        match self {
            Self::Single(single) => single.meter.next_flow(),
            Self::Parallel(parallel) => parallel.ready(),
        }
    }

    fn go_on(&mut self) {
        match self {
            Self::Single(single) => single.read(),
            Self::Parallel(parallel) => parallel.gather(),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Single(single) => single.stop(),
            Self::Parallel(parallel) => parallel.stop(),
        }
    }
}
