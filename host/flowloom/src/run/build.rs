//! The start of a run: checks its configuration, and opens what it names.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use flowloom_core::fields::{Feature, Group};
use flowloom_core::schema::{Schema, UdpColumn};
use flowloom_plugin::{
    AnonymizationKey, Plugin, Policy, Registry, RegistryConfig, RunContext, ThreadPanics,
};

use super::builder::StreamerBuilder;
use super::fanout::Fanout;
use super::flow_filter::FlowFilter;
use super::identity::{self, FlowIdentification};
use super::meter::Meter;
use super::observer::FlowObserver;
use super::parallel::Parallel;
use super::planned::PlannedPart;
use super::plugin_updates::PluginUpdates;
use super::reload::Reloader;
use super::single::SingleMeter;
use super::source_meter::SourceMeter;
use super::streamer::{Streamer, StreamerError, Work};
use crate::anonymize::Anonymizer;
use crate::capture::{
    self, AheadOf, Files, Filter, LiveCapture, LiveSettings, PacketSource, SourceTable, StopSignal,
};
use crate::columns::OutputColumns;
use crate::dissect::{DissectError, Ndpi};
use crate::processes::{SystemError, SystemVisibility};

impl StreamerBuilder {
    /// Opens the sources, loads the plugins and starts the threads of the run.
    ///
    /// # Errors
    ///
    /// Fails in these cases:
    ///
    /// - a parameter is out of its range, or [`fanout`](Self::fanout) or [`system_visibility`](Self::system_visibility)
    ///   is set without an interface;
    /// - the sockets of this machine cannot be read, which [`system_visibility`](Self::system_visibility) needs;
    /// - the filter of packets or the condition on flows is invalid;
    /// - a source cannot be opened, and [`skip_unreadable`](Self::skip_unreadable) is not set;
    /// - the policy, the folder of plugins or a plugin cannot be loaded;
    /// - a column to anonymise does not exist, or the system supplies no random key;
    /// - nDPI rejects its files, or [`n_dissections`](Self::n_dissections) is not 0 in a build without nDPI. If a build
    ///   with nDPI finds no library, flows have no application columns, and the log says why;
    /// - the system refuses to start a thread.
    pub fn build(mut self) -> Result<Streamer, StreamerError> {
        self.check()?;
        let (stop, panics) = (StopSignal::default(), self.panics.clone());
        let sources = match self.expanded.take() {
            Some(found) => found,
            None => capture::expand(std::mem::take(&mut self.config.sources))?,
        };
        self.config.settings.capture_column = match &self.part {
            Some(part) => part.has_captures,
            None => sources.files.len() > 1 || sources.has_folder,
        };
        self.config.settings.identity_columns = identity::columns(&self.config);
        self.config.sources = sources.files;
        let mut identification = FlowIdentification::new(&self.config);
        let table = identification
            .as_ref()
            .and_then(FlowIdentification::sources);
        let origin = self.origin(&stop, table)?;
        if let Some(identification) = &mut identification {
            identification.system = self.system(&panics)?;
        }
        let has_plugins =
            !self.plugins.is_empty() || self.plugin_folder.is_some() || self.hot_loading.is_some();
        // Plugins and observers may read any column.
        if !has_plugins && self.observer.is_none() {
            self.omit_unused_analyses()?;
        }
        let ndpi = self.open_ndpi()?;
        let base = self.schema();
        let registry = has_plugins
            .then(|| self.registry(base.clone(), &panics))
            .transpose()?;
        let plugins = PluginUpdates::new(registry.clone(), &base);
        let meters = self.meters(plugins.set.plugins());
        self.check_part(plugins.set.plugins())?;
        let observer = self.take_observer(meters, &plugins)?;
        if let Some(registry) = &registry {
            let mut run = RunContext::default();
            run.meters = meters;
            run.columns = self.hot_loading.unwrap_or_default();
            run.is_live = matches!(origin, PacketSource::Live(_));
            registry.begin(run)?;
        }
        let folder_watch = match (&registry, self.plugin_folder.clone()) {
            (Some(registry), Some(folder)) => {
                folder.follow(self.config.policy.clone(), registry, &panics)?
            }
            _ => None,
        };
        let mut schema = plugins.set.schema().clone();
        let filter = self.config.filter.as_ref();
        let filter = filter
            .map(|text| FlowFilter::new(text, &schema))
            .transpose()?;
        let anonymizer = match self.config.columns_to_anonymize.is_empty() {
            true => None,
            false => Some(Anonymizer::new(
                &self.config.columns_to_anonymize,
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
        let columns = match self.config.select.is_empty() {
            true => OutputColumns::all(),
            false => OutputColumns::select(self.config.select),
        };
        columns.names(&schema)?;
        let is_live = matches!(origin, PacketSource::Live(_));
        let work = match (origin, meters) {
            (PacketSource::Live(live), meters @ 2..) if self.config.fanout => {
                let mut settings = self.config.settings;
                settings.max_flows = settings.max_flows.div_ceil(meters as u64);
                let interface = live.interface().to_owned();
                let mut fanout = Vec::new();
                for socket in live.fan_out(meters)? {
                    let meter = Meter::with_set(settings, &plugins.set, ndpi.as_ref())?;
                    fanout.push((socket, meter));
                }
                let fanout = Fanout::start(
                    fanout,
                    &plugins,
                    self.config.settings.queue_bytes,
                    interface,
                    stop.clone(),
                );
                Work::Parallel(Box::new(fanout.map_err(StreamerError::Thread)?))
            }
            (origin, 1) if observer.is_some() || can_run_in_caller(&origin, &schema) => {
                let mut meter = Meter::with_set(self.config.settings, &plugins.set, ndpi.as_ref())?;
                if let Some(part) = &self.part {
                    meter.set_part(part.part);
                }
                if let Some(observer) = observer {
                    meter.set_observer(observer);
                }
                let source = SourceMeter::new(origin, meter, plugins);
                Work::Single(Box::new(SingleMeter::new(source)))
            }
            (origin, meters) => {
                let settings = self.config.settings;
                let part = self.part.map(|part| part.part).unwrap_or_default();
                let parallel =
                    Parallel::start(origin, settings, meters, plugins, ndpi.as_ref(), part)?;
                Work::Parallel(Box::new(parallel))
            }
        };
        let reloader = registry.clone().map(|registry| {
            Reloader::new(self.plugins, self.config.policy, registry, panics.clone())
        });
        Ok(Streamer {
            schema,
            registry,
            reloader,
            _folder_watch: folder_watch,
            work,
            identification,
            filter,
            anonymizer,
            columns,
            is_live,
            ndpi,
            max_nflows: self.config.max_nflows,
            returned: 0,
            stop,
            panics,
        })
    }

    /// Returns what finds the processes of flows, if flows have these columns.
    fn system(
        &mut self,
        panics: &ThreadPanics,
    ) -> Result<Option<Arc<SystemVisibility>>, SystemError> {
        if !self.config.system_visibility {
            return Ok(None);
        }
        let system = match self.started_system.take() {
            Some(system) => system,
            None => Arc::new(SystemVisibility::start(
                Duration::from_millis(self.config.system_visibility_poll_ms.into()),
                Duration::from_secs(self.config.settings.idle_timeout),
                panics,
            )?),
        };
        system.warn_of_missing();
        Ok(Some(system))
    }

    /// Returns the nDPI of the run. Without one, switches off dissection, and says so if nDPI was not switched off by the
    /// user.
    fn open_ndpi(&mut self) -> Result<Option<Ndpi>, DissectError> {
        if self.config.settings.n_dissections == 0 {
            return Ok(None);
        }
        let ndpi = match self.loaded_ndpi.take() {
            Some(ndpi) => ndpi,
            None => Ndpi::load(&self.config.ndpi)?,
        };
        // An error follows if the run has files for nDPI, or if this build has no nDPI.
        if ndpi.version().is_none() && cfg!(feature = "ndpi") && !self.config.ndpi.has_files() {
            if let Some(reason) = ndpi.missing() {
                tracing::warn!("flows have no application columns: {reason}");
            }
            self.config.settings.n_dissections = 0;
            return Ok(None);
        }
        Ok(Some(ndpi))
    }

    /// Returns the columns of flows without plugins.
    fn schema(&self) -> Schema {
        let schema = self.config.settings.schema();
        match &self.observer {
            Some(observer) => schema.with_udps(observer.columns.clone()),
            None => schema,
        }
    }

    /// Returns the observer, which can be used with one meter only.
    fn take_observer(
        &mut self,
        meters: usize,
        plugins: &PluginUpdates,
    ) -> Result<Option<Box<dyn FlowObserver>>, StreamerError> {
        let Some(observer) = self.observer.take() else {
            return Ok(None);
        };
        if meters != 1 {
            return Err(StreamerError::Parameter {
                parameter: "n_meters",
                value: meters.to_string(),
                accepted: "1 is accepted with functions of the program",
            });
        }
        let is_taken = |column: &UdpColumn| {
            let mut plugins = plugins.set.plugins().iter();
            plugins.any(|plugin| plugin.name() == column.plugin())
        };
        if let Some(column) = observer.columns.iter().find(|column| is_taken(column)) {
            return Err(StreamerError::Parameter {
                parameter: "observer",
                value: column.plugin().to_owned(),
                accepted: "a name that no plugin has is accepted",
            });
        }
        Ok(Some((observer.create)()))
    }

    /// Switches off the analyses whose columns are neither selected nor used by the condition or the anonymiser.
    fn omit_unused_analyses(&mut self) -> Result<(), StreamerError> {
        if self.config.select.is_empty() {
            return Ok(());
        }
        let schema = self.config.settings.schema();
        let mut used = OutputColumns::select(&self.config.select).names(&schema)?;
        used.extend(self.config.columns_to_anonymize.iter().cloned());
        if let Some(condition) = &self.config.filter {
            let filter = flowloom_expr::Filter::parse(condition, &schema)?;
            used.extend(filter.columns().map(str::to_owned));
        }
        let groups: Vec<_> = used
            .iter()
            .filter_map(|name| Some(Feature::by_name(name)?.group))
            .collect();
        let settings = &mut self.config.settings;
        settings.statistical_analysis &= groups.contains(&Group::Statistics);
        if !groups.contains(&Group::Splt) {
            settings.splt_analysis = 0;
        }
        if !groups.contains(&Group::Application) {
            settings.n_dissections = 0;
        }
        Ok(())
    }

    /// Checks the ranges of numbers.
    fn check(&self) -> Result<(), StreamerError> {
        const SECONDS: &str = "0 to 18446744073709551 seconds are accepted";
        let (max_seconds, max_meters) = (Self::MAX_SECONDS, Self::MAX_METERS as u64);
        for (parameter, value, range, accepted) in [
            (
                "idle_timeout",
                self.config.settings.idle_timeout,
                0..=max_seconds,
                SECONDS,
            ),
            (
                "active_timeout",
                self.config.settings.active_timeout,
                0..=max_seconds,
                SECONDS,
            ),
            (
                "n_meters",
                self.config.n_meters as u64,
                0..=max_meters,
                "0 to 256 meters are accepted",
            ),
            (
                "system_visibility_poll_ms",
                self.config.system_visibility_poll_ms.into(),
                1..=60_000,
                "1 to 60000 milliseconds are accepted",
            ),
            (
                "socket_buffer_size",
                self.config.socket_buffer_size.into(),
                0..=i32::MAX as u64,
                "0 to 2147483647 bytes are accepted",
            ),
            (
                "snapshot_length",
                self.config.snapshot_length.unwrap_or(1).into(),
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

    /// Returns which captures another thread reads. This takes less time, and more processor time.
    fn read_ahead(&self) -> AheadOf {
        match self.config.n_meters {
            // Other tasks use the other cores.
            _ if self.part.is_some() || capture::cores() == 1 => AheadOf::Nothing,
            1 => AheadOf::All,
            // The readers of several meters are threads of their own.
            _ => AheadOf::Compressed,
        }
    }

    /// Opens the source of packets. `stop` ends it. Opened sources are added to `table`.
    fn origin(
        &self,
        stop: &StopSignal,
        table: Option<&SourceTable>,
    ) -> Result<PacketSource, StreamerError> {
        let filter = self
            .config
            .bpf_filter
            .as_ref()
            .map(Filter::new)
            .transpose()?;
        let idle_timeout = Duration::from_secs(self.config.settings.idle_timeout);
        if let Some(interface) = capture::interface(&self.config.sources)? {
            let settings = LiveSettings {
                promiscuous_mode: self.config.promiscuous_mode,
                snapshot_length: self
                    .config
                    .snapshot_length
                    .unwrap_or(LiveSettings::SNAPSHOT_LENGTH),
                socket_buffer_size: match self.config.socket_buffer_size {
                    0 => LiveSettings::SOCKET_BUFFER_SIZE,
                    bytes => bytes,
                },
            };
            let live = LiveCapture::open(
                &interface.name,
                settings,
                filter.as_ref(),
                idle_timeout,
                stop.clone(),
            )?;
            if let Some(table) = table {
                table.add(0, 0, Path::new(&interface.name));
            }
            return Ok(PacketSource::Live(Box::new(live)));
        }
        if self.config.fanout {
            return Err(StreamerError::Parameter {
                parameter: "fanout",
                value: "true".into(),
                accepted: "it is for an interface, not for files",
            });
        }
        if self.config.system_visibility && self.started_system.is_none() {
            return Err(StreamerError::Parameter {
                parameter: "system_visibility",
                value: "true".into(),
                accepted: "it is for an interface of this machine, not for files",
            });
        }
        let skip_unreadable = self.config.skip_unreadable;
        let files = match &self.part {
            Some(part) => Files::open_part(part.files.clone(), part.part, skip_unreadable),
            None => Files::open_grouped(
                self.config.sources.clone(),
                self.config.grouping,
                skip_unreadable,
            ),
        };
        let mut files = files?
            .with_idle_timeout(idle_timeout)
            .with_read_ahead(self.read_ahead());
        if let Some(filter) = filter {
            files = files.with_filter(filter);
        }
        if let Some(table) = table {
            files = files.with_table(table.clone());
        }
        if let Some(bytes) = self.config.snapshot_length {
            files = files.with_snapshot_length(bytes);
        }
        Ok(PacketSource::Files(Box::new(files), stop.clone()))
    }

    /// Loads the plugins of [`plugin`](Self::plugin) and of the folder, as the policy permits.
    fn registry(&self, schema: Schema, panics: &ThreadPanics) -> Result<Registry, StreamerError> {
        let mut config = RegistryConfig::default();
        config.compiler = self.compiler.clone();
        config.store = self.config.plugin_store.clone();
        config.key = self.anonymization_key.clone();
        config.thread_panics = panics.clone();
        let registry = Registry::with(schema, config)?;
        let policy = Policy::at(self.config.policy.as_deref())?;
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

    /// Checks that no plugin needs all flows of a capture, if the run has a part of one.
    fn check_part(&self, plugins: &[Arc<Plugin>]) -> Result<(), StreamerError> {
        let mut plugins = plugins.iter();
        let has_part = |part: &PlannedPart| part.part.shard.of > 1 || part.part.first_ordinal > 0;
        match plugins.find(|plugin| plugin.manifest().needs_one_meter) {
            Some(plugin) if self.part.as_ref().is_some_and(has_part) => {
                Err(StreamerError::Parameter {
                    parameter: "plugin",
                    value: plugin.name().to_owned(),
                    accepted: "it keeps state across the flows of a capture, which is divided: plan the run without shards and scan",
                })
            }
            _ => Ok(()),
        }
    }

    /// Returns the number of meters: 1 to [`MAX_METERS`](Self::MAX_METERS).
    fn meters(&self, plugins: &[Arc<Plugin>]) -> usize {
        if let Some(plugin) = plugins
            .iter()
            .find(|plugin| plugin.manifest().needs_one_meter)
        {
            if self.config.n_meters > 1 {
                tracing::warn!(
                    "plugin {}: it keeps state across flows; the run uses one meter",
                    plugin.name()
                );
            }
            return 1;
        }
        match self.config.n_meters {
            // One core is left to the reader.
            0 => thread::available_parallelism()
                .map_or(1, |cores| (cores.get() - 1).clamp(1, Self::MAX_METERS)),
            meters => meters,
        }
    }
}

/// Returns whether a single meter can run in the caller's thread.
///
/// One packet can end any number of flows, and the caller cannot take flows in the middle of a step. This is
/// acceptable if the size of plugin values is bounded, or in a live capture, which never waits. Otherwise the
/// meter needs its own thread, which can wait until the caller has taken flows.
fn can_run_in_caller(origin: &PacketSource, schema: &Schema) -> bool {
    let mut outputs = schema.udps().iter();
    matches!(origin, PacketSource::Live(_)) || outputs.all(|output| output.ty().is_number())
}
