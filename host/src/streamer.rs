//! The streamer: captures in, flows out, in one iterator.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::anonymizer::{AnonymizationKey, Anonymizer, KeyError, UnknownColumn};
use crate::capture::{
    self, CaptureError, Dropped, Files, Filter, FilterError, LinkType, Live, LiveSettings, Origin,
    Read, Stop,
};
use crate::decode::TunnelSet;
use crate::dissect::{DissectError, NdpiFiles};
use crate::fanout::Fanout;
use crate::flow::{Flow, Schema};
use crate::load::Load;
use crate::meter::{AccountingMode, Accounts, Meter, MeterError, Settings};
use crate::parallel::{Parallel, Plugins, Progress, Several};
use crate::plugin::{
    Columns, Compiler, FollowError, Following, Plugin, PluginError, PluginFolder, PluginReport,
    PluginSet, PluginSpec, Policy, PolicyError, Registry, RegistryError, SpecError, Surroundings,
};
use crate::time::thread_time;

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
    asked: Asked,
    _following: Option<Following>,
    work: Work,
    anonymizer: Option<Anonymizer>,
    max_nflows: u64,
    given: u64,
    stop: Stop,
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

/// The plugins that were given one by one, and the policy that they are under.
#[derive(Clone)]
struct Asked {
    plugins: Vec<PluginSpec>,
    policy: Option<PathBuf>,
}

impl Asked {
    fn policy(&self) -> Result<Policy, PolicyError> {
        self.policy
            .as_ref()
            .map_or_else(|| Ok(Policy::default()), Policy::from_file)
    }

    /// Makes the registry what files and policy are by now.
    fn reload(self, registry: &Registry) {
        let policy = match self.policy() {
            Ok(policy) => policy,
            Err(error) => return tracing::error!("{error}; the plugins stay as they are"),
        };
        for spec in self.plugins {
            let (name, file) = (spec.name.clone(), spec.file.display().to_string());
            let done = policy.apply(spec).and_then(|spec| registry.update(spec));
            match done {
                Ok(true) => tracing::info!("plugin {name}: {file} is used from now on"),
                Ok(false) => {}
                Err(error) => tracing::error!("{error}; the plugins stay as they are"),
            }
        }
    }
}

/// One meter works in the caller's thread, several in their own.
enum Work {
    Alone(Box<Alone>),
    Parallel(Box<dyn Several>),
}

struct Alone {
    origin: Origin,
    meter: Meter,
    plugins: Plugins,
    /// Plugins that the meter could not go over to yet.
    pending: Option<Arc<PluginSet>>,
    problems: Vec<CaptureError>,
    finished: bool,
    load: Load,
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
    /// A plugin is not loaded.
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
        }
    }
}

/// What happened in a run so far.
#[derive(Debug)]
pub struct Report<'a> {
    /// Packets read from the captures: those that the filter kept out, and those of the accounts.
    pub packets_read: u64,
    /// Packets that the filter kept out.
    pub packets_filtered: u64,
    /// Captured bytes read: of files as they are on disk.
    pub bytes_read: u64,
    /// Packets of an interface that were lost before they could be read; `None` for files.
    pub packets_dropped: Option<Dropped>,
    /// What became of the others.
    pub accounts: Accounts,
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
    /// What was wrong with captures; each ended the one that it names.
    pub problems: &'a [CaptureError],
    /// Link types of packets that were ignored for it.
    pub unknown_links: &'a [LinkType],
    /// How long the threads worked.
    pub busy: Busy,
}

/// Processor time that each thread of a run has taken, plugins included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Busy {
    /// The reader of several meters; one that is alone reads itself.
    pub reader: Option<Duration>,
    /// Each meter. One that is alone works in the caller's thread, and what else that does counts.
    pub meters: Vec<Duration>,
}

