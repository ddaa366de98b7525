//! An iterator over the flows of captures or an interface.

use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::meter::Counters;
use flowloom_core::schema::Schema;
use flowloom_expr::ExprError;
use flowloom_plugin::{
    FolderWatch, FollowError, KeyError, PluginError, PluginReport, PolicyError, Registry,
    RegistryError, SpecError, ThreadPanics,
};

use super::flow_filter::FlowFilter;
use super::identity::FlowIdentification;
use super::meter::MeterError;
use super::reload::Reloader;
use super::single::SingleMeter;
use super::status::{CpuTime, ParallelMeters, Progress};
use super::summary::RunSummary;
use crate::anonymize::Anonymizer;
use crate::capture::{CaptureError, FilterError, StopSignal};
use crate::columns::{OutputColumns, SelectError, UnknownColumn};
use crate::dissect::{DissectError, Ndpi};
use crate::processes::SystemError;

/// Reads captures or an interface, and returns their flows.
///
/// A `Streamer` is an iterator over flows, in the order of the packets that ended them. With
/// [`fanout`](super::StreamerBuilder::fanout), the order between meters is undefined.
///
/// An error in the middle of a capture ends that capture, not the run. The streamer still returns the flows up
/// to the error, and [`RunSummary::problems`] contains the error.
///
/// # Panics
///
/// If the thread of a reader or a meter panics, the next call of [`step`](Self::step) or
/// [`next`](Iterator::next) panics too. With [`fanout`](super::StreamerBuilder::fanout), the panic of a meter is a
/// problem in the summary instead, and the run ends.
///
/// # Examples
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
    /// Keeps the registry up to date with the folder of plugins, until it is dropped.
    pub(crate) _folder_watch: Option<FolderWatch>,
    pub(crate) work: Work,
    pub(crate) identification: Option<FlowIdentification>,
    pub(crate) filter: Option<FlowFilter>,
    pub(crate) anonymizer: Option<Anonymizer>,
    pub(crate) columns: OutputColumns,
    pub(crate) is_live: bool,
    /// The nDPI that determines applications.
    pub(crate) ndpi: Option<Ndpi>,
    /// The maximum number of flows to return; 0 means no limit.
    pub(crate) max_nflows: u64,
    /// The number of flows that were returned.
    pub(crate) returned: u64,
    pub(crate) stop: StopSignal,
    pub(crate) panics: ThreadPanics,
}

/// Ends the reading of a [`Streamer`], from any thread. The streamer still returns the flows up to then.
#[derive(Clone, Debug)]
pub struct Stopper(StopSignal);

