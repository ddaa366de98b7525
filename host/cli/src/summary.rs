//! The summary of a run, on standard error.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use flowloom::capture::LinkTypeName;
use flowloom::decode::IgnoreReason;
use flowloom::dissect::Ndpi;
use flowloom::plugin::{PluginReport, PluginState, escaped, escaped_path};
use flowloom::sink::Losses;
use flowloom::{CpuTime, RunSummary, Streamer};

use super::exit::Exit;
use super::log;

/// What the command knows of a run besides the summary of the library.
pub(super) struct RunTotals<'a> {
    /// Flows that were passed to the writer.
    pub(super) flows: u64,
    /// Flows and values that the writer lost.
    pub(super) losses: &'a Losses,
    /// Lines for standard error that were dropped.
    pub(super) lines_dropped: u64,
    pub(super) times: RunTimes,
}

/// Measures the times of a run.
pub(super) struct RunClock {
    start: Instant,
    /// CPU time at the start. Loading plugins is not part of the run.
    cpu_time: CpuTime,
}

/// The times of a run.
pub(super) struct RunTimes {
    wall: Duration,
    /// The time of all reading threads.
    reader: Option<Duration>,
    /// The part of it that only one of them at a time can use.
    reader_turns: Option<Duration>,
    meters: Vec<Duration>,
    writer: Duration,
}

impl RunClock {
    pub(super) fn start(streamer: &Streamer) -> Self {
        Self {
            start: Instant::now(),
            cpu_time: streamer.summary().cpu_time,
        }
    }

    /// Returns the times from the start until now. `writer` is the CPU time of the writing thread.
    pub(super) fn stop(&self, report: &RunSummary<'_>, writer: Duration) -> RunTimes {
        let before = &self.cpu_time;
        let meters = report.cpu_time.meters.iter().enumerate();
        let since = |time: Option<Duration>, before: Option<Duration>| {
            time.map(|time| time.saturating_sub(before.unwrap_or_default()))
        };
        RunTimes {
            wall: self.start.elapsed(),
            reader: since(report.cpu_time.reader, before.reader),
            reader_turns: since(report.cpu_time.reader_turns, before.reader_turns),
            meters: meters
                .map(|(n, time)| {
                    time.saturating_sub(before.meters.get(n).copied().unwrap_or_default())
                })
                .collect(),
            writer,
        }
    }
}

/// Writes the summary: packets, flows, one line for each plugin, and times. Lines of counters that are 0 are
/// omitted.
fn write(out: &mut impl Write, report: &RunSummary<'_>, run: &RunTotals<'_>) -> io::Result<()> {
    write_packets(out, report)?;
    write_flows(out, report, run)?;
    if let Some(ndpi) = report.ndpi {
        writeln!(out, "nDPI     {}", described(ndpi))?;
    }
    for plugin in &report.plugins {
        write_plugin(out, plugin)?;
    }
    let system = report.system.unwrap_or_default();
    for (count, label, what) in [
        (
            system.polls_cut,
            "system  ",
            "polls reached a limit; processes of flows may be missing",
        ),
        (
            system.polls_failed,
            "system  ",
            "polls failed; processes of flows may be missing",
        ),
        (report.changes_refused, "plugins ", "changes rejected"),
        (
            report.thread_panics,
            "threads ",
            "panics of helper threads; each thread was restarted",
        ),
        (
            run.lines_dropped,
            "log     ",
            "lines dropped: standard error was not read",
        ),
    ] {
        if count > 0 {
            writeln!(out, "{label} {count} {what}")?;
        }
    }
    writeln!(out, "time     {}", run.times)
}

/// Returns the version and the file of nDPI.
pub(super) fn described(ndpi: &Ndpi) -> String {
    let path = ndpi.path().map(escaped_path);
    match (ndpi.version(), path) {
        (Some(version), Some(path)) => format!("{}, {path}", escaped(version)),
        _ => "none".to_owned(),
    }
}