/// Sets up a [`Streamer`]; the names are those of NFStream's `NFStreamer`.
#[derive(Clone)]
#[must_use]
pub struct StreamerBuilder {
    sources: Vec<PathBuf>,
    settings: Settings,
    ndpi_files: NdpiFiles,
    bpf_filter: Option<String>,
    snapshot_length: Option<u32>,
    promiscuous_mode: bool,
    socket_buffer_size: u32,
    fanout: bool,
    max_nflows: u64,
    n_meters: usize,
    plugins: Vec<PluginSpec>,
    plugin_folder: Option<PluginFolder>,
    policy: Option<PathBuf>,
    compiler: Option<Arc<dyn Compiler>>,
    hot_loading: Option<Columns>,
    columns_to_anonymize: Vec<String>,
    anonymization_key: Option<AnonymizationKey>,
}

impl StreamerBuilder {
    /// Seconds without a packet after which a flow ends; 15 by default.
    pub fn idle_timeout(mut self, seconds: u64) -> Self {
        self.settings.idle_timeout = seconds;
        self
    }

    /// Seconds after which a flow that is still alive ends; 1800 by default.
    pub fn active_timeout(mut self, seconds: u64) -> Self {
        self.settings.active_timeout = seconds;
        self
    }

    /// Whether a flow also ends with its TCP connection, with
    /// [`Closed`](crate::flow::Expiration::Closed): with a reset, or the acknowledgement of both
    /// sides' FIN. Packets that come later begin another flow. Off by default.
    pub fn end_on_fin(mut self, on: bool) -> Self {
        self.settings.end_on_fin = on;
        self
    }

    /// Which bytes of a packet count; all that were on the wire by default.
    pub fn accounting_mode(mut self, mode: AccountingMode) -> Self {
        self.settings.accounting_mode = mode;
        self
    }

    /// Tunnels to look into: a set of them, or `true` for GTP-U, CAPWAP and TZSP (the default), or
    /// `false` for none.
    pub fn decode_tunnels(mut self, tunnels: impl Into<TunnelSet>) -> Self {
        self.settings.decode_tunnels = tunnels.into();
        self
    }

    /// Adds statistics of packet sizes, inter-arrival times and TCP flags; off by default.
    pub fn statistical_analysis(mut self, on: bool) -> Self {
        self.settings.statistical_analysis = on;
        self
    }

    /// Adds direction, size and inter-arrival time of so many of each flow's first packets; 0, the
    /// default, adds none.
    pub fn splt_analysis(mut self, packets: u16) -> Self {
        self.settings.splt_analysis = packets;
        self
    }

    /// Dissects so many of each flow's first packets for its application; 20 by default, or 0, which
    /// adds no columns, in a build without nDPI.
    pub fn n_dissections(mut self, packets: u8) -> Self {
        self.settings.n_dissections = packets;
        self
    }

    /// Adds to the protocols and categories that nDPI knows; nothing by default. (Not in NFStream.)
    pub fn ndpi_files(mut self, files: NdpiFiles) -> Self {
        self.ndpi_files = files;
        self
    }

    /// Only packets that match this libpcap expression; all by default.
    pub fn bpf_filter(mut self, expression: impl Into<String>) -> Self {
        self.bpf_filter = Some(expression.into());
        self
    }

    /// Cuts every packet to so many bytes, at least 1; by default those of files are whole, and those of
    /// an interface have 1536 bytes.
    pub fn snapshot_length(mut self, bytes: u32) -> Self {
        self.snapshot_length = Some(bytes);
        self
    }

    /// Whether an interface captures packets to other hosts too; on by default.
    pub fn promiscuous_mode(mut self, on: bool) -> Self {
        self.promiscuous_mode = on;
        self
    }

    /// Bytes of the kernel's buffer for an interface; 0, the default, is 32 MiB.
    pub fn socket_buffer_size(mut self, bytes: u32) -> Self {
        self.socket_buffer_size = bytes;
        self
    }

