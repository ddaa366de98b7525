//! `flowloom plugin bench`

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use flowloom::plugin::{LoadErrorKind, Plugin, PluginReport, escaped};
use flowloom::{Meter, Settings};

use super::super::compile::CompileOptions;
use super::super::exit::{Exit, Failure};
use super::super::number::within;
use super::super::standard;
use super::start_costs::StartCosts;
use super::traffic::Traffic;
use super::{PluginOptions, every_analysis, registry};

/// Maximum number of rounds. More rounds do not change the medians.
const MAX_ROUNDS: u32 = 10_000;

const EXAMPLES: &str = "\
Examples:
  Measure with the built-in traffic:
    flowloom plugin bench mine/mine.wasm
  Measure with a capture:
    flowloom plugin bench mine/mine.wasm --source capture.pcap

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Bench {
    #[command(flatten)]
    options: PluginOptions,

    #[command(flatten)]
    compile: CompileOptions,

    /// Capture to meter [default: built-in traffic].
    ///
    /// The command keeps up to 512 MiB of packets in memory, and ignores the rest.
    #[arg(long, value_name = "CAPTURE")]
    source: Option<PathBuf>,

    /// Number of measurements, each with and without the plugin.
    ///
    /// The results are medians.
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = within(1..=MAX_ROUNDS), allow_negative_numbers = true)]
    rounds: u32,
}

impl Bench {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let spec = self.options.spec()?;
        // Work that the plugin does not need makes its share less exact.
        let mut settings = Settings::default();
        settings.n_dissections = 0;
        let load = |spec, settings| {
            let registry = registry(settings, self.compile.compiler(None))?;
            let start = Instant::now();
            Ok(registry.load(spec).map(|plugin| (plugin, start.elapsed())))
        };
        let mut loaded = load(spec.clone(), settings)?;
        if let Err(error) = &loaded
            && matches!(*error.problem, LoadErrorKind::FieldAbsent { .. })
        {
            settings = every_analysis();
            loaded = load(spec, settings)?;
        }
        let (plugin, load_time) = loaded.map_err(|error| self.options.failure(error))?;
        let costs = StartCosts::measure(&plugin, load_time, settings)?;
        let traffic = match &self.source {
            Some(source) => Traffic::of(source),
            None => Traffic::built_in(),
        };
        let traffic = traffic.map_err(Failure::failed)?;
        if traffic.len() == 0 {
            return Err(Failure::failed(format_args!(
                "{} has no packets",
                traffic.name
            )));
        }
        let mut rounds = Vec::new();
        for n in 0..self.rounds {
            // The first measurement of a round finds other caches than the second.
            let (with, without) = if n % 2 == 0 {
                let without = measure(settings, &[], &traffic)?;
                (
                    measure(settings, std::slice::from_ref(&plugin), &traffic)?,
                    without,
                )
            } else {
                let with = measure(settings, std::slice::from_ref(&plugin), &traffic)?;
                (with, measure(settings, &[], &traffic)?)
            };
            rounds.push(Round { with, without });
        }
        let traps = rounds.iter().any(|round| round.traps());
        let mut text = Vec::new();
        write(&mut text, &plugin, &costs, &traffic, &rounds).map_err(Failure::failed)?;
        standard::print(String::from_utf8_lossy(&text))?;
        Ok(match traps {
            true => Exit::Incomplete,
            false => Exit::Done,
        })
    }
}

/// The measurements of the same packets with the plugin and without it.
struct Round {
    with: Measured,
    without: Measured,
}

struct Measured {
    time: Duration,
    flows: u64,
    report: Option<PluginReport>,
}

impl Round {
    fn traps(&self) -> bool {
        self.report().is_some_and(|report| report.traps > 0)
    }

    fn report(&self) -> Option<&PluginReport> {
        self.with.report.as_ref()
    }

