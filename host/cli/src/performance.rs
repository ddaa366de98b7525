//! `--performance-report`: JSON lines with the counters of a run.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use flowloom::sink::Losses;
use flowloom::{RunSummary, ThreadPanics};
use serde_json::{Value, json};

use super::exit::Failure;
use super::log::{self, Lines};
use super::standard;

/// Writes the lines of the report at an interval.
pub(super) struct Performance {
    interval: Duration,
    next: Instant,
    /// Time of the last line, and the packets read until then.
    last: (Instant, u64),
    output: ReportOutput,
}

/// The output of the report. Lines never wait for a reader.
enum ReportOutput {
    StandardError,
    /// The queue of a file, which may be a pipe. The file itself is here until its thread starts.
    File(Arc<Lines>, Option<File>),
}

impl Performance {
    /// Opens the report. Lines are appended to a file, or go to standard error.
    pub(super) fn begin(seconds: u64, file: Option<&Path>) -> Result<Self, Failure> {
        let output = match file {
            Some(file) => {
                standard::check_path(file)?;
                let open = File::options().append(true).create(true).open(file);
                let opened = open.map_err(|error| {
                    Failure::failed(format_args!("cannot write to {}: {error}", file.display()))
                })?;
                ReportOutput::File(Arc::default(), Some(opened))
            }
            None => {
                standard::check_error()?;
                ReportOutput::StandardError
            }
        };
        let (now, interval) = (Instant::now(), Duration::from_secs(seconds));
        Ok(Self {
            interval,
            next: now + interval,
            last: (now, 0),
            output,
        })
    }

    /// Starts the thread that writes to the file, if there is one.
    pub(super) fn start(&mut self, panics: &ThreadPanics) -> io::Result<()> {
        match &mut self.output {
            ReportOutput::File(lines, file) => match file.take() {
                Some(file) => lines.write_out("flowloom-report", file, panics),
                None => Ok(()),
            },
            ReportOutput::StandardError => Ok(()),
        }
    }

    /// Waits until all lines are in the file, at most [`log::END_TIMEOUT`].
    pub(super) fn end(&self) {
        if let ReportOutput::File(lines, _) = &self.output {
            lines.flush(Instant::now() + log::END_TIMEOUT);
        }
    }

    /// Returns whether the next line is due.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Writes a line. An error does not end the run.
    pub(super) fn write(&mut self, report: &RunSummary<'_>, losses: &Losses) {
        let now = Instant::now();
        let (last, before) = self.last;
        let seconds = now.duration_since(last).as_secs_f64();
        let packets = report.packets_read - before;
        let mut line = line(report, losses);
        line["log_lines_dropped"] = json!(log::dropped());
        line["packets_per_second"] = json!((packets as f64 / seconds).round());
        let line = format!("{line}\n");
        match &self.output {
            ReportOutput::StandardError => _ = log::StandardError.write_all(line.as_bytes()),
            ReportOutput::File(lines, _) => lines.push(line.as_bytes()),
        }
        self.last = (now, report.packets_read);
        while self.next <= now {
            self.next += self.interval;
        }
    }
}

/// Returns a line. The first five fields are NFStream's. All counters start at the beginning of the run.
fn line(report: &RunSummary<'_>, losses: &Losses) -> Value {
    let counters = &report.counters;
    let ignored: u64 = counters.ignored().map(|(_, count)| count).sum();
    let dropped = report.packets_dropped.unwrap_or_default();
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let plugins: Vec<_> = report
        .plugins
        .iter()
        .map(|plugin| {
            json!({
                "name": plugin.name,
                "version": plugin.version,
                "state": plugin.state.to_string(),
                "events": plugin.events,
                "calls": plugin.calls,
                "seconds": plugin.time.as_secs_f64(),
                "traps": plugin.traps,
                "excesses": plugin.excesses,
                "flows_lost": plugin.flows_lost,
                "flows_skipped": plugin.flows_skipped,
                "flows_abandoned": plugin.flows_abandoned,
                "generations": plugin.generations,
                "flows_shed": plugin.flows_shed,
                "flows_cut": plugin.flows_cut,
                "bad_outputs": plugin.bad_outputs,
                "outputs_too_large": plugin.outputs_too_large,
                "flows_overflowed": plugin.flows_overflowed,
                "memory_bytes": plugin.memory,
                "image_bytes": plugin.image,
            })
        })
        .collect();
    let meters: Vec<_> = report
        .packets_per_meter
        .iter()
        .zip(&report.cpu_time.meters)
        .map(|(packets, busy)| json!({"packets": packets, "busy_seconds": busy.as_secs_f64()}))
        .collect();
    json!({
        "flows_expired": counters.flows,
        "packets_processed": counters.metered,
        "packets_ignored": ignored,
        "packets_dropped_filtered_by_kernel": dropped.sum(),
        "meters_packets_processing_balance": report.packets_per_meter,
        "time_ms": time.map_or(0, |time| time.as_millis() as u64),
        "packets_read": report.packets_read,
        "bytes_read": report.bytes_read,
        "captures": report.captures,
        "files_skipped": report.files_skipped,
        "clock_steps": report.clock_steps,
        "packets_dropped": {
            "kernel": dropped.kernel,
            "interface": dropped.interface,
            "gone": dropped.gone,
        },
        "flows_live": report.flows_live,
        "flows_excluded": report.flows_excluded,
        "flows_undissected": report.flows_undissected,
        "flows_evicted": counters.evicted,
        "flows_lost": {"queue": losses.queue(), "output": losses.output()},
        "flows_without_values": losses.values(),
        "memory_bytes": report.memory,
        "resident_bytes": resident_bytes(),
        "thread_panics": report.thread_panics,
        "reader_busy_seconds": report.cpu_time.reader.map(|busy| busy.as_secs_f64()),
        "meters": meters,
        "ndpi": report.ndpi.map(|ndpi| json!({"version": ndpi.version(), "library": ndpi.path()})),
        "system": report.system.map(|system| json!({
            "polls": system.polls,
            "polls_failed": system.polls_failed,
            "polls_cut": system.polls_cut,
        })),
        "plugins": plugins,
    })
}

/// Returns the resident memory of the process in bytes, if the system reports it.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