    /// Has the kernel deal the packets of an interface out to several meters, each with a socket and a
    /// buffer of its own, where one reader cannot follow; off by default. (NFStream's way.) The kernel
    /// hashes outer headers, and puts fragments of IPv4 together; flows come in no order between meters.
    pub fn fanout(mut self, on: bool) -> Self {
        self.fanout = on;
        self
    }

    /// Gives exactly so many flows, if there are as many; 0, the default, gives all.
    pub fn max_nflows(mut self, flows: u64) -> Self {
        self.max_nflows = flows;
        self
    }

    /// Ends the oldest flow early when so many are live, to make room for one more; 0, the default, is
    /// no limit.
    pub fn max_flows(mut self, flows: u64) -> Self {
        self.settings.max_flows = flows;
        self
    }

    /// Meters so many flows' packets side by side, each in a thread of its own; 1 by default, which
    /// works in the caller's thread. 0 leaves one core to the reader and takes the others.
    ///
    /// The flows and their order are the same for any number, save for what nDPI remembers from one
    /// flow to the next (it is one of each meter's own), for plugins that keep state across
    /// flows, for flows that end early by [`max_flows`](Self::max_flows), and for what a plugin's trap
    /// takes with it.
    pub fn n_meters(mut self, meters: usize) -> Self {
        self.n_meters = meters;
        self
    }

    /// Adds a plugin.
    pub fn plugin(mut self, plugin: PluginSpec) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Adds the plugins of a folder, after those given one by one.
    pub fn plugin_folder(mut self, folder: PluginFolder) -> Self {
        self.plugin_folder = Some(folder);
        self
    }

    /// The file of the [`Policy`] that plugins are under; none by default, which allows what their specs
    /// say.
    pub fn policy(mut self, file: impl Into<PathBuf>) -> Self {
        self.policy = Some(file.into());
        self
    }

    /// What compiles plugins; by default this process does, in as much time and memory as it takes.
    pub fn compiler(mut self, compiler: impl Compiler + 'static) -> Self {
        self.compiler = Some(Arc::new(compiler));
        self
    }

    /// Keeps a [`registry`](Streamer::registry) of plugins, even if there are none at first: they can be
    /// loaded, replaced and removed while packets flow. `columns` says whether the flows' columns may
    /// change with them; without this call they do not.
    pub fn hot_loading(mut self, columns: Columns) -> Self {
        self.hot_loading = Some(columns);
        self
    }

    /// Gives keyed hashes, 128 hexadecimal digits, in place of the values of these columns (`src_ip`,
    /// `udps.dns.query`); of none by default. See [`Anonymizer`]. A column's type in the schema stays
    /// that of the value.
    pub fn columns_to_anonymize<C: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        self.columns_to_anonymize = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The key of these hashes, and of the pseudonyms that plugins are shown: runs with the same one give
    /// the same hash for the same value. By default each run has a random one.
    pub fn anonymization_key(mut self, key: AnonymizationKey) -> Self {
        self.anonymization_key = Some(key);
        self
    }

