//! What is said at the end of a run, on standard error.

use std::io::{self, Write};
use std::time::Duration;

use flowloom::RunSummary;
use flowloom::capture::LinkTypeName;
use flowloom::decode::IgnoreReason;
use flowloom::plugin::{PluginReport, PluginState, escaped};
use flowloom::sink::Losses;

/// What the command knows of a run beyond the streamer's report.
pub(super) struct Run<'a> {
    /// Flows given to be written.
    pub(super) flows: u64,
    /// Those of them that are not.
    pub(super) losses: &'a Losses,
    /// Processor time of the thread that wrote them.
    pub(super) writer: Duration,
    /// Lines for standard error that were dropped.
    pub(super) lines_dropped: u64,
    /// From the first packet to the last flow.
    pub(super) elapsed: Duration,
}

/// Writes a line each for packets, flows, every plugin, and how busy the threads were.
pub(super) fn write(
    out: &mut impl Write,
    report: &RunSummary<'_>,
    run: &Run<'_>,
) -> io::Result<()> {
    let counters = &report.counters;
    writeln!(
        out,
        "packets  {} read, {} metered",
        report.packets_read, counters.metered
    )?;
    if report.packets_filtered > 0 {
        writeln!(out, "         {} filtered out", report.packets_filtered)?;
    }
    for (reason, count) in counters.ignored() {
        write!(out, "         {count} ignored, {}: {reason}", reason.name())?;
        if reason == IgnoreReason::UnknownLinkType {
            let links: Vec<_> = report
                .unknown_links
                .iter()
                .map(|link| LinkTypeName(*link).to_string())
                .collect();
            write!(out, ": {}", links.join(", "))?;
        }
        writeln!(out)?;
    }
    if report.captures > 1 {
        writeln!(out, "captures {}", report.captures)?;
    }
    if report.files_skipped > 0 {
        writeln!(
            out,
            "         {} files skipped, which cannot be read",
            report.files_skipped
        )?;
    }
    if report.clock_steps > 0 {
        writeln!(
            out,
            "         {} steps back of the clock, at each of which all flows ended",
            report.clock_steps
        )?;
    }
    let dropped = report.packets_dropped.unwrap_or_default();
    for (count, why) in [
        (
            dropped.kernel,
            "dropped by the kernel, for its buffer was full",
        ),
        (dropped.interface, "dropped by the interface"),
        (dropped.gone, "lost as the interface went away"),
    ] {
        if count > 0 {
            writeln!(out, "         {count} {why}")?;
        }
    }
    if counters.clamped > 0 {
        writeln!(
            out,
            "         {} out of order, given the time of an earlier one",
            counters.clamped
        )?;
    }
    write!(out, "flows    {}", run.flows)?;
    match report.flows_withheld {
        0 => writeln!(out)?,
        withheld => writeln!(out, " written, {withheld} more withheld by --max-nflows")?,
    }
    if counters.evicted > 0 {
        writeln!(
            out,
            "         {} of them ended early, for the table was full",
            counters.evicted
        )?;
    }
    if report.flows_undissected > 0 {
        writeln!(
            out,
            "         {} of them not dissected, for packets came too quickly",
            report.flows_undissected
        )?;
    }
    for (count, why) in [
        (run.losses.queue(), "the output was slower than the flows"),
        (run.losses.output(), "the output failed"),
    ] {
        if count > 0 {
            writeln!(out, "         {count} of them not written, for {why}")?;
        }
    }
    if run.losses.values() > 0 {
        writeln!(
            out,
            "         {} of them without the values of plugins, for the output was slower than the flows",
            run.losses.values()
        )?;
    }
    for plugin in &report.plugins {
        write_plugin(out, plugin)?;
    }
    if report.changes_refused > 0 {
        writeln!(
            out,
            "plugins  {} changes refused under way",
            report.changes_refused
        )?;
    }
    if report.thread_panics > 0 {
        writeln!(
            out,
            "threads  {} panics of helper threads; each was started again",
            report.thread_panics
        )?;
    }
    if run.lines_dropped > 0 {
        writeln!(
            out,
            "log      {} lines dropped, as standard error was not read",
            run.lines_dropped
        )?;
    }
    write_busy(out, report, run)
}

/// Which thread bounds the run: the one that is near 100 %.
fn write_busy(out: &mut impl Write, report: &RunSummary<'_>, run: &Run<'_>) -> io::Result<()> {
    let share = |busy: Duration| {
        let share = busy.as_secs_f64() / run.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        format!("{:.0} %", 100.0 * share)
    };
    write!(out, "busy     ")?;
    if let Some(reader) = report.cpu_time.reader {
        write!(out, "reader {}, ", share(reader))?;
    }
    let meters: Vec<_> = report.cpu_time.meters.iter().copied().map(share).collect();
    let name = match meters.len() {
        1 => "meter",
        _ => "meters",
    };
    writeln!(
        out,
        "{name} {}, writer {} of {:.1?}",
        meters.join(" and "),
        share(run.writer),
        run.elapsed
    )
}

fn write_plugin(out: &mut impl Write, plugin: &PluginReport) -> io::Result<()> {
    let ns = plugin
        .time
        .as_nanos()
        .checked_div(plugin.events.into())
        .unwrap_or_default();
    let state = match plugin.state {
        PluginState::Running => String::new(),
        other => format!(" ({other})"),
    };
    let state = match plugin.generations {
        0 | 1 => state,
        more => format!("{state}, {more} versions"),
    };
    write!(
        out,
        "plugin   {} {}{}: {} events in {} calls, {ns} ns an event, {} KiB, {} traps",
        plugin.name,
        escaped(&plugin.version),
        state,
        plugin.events,
        plugin.calls,
        plugin.memory / 1024,
        plugin.traps
    )?;
    for (count, what) in [
        (plugin.flows_lost, "flows without its values after a trap"),
        (
            plugin.flows_skipped,
            "flows not offered, for it held as many as it may",
        ),
        (
            plugin.flows_shed,
            "flows not offered, for packets came too quickly",
        ),
        (
            plugin.flows_abandoned,
            "flows without its values, for they took too long after it was replaced",
        ),
        (
            plugin.excesses,
            "times left alone, for it took too much time: results depend on the machine",
        ),
        (plugin.flows_cut, "flows cut"),
        (plugin.bad_outputs, "values not of the declared type"),
        (
            plugin.outputs_too_large,
            "values null, for their flow had more bytes than it may (output-kib)",
        ),
        (
            plugin.flows_overflowed,
            "flows without its values, for those that wait held as many bytes as they may (--queue-mib)",
        ),
        (plugin.lines_dropped, "lines of its log not shown"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)
}
