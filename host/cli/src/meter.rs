//! `flowloom meter`

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, mem};

use clap::Args;
use flowloom::dissect::{DissectError, Ndpi};
use flowloom::plugin::{Policy, SchemaMode};
use flowloom::sink::{BATCH_FLOWS, BackgroundSink, FileMetadata, Format, OnFailure, OutputFiles};
use flowloom::{
    AnonymizationKey, RunConfig, Step, Streamer, StreamerBuilder, ThreadPanics, capture,
};

use super::compile::CompileOptions;
use super::exit::{Exit, Failure, GrantAdvice, with_option};
use super::live::{LiveOptions, Monitor};
use super::metadata::RunMetadata;
use super::metering::MeteringOptions;
use super::output::{OUTPUT, OutputOptions};
use super::overlap::Inputs;
use super::plugin_options::{RunPlugins, warn_of_unused_policy};
use super::privileges::{self, Account};
use super::progress::Progress;
use super::sources::{SourceKind, SourceOptions};
use super::summary::{self, RunClock, RunTotals};
use super::{log, standard};

const CONFIGURATION: &str = "Configuration";

/// A pcap file without packets: the header with link type Ethernet.
const EMPTY_CAPTURE: [u8; 24] = [
    0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
];

const EXAMPLES: &str = "\
Examples:
  Meter a capture file:
    flowloom meter capture.pcap -o flows.csv
  Meter a folder of compressed captures into compressed JSON lines, with two metering threads:
    flowloom meter captures/ -o flows.jsonl.zst --n-meters 2
  Meter an interface until SIGINT or SIGTERM, with a new file after a million flows:
    flowloom meter eth0 -o flows.csv --flows-per-file 1000000
  Meter a remote interface:
    ssh host tcpdump -U -w - | flowloom meter - -o flows.csv
  Run a plugin that needs the first 64 payload bytes of each packet:
    flowloom meter capture.pcap --plugin first_bytes.wasm --grant first_bytes=payload:64

Documentation: docs/usage.md, docs/live-capture.md, docs/sandbox.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Meter {
    #[command(flatten)]
    from: SourceOptions,

    /// Read options from a TOML file.
    ///
    /// The keys are the options of this command without the hyphens before them, and `sources`. The value of an option
    /// that is given several times is a list. Options on the command line win. Paths are relative to the current
    /// folder.
    #[arg(long, value_name = "FILE", help_heading = CONFIGURATION)]
    config: Option<PathBuf>,

    /// Check the options, the policy and the plugins, and exit.
    ///
    /// Nothing is metered or written. An interface is not opened.
    #[arg(long, help_heading = CONFIGURATION)]
    check_config: bool,

    #[command(flatten)]
    output: OutputOptions,

    /// Write keyed hashes instead of these columns' values.
    ///
    /// A hash is 128 hexadecimal digits of keyed BLAKE2b-512. Equal values have equal hashes. Plugins see the
    /// original values.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', help_heading = OUTPUT)]
    columns_to_anonymize: Vec<String>,

    /// Key of hashes and pseudonyms [default: a random key].
    ///
    /// The key is 128 hexadecimal digits. @FILE reads it from a file, so that other users do not see it in
    /// the list of processes. Plugins that are granted pseudonyms use the same key.
    #[arg(long, value_name = "HEX|@FILE", help_heading = OUTPUT)]
    anonymization_key: Option<String>,

    #[command(flatten)]
    plugins: RunPlugins,

    #[command(flatten)]
    compile: CompileOptions,

    #[command(flatten)]
    metering: MeteringOptions,

    #[command(flatten)]
    live: LiveOptions,
}