    /// Opens the captures and the plugins.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with a parameter, the filter, a capture or a plugin before the first packet.
    pub fn build(self) -> Result<Streamer, StreamerError> {
        let stop = Stop::default();
        let origin = self.origin(&stop)?;
        for (parameter, seconds) in [
            ("idle_timeout", self.settings.idle_timeout),
            ("active_timeout", self.settings.active_timeout),
        ] {
            if seconds > MOST_SECONDS {
                return Err(StreamerError::Parameter {
                    parameter,
                    value: seconds.to_string(),
                    accepted: "0 to 18446744073709551 seconds are accepted",
                });
            }
        }
        let has_plugins =
            !self.plugins.is_empty() || self.plugin_folder.is_some() || self.hot_loading.is_some();
        let registry = has_plugins.then(|| self.registry()).transpose()?;
        let plugins = Plugins::new(registry.clone(), &self.settings.schema());
        let meters = self.meters(plugins.set.plugins());
        if let Some(registry) = &registry {
            registry.begin(meters, self.hot_loading.unwrap_or_default())?;
        }
        let following = match (&registry, self.plugin_folder.clone()) {
            (Some(registry), Some(folder)) => folder.follow(self.policy.clone(), registry)?,
            _ => None,
        };
        let schema = plugins.set.schema().clone();
        let anonymizer = match self.columns_to_anonymize.is_empty() {
            true => None,
            false => Some(Anonymizer::new(
                &self.columns_to_anonymize,
                &self
                    .anonymization_key
                    .clone()
                    .map_or_else(AnonymizationKey::random, Ok)?,
                &schema,
            )?),
        };
        let work = match (origin, meters) {
            (Origin::Live(live), meters @ 2..) if self.fanout => {
                let mut settings = self.settings;
                settings.max_flows = settings.max_flows.div_ceil(meters as u64);
                let mut fanout = Vec::new();
                for socket in live.fan_out(meters)? {
                    let meter = Meter::with_set(settings, &plugins.set, &self.ndpi_files)?;
                    fanout.push((socket, meter));
                }
                Work::Parallel(Box::new(Fanout::start(fanout, &plugins)))
            }
            (origin, 1) => Work::Alone(Box::new(Alone {
                origin,
                meter: Meter::with_set(self.settings, &plugins.set, &self.ndpi_files)?,
                plugins,
                pending: None,
                problems: Vec::new(),
                finished: false,
                load: Load::Normal,
                start: thread_time(),
            })),
            (origin, meters) => {
                let ndpi_files = &self.ndpi_files;
                let parallel = Parallel::start(origin, self.settings, meters, plugins, ndpi_files)?;
                Work::Parallel(Box::new(parallel))
            }
        };
        Ok(Streamer {
            schema,
            registry,
            asked: Asked {
                plugins: self.plugins,
                policy: self.policy,
            },
            _following: following,
            work,
            anonymizer,
            max_nflows: self.max_nflows,
            given: 0,
            stop,
        })
    }

    /// Opens what packets come from.
    fn origin(&self, stop: &Stop) -> Result<Origin, StreamerError> {
        if self.snapshot_length == Some(0) {
            return Err(StreamerError::Parameter {
                parameter: "snapshot_length",
                value: "0".into(),
                accepted: "at least 1 byte is accepted",
            });
        }
        let filter = self.bpf_filter.as_ref().map(Filter::new).transpose()?;
        if let Some(interface) = capture::interface(&self.sources)? {
            let settings = LiveSettings {
                promiscuous_mode: self.promiscuous_mode,
                snapshot_length: self
                    .snapshot_length
                    .unwrap_or(LiveSettings::SNAPSHOT_LENGTH),
                socket_buffer_size: match self.socket_buffer_size {
                    0 => LiveSettings::SOCKET_BUFFER_SIZE,
                    bytes => bytes,
                },
            };
            let live = Live::open(&interface.name, settings, filter.as_ref(), stop.clone())?;
            return Ok(Origin::Live(Box::new(live)));
        }
        if self.fanout {
            return Err(StreamerError::Parameter {
                parameter: "fanout",
                value: "true".into(),
                accepted: "it is for an interface, not for files",
            });
        }
        let mut files = Files::open(self.sources.clone())?;
        if let Some(filter) = filter {
            files = files.with_filter(filter);
        }
        if let Some(bytes) = self.snapshot_length {
            files = files.with_snapshot_length(bytes);
        }
        Ok(Origin::Files(Box::new(files), stop.clone()))
    }

    fn registry(&self) -> Result<Registry, StreamerError> {
        let surroundings = Surroundings {
            compiler: self.compiler.clone(),
            key: self.anonymization_key.clone(),
        };
        let registry = Registry::with(self.settings.schema(), surroundings)?;
        let policy = self
            .policy
            .as_ref()
            .map_or_else(|| Ok(Policy::default()), Policy::from_file)?;
        for spec in self.plugins.clone() {
            registry.load(policy.apply(spec)?)?;
        }
        if let Some(folder) = &self.plugin_folder {
            for spec in folder.specs()? {
                registry.load(folder.allowed(spec, &policy)?)?;
            }
        }
        Ok(registry)
    }

