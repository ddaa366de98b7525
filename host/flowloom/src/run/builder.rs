//! The configuration of a run.

use std::path::PathBuf;
use std::sync::Arc;

use flowloom_core::decode::TunnelSet;
use flowloom_core::meter::{AccountingMode, Settings};
use flowloom_core::schema::UdpColumn;
use flowloom_plugin::{
    AnonymizationKey, Compiler, PluginFolder, PluginSpec, SchemaMode, ThreadPanics,
};

use super::config::{ConfigError, PluginConfig, RunConfig};
use super::observer::{FlowObserver, ObserverSpec};
use super::planned::PlannedPart;
use super::streamer::Streamer;
use crate::capture::{Grouping, SourceFiles};
use crate::dissect::{Ndpi, NdpiConfig};
use crate::processes::SystemVisibility;

/// Configures a [`Streamer`].
///
/// Methods have the names of the parameters of NFStream's `NFStreamer`, if it has such a parameter.
/// [`build`](Self::build) checks ranges and opens the sources.
///
/// # Examples
///
/// ```
/// use flowloom::{Streamer, StreamerBuilder};
///
/// # fn main() -> Result<(), flowloom::StreamerError> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let builder: StreamerBuilder = Streamer::builder([capture])
///     .idle_timeout(60)
///     .statistical_analysis(true)
///     .n_meters(2);
/// let streamer = builder.build()?;
/// assert!(streamer.schema().columns().any(|column| column.name == "src2dst_mean_ps"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct StreamerBuilder {
    /// Everything but the plugins, which are kept as specifications.
    pub(super) config: RunConfig,
    pub(super) plugins: Vec<PluginSpec>,
    pub(super) plugin_folder: Option<PluginFolder>,
    pub(super) compiler: Option<Arc<dyn Compiler>>,
    pub(super) hot_loading: Option<SchemaMode>,
    pub(super) anonymization_key: Option<AnonymizationKey>,
    pub(super) loaded_ndpi: Option<Ndpi>,
    pub(super) started_system: Option<Arc<SystemVisibility>>,
    pub(super) observer: Option<ObserverSpec>,
    /// The part of a planned run.
    pub(super) part: Option<PlannedPart>,
    pub(super) expanded: Option<SourceFiles>,
    pub(super) panics: ThreadPanics,
}

impl Streamer {
    /// Returns a builder for a run over `sources`.
    ///
    /// A source is one of these:
    ///
    /// - a capture file: pcap or pcapng, uncompressed or compressed with gzip or zstd;
    /// - a folder of capture files;
    /// - `-`, which is standard input;
    /// - the name of an interface, which must be the only source. A name that is also the name of a file
    ///   is the file.
    ///
    /// [`grouping`](StreamerBuilder::grouping) joins files that continue each other into one capture.
    pub fn builder<P: Into<PathBuf>>(sources: impl IntoIterator<Item = P>) -> StreamerBuilder {
        StreamerBuilder::new(RunConfig {
            sources: sources.into_iter().map(Into::into).collect(),
            ..RunConfig::default()
        })
    }
}

impl RunConfig {
    /// Returns a builder with this configuration.
    ///
    /// # Errors
    ///
    /// The grants of a plugin are not valid, or a plugin has no name.
    pub fn builder(mut self) -> Result<StreamerBuilder, ConfigError> {
        let plugins = std::mem::take(&mut self.plugins);
        let plugins = plugins.into_iter().map(PluginConfig::spec);
        let plugins = plugins.collect::<Result<_, _>>()?;
        let plugin_folder = self.plugin_folder.take().map(PluginFolder::new);
        Ok(StreamerBuilder {
            plugins,
            plugin_folder,
            ..StreamerBuilder::new(self)
        })
    }
}

impl StreamerBuilder {
    fn new(config: RunConfig) -> Self {
        Self {
            config,
            plugins: Vec::new(),
            plugin_folder: None,
            compiler: None,
            hot_loading: None,
            anonymization_key: None,
            loaded_ndpi: None,
            started_system: None,
            observer: None,
            part: None,
            expanded: None,
            panics: ThreadPanics::default(),
        }
    }

    /// Sets the files of the sources, if [`expand`](crate::capture::expand) has found them already.
    pub fn expanded(mut self, files: SourceFiles) -> Self {
        self.expanded = Some(files);
        self
    }

    /// Sets the part of a planned run, in place of sources.
    pub(crate) fn planned(mut self, part: PlannedPart) -> Self {
        self.part = Some(part);
        self
    }