impl Stopper {
    /// Ends the reading. An interface captures no further packets. Packets that it has already captured are
    /// still metered.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The meters of a run and their threads.
pub(crate) enum Work {
    /// One meter, which runs in the caller's thread.
    Single(Box<SingleMeter>),
    /// Meters with their own threads.
    Parallel(Box<dyn ParallelMeters>),
}

/// The reason why a run cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamerError {
    /// A source cannot be opened.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The filter is not a valid libpcap expression.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The condition on flows is invalid, or does not fit their columns.
    #[error(transparent)]
    Condition(#[from] ExprError),
    /// A plugin cannot be loaded.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A folder of plugins cannot be read.
    #[error(transparent)]
    Folder(#[from] SpecError),
    /// A folder of plugins cannot be watched.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The policy cannot be read or is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Flows cannot be dissected.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// A column to anonymise does not exist.
    #[error("cannot anonymize column {0}")]
    UnknownColumn(#[from] UnknownColumn),
    /// A column to write does not exist.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// There is no key for anonymisation.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The registry of plugins cannot be set up.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The processes of this machine cannot be found.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The system refuses to start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The value of a parameter is not accepted.
    #[error("{parameter} {value}: {accepted}")]
    Parameter {
        /// The name of the parameter, which is the name of its method in [`StreamerBuilder`](super::StreamerBuilder).
        parameter: &'static str,
        /// The value that was set.
        value: String,
        /// The accepted values.
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
    /// Returns the columns of flows at the start of the run.
    ///
    /// With [`SchemaMode::PerFlow`](crate::plugin::SchemaMode::PerFlow), flows that begin later can have other
    /// columns.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Returns the columns that outputs of this run have: those of [`select`](super::StreamerBuilder::select), or all.
    ///
    /// Flows have all columns of the [schema](Self::schema).
    pub fn output_columns(&self) -> &OutputColumns {
        &self.columns
    }

    /// Returns whether the packets come from an interface.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Returns the counter of panics of this run's helper threads. The caller can use it for its own threads.
    pub fn thread_panics(&self) -> &ThreadPanics {
        &self.panics
    }

    /// Returns a handle that ends the reading from another thread or from a signal handler.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Returns the registry of plugins, which can change them during the run.
    ///
    /// Returns `None` if the builder has neither a plugin nor a folder of plugins, and
    /// [`hot_loading`](super::StreamerBuilder::hot_loading) was not enabled.
    pub fn registry(&self) -> Option<&Registry> {
        self.registry.as_ref()
    }

    /// Requests that the policy and the files of [`plugin`](super::StreamerBuilder::plugin) are read again.
    ///
    /// Flows that begin after the reload use the changed plugins. Errors are logged; the plugin then stays
    /// unchanged. The reload runs in its own thread, and this function does not wait for it. Calls during a
    /// reload cause one more reload. A watched folder does not need this call.
    pub fn reload_plugins(&self) {
        if let Some(reloader) = &self.reloader {
            reloader.request();
        }
    }

    /// Returns the number of bytes that were read so far, and the total number of bytes if it is known.
    ///
    /// The total is known if all sources are regular files. For files, both are bytes on disk, before
    /// decompression.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let progress = self.work.progress();
        (progress.bytes_read, progress.total_bytes)
    }

    /// Returns the number of flows that have begun: ended and live flows. With several meters, the number
    /// is as of their last results.
    pub fn flows_begun(&self) -> u64 {
        match &self.work {
            Work::Single(single) => {
                single.meter().counters().flows + single.meter().live_flows() as u64
            }
            Work::Parallel(parallel) => {
                let state = parallel.state();
                state.counters.flows + state.flows_live
            }
        }
    }

    /// Returns the summary of the run so far.
    pub fn summary(&self) -> RunSummary<'_> {
        let progress = self.work.progress();
        let counters = self.work.counters();
        let excluded = self.filter.as_ref().map_or(0, |filter| filter.excluded);
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
                Work::Single(single) => single.meter().undissected(),
                Work::Parallel(parallel) => parallel.state().undissected,
            },
            flows_live: match &self.work {
                Work::Single(single) => single.meter().live_flows() as u64,
                Work::Parallel(parallel) => parallel.state().flows_live,
            },
            memory: match &self.work {
                Work::Single(single) => single.meter().memory() as u64,
                Work::Parallel(parallel) => parallel.state().memory,
            },
            packets_per_meter: match &self.work {
                Work::Single(_) => vec![counters.metered],
                Work::Parallel(parallel) => parallel.state().packets_per_meter.clone(),
            },
            flows_excluded: excluded,
            flows_withheld: match self.work.is_finished() {
                true => counters.flows - self.returned - excluded,
                false => 0,
            },
            plugins: match &self.work {
                Work::Single(single) => single.meter().plugins(),
                Work::Parallel(parallel) => {
                    let is_known = |reports: &&Vec<PluginReport>| !reports.is_empty();
                    PluginReport::sum(
                        parallel
                            .state()
                            .plugins
                            .iter()
                            .filter(is_known)
                            .cloned()
                            .collect(),
                    )
                }
            },
            changes_refused: self.registry.as_ref().map_or(0, Registry::refused),
            thread_panics: self.panics.count(),
            ndpi: self.ndpi.as_ref(),
            system: self
                .identification
                .as_ref()
                .and_then(|identification| identification.system.as_ref())
                .map(|system| system.report()),
            problems: match &self.work {
                Work::Single(single) => &single.problems,
                Work::Parallel(parallel) => &parallel.state().problems,
            },
            unknown_links: match &self.work {
                Work::Single(single) => single.meter().unknown_links(),
                Work::Parallel(parallel) => &parallel.state().unknown_links,
            },
            cpu_time: match &self.work {
                Work::Single(single) => CpuTime {
                    reader: None,
                    reader_turns: None,
                    meters: vec![single.cpu_time()],
                },
                Work::Parallel(parallel) => parallel.state().cpu_time.clone(),
            },
        }
    }
}