    fn meters(&self, plugins: &[Arc<Plugin>]) -> usize {
        if let Some(plugin) = plugins
            .iter()
            .find(|plugin| plugin.manifest().needs_one_meter)
        {
            if self.n_meters > 1 {
                tracing::warn!(
                    "plugin {}: keeps state across flows, so there is one meter",
                    plugin.name()
                );
            }
            return 1;
        }
        match self.n_meters {
            // One core is left to the reader.
            0 => thread::available_parallelism().map_or(1, |cores| (cores.get() - 1).max(1)),
            meters => meters,
        }
    }
}

/// Timeouts whose milliseconds fit into 64 bits.
const MOST_SECONDS: u64 = u64::MAX / 1_000;

impl Streamer {
    /// Sets up a run over some captures, which are read one after the other as if they were one:
    /// pcap and pcapng, plain or compressed with gzip or zstd; `-` is standard input. Or over one
    /// interface: a word that is no file's name.
    pub fn builder<P: Into<PathBuf>>(sources: impl IntoIterator<Item = P>) -> StreamerBuilder {
        StreamerBuilder {
            sources: sources.into_iter().map(Into::into).collect(),
            settings: Settings::default(),
            ndpi_files: NdpiFiles::default(),
            bpf_filter: None,
            snapshot_length: None,
            promiscuous_mode: true,
            socket_buffer_size: 0,
            fanout: false,
            max_nflows: 0,
            n_meters: 1,
            plugins: Vec::new(),
            plugin_folder: None,
            policy: None,
            compiler: None,
            hot_loading: None,
            columns_to_anonymize: Vec::new(),
            anonymization_key: None,
        }
    }

    /// The columns of the flows, when the run began. With [`Columns::Free`] flows that begin later may
    /// have others.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
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
    /// happens in a thread of its own. (A folder that is followed needs no such call.)
    pub fn reload_plugins(&self) {
        let Some(registry) = self.registry.clone() else {
            return;
        };
        let asked = self.asked.clone();
        thread::spawn(move || asked.reload(&registry));
    }

    /// Bytes of the captures read so far, and all of them where that is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        let progress = self.work.progress();
        (progress.bytes_read, progress.total_bytes)
    }

    /// What happened so far.
    pub fn report(&self) -> Report<'_> {
        let progress = self.work.progress();
        let accounts = self.work.accounts();
        Report {
            packets_read: progress.packets_read,
            packets_filtered: progress.packets_filtered,
            bytes_read: progress.bytes_read,
            packets_dropped: progress.packets_dropped,
            accounts,
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
                Work::Alone(_) => vec![accounts.metered],
                Work::Parallel(parallel) => parallel.state().packets_per_meter.clone(),
            },
            flows_withheld: match self.work.is_finished() {
                true => accounts.flows - self.given,
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
            problems: match &self.work {
                Work::Alone(alone) => &alone.problems,
                Work::Parallel(parallel) => &parallel.state().problems,
            },
            unknown_links: match &self.work {
                Work::Alone(alone) => alone.meter.unknown_links(),
                Work::Parallel(parallel) => &parallel.state().unknown_links,
            },
            busy: match &self.work {
                Work::Alone(alone) => Busy {
                    reader: None,
                    meters: vec![thread_time().saturating_sub(alone.start)],
                },
                Work::Parallel(parallel) => parallel.state().busy.clone(),
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

    fn accounts(&self) -> Accounts {
        match self {
            Self::Alone(alone) => alone.meter.accounts(),
            Self::Parallel(parallel) => parallel.state().accounts,
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
        let load = self.origin.load();
        if load != Load::Normal || self.load != load {
            self.load = load;
            self.meter.relieve(load);
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
