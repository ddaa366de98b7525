//! `flowloom plugin check`

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use flowloom::plugin::{Plugin, escaped};
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
    /// Loads it as a run would that has every analysis switched on.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let spec = self.options.spec()?;
        let settings = every_analysis();
        let registry = registry(settings, &self.compile)?;
        let start = Instant::now();
        let plugin = registry.load(spec).map_err(Failure::failed)?;
        let load = start.elapsed();
        let costs = Costs::of(&plugin, load, settings)?;
        let mut said = Vec::new();
        write(&mut said, &plugin, &costs.to_string()).map_err(Failure::failed)?;
        standard::print(String::from_utf8_lossy(&said))?;
        Ok(Exit::Done)
    }
}

/// What a plugin costs before its first event.
pub(super) struct Costs {
    file: u64,
    /// To compile it, and to open an instance.
    load: Duration,
    /// To open a further instance, as every meter does.
    open: Duration,
    /// Of an opened instance.
    memory: usize,
}

impl Costs {
    pub(super) fn of(
        plugin: &Arc<Plugin>,
        load: Duration,
        settings: Settings,
    ) -> Result<Self, Failure> {
        // No packet comes, so that nDPI, which takes longest to start, is not missed.
        let settings = Settings {
            n_dissections: 0,
            ..settings
        };
        let meter = |plugins: &[Arc<Plugin>]| {
            let start = Instant::now();
            let meter = Meter::new(settings, plugins).map_err(Failure::failed)?;
            Ok((start.elapsed(), meter))
        };
        // The first meter has the instance that loading opened.
        let (_, first) = meter(std::slice::from_ref(plugin))?;
        let memory = first.plugins().first().map_or(0, |report| report.memory);
        // The rest of a meter takes time as well.
        let (mut without, mut with) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            without = without.min(meter(&[])?.0);
            with = with.min(meter(std::slice::from_ref(plugin))?.0);
        }
        Ok(Self {
            file: fs::metadata(&plugin.spec().file).map_or(0, |is| is.len()),
            load,
            open: with.saturating_sub(without),
            memory,
        })
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes; compiled and opened in {:.1?}, a further instance in {:.1?}; {} KiB of memory",
            self.file,
            self.load,
            self.open,
            self.memory / 1024
        )
    }
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
            true => "one event a call",
            false => "with batches of events, in columns",
        },
    )?;
    let packet: Vec<_> = manifest.packet.iter().map(|field| field.name).collect();
    line("packet", &packet.join(", "))?;
    for (what, bytes) in [
        ("payload", manifest.payload_bytes),
        ("IP packet", manifest.packet_bytes),
    ] {
        if bytes > 0 {
            line(what, &format!("the first {bytes} bytes of each"))?;
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
            &format!("at most {} of each flow", manifest.packets_per_flow),
        )?;
    }
    if manifest.cuts_flows {
        line("cuts", "it may end flows early")?;
    }
    if manifest.needs_one_meter {
        line("meters", "one: it keeps state across flows")?;
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