impl Meter {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let sources = self.from.sources()?;
        let captures = capture::expand(sources.clone()).map_err(Failure::failed)?;
        let inputs = self.inputs(&captures.files);
        self.check_outputs(&sources, &inputs)?;
        let kind = SourceKind::of(&sources)?;
        if self.check_config {
            return self.check(sources, kind);
        }
        if kind != SourceKind::Files {
            log::show_time();
        }
        let is_live = kind == SourceKind::Interface;
        if is_live && self.output.files().is_object() {
            return Err(Failure::usage(
                "--output: flows of an interface are written to files, not to an object",
            )
            .hint("add --rotate-interval TIME, and copy the complete files to the store"));
        }
        let account = self.live.account(is_live, self.output.path())?;
        let files = self.files_of_the_run(account.as_ref());
        let config = self.config(sources);
        // A run that drops its privileges may not be able to open the library later.
        let ndpi = match config.settings.n_dissections {
            0 => None,
            _ => Some(Ndpi::load(&config.ndpi).map_err(|error| match error {
                DissectError::Library(_) => {
                    Failure::failed(error).hint("--ndpi none meters without nDPI")
                }
                _ => Failure::failed(error),
            })?),
        };
        let found = ndpi.as_ref().filter(|ndpi| ndpi.version().is_some());
        if let Some(ndpi) = found
            && kind != SourceKind::Files
        {
            tracing::info!("nDPI {}", summary::described(ndpi));
        }
        let mut monitor =
            self.live
                .begin(kind, &files, account.as_ref(), config.settings.idle_timeout)?;
        let mut builder = self
            .builder(config.clone(), account.as_ref())?
            .expanded(captures.clone())
            .thread_panics(monitor.panics());
        if let Some(ndpi) = ndpi {
            builder = builder.loaded_ndpi(ndpi);
        }
        if let Some(system) = monitor.take_system() {
            builder = builder.started_system_visibility(system);
        }
        // Read before the run begins: later the file may already be another one.
        let policy = self.plugins.policy.as_ref().map(Policy::from_file);
        let policy = policy.transpose().map_err(Failure::failed)?;
        let mut streamer = builder
            .build()
            .map_err(|error| Failure::of_run(error, self.grant_advice()))?;
        self.check_policy(policy.as_ref(), &streamer);
        let captures = match kind {
            SourceKind::Files => captures.files,
            _ => Vec::new(),
        };
        let digests = self.output.has_digests();
        let mut metadata = RunMetadata::new(&config, &streamer, captures, digests);
        let mut sink = self.background(&streamer, kind, &inputs, metadata.file())?;
        let losses = sink.losses();
        let clock = RunClock::start(&streamer);
        let progress = Progress::new(kind == SourceKind::Files, &streamer);
        let mut flows = 0_u64;
        let written = write(
            &mut streamer,
            &mut sink,
            &mut monitor,
            &progress,
            &mut metadata,
            &mut flows,
        )
        .and_then(|()| {
            metadata.end(&streamer);
            sink.finish()
        });
        progress.clear();
        monitor.end(&streamer, &losses);
        let (writer, failure) = match written {
            Ok(cpu_time) => (cpu_time, None),
            // The summary still tells what became of packets that cannot be metered again.
            Err(error) if kind != SourceKind::Files => {
                (Duration::ZERO, Some(self.output.write_failure(&error)))
            }
            Err(error) => return Err(self.output.write_failure(&error)),
        };
        let report = streamer.summary();
        let run = RunTotals {
            flows,
            losses: &losses,
            times: clock.stop(&report, writer),
            lines_dropped: log::dropped(),
        };
        let exit = summary::end(&report, &run);
        if let Some(failure) = failure {
            return Err(failure);
        }
        Ok(exit)
    }

    /// Checks what can be checked without an interface or a pipe: options, conditions, columns, policy and plugins.
    fn check(&self, sources: Vec<PathBuf>, kind: SourceKind) -> Result<Exit, Failure> {
        self.live
            .account(kind == SourceKind::Interface, self.output.path())?;
        let empty = tempfile::NamedTempFile::new().map_err(Failure::failed)?;
        let count = sources.len();
        let mut config = self.config(sources);
        if kind != SourceKind::Files {
            fs::write(&empty, EMPTY_CAPTURE).map_err(Failure::failed)?;
            config.sources = vec![empty.path().to_owned()];
            config.fanout = false;
        }
        let policy = self.plugins.policy.as_ref().map(Policy::from_file);
        let policy = policy.transpose().map_err(Failure::failed)?;
        let idle_timeout = config.settings.idle_timeout;
        let mut builder = self.builder(config, None)?;
        // The columns of an interface, although its place has a file.
        if kind == SourceKind::Interface
            && let Some(system) = self
                .live
                .start_system(idle_timeout, &ThreadPanics::default())?
        {
            builder = builder.started_system_visibility(system);
        }
        let streamer = builder
            .build()
            .map_err(|error| Failure::of_run(error, self.grant_advice()))?;
        self.check_policy(policy.as_ref(), &streamer);
        let plugins = streamer.summary().plugins.len();
        standard::print(format_args!(
            "the configuration is valid: {count} sources, {plugins} plugins, {} columns\n",
            self.output.columns(&streamer)?.len()
        ))?;
        Ok(Exit::Done)
    }

    /// Returns where the user grants data to the plugins of this run.
    fn grant_advice(&self) -> GrantAdvice<'_> {
        match &self.plugins.policy {
            Some(policy) => GrantAdvice::Policy(policy),
            None if self.plugins.watch => GrantAdvice::NewPolicy,
            None => GrantAdvice::Option,
        }
    }

    /// Warns if the policy has no entry for a plugin of this run.
    fn check_policy(&self, policy: Option<&Policy>, streamer: &Streamer) {
        let (Some(path), Some(policy)) = (&self.plugins.policy, policy) else {
            return;
        };
        let plugins = streamer.summary().plugins;
        let plugins: Vec<_> = plugins.iter().map(|plugin| &*plugin.name).collect();
        // Plugins may appear later in a watched folder.
        if !self.plugins.watch || !plugins.is_empty() {
            warn_of_unused_policy(path, policy, &plugins);
        }
    }

    /// Returns the configuration of the run, without its plugins.
    fn config(&self, sources: Vec<PathBuf>) -> RunConfig {
        let mut config = RunConfig::default();
        config.sources = sources;
        self.from.set(&mut config);
        self.output.set(&mut config);
        self.metering.set(&mut config);
        self.live.set(&mut config);
        config.policy.clone_from(&self.plugins.policy);
        config
            .columns_to_anonymize
            .clone_from(&self.columns_to_anonymize);
        config
    }

    fn builder(
        &self,
        config: RunConfig,
        account: Option<&Account>,
    ) -> Result<StreamerBuilder, Failure> {
        let builder = config.builder().map_err(Failure::usage)?;
        let mut builder = self.plugins.add_to(builder)?;
        if let Some(key) = self.key()? {
            builder = builder.anonymization_key(key);
        }
        if !self.plugins.is_empty() {
            builder = builder.compiler(self.compile.compiler(account));
        }
        if self.plugins.watch && self.output.format()? == Format::JsonLines {
            builder = builder.hot_loading(SchemaMode::PerFlow);
        }
        Ok(builder)
    }

    /// Returns the key of hashes and pseudonyms. It is not parsed by clap, whose errors would show it.
    fn key(&self) -> Result<Option<AnonymizationKey>, Failure> {
        let Some(key) = &self.anonymization_key else {
            return Ok(None);
        };
        if self.columns_to_anonymize.is_empty() && self.plugins.is_empty() {
            return Err(Failure::usage("--anonymization-key: nothing is hashed")
                .hint("give --columns-to-anonymize, or a plugin that is granted pseudonyms"));
        }
        let key = match key.strip_prefix('@') {
            Some(file) => AnonymizationKey::from_file(file),
            None => key.parse(),
        };
        match key {
            Ok(key) => Ok(Some(key)),
            Err(error) => Err(Failure::usage(with_option(error))),
        }
    }

    /// Returns the files that a live capture reads and writes while it runs.
    fn files_of_the_run(&self, account: Option<&Account>) -> privileges::Files {
        let key = self.anonymization_key.as_deref();
        let compiles = !self.plugins.is_empty();
        privileges::Files {
            read: (self.plugins.files().map(Path::to_owned))
                .chain(self.plugins.folder.clone())
                .chain(self.plugins.policy.clone())
                .chain(self.metering.ndpi_protocols().cloned())
                .chain(self.metering.ndpi_categories().cloned())
                .chain(key.and_then(|key| key.strip_prefix('@')).map(PathBuf::from))
                .collect(),
            cache: match compiles {
                true => self.compile.folder(account),
                false => None,
            },
            compiles,
            output: self.output.path().map(Path::to_owned),
            makes_folders: self.output.makes_folders(),
        }
    }

    /// Returns the files that the run reads.
    fn inputs(&self, sources: &[PathBuf]) -> Inputs {
        let mut inputs = Inputs::default();
        inputs.add_files("a source", sources);
        inputs.add("the list of sources", self.from.list());
        inputs.add("a plugin", self.plugins.files());
        inputs.add("the text of a plugin's option", self.plugins.option_files());
        inputs.add("a plugin", &self.plugins.folder);
        inputs.add("the policy", &self.plugins.policy);
        inputs.add("the list of protocols", self.metering.ndpi_protocols());
        inputs.add("the list of categories", self.metering.ndpi_categories());
        let key = self.anonymization_key.as_deref();
        inputs.add("the key", key.and_then(|key| key.strip_prefix('@')));
        inputs
    }

    /// Checks the paths of flows and reports. Opens nothing.
    fn check_outputs(&self, sources: &[PathBuf], inputs: &Inputs) -> Result<(), Failure> {
        let mut outputs = vec![("the output", self.output.files())];
        let report = self.live.report_file().map(OutputFiles::new);
        outputs.extend(report.map(|file| ("the performance report", file)));
        inputs.check(&outputs)?;
        self.output.check()?;
        let list = self.from.list();
        if (sources.iter().map(PathBuf::as_path).chain(list)).any(|source| source == Path::new("-"))
        {
            standard::check_input()?;
        }
        for source in sources {
            standard::check_path(source)?;
        }
        Ok(())
    }

    fn background(
        &self,
        streamer: &Streamer,
        kind: SourceKind,
        inputs: &Inputs,
        metadata: &FileMetadata,
    ) -> Result<BackgroundSink, Failure> {
        // Packets of a pipe or an interface cannot be metered again.
        let is_live = kind != SourceKind::Files;
        let sink = self
            .output
            .sink(streamer, is_live, inputs.ids(), metadata)?;
        Ok(match (kind, self.output.path()) {
            // If the output is slow, the writer of a pipe waits.
            (SourceKind::Files | SourceKind::Pipe, _) => BackgroundSink::start(sink),
            (SourceKind::Interface, Some(_)) => BackgroundSink::live(sink, OnFailure::Retry),
            (SourceKind::Interface, None) => BackgroundSink::live(sink, OnFailure::End),
        }
        .queue_bytes(self.metering.queue_bytes()))
    }
}

