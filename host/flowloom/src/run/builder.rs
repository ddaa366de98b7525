//! Sets up a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use flowloom_core::decode::TunnelSet;
use flowloom_core::meter::{AccountingMode, OverloadLevel, Settings};
use flowloom_core::schema::Schema;
use flowloom_plugin::{
    AnonymizationKey, Compiler, Plugin, PluginFolder, PluginSpec, Policy, Registry, RegistryConfig,
    RunContext, SchemaMode, ThreadPanics, thread_time,
};

use super::fanout::Fanout;
use super::meter::Meter;
use super::parallel::Parallel;
use super::plugin_updates::PluginUpdates;
use super::reload::Reloader;
use super::single::SingleMeter;
use super::streamer::{Streamer, StreamerError, Work};
use crate::anonymize::Anonymizer;
use crate::capture::{self, Files, Filter, Grouping, Live, LiveSettings, Origin, Stop};
use crate::dissect::NdpiFiles;

/// Sets up a [`Streamer`]; the names are those of NFStream's `NFStreamer`.
#[derive(Clone)]
#[must_use]
pub struct StreamerBuilder {
    sources: Vec<PathBuf>,
    grouping: Grouping,
    skip_unreadable: bool,
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
    hot_loading: Option<SchemaMode>,
    columns_to_anonymize: Vec<String>,
    anonymization_key: Option<AnonymizationKey>,
    panics: ThreadPanics,
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
}

impl StreamerBuilder {
    pub(crate) fn new(sources: Vec<PathBuf>) -> Self {
        Self {
            sources,
            grouping: Grouping::default(),
            skip_unreadable: false,
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
            panics: ThreadPanics::default(),
        }
    }

    /// How files are joined into captures: by default rotated files of one link continue each other, and
    /// every other file is a capture of its own, for which clock, flow ids and dissector begin anew.
    pub fn grouping(mut self, grouping: Grouping) -> Self {
        self.grouping = grouping;
        self
    }

    /// Leaves out files that cannot be opened or are no captures; off by default, when they are an error
    /// before any packet is metered. They are logged and counted.
    pub fn skip_unreadable(mut self, on: bool) -> Self {
        self.skip_unreadable = on;
        self
    }

    /// Sets all parameters of metering at once.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

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
    /// [`Closed`](flowloom_core::record::Expiration::Closed): with a reset, or the acknowledgement of both
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