    /// Returns the time in calls into the plugin, ns per event.
    fn ns_per_event(&self) -> f64 {
        self.report().map_or(0.0, |report| {
            report.time.as_nanos() as f64 / report.events.max(1) as f64
        })
    }
}

fn measure(
    settings: Settings,
    plugins: &[Arc<Plugin>],
    traffic: &Traffic,
) -> Result<Measured, Failure> {
    let mut meter = Meter::new(settings, plugins).map_err(Failure::failed)?;
    let mut packets = traffic.packets();
    let start = Instant::now();
    let mut flows = 0;
    // Flows are taken after each block, as a run does. Otherwise they fill the memory.
    for _ in 0..traffic.len().div_ceil(BLOCK) {
        meter.push(packets.by_ref().take(BLOCK));
        flows += drain(&mut meter);
    }
    let mut meter = meter.finish();
    flows += meter.by_ref().count() as u64;
    Ok(Measured {
        time: start.elapsed(),
        flows,
        report: meter.plugins().into_iter().next(),
    })
}

/// Packets that are pushed at once.
const BLOCK: usize = 4_096;

fn drain(meter: &mut Meter) -> u64 {
    let mut flows = 0;
    while meter.next_flow().is_some() {
        flows += 1;
    }
    flows
}

fn write(
    out: &mut impl Write,
    plugin: &Plugin,
    costs: &StartCosts,
    traffic: &Traffic,
    rounds: &[Round],
) -> io::Result<()> {
    let Some(last) = rounds.last() else {
        return Ok(());
    };
    let packets = traffic.len() as f64;
    let ns_per_packet = |time: Duration| time.as_nanos() as f64 / packets;
    writeln!(
        out,
        "plugin       {} {}",
        plugin.name(),
        escaped(&plugin.manifest().version)
    )?;
    writeln!(out, "file         {costs}")?;
    writeln!(
        out,
        "source       {}: {} packets, {} flows",
        traffic.name,
        traffic.len(),
        last.without.flows
    )?;
    if let Some(report) = last.report() {
        writeln!(
            out,
            "events       {} in {} calls, {}",
            report.events,
            report.calls,
            spread(rounds.iter().map(Round::ns_per_event), "ns per event")
        )?;
    }
    for (what, values) in [
        (
            "without",
            rounds
                .iter()
                .map(|round| ns_per_packet(round.without.time))
                .collect::<Vec<_>>(),
        ),
        (
            "with",
            rounds
                .iter()
                .map(|round| ns_per_packet(round.with.time))
                .collect(),
        ),
        (
            "plugin adds",
            rounds
                .iter()
                .map(|round| ns_per_packet(round.with.time) - ns_per_packet(round.without.time))
                .collect(),
        ),
    ] {
        writeln!(
            out,
            "{what:<12} {}",
            spread(values.into_iter(), "ns per packet")
        )?;
    }
    if let Some(report) = last.report() {
        writeln!(out, "memory       {} KiB at the end", report.memory / 1024)?;
        if let Some(trap) = &report.last_trap {
            writeln!(out, "traps        {}: {trap}", report.traps)?;
        }
    }
    if cfg!(debug_assertions) {
        writeln!(
            out,
            "note         this flowloom is a debug build; its own share of the time is several times too large"
        )?;
    }
    Ok(())
}

/// Returns `7.1 ns per event, median of 7 (6.9 to 8.0)`.
fn spread(values: impl Iterator<Item = f64>, unit: &str) -> String {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    };
    format!(
        "{median:.1} {unit}, median of {} ({:.1} to {:.1})",
        values.len(),
        values[0],
        values[values.len() - 1]
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        let spread = |values: &[f64]| super::spread(values.iter().copied(), "ns");
        assert_eq!(spread(&[3.0, 1.0, 9.0]), "3.0 ns, median of 3 (1.0 to 9.0)");
        assert_eq!(spread(&[4.0, 1.0]), "2.5 ns, median of 2 (1.0 to 4.0)");
    }
}