/// Writes the summary of a run after all log lines, and returns the exit code of the command.
pub(super) fn end(report: &RunSummary<'_>, run: &RunTotals<'_>) -> Exit {
    let is_complete = is_complete(report, run.losses);
    let mut text = Vec::new();
    if log::shows_information() || log::shows_warnings() && !is_complete {
        let _ = write(&mut text, report, run);
    }
    log::end(&text);
    match is_complete {
        true => Exit::Done,
        false if report.problems.iter().all(|problem| problem.is_damage()) => Exit::Incomplete,
        false => Exit::Failed,
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

fn write_packets(out: &mut impl Write, report: &RunSummary<'_>) -> io::Result<()> {
    let counters = &report.counters;
    writeln!(
        out,
        "packets  {} read, {} metered",
        report.packets_read, counters.metered
    )?;
    write_more(out, report.packets_filtered, "filtered out")?;
    write_more(out, counters.other_shards, "in other shards")?;
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
    let dropped = report.packets_dropped.unwrap_or_default();
    for (count, what) in [
        (report.files_skipped, "files skipped: they cannot be read"),
        (
            report.clock_steps,
            "steps back of the clock; each ended all flows",
        ),
        (dropped.kernel, "dropped by the kernel: its buffer was full"),
        (dropped.interface, "dropped by the interface"),
        (dropped.gone, "lost: the interface disappeared"),
        (
            counters.clamped,
            "out of order: they have the time of an earlier packet",
        ),
    ] {
        write_more(out, count, what)?;
    }
    Ok(())
}

fn write_flows(
    out: &mut impl Write,
    report: &RunSummary<'_>,
    run: &RunTotals<'_>,
) -> io::Result<()> {
    write!(out, "flows    {}", run.flows)?;
    match report.flows_withheld {
        0 => writeln!(out)?,
        withheld => writeln!(out, " written, {withheld} more omitted: --max-nflows")?,
    }
    for (count, what) in [
        (
            report.flows_excluded,
            "excluded: --where is not true for them",
        ),
        (
            report.counters.evicted,
            "ended early: the flow table was full",
        ),
        (
            report.flows_undissected,
            "not dissected: packets arrived too quickly",
        ),
        (
            run.losses.queue(),
            "not written: the output was slower than the flows",
        ),
        (run.losses.output(), "not written: the output failed"),
        (
            run.losses.values(),
            "without values of plugins: the output was slower than the flows",
        ),
    ] {
        write_more(out, count, what)?;
    }
    Ok(())
}

/// Writes a further line of the same group, unless the count is 0.
fn write_more(out: &mut impl Write, count: u64, what: &str) -> io::Result<()> {
    match count {
        0 => Ok(()),
        _ => writeln!(out, "         {count} {what}"),
    }
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
        "plugin   {} {}{}: {} events in {} calls, {ns} ns per event, {} KiB, {} traps",
        plugin.name,
        escaped(&plugin.version),
        state,
        plugin.events,
        plugin.calls,
        plugin.memory / 1024,
        plugin.traps
    )?;
    for (count, what) in [
        (plugin.flows_lost, "flows without values after a trap"),
        (
            plugin.flows_skipped,
            "flows skipped: the plugin reached its flow limit",
        ),
        (
            plugin.flows_shed,
            "flows skipped: packets arrived too quickly",
        ),
        (
            plugin.flows_abandoned,
            "flows without values: they ended too long after the plugin was replaced",
        ),
        (
            plugin.excesses,
            "back-offs: the plugin took too much time; results depend on the machine",
        ),
        (plugin.flows_cut, "flows cut"),
        (plugin.bad_outputs, "values null: not of the declared type"),
        (
            plugin.outputs_too_large,
            "values null: the flow reached its limit of bytes (output-kib)",
        ),
        (
            plugin.flows_overflowed,
            "flows without values: waiting flows reached their limit of bytes (--queue-mib)",
        ),
        (plugin.lines_dropped, "log lines not shown"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)
}

/// `0.66 ms wall; metering thread 95 % busy, writer 19 %`. A thread near 100 % limits the run, and
/// so do reading threads that take turns for 100 %.
impl fmt::Display for RunTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |time: &Duration| {
            100.0 * time.as_secs_f64() / self.wall.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        // The clocks of threads and of the machine differ by some microseconds.
        let percent = |time: &Duration| format!("{:.0} %", share(time).min(100.0));
        let seconds = self.wall.as_secs_f64();
        match seconds {
            ..1.0 => write!(f, "{:.2} ms wall; ", seconds * 1_000.0)?,
            _ => write!(f, "{seconds:.2} s wall; ")?,
        }
        if let (Some(reader), Some(turns)) = (&self.reader, &self.reader_turns) {
            // Several threads together can be busy for more than the time of the run.
            let (reader, turns) = (share(reader), percent(turns));
            write!(f, "reading threads {reader:.0} % ({turns} in turn), ")?;
        }
        let name = match self.meters.len() {
            1 => "metering thread",
            _ => "metering threads",
        };
        let meters: Vec<_> = self.meters.iter().map(percent).collect();
        let meters = meters.join(" and ");
        write!(f, "{name} {meters} busy, writer {}", percent(&self.writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_at_most_all_of_the_run() {
        let ms = Duration::from_micros;
        let times = RunTimes {
            wall: ms(660),
            reader: None,
            reader_turns: None,
            meters: vec![ms(627)],
            writer: ms(125),
        };
        assert_eq!(
            times.to_string(),
            "0.66 ms wall; metering thread 95 % busy, writer 19 %"
        );
        let times = RunTimes {
            wall: Duration::from_secs(90),
            reader: Some(Duration::from_secs(117)),
            reader_turns: Some(Duration::from_secs(91)),
            meters: vec![Duration::from_secs(45), Duration::from_secs(9)],
            writer: Duration::ZERO,
        };
        assert_eq!(
            times.to_string(),
            "90.00 s wall; reading threads 130 % (100 % in turn), metering threads 50 % and 10 % busy, writer 0 %"
        );
    }
}