    /// Bounds the memory that flows which have ended may hold until they are taken and written, 256 MiB by
    /// default: [`Settings::queue_bytes`](flowloom_core::meter::Settings::queue_bytes).
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.queue_bytes = bytes;
        self
    }

    /// Meters so many flows' packets side by side, each in a thread of its own; 1 by default, which
    /// works in the caller's thread unless it reads captures and plugins add values that are not numbers. 0
    /// leaves one core to the reader and takes the others. At most
    /// [`MOST_METERS`](Self::MOST_METERS).
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

    /// What compiles plugins.
    ///
    /// By default this process does. That is for plugins that are trusted only: one made for it can end
    /// this process, or take as much time and memory as it likes. The command compiles with a
    /// [`ChildCompiler`](flowloom_plugin::ChildCompiler), whose process is bounded.
    pub fn compiler(mut self, compiler: impl Compiler + 'static) -> Self {
        self.compiler = Some(Arc::new(compiler));
        self
    }

    /// Keeps a [`registry`](Streamer::registry) of plugins, even if there are none at first: they can be
    /// loaded, replaced and removed while packets flow. `columns` says whether the flows' columns may
    /// change with them; without this call they do not.
    pub fn hot_loading(mut self, columns: SchemaMode) -> Self {
        self.hot_loading = Some(columns);
        self
    }

    /// Gives keyed hashes, 128 hexadecimal digits, in place of the values of these columns (`src_ip`,
    /// `udps.dns.query`); of none by default. See [`Anonymizer`]. In the
    /// [schema](Streamer::schema) of the run these columns are text.
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

    /// Sets the count that panics of helper threads are added to; by default it is the run's own.
    pub fn thread_panics(mut self, panics: ThreadPanics) -> Self {
        self.panics = panics;
        self
    }

    /// Opens the captures and the plugins.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with a parameter, the filter, a capture or a plugin before the first packet.
    pub fn build(mut self) -> Result<Streamer, StreamerError> {
        self.check()?;
        let (stop, panics) = (Stop::default(), self.panics.clone());
        let (sources, has_folder) = capture::expand(std::mem::take(&mut self.sources))?;
        self.settings.capture_column = sources.len() > 1 || has_folder;
        self.sources = sources;
        let origin = self.origin(&stop)?;
        let has_plugins =
            !self.plugins.is_empty() || self.plugin_folder.is_some() || self.hot_loading.is_some();
        let registry = has_plugins.then(|| self.registry(&panics)).transpose()?;
        let plugins = PluginUpdates::new(registry.clone(), &self.settings.schema());
        let meters = self.meters(plugins.set.plugins());
        if let Some(registry) = &registry {
            registry.begin(RunContext {
                meters,
                columns: self.hot_loading.unwrap_or_default(),
                is_live: matches!(origin, Origin::Live(_)),
            })?;
        }
        let following = match (&registry, self.plugin_folder.clone()) {
            (Some(registry), Some(folder)) => {
                folder.follow(self.policy.clone(), registry, &panics)?
            }
            _ => None,
        };
        let mut schema = plugins.set.schema().clone();
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
        if let Some(anonymizer) = &anonymizer {
            schema = Arc::new(anonymizer.schema(&schema));
        }
        let work = match (origin, meters) {
            (Origin::Live(live), meters @ 2..) if self.fanout => {
                let mut settings = self.settings;
                settings.max_flows = settings.max_flows.div_ceil(meters as u64);
                let interface = live.interface().to_owned();
                let mut fanout = Vec::new();
                for socket in live.fan_out(meters)? {
                    let meter = Meter::with_set(settings, &plugins.set, &self.ndpi_files)?;
                    fanout.push((socket, meter));
                }
                let fanout = Fanout::start(
                    fanout,
                    &plugins,
                    self.settings.queue_bytes,
                    interface,
                    stop.clone(),
                );
                Work::Parallel(Box::new(fanout.map_err(StreamerError::Thread)?))
            }
            (origin, 1) if waits_for_nobody(&origin, &schema) => {
                Work::Single(Box::new(SingleMeter {
                    origin,
                    meter: Meter::with_set(self.settings, &plugins.set, &self.ndpi_files)?,
                    plugins,
                    pending: None,
                    problems: Vec::new(),
                    finished: false,
                    overload: OverloadLevel::Normal,
                    start: thread_time(),
                }))
            }
            (origin, meters) => {
                let ndpi_files = &self.ndpi_files;
                let parallel = Parallel::start(origin, self.settings, meters, plugins, ndpi_files)?;
                Work::Parallel(Box::new(parallel))
            }
        };
        let reloader = registry
            .clone()
            .map(|registry| Reloader::new(self.plugins, self.policy, registry, panics.clone()));
        Ok(Streamer {
            schema,
            registry,
            reloader,
            _following: following,
            work,
            anonymizer,
            max_nflows: self.max_nflows,
            given: 0,
            stop,
            panics,
        })
    }

    /// Whether each number is in its range.
    fn check(&self) -> Result<(), StreamerError> {
        const SECONDS: &str = "0 to 18446744073709551 seconds are accepted";
        let (most_seconds, most_meters) = (Self::MOST_SECONDS, Self::MOST_METERS as u64);
        for (parameter, value, range, accepted) in [
            (
                "idle_timeout",
                self.settings.idle_timeout,
                0..=most_seconds,
                SECONDS,
            ),
            (
                "active_timeout",
                self.settings.active_timeout,
                0..=most_seconds,
                SECONDS,
            ),
            (
                "n_meters",
                self.n_meters as u64,
                0..=most_meters,
                "0 to 256 meters are accepted",
            ),
            (
                "socket_buffer_size",
                self.socket_buffer_size.into(),
                0..=i32::MAX as u64,
                "0 to 2147483647 bytes are accepted",
            ),
            (
                "snapshot_length",
                self.snapshot_length.unwrap_or(1).into(),
                1..=u32::MAX.into(),
                "at least 1 byte is accepted",
            ),
        ] {
            if !range.contains(&value) {
                return Err(StreamerError::Parameter {
                    parameter,
                    value: value.to_string(),
                    accepted,
                });
            }
        }
        Ok(())
    }

    /// Opens what packets come from.
    fn origin(&self, stop: &Stop) -> Result<Origin, StreamerError> {
        let filter = self.bpf_filter.as_ref().map(Filter::new).transpose()?;
        let idle_timeout = Duration::from_secs(self.settings.idle_timeout);
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
            let live = Live::open(
                &interface.name,
                settings,
                filter.as_ref(),
                idle_timeout,
                stop.clone(),
            )?;
            return Ok(Origin::Live(Box::new(live)));
        }
        if self.fanout {
            return Err(StreamerError::Parameter {
                parameter: "fanout",
                value: "true".into(),
                accepted: "it is for an interface, not for files",
            });
        }
        let mut files =
            Files::open_grouped(self.sources.clone(), self.grouping, self.skip_unreadable)?
                .with_idle_timeout(idle_timeout);
        if let Some(filter) = filter {
            files = files.with_filter(filter);
        }
        if let Some(bytes) = self.snapshot_length {
            files = files.with_snapshot_length(bytes);
        }
        Ok(Origin::Files(Box::new(files), stop.clone()))
    }

    fn registry(&self, panics: &ThreadPanics) -> Result<Registry, StreamerError> {
        let config = RegistryConfig {
            compiler: self.compiler.clone(),
            key: self.anonymization_key.clone(),
            thread_panics: panics.clone(),
        };
        let registry = Registry::with(self.settings.schema(), config)?;
        let policy = Policy::at(self.policy.as_deref())?;
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
            0 => thread::available_parallelism()
                .map_or(1, |cores| (cores.get() - 1).clamp(1, Self::MOST_METERS)),
            meters => meters,
        }
    }
}

/// Whether one meter may work in the caller's thread, where it cannot wait for the caller in the middle of
/// its work: a packet can end any number of flows. Where plugins add values of any size to them, it works
/// in a thread of its own, which waits; live, nobody waits.
fn waits_for_nobody(origin: &Origin, schema: &Schema) -> bool {
    let mut outputs = schema.udps().iter();
    matches!(origin, Origin::Live(_)) || outputs.all(|output| output.ty().is_number())
}

impl StreamerBuilder {
    /// The most meters: each is a thread with tables, and a dissector, of its own.
    pub const MOST_METERS: usize = 256;

    /// The longest timeouts: their milliseconds fit into 64 bits.
    pub const MOST_SECONDS: u64 = u64::MAX / 1_000;
}