/// Writes all flows, and monitors the run meanwhile.
fn write(
    streamer: &mut Streamer,
    sink: &mut BackgroundSink,
    monitor: &mut Monitor,
    progress: &Progress,
    metadata: &mut RunMetadata,
    flows: &mut u64,
) -> io::Result<()> {
    let mut ready = Vec::new();
    loop {
        if ready.capacity() == 0 {
            ready = sink.spare();
        }
        streamer.take_ready(BATCH_FLOWS, &mut ready);
        if !ready.is_empty() {
            *flows += ready.len() as u64;
            sink.write_all(mem::take(&mut ready))?;
            continue;
        }
        match streamer.step() {
            Step::Flow(flow) => {
                sink.write(flow)?;
                *flows += 1;
            }
            Step::Read => {
                sink.flush()?;
                monitor.update(streamer, sink);
                metadata.update(streamer);
                progress.show(streamer.progress(), *flows);
            }
            Step::End => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        meter: Meter,
    }

    fn parsed(arguments: &[&str]) -> Result<Meter, String> {
        Arguments::try_parse_from([&["meter", "/nowhere.pcap"], arguments].concat())
            .map(|arguments| arguments.meter)
            .map_err(|error| error.to_string())
    }

    /// Returns the usage error of a run that opens no capture.
    fn usage_error(arguments: &[&str]) -> String {
        let failure = parsed(arguments).unwrap().run().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        failure.message
    }

    #[test]
    fn standard_output_is_no_set_of_files() {
        for (words, message) in [
            (
                ["--flows-per-file", "9"],
                "--flows-per-file 9: standard output is not a file",
            ),
            (
                ["--rotate-files", "2"],
                "--rotate-files 2: standard output is not a file",
            ),
        ] {
            assert_eq!(usage_error(&words), message);
        }
    }

    #[test]
    fn a_wrong_key_is_refused_and_not_shown() {
        let columns = ["--columns-to-anonymize", "src_ip,dst_ip"];
        for key in ["5ec2e7", "@/nowhere/5ec2e7"] {
            let words = [&columns[..], &["--anonymization-key", key]].concat();
            let message = usage_error(&words);
            assert!(message.starts_with("--anonymization-key: "), "{message}");
            assert!(
                !message.contains("5ec2e7") || key.starts_with('@'),
                "{message}"
            );
        }
        assert_eq!(
            usage_error(&["--anonymization-key", "5ec2e7"]),
            "--anonymization-key: nothing is hashed"
        );
    }

    /// Returns the configuration of a run over /nowhere.pcap with these options.
    fn config(arguments: &[&str]) -> RunConfig {
        parsed(arguments)
            .unwrap()
            .config(vec!["/nowhere.pcap".into()])
    }

    #[test]
    fn options_have_the_defaults_of_the_configuration() {
        let mut expected = RunConfig::default();
        expected.sources.push("/nowhere.pcap".into());
        assert_eq!(config(&[]), expected);
    }

    #[test]
    fn every_parameter_of_the_configuration_has_an_option() {
        let config = serde_json::to_value(RunConfig::default()).unwrap();
        let command = Arguments::command();
        let mut parameters: Vec<_> = config.as_object().unwrap().keys().collect();
        parameters.extend(config["settings"].as_object().unwrap().keys());
        for parameter in parameters {
            let option = match parameter.as_str() {
                // Objects, whose parameters have options, and plugins by digest, which only programs use.
                "settings" | "plugin_store" => continue,
                "grouping" => "group",
                "where" => "filter",
                "max_flows" => "max_live_flows",
                "plugin_folder" => "folder",
                "queue_bytes" => "queue_mib",
                other => other,
            };
            let has = command
                .get_arguments()
                .any(|argument| argument.get_id() == option);
            assert!(has, "no option for {parameter}");
        }
    }

    #[test]
    fn options_set_the_configuration() {
        let words = "--group each --skip-unreadable --idle-timeout 1 --active-timeout 2 --end-on-fin \
                     --accounting-mode 2 --decode-tunnels gre --statistical-analysis --splt-analysis 3 \
                     --bpf-filter udp --where 443 --snapshot-length 96 --max-nflows 4 --n-meters 5 --n-dissections 6 \
                     --ndpi l --ndpi-license non-commercial --ndpi-protocols p --ndpi-categories c --max-live-flows 7 --queue-mib 16 --policy f \
                     --community-id --community-id-seed 9 --flow-uid --source-file --no-promiscuous-mode --socket-buffer-size 8 --fanout --system-visibility --system-visibility-poll-ms 50 --columns-to-anonymize src_ip";
        let set = config(&words.split_whitespace().collect::<Vec<_>>());
        let json = serde_json::json!({
            "sources": ["/nowhere.pcap"],
            "grouping": "each",
            "skip_unreadable": true,
            "settings": {
                "idle_timeout": 1,
                "active_timeout": 2,
                "end_on_fin": true,
                "accounting_mode": "transport",
                "decode_tunnels": "gre",
                "statistical_analysis": true,
                "splt_analysis": 3,
                "n_dissections": 6,
                "max_flows": 7,
                "queue_bytes": 16 << 20,
            },
            "community_id": 9,
            "flow_uid": true,
            "source_file": true,
            "system_visibility": true,
            "system_visibility_poll_ms": 50,
            "ndpi": { "library": "l", "license": "non-commercial", "protocols": "p", "categories": "c" },
            "bpf_filter": "udp",
            "where": "443",
            "snapshot_length": 96,
            "promiscuous_mode": false,
            "socket_buffer_size": 8,
            "fanout": true,
            "max_nflows": 4,
            "n_meters": 5,
            "policy": "f",
            "columns_to_anonymize": ["src_ip"],
        });
        assert_eq!(set, serde_json::from_value(json).unwrap());
    }
}
