//! `flowloom plugin check`

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use flowloom::plugin::{OptionDescription, Plugin, escaped};
use flowloom::{Meter, Settings};

use super::super::compile::CompileBounds;
use super::super::exit::{Exit, Failure};
use super::super::standard;
use super::{PluginOptions, every_analysis, registry};

const EXAMPLES: &str = "\
Examples:
  Show a plugin that needs payload bytes:
    flowloom plugin check first_bytes.wasm --grant first_bytes=payload:64

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    #[command(flatten)]
    options: PluginOptions,

    #[command(flatten)]
    compile: CompileBounds,
}

impl Check {
    /// Loads the plugin as a run with all analyses does, and prints its description.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let spec = self.options.spec()?;
        let settings = every_analysis();
        let registry = registry(settings, &self.compile)?;
        let start = Instant::now();
        let loaded = registry.load(spec);
        let load_time = start.elapsed();
        let plugin = loaded.map_err(|error| self.options.failure(error))?;
        let costs = StartCosts::measure(&plugin, load_time, settings)?;
        let mut text = Vec::new();
        write(&mut text, &plugin, &costs.to_string()).map_err(Failure::failed)?;
        standard::print(String::from_utf8_lossy(&text))?;
        Ok(Exit::Done)
    }
}

/// The costs of a plugin before its first event.
pub(super) struct StartCosts {
    /// Size of the component, bytes.
    file: usize,
    /// Time to compile the plugin and to open the first instance.
    load: Duration,
    /// Time to open a further instance, as each metering thread does.
    open: Duration,
    /// Memory of an open instance, bytes.
    memory: usize,
}

impl StartCosts {
    pub(super) fn measure(
        plugin: &Arc<Plugin>,
        load: Duration,
        settings: Settings,
    ) -> Result<Self, Failure> {
        // nDPI takes longest to start. It is not needed, because there are no packets.
        let mut settings = settings;
        settings.n_dissections = 0;
        let meter = |plugins: &[Arc<Plugin>]| {
            let start = Instant::now();
            let meter = Meter::new(settings, plugins).map_err(Failure::failed)?;
            Ok((start.elapsed(), meter))
        };
        // The first meter uses the instance that loading has opened.
        let (_, first) = meter(std::slice::from_ref(plugin))?;
        let memory = first.plugins().first().map_or(0, |report| report.memory);
        // Subtracts the time that the rest of a meter takes.
        let (mut without, mut with) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            without = without.min(meter(&[])?.0);
            with = with.min(meter(std::slice::from_ref(plugin))?.0);
        }
        Ok(Self {
            file: plugin.component_bytes(),
            load,
            open: with.saturating_sub(without),
            memory,
        })
    }
}

impl std::fmt::Display for StartCosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes; compiled and opened in {:.1?}; further instance in {:.1?}; {} KiB of memory",
            self.file,
            self.load,
            self.open,
            self.memory / 1024
        )
    }
}

/// Describes an option in one line.
fn described(option: &OptionDescription) -> String {
    let accepts = match &*option.accepts {
        "" => option.ty.name().to_owned(),
        accepts => escaped(accepts),
    };
    let default = match option.default.as_deref() {
        None => "required".to_owned(),
        Some("") => "optional".to_owned(),
        Some(default) => format!("default {}", escaped(default)),
    };
    let description = escaped(&option.description);
    format!("{}, {accepts}, {default}: {description}", option.name)
}

fn write(out: &mut impl Write, plugin: &Plugin, costs: &str) -> io::Result<()> {
    let manifest = plugin.manifest();
    let mut line = |what: &str, text: &str| match text {
        "" => Ok(()),
        text => writeln!(out, "{what:<12} {text}"),
    };
    line(
        "plugin",
        &format!("{} {}", plugin.name(), escaped(&manifest.version)),
    )?;
    line("description", &escaped(&manifest.description))?;
    line("file", costs)?;
    line(
        "called",
        match plugin.by_event() {
            true => "with single events",
            false => "with batches of events",
        },
    )?;
    let packet: Vec<_> = manifest.packet.iter().map(|field| field.name).collect();
    line("packet", &packet.join(", "))?;
    for (what, bytes) in [
        ("payload", manifest.payload_bytes),
        ("IP packet", manifest.packet_bytes),
    ] {
        if bytes > 0 {
            line(what, &format!("the first {bytes} bytes of each packet"))?;
        }
    }
    for (what, fields) in [
        ("at init", &manifest.at_init),
        ("at update", &manifest.at_update),
        ("at expire", &manifest.at_expire),
    ] {
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        line(what, &names.join(", "))?;
    }
    if manifest.packets_per_flow < u64::MAX {
        line(
            "packets",
            &format!("at most {} per flow", manifest.packets_per_flow),
        )?;
    }
    if manifest.flow_bytes > 0 {
        let bytes = format!("{} bytes per live flow", manifest.flow_bytes);
        line("memory", &bytes)?;
    }
    if manifest.cuts_flows {
        line("cuts", "may end flows early")?;
    }
    if manifest.needs_one_meter {
        line("meters", "one, because the plugin keeps state across flows")?;
    }
    for (n, option) in manifest.options.iter().enumerate() {
        let what = if n == 0 { "options" } else { "" };
        writeln!(out, "{what:<12} {}", described(option))?;
    }
    for (n, output) in manifest.outputs.iter().enumerate() {
        let what = if n == 0 { "outputs" } else { "" };
        let text = format!(
            "{}, {}: {}",
            output.path(),
            output.ty().name(),
            escaped(output.description())
        );
        writeln!(out, "{what:<12} {text}")?;
    }
    Ok(())
}
