//! `flowloom plugin check`

use std::fs;
use std::io::{self, Write};
use std::time::Instant;

use clap::Args;
use flowloom::plugin::{Grants, Plugin, PluginSpec, Registry, escaped};
use flowloom::{Meter, Settings};

use super::exit::{Exit, Failure};
use super::meter::grant;

#[derive(Args)]
pub(super) struct Check {
    /// The plugin: its component, a name for it if the file's is not to be used, and options.
    #[arg(value_name = "[NAME=]FILE[,KEY=VALUE…]")]
    plugin: PluginSpec,

    /// What it may see beyond sizes, times, direction, flags, ports, protocol and counters, as in
    /// `flowloom meter`.
    #[arg(long = "grant", value_name = "NAME=WHAT[,WHAT…]", value_parser = grant)]
    grants: Vec<(String, Grants)>,
}

impl Check {
    /// Loads it as a run would that has every analysis switched on.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let settings = Settings {
            statistical_analysis: true,
            splt_analysis: 20,
            ..Settings::default()
        };
        let mut spec = self.plugin;
        for (name, grants) in self.grants {
            if name != spec.name {
                return Err(Failure::usage(format_args!(
                    "--grant {name}=…: the plugin is called {}",
                    spec.name
                )));
            }
            spec = spec.grant(grants);
        }
        let file = spec.file.clone();
        let registry = Registry::new(settings.schema()).map_err(Failure::failed)?;
        let start = Instant::now();
        let plugin = registry.load(spec).map_err(Failure::failed)?;
        let load = start.elapsed();
        let meter = Meter::new(settings, std::slice::from_ref(&plugin)).map_err(Failure::failed)?;
        let size = fs::metadata(&file).map_or(0, |is| is.len());
        let memory = meter.plugins().first().map_or(0, |report| report.memory);
        let costs = format!(
            "{size} bytes; compiled and opened in {load:.1?}; {} KiB of memory",
            memory / 1024
        );
        let _ = write(&mut io::stdout().lock(), &plugin, &costs);
        Ok(Exit::Done)
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