    /// Sets how files are joined into captures.
    ///
    /// By default, rotated files of one link continue each other. Every other file is a capture of its own.
    /// Clock, flow ids and dissector start again with each capture.
    pub fn grouping(mut self, grouping: Grouping) -> Self {
        self.config.grouping = grouping;
        self
    }

    /// Sets whether to skip files that cannot be opened or are not captures.
    ///
    /// Skipped files are logged, and counted in [`RunSummary::files_skipped`](super::RunSummary). Off by
    /// default: [`build`](Self::build) then fails because of such a file.
    pub fn skip_unreadable(mut self, on: bool) -> Self {
        self.config.skip_unreadable = on;
        self
    }

    /// Sets all parameters of metering at once.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.config.settings = settings;
        self
    }

    /// Sets the idle timeout in seconds: a flow ends after this time without a packet.
    ///
    /// 15 by default. At most [`MAX_SECONDS`](Self::MAX_SECONDS).
    pub fn idle_timeout(mut self, seconds: u64) -> Self {
        self.config.settings.idle_timeout = seconds;
        self
    }

    /// Sets the active timeout in seconds: a live flow of this age ends, even if packets still arrive.
    ///
    /// 1,800 by default. At most [`MAX_SECONDS`](Self::MAX_SECONDS).
    pub fn active_timeout(mut self, seconds: u64) -> Self {
        self.config.settings.active_timeout = seconds;
        self
    }

    /// Sets whether a flow also ends with its TCP connection.
    ///
    /// A connection ends with a reset, or when the FINs of both directions are acknowledged. The flow then
    /// has [`Expiration::Closed`](crate::fields::Expiration::Closed). Later packets begin another flow. Off
    /// by default.
    pub fn end_on_fin(mut self, on: bool) -> Self {
        self.config.settings.end_on_fin = on;
        self
    }

    /// Sets the accounting mode: which bytes of a packet are counted. By default, all bytes of the frame
    /// on the wire are counted.
    pub fn accounting_mode(mut self, mode: AccountingMode) -> Self {
        self.config.settings.accounting_mode = mode;
        self
    }

    /// Sets the tunnels whose inner packets are metered in place of the outer packets.
    ///
    /// `true`, the default, stands for GTP-U, CAPWAP and TZSP; `false` stands for none.
    pub fn decode_tunnels(mut self, tunnels: impl Into<TunnelSet>) -> Self {
        self.config.settings.decode_tunnels = tunnels.into();
        self
    }

    /// Sets whether flows have statistics of packet sizes, inter-arrival times and TCP flags. Off by
    /// default.
    pub fn statistical_analysis(mut self, on: bool) -> Self {
        self.config.settings.statistical_analysis = on;
        self
    }

    /// Sets the number of first packets of a flow for SPLT: flows have the direction, size and
    /// inter-arrival time of each. 0, the default, adds no columns.
    pub fn splt_analysis(mut self, packets: u16) -> Self {
        self.config.settings.splt_analysis = packets;
        self
    }

    /// Adds the column `community_id`, by which other tools name the same connection. `seed` is usually 0. By default,
    /// flows do not have this column.
    ///
    /// The value is the [Community ID](https://github.com/corelight/community-id-spec) of version 1. It is null for
    /// ICMP, ICMPv6 and SCTP.
    pub fn community_id(mut self, seed: u16) -> Self {
        self.config.community_id = Some(seed);
        self
    }

    /// Sets whether flows have the column `flow_uid`, which is the same in every run over a capture. Off by default.
    pub fn flow_uid(mut self, on: bool) -> Self {
        self.config.flow_uid = on;
        self
    }

    /// Sets whether flows have the column `source_file`: the file of the flow's first packet, or the interface. Off by
    /// default.
    pub fn source_file(mut self, on: bool) -> Self {
        self.config.source_file = on;
        self
    }

    /// Sets whether flows of an interface have the columns `system_process_pid` and `system_process_name`: the process of
    /// this machine that owns the flow's socket. Off by default.
    ///
    /// Without `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH`, only processes of the own user are found.
    pub fn system_visibility(mut self, on: bool) -> Self {
        self.config.system_visibility = on;
        self
    }

    /// Sets the interval at which the sockets of this machine are read, in milliseconds: 1 to 60,000. 100 by default.
    pub fn system_visibility_poll_ms(mut self, milliseconds: u32) -> Self {
        self.config.system_visibility_poll_ms = milliseconds;
        self
    }

    /// Sets a [`SystemVisibility`] that polls already, for programs that cannot read `/proc` later. It is used if
    /// [`system_visibility`](Self::system_visibility) is on, with files too: the program knows where their packets are
    /// from.
    pub fn started_system_visibility(mut self, system: SystemVisibility) -> Self {
        self.started_system = Some(Arc::new(system));
        self
    }

    /// Sets the maximum number of packets of a flow that are dissected, in order to determine its
    /// application.
    ///
    /// 20 by default. 0 disables dissection and removes its columns. A build without nDPI has 0 by default
    /// and accepts no other number.
    pub fn n_dissections(mut self, packets: u8) -> Self {
        self.config.settings.n_dissections = packets;
        self
    }

    /// Sets the configuration of nDPI: the library, and files with additional protocols and categories. (Not in
    /// NFStream.)
    pub fn ndpi(mut self, config: NdpiConfig) -> Self {
        self.config.ndpi = config;
        self
    }

    /// Sets functions of the program that see all packets and flows, and the columns that they add. They run in the thread
    /// that reads the flows, so that the run has one meter. None by default.
    ///
    /// The names of the columns begin with names that no plugin has.
    pub fn observer(
        mut self,
        columns: Vec<UdpColumn>,
        create: impl Fn() -> Box<dyn FlowObserver> + Send + Sync + 'static,
    ) -> Self {
        let create = Arc::new(create);
        self.observer = Some(ObserverSpec { columns, create });
        self
    }

    /// Sets an nDPI that is loaded already, for programs that cannot open its file later. The
    /// [configuration](Self::ndpi) then has no effect.
    pub fn loaded_ndpi(mut self, ndpi: Ndpi) -> Self {
        self.loaded_ndpi = Some(ndpi);
        self
    }

    /// Sets a filter, a libpcap expression: packets that do not match it are not metered. By default,
    /// all packets are metered.
    pub fn bpf_filter(mut self, expression: impl Into<String>) -> Self {
        self.config.bpf_filter = Some(expression.into());
        self
    }

    /// Sets the snapshot length in bytes, at least 1: every packet is truncated to this length.
    ///
    /// By default, packets of files are not truncated, and packets of an interface are truncated to 1,536
    /// bytes.
    pub fn snapshot_length(mut self, bytes: u32) -> Self {
        self.config.snapshot_length = Some(bytes);
        self
    }

    /// Sets whether an interface also captures packets that are addressed to other hosts. On by default.
    pub fn promiscuous_mode(mut self, on: bool) -> Self {
        self.config.promiscuous_mode = on;
        self
    }

    /// Sets the size in bytes of the kernel's buffer for an interface, at most 2,147,483,647.
    ///
    /// 0, the default, stands for 32 MiB.
    pub fn socket_buffer_size(mut self, bytes: u32) -> Self {
        self.config.socket_buffer_size = bytes;
        self
    }

    /// Sets whether the kernel distributes the packets of an interface to the meters, as in NFStream.
    ///
    /// Every meter then has its own socket and buffer. This is for links that are too fast for one reader.
    /// The kernel hashes outer headers and reassembles IPv4 fragments. The order of flows between meters is
    /// undefined. Off by default. With one meter, it has no effect.
    pub fn fanout(mut self, on: bool) -> Self {
        self.config.fanout = on;
        self
    }

    /// Sets a condition on flows: flows for which it is not true are counted and not returned. By default, all
    /// flows are returned.
    ///
    /// An example is `dst_port = 443 and not src_ip in 10.0.0.0/8`. [`Filter`](crate::Filter) describes the language.
    pub fn filter(mut self, condition: impl Into<String>) -> Self {
        self.config.filter = Some(condition.into());
        self
    }

    /// Sets the columns that outputs of the run have, in this order. By default, they have all columns.
    ///
    /// [`Streamer::record_batches`](super::Streamer) and the sinks write these columns. The flows of the iterator have
    /// all columns, except those of an analysis that nothing needs: without plugins, statistics, SPLT and dissection
    /// are switched off if no selected column, condition or anonymised column uses them.
    pub fn select(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.config.select = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the maximum number of flows that the run returns. 0, the default, means no limit.
    ///
    /// Further flows end as well. They are counted in [`RunSummary::flows_withheld`](super::RunSummary).
    pub fn max_nflows(mut self, flows: u64) -> Self {
        self.config.max_nflows = flows;
        self
    }

    /// Sets the maximum number of live flows, over all meters. 0, the default, means no limit.
    ///
    /// If the limit is reached, the oldest flow ends early when a new one begins.
    pub fn max_flows(mut self, flows: u64) -> Self {
        self.config.settings.max_flows = flows;
        self
    }

    /// Sets the maximum memory in bytes of ended flows that are not yet written. 256 MiB by default.
    ///
    /// [`Settings::queue_bytes`](crate::Settings::queue_bytes) explains what is counted.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.config.settings.queue_bytes = bytes;
        self
    }

    /// Sets the number of meters, at most [`MAX_METERS`](Self::MAX_METERS). 1 by default.
    ///
    /// With 0, there is one meter for each core but one, which is left to the reader. Several meters have one
    /// thread each. One meter runs in the caller's thread. There is one exception: if the sources are files
    /// and the values of plugins are not all numbers, the meter has its own thread.
    ///
    /// The flows and their order do not depend on the number of meters, except for these:
    ///
    /// - values that depend on the state that nDPI keeps from one flow to the next, because each meter has its
    ///   own nDPI;
    /// - plugins that keep state across flows (one that declares this limits the run to one meter);
    /// - flows that end early because of [`max_flows`](Self::max_flows);
    /// - flows that lose values because a plugin trapped;
    /// - runs with [`fanout`](Self::fanout).
    pub fn n_meters(mut self, meters: usize) -> Self {
        self.config.n_meters = meters;
        self
    }

    /// Adds a plugin. Plugins keep the order in which they are added.
    pub fn plugin(mut self, plugin: PluginSpec) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Adds the plugins of a folder, after those of [`plugin`](Self::plugin). A second call replaces the
    /// folder.
    pub fn plugin_folder(mut self, folder: PluginFolder) -> Self {
        self.plugin_folder = Some(folder);
        self
    }

    /// Sets the folder of components that plugins name by their digests: `<SHA-256>.wasm`. None by default.
    pub fn plugin_store(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.plugin_store = Some(folder.into());
        self
    }

    /// Sets the file of the [`Policy`](crate::plugin::Policy) that applies to plugins.
    ///
    /// By default there is no policy. Plugins then have the grants of their [`PluginSpec`].
    pub fn policy(mut self, file: impl Into<PathBuf>) -> Self {
        self.config.policy = Some(file.into());
        self
    }

    /// Sets the compiler of plugins.
    ///
    /// By default, plugins are compiled in this process. Use that only for trusted plugins: compiling a
    /// malicious plugin can end this process, or use any amount of time and memory. The command compiles
    /// plugins with a [`ChildCompiler`](crate::plugin::ChildCompiler), which limits time and memory.
    pub fn compiler(mut self, compiler: impl Compiler + 'static) -> Self {
        self.compiler = Some(Arc::new(compiler));
        self
    }

    /// Enables hot loading: plugins can be loaded, replaced and removed during the run.
    ///
    /// The run then has a [`registry`](Streamer::registry), even if it has no plugins at the start. `columns`
    /// defines whether the columns of flows may change with the plugins. By default, columns are
    /// [fixed](SchemaMode::Fixed).
    pub fn hot_loading(mut self, columns: SchemaMode) -> Self {
        self.hot_loading = Some(columns);
        self
    }

    /// Sets the columns whose values are replaced by keyed hashes of 128 hexadecimal digits. None by
    /// default.
    ///
    /// Examples of names are `src_ip` and `udps.dns.query`. In the [schema](Streamer::schema) of the run, the
    /// type of these columns is text. See [`Anonymizer`](crate::Anonymizer).
    pub fn columns_to_anonymize<C: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> Self {
        self.config.columns_to_anonymize = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the key of these hashes and of the pseudonyms that plugins receive.
    ///
    /// Runs with the same key have the same hash for the same value. By default, each run has a random key.
    pub fn anonymization_key(mut self, key: AnonymizationKey) -> Self {
        self.anonymization_key = Some(key);
        self
    }

    /// Sets the counter of panics of helper threads. By default, the run has its own counter.
    pub fn thread_panics(mut self, panics: ThreadPanics) -> Self {
        self.panics = panics;
        self
    }
}

impl StreamerBuilder {
    /// The maximum number of meters. Each has its own thread, flow table and dissector.
    pub const MAX_METERS: usize = 256;

    /// The maximum of each timeout in seconds. In milliseconds, it fits into 64 bits.
    pub const MAX_SECONDS: u64 = u64::MAX / 1_000;
}
