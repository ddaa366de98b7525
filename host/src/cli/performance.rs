//! `--performance-report`: how a run is doing, a JSON line at a time.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use flowloom::Report;
use flowloom::sink::Losses;
use serde_json::{Value, json};

use super::exit::Failure;

/// Writes a line now and then.
pub(super) struct Performance {
    interval: Duration,
    next: Instant,
    /// When the last line was written, and the packets read by then.
    last: (Instant, u64),
    out: Box<dyn Write + Send>,
}

impl Performance {
    /// Every so many seconds, to a file or to standard error.
    pub(super) fn begin(seconds: u64, file: Option<&Path>) -> Result<Self, Failure> {
        let out: Box<dyn Write + Send> = match file {
            Some(file) => Box::new(File::create(file).map_err(|error| {
                Failure::failed(format_args!("cannot write to {}: {error}", file.display()))
            })?),
            None => Box::new(io::stderr()),
        };
        let (now, interval) = (Instant::now(), Duration::from_secs(seconds));
        Ok(Self {
            interval,
            next: now + interval,
            last: (now, 0),
            out,
        })
    }

    /// Whether it is time for a line.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Writes a line. That it cannot be written does not end a run.
    pub(super) fn write(&mut self, report: &Report<'_>, losses: &Losses) {
        let now = Instant::now();
        let (last, before) = self.last;
        let seconds = now.duration_since(last).as_secs_f64();
        let packets = report.packets_read - before;
        let mut line = line(report, losses);
        line["packets_per_second"] = json!((packets as f64 / seconds).round());
        let _ = writeln!(self.out, "{line}");
        self.last = (now, report.packets_read);
        while self.next <= now {
            self.next += self.interval;
        }
    }
}

/// NFStream's five fields first, then ours. All count from the beginning of the run.
fn line(report: &Report<'_>, losses: &Losses) -> Value {
    let accounts = &report.accounts;
    let ignored: u64 = accounts.ignored().map(|(_, count)| count).sum();
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
                "memory_bytes": plugin.memory,
            })
        })
        .collect();
    let meters: Vec<_> = report
        .packets_per_meter
        .iter()
        .zip(&report.busy.meters)
        .map(|(packets, busy)| json!({"packets": packets, "busy_seconds": busy.as_secs_f64()}))
        .collect();
    json!({
        "flows_expired": accounts.flows,
        "packets_processed": accounts.metered,
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
        "flows_undissected": report.flows_undissected,
        "flows_evicted": accounts.evicted,
        "flows_lost": {"queue": losses.queue(), "output": losses.output()},
        "memory_bytes": report.memory,
        "resident_bytes": resident_bytes(),
        "thread_panics": report.thread_panics,
        "reader_busy_seconds": report.busy.reader.map(|busy| busy.as_secs_f64()),
        "meters": meters,
        "plugins": plugins,
    })
}

/// Bytes of memory that the process has, where the system tells.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