/// The result of one step of a [`Streamer`].
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "most steps return a flow, and boxing each flow would cost more"
)]
pub enum Step {
    /// A flow ended.
    Flow(Flow),
    /// No flow is ready yet. The caller can show progress, or stop.
    Read,
    /// All packets were read, and all flows were returned.
    End,
}

impl Streamer {
    /// Returns the next flow that is ready, or processes the next packets if none is ready.
    ///
    /// A step is short: one meter processes a block of packets, several meters process a batch. A
    /// read from an interface or a pipe waits for at most 100 ms. The iterator repeats steps until there is a
    /// flow.
    pub fn step(&mut self) -> Step {
        if self.max_nflows > 0 && self.returned == self.max_nflows {
            // The other flows end too. Plugins receive their `expire` events, and the flows are counted.
            self.work.stop();
            return Step::End;
        }
        loop {
            let mut ready = self.work.ready();
            // The filter may read the identifiers.
            if let (Some(identification), Some(flow)) = (&self.identification, &mut ready) {
                identification.identify(flow);
            }
            match ready {
                Some(flow) if self.is_excluded(&flow) => {}
                Some(flow) => return self.selected(flow),
                None if self.work.is_finished() => return Step::End,
                None => {
                    self.work.advance();
                    return Step::Read;
                }
            }
        }
    }

    /// Moves flows that are ready to the end of `to`, if the run has nothing to do with each of them: at most `most`.
    /// Otherwise it moves none, and [`step`](Self::step) returns the flows one by one.
    ///
    /// Flows are large. A caller that takes flows in this way before each step moves each of them once.
    pub fn take_ready(&mut self, most: usize, to: &mut Vec<Flow>) {
        let has_work = self.filter.is_some()
            || self.anonymizer.is_some()
            || self.identification.is_some()
            || self.max_nflows > 0;
        if let Work::Single(single) = &mut self.work
            && !has_work
        {
            let before = to.len();
            single.meter_mut().take_flows(most, to);
            self.returned += (to.len() - before) as u64;
        }
    }

    /// Counts a flow, and replaces its values as the anonymiser does.
    fn selected(&mut self, flow: Flow) -> Step {
        self.returned += 1;
        match &self.anonymizer {
            // Flows are large. This arm avoids a copy of flows that do not change.
            None => Step::Flow(flow),
            Some(anonymizer) => {
                let mut flow = flow;
                anonymizer.anonymize(&mut flow);
                Step::Flow(flow)
            }
        }
    }

    /// Returns whether the condition on flows excludes a flow, which is then counted.
    fn is_excluded(&mut self, flow: &Flow) -> bool {
        match &mut self.filter {
            Some(filter) => !filter.selects(flow),
            None => false,
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
            Self::Single(single) => single.progress(),
            Self::Parallel(parallel) => parallel.state().progress,
        }
    }

    fn counters(&self) -> Counters {
        match self {
            Self::Single(single) => single.meter().counters(),
            Self::Parallel(parallel) => parallel.state().counters,
        }
    }

    fn is_finished(&self) -> bool {
        match self {
            Self::Single(single) => single.finished,
            Self::Parallel(parallel) => parallel.state().finished,
        }
    }

    /// Returns the next flow that is ready.
    fn ready(&mut self) -> Option<Flow> {
        match self {
            Self::Single(single) => single.meter_mut().next_flow(),
            Self::Parallel(parallel) => parallel.ready(),
        }
    }

    /// Reads a block of packets, or waits for results of the meters.
    fn advance(&mut self) {
        match self {
            Self::Single(single) => single.read(),
            Self::Parallel(parallel) => parallel.gather(),
        }
    }

    /// Ends the run. Further flows end and are counted, but are not returned.
    fn stop(&mut self) {
        match self {
            Self::Single(single) => single.stop(),
            Self::Parallel(parallel) => parallel.stop(),
        }
    }
}
