//! The streamer: captures in, flows out, in one iterator.

mod builder;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::anonymizer::{Anonymizer, KeyError, UnknownColumn};
use crate::capture::{CaptureError, Dropped, FilterError, LinkType, Origin, Read, Stop};
use crate::dissect::DissectError;
use crate::flow::{Flow, Schema};
use crate::meter::{Counters, Meter, MeterError};
use crate::overload::OverloadLevel;
use crate::parallel::{ParallelMeters, Progress};
use crate::plugin::{
    FollowError, Following, PluginError, PluginReport, PluginSet, PolicyError, Registry,
    RegistryError, SpecError,
};
use crate::plugin_updates::PluginUpdates;
use crate::reload::Reloader;
use crate::supervised::ThreadPanics;
use crate::time::thread_time;

pub use builder::StreamerBuilder;

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
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/captures/dns.pcap");
/// let mut streamer = Streamer::builder([capture]).idle_timeout(60).build()?;
/// for flow in &mut streamer {
///     for (name, value) in flow.iter() {
///         println!("{name}: {value:?}");
///     }
/// }
/// assert!(streamer.report().problems.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Streamer {
    schema: Arc<Schema>,
    registry: Option<Registry>,
    reloader: Option<Reloader>,
    _following: Option<Following>,
    work: Work,
    anonymizer: Option<Anonymizer>,
    max_nflows: u64,
    given: u64,
    stop: Stop,
    panics: ThreadPanics,
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
enum Work {
    Alone(Box<Alone>),
    Parallel(Box<dyn ParallelMeters>),
}

struct Alone {
    origin: Origin,
    meter: Meter,
    plugins: PluginUpdates,
    /// Plugins that the meter could not go over to yet.
    pending: Option<Arc<PluginSet>>,
    problems: Vec<CaptureError>,
    finished: bool,
    overload: OverloadLevel,
    /// Processor time of the thread before the run.
    start: Duration,
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
    /// A plugin is not overload.
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

/// What happened in a run so far.
#[derive(Debug)]
pub struct Report<'a> {
    /// Packets read from the captures: those that the filter kept out, and those of the counters.
    pub packets_read: u64,
    /// Packets that the filter kept out.
    pub packets_filtered: u64,
    /// Captured bytes read: of files as they are on disk.
    pub bytes_read: u64,
    /// Packets of an interface that were lost before they could be read; `None` for files.
    pub packets_dropped: Option<Dropped>,
    /// How many captures there were: files that continue each other are one.
    pub captures: u64,
    /// Files that were left out because they cannot be read.
    pub files_skipped: u64,
    /// How often the clock of live packets stepped back; then all flows ended.
    pub clock_steps: u64,
    /// What became of the others.
    pub counters: Counters,
    /// Flows that ended after [`max_nflows`](StreamerBuilder::max_nflows) had been given.
    pub flows_withheld: u64,
    /// Flows that were not dissected, as an interface's packets came too quickly.
    pub flows_undissected: u64,
    /// Flows that are live.
    pub flows_live: u64,
    /// Bytes that the flow tables and the dissectors hold for live flows.
    pub memory: u64,
    /// Packets that each meter was given.
    pub packets_per_meter: Vec<u64>,
    /// What each plugin did; while several meters work, as they told within the last second.
    pub plugins: Vec<PluginReport>,
    /// Changes of plugins under way that were refused; the log says why.
    pub changes_refused: u64,
    /// Panics of helper threads, each of which was started again; the log says which.
    pub thread_panics: u64,
    /// What was wrong with captures; each ended the one that it names.
    pub problems: &'a [CaptureError],
    /// Link types of packets that were ignored for it.
    pub unknown_links: &'a [LinkType],
    /// How long the threads worked.
    pub cpu_time: CpuTime,
}

/// Processor time that each thread of a run has taken, plugins included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// The reader of several meters; one that is alone reads itself.
    pub reader: Option<Duration>,
    /// Each meter. One that is alone works in the caller's thread, and what else that does counts.
    pub meters: Vec<Duration>,
}

impl Streamer {
    /// Sets up a run over some captures, or folders of captures: pcap and pcapng, plain or compressed with
    /// gzip or zstd; `-` is standard input. Or over one interface: a word that is no file's name.
    ///
    /// Files that continue each other are one capture, other files are captures of their own; see
    /// [`grouping`](StreamerBuilder::grouping).
    pub fn builder<P: Into<PathBuf>>(sources: impl IntoIterator<Item = P>) -> StreamerBuilder {
        StreamerBuilder::new(sources.into_iter().map(Into::into).collect())
    }

