//! `flowloom meter`

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use flowloom::decode::{Tunnel, TunnelSet, UnknownTunnel};
use flowloom::dissect::{DEFAULT_DISSECTIONS, NdpiFiles};
use flowloom::plugin::{CallMode, Grants, PluginFolder, PluginSpec, Policy, SchemaMode};
use flowloom::sink::{BackgroundSink, Format, Losses, OnFailure, OutputFiles};
use flowloom::{
    AccountingMode, AnonymizationKey, RunSummary, Step, Streamer, StreamerBuilder, capture,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::compile::CompileOptions;
use super::exit::{Exit, Failure, GrantAdvice, with_option};
use super::live::{LiveOptions, Monitor};
use super::number::within;
use super::output::{OUTPUT, OutputOptions};
use super::overlap::Inputs;
use super::plugin_options::{PLUGINS, grant, warn_of_unused_policy};
use super::privileges::{self, Account};
use super::sources::{SourceKind, SourceOptions};
use super::summary::{self, RunClock, RunTotals};
use super::{log, standard};

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

    /// Run a plugin (repeatable).
    ///
    /// FILE is a WebAssembly component. The default NAME is the file name up to its first dot. Options of the
    /// plugin follow the file; `KEY=@FILE` passes the text of a file as the value.
    #[arg(long = "plugin", value_name = "[NAME=]FILE[,KEY=VALUE…]", help_heading = PLUGINS)]
    plugins: Vec<PluginSpec>,

    /// Run all plugins of a folder.
    ///
    /// Flowloom runs the files *.wasm in the order of their names, without options, after the plugins of
    /// --plugin.
    #[arg(long = "plugins", value_name = "DIR", help_heading = PLUGINS)]
    plugin_folder: Option<PathBuf>,

    /// Follow changes of the folder during the run.
    ///
    /// Flowloom loads files that appear, replaces plugins whose files change, and removes plugins whose files
    /// disappear. Live flows finish with the version that they began with.
    #[arg(long, requires = "plugin_folder", help_heading = PLUGINS)]
    watch: bool,

    /// Let a plugin see more data (repeatable).
    ///
    /// Every plugin sees sizes, times, direction, TCP flags, ports, protocol and counters. WHAT is one of:
    /// addresses, pseudonyms (numbers instead of addresses), application, names, payload:N (the first N
    /// payload bytes of each packet), bytes:N (the first N bytes of each packet from its IP header on).
    #[arg(long = "grant", value_name = "NAME=WHAT[,WHAT…]", value_parser = grant, help_heading = PLUGINS)]
    grants: Vec<(String, Grants)>,

    /// File of grants, options and limits of plugins.
    ///
    /// docs/sandbox.md describes this TOML file. With --watch, Flowloom follows its changes.
    #[arg(long, value_name = "FILE", help_heading = PLUGINS)]
    policy: Option<PathBuf>,

    /// How plugins are called.
    ///
    /// Plugins support calls with batches of events, calls with single events, or both. `auto` uses batches if
    /// the plugin supports them. `per-event` uses single events if the plugin supports them.
    #[arg(
        long,
        default_value = "auto",
        value_name = "auto|per-event",
        hide_possible_values = true,
        help_heading = PLUGINS
    )]
    plugin_calls: PluginCalls,

    #[command(flatten)]
    compile: CompileOptions,

    /// End a flow after this time without a packet.
    #[arg(long, default_value_t = 15, value_name = "SECONDS", value_parser = within(0..=StreamerBuilder::MOST_SECONDS), allow_negative_numbers = true, help_heading = METERING)]
    idle_timeout: u64,

    /// End a flow at this age, even if it is active.
    #[arg(long, default_value_t = 1800, value_name = "SECONDS", value_parser = within(0..=StreamerBuilder::MOST_SECONDS), allow_negative_numbers = true, help_heading = METERING)]
    active_timeout: u64,

    /// Also end a flow when its TCP connection ends.
    ///
    /// A reset, or the acknowledgement of both sides' FIN, ends the flow with expiration_id 2. Later packets
    /// begin another flow.
    #[arg(long, help_heading = METERING)]
    end_on_fin: bool,

    /// Counted bytes: 0 frame, 1 IP, 2 transport, 3 payload.
    ///
    /// 0 counts the whole frame, 1 the IP packet, 2 the transport header and the payload, 3 the payload only.
    #[arg(long, default_value_t = 0, value_name = "MODE", value_parser = within(0..=3_u8), allow_negative_numbers = true, help_heading = METERING)]
    accounting_mode: u8,

    /// Decode these tunnels.
    ///
    /// A list of gtp, capwap, tzsp, vxlan, gre and geneve. Flowloom meters the packets inside a decoded tunnel
    /// instead of the packets around them.
    #[arg(
        long,
        default_value = "gtp,capwap,tzsp",
        value_name = "TUNNEL,…",
        value_parser = tunnels,
        help_heading = METERING
    )]
    decode_tunnels: TunnelSet,

    /// Decode no tunnels.
    #[arg(long, conflicts_with = "decode_tunnels", help_heading = METERING)]
    no_decode_tunnels: bool,

    /// Add statistics of packet sizes, times and TCP flags.
    #[arg(long, help_heading = METERING)]
    statistical_analysis: bool,

    /// Add direction, size and time of the first N packets.
    ///
    /// The time is the inter-arrival time: the time since the previous packet of the flow.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = within(0..=u16::MAX), allow_negative_numbers = true, help_heading = METERING)]
    splt_analysis: u16,

    /// Meter only packets that match a libpcap filter.
    #[arg(long, value_name = "EXPRESSION", help_heading = METERING)]
    bpf_filter: Option<String>,

    /// Truncate packets to this length.
    ///
    /// Packet sizes still count the whole packet. The default for interfaces is 1536. Packets of files are not
    /// truncated by default.
    #[arg(long, value_name = "BYTES", value_parser = within(1..=u32::MAX), allow_negative_numbers = true, help_heading = METERING)]
    snapshot_length: Option<u32>,

    /// Stop after N flows; 0 is no limit.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = within(0..=u64::MAX), allow_negative_numbers = true, help_heading = METERING)]
    max_nflows: u64,

    /// Number of metering threads; 0 uses all cores but one.
    ///
    /// The flows of a capture and their order do not depend on this number. Only application
    /// columns may differ, because the nDPI of each thread remembers earlier flows.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = within(0..=StreamerBuilder::MOST_METERS), allow_negative_numbers = true, help_heading = METERING)]
    n_meters: usize,

    /// Dissect the first N packets of each flow; 0 disables.
    ///
    /// At most 255. nDPI finds the application of a flow in these packets. 0 also removes the application
    /// columns.
    #[arg(long, default_value_t = DEFAULT_DISSECTIONS, value_name = "N", value_parser = within(0..=u8::MAX), allow_negative_numbers = true, help_heading = APPLICATIONS)]
    n_dissections: u8,

    /// Additional protocols, in the format of nDPI's protos.txt.
    #[arg(long, value_name = "FILE", help_heading = APPLICATIONS)]
    ndpi_protocols: Option<PathBuf>,

    /// Additional categories, in the format of nDPI's categories.txt.
    #[arg(long, value_name = "FILE", help_heading = APPLICATIONS)]
    ndpi_categories: Option<PathBuf>,

    /// End the oldest flow early when N are live; 0 is no limit.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = within(0..=u64::MAX), allow_negative_numbers = true, help_heading = LIMITS)]
    max_live_flows: u64,

    /// Memory for ended flows until they are written.
    ///
    /// At the limit, a run over files waits for the output. A live capture first loses values of plugins.
    #[arg(long, default_value_t = 256, value_name = "MIB", value_parser = within(16..=1_u32 << 20), allow_negative_numbers = true, help_heading = LIMITS)]
    queue_mib: u32,

    #[command(flatten)]
    live: LiveOptions,
}

