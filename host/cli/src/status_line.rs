//! The status line of a run over an interface or a pipe.

use std::io::{self, IsTerminal as _};
use std::time::Instant;

use flowloom::RunSummary;
use flowloom::capture::Dropped;
use flowloom::plugin::{PluginState, escaped};
use flowloom::sink::Losses;
use rustix::termios::tcgetwinsize;

use super::log;

/// Shows the rates, the live flows, the losses and the plugins of a run in the last line of the terminal.
pub(super) struct StatusLine {
    last: Totals,
}

/// Counters from which rates are computed.
#[derive(Clone, Copy)]
struct Totals {
    time: Instant,
    packets: u64,
    bytes: u64,
    flows: u64,
}

impl StatusLine {
    /// Returns a line if standard error is a terminal that shows information. `has_rows` says whether flows are
    /// written to standard output: if that is a terminal too, there is no line between the flows.
    pub(super) fn new(has_rows: bool) -> Option<Self> {
        let is_free = !has_rows || !io::stdout().is_terminal();
        let is_shown = is_free && io::stderr().is_terminal() && log::shows_information();
        is_shown.then(|| Self {
            last: Totals {
                time: Instant::now(),
                packets: 0,
                bytes: 0,
                flows: 0,
            },
        })
    }

    /// Shows the present state.
    pub(super) fn show(&mut self, summary: &RunSummary<'_>, losses: &Losses) {
        let now = Totals {
            time: Instant::now(),
            packets: summary.packets_read,
            bytes: summary.bytes_read,
            flows: summary.counters.flows,
        };
        let seconds = now.time.duration_since(self.last.time).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let rate = |now: u64, last: u64| now.saturating_sub(last) as f64 / seconds;
        let mut text = format!(
            "{:.0} packets/s, {}, {} live flows, {:.0} flows/s, {}",
            rate(now.packets, self.last.packets),
            bit_rate(8.0 * rate(now.bytes, self.last.bytes)),
            summary.flows_live,
            rate(now.flows, self.last.flows),
            lost(
                summary.packets_dropped.unwrap_or_default(),
                losses.queue() + losses.output()
            ),
        );
        self.last = now;
        for plugin in &summary.plugins {
            if plugin.state != PluginState::Running {
                text += &format!(", plugin {}: {}", escaped(&plugin.name), plugin.state);
            }
        }
        // Some terminals do not know their size.
        let columns = tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
        let columns = if columns == 0 { 80 } else { columns };
        // A full last line would be continued in the next one.
        let width = usize::from(columns).saturating_sub(1);
        log::show_status(&text.chars().take(width).collect::<String>());
    }

    /// Removes the line.
    pub(super) fn end() {
        log::show_status("");
    }
}

/// Says what was lost.
fn lost(packets: Dropped, flows: u64) -> String {
    match (packets.sum(), flows) {
        (0, 0) => "nothing lost".to_owned(),
        (packets, 0) => format!("{packets} packets lost"),
        (0, flows) => format!("{flows} flows lost"),
        (packets, flows) => format!("{packets} packets and {flows} flows lost"),
    }
}

/// Returns a rate with three digits and a prefix.
fn bit_rate(mut value: f64) -> String {
    for prefix in ["", "k", "M"] {
        if value < 999.5 {
            let digits = usize::from(!prefix.is_empty() && value < 99.95);
            return format!("{value:.digits$} {prefix}bit/s");
        }
        value /= 1_000.0;
    }
    format!("{value:.1} Gbit/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_short() {
        for (value, text) in [
            (0.0, "0 bit/s"),
            (999.4, "999 bit/s"),
            (999.6, "1.0 kbit/s"),
            (12_345.0, "12.3 kbit/s"),
            (123_456_000.0, "123 Mbit/s"),
            (9.87e9, "9.9 Gbit/s"),
            (1e12, "1000.0 Gbit/s"),
        ] {
            assert_eq!(bit_rate(value), text);
        }
    }

    #[test]
    fn losses_are_named() {
        let mut packets = Dropped::default();
        assert_eq!(lost(packets, 0), "nothing lost");
        assert_eq!(lost(packets, 2), "2 flows lost");
        packets.kernel = 3;
        assert_eq!(lost(packets, 0), "3 packets lost");
        assert_eq!(lost(packets, 2), "3 packets and 2 flows lost");
    }
}