    /// The columns of the flows, when the run began. With [`SchemaMode::PerFlow`](crate::plugin::SchemaMode::PerFlow) flows that begin later may
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
            Work::Alone(alone) => alone.meter.counters().flows + alone.meter.live_flows() as u64,
            Work::Parallel(parallel) => {
                let state = parallel.state();
                state.counters.flows + state.flows_live
            }
        }
    }

    /// What happened so far.
    pub fn report(&self) -> Report<'_> {
        let progress = self.work.progress();
        let counters = self.work.counters();
        Report {
            packets_read: progress.packets_read,
            packets_filtered: progress.packets_filtered,
            bytes_read: progress.bytes_read,
            packets_dropped: progress.packets_dropped,
            captures: progress.captures,
            files_skipped: progress.files_skipped,
            clock_steps: progress.clock_steps,
            counters,
            flows_undissected: match &self.work {
                Work::Alone(alone) => alone.meter.undissected(),
                Work::Parallel(parallel) => parallel.state().undissected,
            },
            flows_live: match &self.work {
                Work::Alone(alone) => alone.meter.live_flows() as u64,
                Work::Parallel(parallel) => parallel.state().flows_live,
            },
            memory: match &self.work {
                Work::Alone(alone) => alone.meter.memory() as u64,
                Work::Parallel(parallel) => parallel.state().memory,
            },
            packets_per_meter: match &self.work {
                Work::Alone(_) => vec![counters.metered],
                Work::Parallel(parallel) => parallel.state().packets_per_meter.clone(),
            },
            flows_withheld: match self.work.is_finished() {
                true => counters.flows - self.given,
                false => 0,
            },
            plugins: match &self.work {
                Work::Alone(alone) => alone.meter.plugins(),
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
                Work::Alone(alone) => &alone.problems,
                Work::Parallel(parallel) => &parallel.state().problems,
            },
            unknown_links: match &self.work {
                Work::Alone(alone) => alone.meter.unknown_links(),
                Work::Parallel(parallel) => &parallel.state().unknown_links,
            },
            cpu_time: match &self.work {
                Work::Alone(alone) => CpuTime {
                    reader: None,
                    meters: vec![thread_time().saturating_sub(alone.start)],
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
            Some(mut flow) => {
                self.given += 1;
                if let Some(anonymizer) = &self.anonymizer {
                    anonymizer.anonymize(&mut flow);
                }
                Step::Flow(flow)
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
            Self::Alone(alone) => Progress::of(&alone.origin),
            Self::Parallel(parallel) => parallel.state().progress,
        }
    }

    fn counters(&self) -> Counters {
        match self {
            Self::Alone(alone) => alone.meter.counters(),
            Self::Parallel(parallel) => parallel.state().counters,
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Alone(alone) => alone.finished,
            Self::Parallel(parallel) => parallel.state().finished,
        }
    }

    fn ready(&mut self) -> Option<Flow> {
        match self {
            Self::Alone(alone) => alone.meter.next_flow(),
            Self::Parallel(parallel) => parallel.ready(),
        }
    }

    fn go_on(&mut self) {
        match self {
            Self::Alone(alone) => alone.read(),
            Self::Parallel(parallel) => parallel.gather(),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Alone(alone) => alone.stop(),
            Self::Parallel(parallel) => parallel.stop(),
        }
    }
}

impl Alone {
    fn read(&mut self) {
        let level = self.origin.overload();
        if level != OverloadLevel::Normal || self.overload != level {
            self.overload = level;
            self.meter.set_overload(level);
        }
        match self.origin.read() {
            Ok(Read::Packets(packets)) => {
                // Reading may have waited for long.
                self.pending = self.plugins.changed().or(self.pending.take());
                self.pending = self
                    .pending
                    .take()
                    .filter(|plugins| !self.meter.set_plugins(plugins));
                self.meter.push(packets.iter());
            }
            Ok(Read::Pause(Some(now))) => self.meter.advance(now),
            Ok(Read::Pause(None)) => self.meter.flush(),
            Ok(Read::Boundary(boundary)) => self.meter.cross(boundary),
            Ok(Read::End) => self.finish(),
            Err(error) => {
                tracing::warn!("{error}");
                self.problems.push(error);
            }
        }
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.meter.finish();
        }
    }

    /// Ends all flows: what comes out is counted and dropped.
    fn stop(&mut self) {
        self.finish();
        while self.meter.next_flow().is_some() {}
    }
}