const METERING: &str = "Metering (parameters of NFStream)";
const APPLICATIONS: &str = "Applications (nDPI)";
const LIMITS: &str = "Limits";

#[derive(Clone, Copy, ValueEnum)]
enum PluginCalls {
    Auto,
    PerEvent,
}

/// Parses a list of tunnels.
fn tunnels(text: &str) -> Result<TunnelSet, String> {
    let names = || Tunnel::ALL.map(Tunnel::name).join(", ");
    match text {
        "true" | "false" => Err(format!(
            "expected a list of {}; --no-decode-tunnels decodes none",
            names()
        )),
        list => list
            .parse()
            .map_err(|error: UnknownTunnel| format!("'{}' is not one of {}", error.name, names())),
    }
}

impl Meter {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let sources = self.from.sources()?;
        let (files, _) = capture::expand(sources.clone()).map_err(Failure::failed)?;
        let inputs = self.inputs(&files);
        self.check_outputs(&sources, &inputs)?;
        let kind = SourceKind::of(&sources)?;
        if kind != SourceKind::Files {
            log::show_time();
        }
        let is_live = kind == SourceKind::Interface;
        let account = self.live.account(is_live, self.output.path())?;
        let files = self.files_of_the_run(account.as_ref());
        let mut monitor = self.live.begin(kind, &files, account.as_ref())?;
        let builder = self
            .builder(&sources, account.as_ref())?
            .thread_panics(monitor.panics());
        // Read before the run begins: later the file may already be another one.
        let policy = self.policy.as_ref().map(Policy::from_file);
        let policy = policy.transpose().map_err(Failure::failed)?;
        let mut streamer = builder
            .build()
            .map_err(|error| Failure::of_run(error, self.grant_advice()))?;
        self.check_policy(policy.as_ref(), &streamer);
        let mut sink = self.background(&streamer, kind, &inputs)?;
        let losses = sink.losses();
        let clock = RunClock::start(&streamer);
        let progress = Progress::new(!is_live, &streamer);
        let mut flows = 0_u64;
        let written = write(
            &mut streamer,
            &mut sink,
            &mut monitor,
            &progress,
            &mut flows,
        )
        .and_then(|()| sink.finish());
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
        let is_complete = is_complete(&report, &losses);
        let run = RunTotals {
            flows,
            losses: &losses,
            times: clock.stop(&report, writer),
            lines_dropped: log::dropped(),
        };
        let mut text = Vec::new();
        if log::shows_information() || log::shows_warnings() && !is_complete {
            let _ = summary::write(&mut text, &report, &run);
        }
        log::end(&text);
        if let Some(failure) = failure {
            return Err(failure);
        }
        Ok(match is_complete {
            true => Exit::Done,
            false if report.problems.iter().all(|problem| problem.is_damage()) => Exit::Incomplete,
            false => Exit::Failed,
        })
    }

    /// Returns where the user grants data to the plugins of this run.
    fn grant_advice(&self) -> GrantAdvice<'_> {
        match &self.policy {
            Some(policy) => GrantAdvice::Policy(policy),
            None if self.watch => GrantAdvice::NewPolicy,
            None => GrantAdvice::Option,
        }
    }

    /// Warns if the policy has no entry for a plugin of this run.
    fn check_policy(&self, policy: Option<&Policy>, streamer: &Streamer) {
        let (Some(path), Some(policy)) = (&self.policy, policy) else {
            return;
        };
        let plugins = streamer.summary().plugins;
        let plugins: Vec<_> = plugins.iter().map(|plugin| &*plugin.name).collect();
        // Plugins may appear later in a watched folder.
        if !self.watch || !plugins.is_empty() {
            warn_of_unused_policy(path, policy, &plugins);
        }
    }

    fn builder(
        &self,
        sources: &[PathBuf],
        account: Option<&Account>,
    ) -> Result<StreamerBuilder, Failure> {
        let mut builder = Streamer::builder(sources)
            .grouping(self.from.grouping())
            .skip_unreadable(self.from.skip_unreadable())
            .idle_timeout(self.idle_timeout)
            .active_timeout(self.active_timeout)
            .end_on_fin(self.end_on_fin)
            .accounting_mode(match self.accounting_mode {
                0 => AccountingMode::Raw,
                1 => AccountingMode::Ip,
                2 => AccountingMode::Transport,
                _ => AccountingMode::Payload,
            })
            .decode_tunnels(match self.no_decode_tunnels {
                true => TunnelSet::NONE,
                false => self.decode_tunnels,
            })
            .statistical_analysis(self.statistical_analysis)
            .splt_analysis(self.splt_analysis)
            .n_dissections(self.n_dissections)
            .ndpi_files(NdpiFiles {
                protocols: self.ndpi_protocols.clone(),
                categories: self.ndpi_categories.clone(),
            })
            .max_nflows(self.max_nflows)
            .max_flows(self.max_live_flows)
            .queue_bytes(self.queue_bytes())
            .n_meters(self.n_meters)
            .columns_to_anonymize(&self.columns_to_anonymize);
        builder = self.live.set(builder);
        // Not parsed by clap, whose errors would show the key.
        if let Some(key) = &self.anonymization_key {
            if self.columns_to_anonymize.is_empty()
                && self.plugins.is_empty()
                && self.plugin_folder.is_none()
            {
                return Err(Failure::usage("--anonymization-key: nothing is hashed")
                    .hint("give --columns-to-anonymize, or a plugin that is granted pseudonyms"));
            }
            let key = match key.strip_prefix('@') {
                Some(file) => AnonymizationKey::from_file(file),
                None => key.parse(),
            };
            builder =
                builder.anonymization_key(key.map_err(|error| Failure::usage(with_option(error)))?);
        }
        if let Some(expression) = &self.bpf_filter {
            builder = builder.bpf_filter(expression);
        }
        if let Some(bytes) = self.snapshot_length {
            builder = builder.snapshot_length(bytes);
        }
        let calls = match self.plugin_calls {
            PluginCalls::Auto => CallMode::Auto,
            PluginCalls::PerEvent => CallMode::PerEvent,
        };
        for plugin in &self.plugins {
            let granted = self.grants.iter().filter(|(name, _)| *name == plugin.name);
            let plugin = granted.fold(plugin.clone(), |plugin, (_, grants)| plugin.grant(*grants));
            builder = builder.plugin(plugin.calls(calls));
        }
        let others = self
            .grants
            .iter()
            .filter(|(name, _)| !self.plugins.iter().any(|plugin| plugin.name == *name));
        if let Some(folder) = &self.plugin_folder {
            let folder = PluginFolder::new(folder).followed(self.watch).calls(calls);
            builder = builder.plugin_folder(
                others.fold(folder, |folder, (name, grants)| folder.grant(name, *grants)),
            );
        } else if let Some((name, _)) = others.into_iter().next() {
            return Err(Failure::usage(format_args!(
                "--grant {name}=…: this run has no plugin of that name"
            )));
        }
        if !self.plugins.is_empty() || self.plugin_folder.is_some() {
            builder = builder.compiler(self.compile.compiler(account));
        }
        if let Some(policy) = &self.policy {
            builder = builder.policy(policy);
        }
        if self.watch && self.output.format()? == Format::JsonLines {
            builder = builder.hot_loading(SchemaMode::PerFlow);
        }
        Ok(builder)
    }

    /// Returns the files that a live capture reads and writes while it runs.
    fn files_of_the_run(&self, account: Option<&Account>) -> privileges::Files {
        let plugins = self.plugins.iter().map(|plugin| plugin.file.clone());
        let key = self.anonymization_key.as_deref();
        let compiles = !self.plugins.is_empty() || self.plugin_folder.is_some();
        privileges::Files {
            read: plugins
                .chain(self.plugin_folder.clone())
                .chain(self.policy.clone())
                .chain(self.ndpi_protocols.clone())
                .chain(self.ndpi_categories.clone())
                .chain(key.and_then(|key| key.strip_prefix('@')).map(PathBuf::from))
                .collect(),
            cache: match compiles {
                true => self.compile.folder(account),
                false => None,
            },
            compiles,
            output: self.output.path().map(Path::to_owned),
        }
    }

    /// Returns the files that the run reads.
    fn inputs(&self, sources: &[PathBuf]) -> Inputs {
        let mut inputs = Inputs::default();
        inputs.add("a source", sources);
        inputs.add("the list of sources", self.from.list());
        for plugin in &self.plugins {
            inputs.add("a plugin", [&plugin.file]);
            inputs.add("the text of a plugin's option", &plugin.option_files);
        }
        inputs.add("a plugin", &self.plugin_folder);
        inputs.add("the policy", &self.policy);
        inputs.add("the list of protocols", &self.ndpi_protocols);
        inputs.add("the list of categories", &self.ndpi_categories);
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
    ) -> Result<BackgroundSink, Failure> {
        // Packets of a pipe or an interface cannot be metered again.
        let is_live = kind != SourceKind::Files;
        let sink = self.output.sink(streamer.schema(), is_live, inputs.ids())?;
        Ok(match (kind, self.output.path()) {
            // If the output is slow, the writer of a pipe waits.
            (SourceKind::Files | SourceKind::Pipe, _) => BackgroundSink::start(sink),
            (SourceKind::Interface, Some(_)) => BackgroundSink::live(sink, OnFailure::GoOn),
            (SourceKind::Interface, None) => BackgroundSink::live(sink, OnFailure::End),
        }
        .queue_bytes(self.queue_bytes()))
    }

    fn queue_bytes(&self) -> usize {
        (self.queue_mib as usize) << 20
    }
}

/// Returns whether nothing of a run was lost or left out.
fn is_complete(report: &RunSummary<'_>, losses: &Losses) -> bool {
    report.problems.is_empty()
        && report
            .plugins
            .iter()
            .all(|plugin| plugin.traps == 0 && plugin.excesses == 0 && plugin.flows_overflowed == 0)
        && losses.queue() + losses.values() + losses.output() == 0
        && report.files_skipped == 0
}

/// Writes all flows, and monitors the run meanwhile.
fn write(
    streamer: &mut Streamer,
    sink: &mut BackgroundSink,
    monitor: &mut Monitor,
    progress: &Progress,
    flows: &mut u64,
) -> io::Result<()> {
    loop {
        match streamer.step() {
            Step::Flow(flow) => {
                sink.write(flow)?;
                *flows += 1;
            }
            Step::Read => {
                sink.flush()?;
                monitor.update(streamer, sink);
                progress.show(streamer.progress(), *flows);
            }
            Step::End => return Ok(()),
        }
    }
}

/// A progress bar on standard error, if that is a terminal.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(has_end: bool, streamer: &Streamer) -> Self {
        let is_shown = has_end && io::stderr().is_terminal() && log::shows_information();
        let progress = Self(is_shown.then(|| {
            let style = ProgressStyle::with_template(
                "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {msg} flows",
            );
            ProgressBar::no_length()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
                // The bar is first drawn with this number.
                .with_message("0")
        }));
        progress.show(streamer.progress(), 0);
        progress
    }

    fn show(&self, (read, total): (u64, Option<u64>), flows: u64) {
        if let Some(bar) = &self.0 {
            bar.set_message(flows.to_string());
            bar.set_length(total.unwrap_or(read));
            bar.set_position(read);
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

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
}
