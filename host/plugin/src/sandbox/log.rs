//! Log lines of plugins, with a limit on their rate.

use flowloom_core::time::Time;

use crate::contract::log::{Host, Level};
use crate::escape::shown;

/// The log of one instance.
pub(crate) struct Log {
    plugin: String,
    /// Lines that may be written now: a token bucket.
    tokens: f64,
    /// The packet time at which `tokens` was updated.
    counted: Time,
    /// Whether the log already has the warning that lines are dropped.
    has_warned: bool,
    /// Lines that were not written.
    pub(crate) dropped: u64,
    /// The last error line of the current call: usually a panic message, or the end of a traceback.
    pub(crate) last_error: Option<String>,
    /// A line that is not written yet. If the call fails, the line is a part of that failure, and appears there.
    held: Option<(Level, String)>,
}

/// Lines that an instance may write at once.
const BURST: f64 = 1_000.0;
/// Lines per second of packet time that it may write in the long run.
const RATE: f64 = 10.0;

impl Log {
    pub(crate) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            tokens: BURST,
            counted: Time::EPOCH,
            has_warned: false,
            dropped: 0,
            last_error: None,
            held: None,
        }
    }

    /// Begins a call at this packet time. Error lines of earlier calls do not belong to it.
    #[inline]
    pub(crate) fn begin(&mut self, now: Time) {
        self.last_error = None;
        if self.tokens < BURST {
            let passed = now.ns().saturating_sub(self.counted.ns()) as f64 / 1e9;
            self.tokens = (self.tokens + passed * RATE).min(BURST);
        }
        self.counted = now;
    }

    /// Writes a line of standard output or standard error. `cut` is the number of bytes at its end that were
    /// not kept.
    ///
    /// A line of standard error may be a traceback, so it becomes `last_error`.
    pub(crate) fn write_printed(&mut self, level: Level, line: &str, cut: u64) {
        let mut line = shown(line);
        if cut > 0 {
            line.push_str(&format!(" ({cut} more bytes)"));
        }
        let is_error = level == Level::Warn && !line.trim().is_empty();
        self.add(level, line, is_error);
    }

    /// Holds an error line, and writes any other line. Lines keep their order.
    fn add(&mut self, level: Level, line: String, is_error: bool) {
        self.write_held();
        if is_error {
            self.last_error = Some(line.clone());
            self.held = Some((level, line));
        } else {
            self.write_line(level, &line);
        }
    }

    /// Writes the line that is held.
    #[inline]
    pub(crate) fn write_held(&mut self) {
        if let Some((level, line)) = self.held.take() {
            self.write_line(level, &line);
        }
    }

    /// Forgets the line that is held. The caller shows it.
    pub(crate) fn drop_held(&mut self) {
        self.held = None;
    }

    fn write_line(&mut self, level: Level, line: &str) {
        let plugin = &self.plugin;
        if self.tokens < 1.0 {
            self.dropped += 1;
            if !std::mem::replace(&mut self.has_warned, true) {
                tracing::warn!(
                    "plugin {plugin}: wrote {BURST} log lines at once; lines beyond {RATE} per second \
                     of packet time are dropped and counted"
                );
            }
            return;
        }
        self.tokens -= 1.0;
        match level {
            Level::Error => tracing::error!("plugin {plugin}: {line}"),
            Level::Warn => tracing::warn!("plugin {plugin}: {line}"),
            Level::Info => tracing::info!("plugin {plugin}: {line}"),
            Level::Debug => tracing::debug!("plugin {plugin}: {line}"),
        }
    }
}

impl Host for Log {
    fn write(&mut self, level: Level, line: String) {
        let line = shown(&line);
        self.add(level, line, level == Level::Error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_ns(seconds * 1_000_000_000)
    }

    #[test]
    fn lines_are_limited_at_once_and_in_the_long_run() {
        let mut log = Log::new("p");
        let mut write = |seconds, lines: u64| {
            log.begin(at(seconds));
            let before = log.dropped;
            for _ in 0..lines {
                log.write(Level::Info, "line".to_owned());
            }
            lines - (log.dropped - before)
        };
        assert_eq!(write(5, 1_500), 1_000);
        assert_eq!(write(5, 10), 0);
        assert_eq!(write(7, 100), 20);
        assert_eq!(write(8, 3), 3);
        // Time that goes back adds nothing.
        assert_eq!(write(7, 100), 7);
        // Unused lines add up to the limit.
        assert_eq!(write(100_000, 2_000), 1_000);
        assert_eq!(log.dropped, 500 + 10 + 80 + 93 + 1_000);
    }

    #[test]
    fn the_last_error_of_a_call_is_kept() {
        let mut log = Log::new("p");
        log.begin(at(0));
        log.write(Level::Error, "first".to_owned());
        log.write(Level::Error, "second\u{1b}".to_owned());
        log.write(Level::Warn, "no error".to_owned());
        assert_eq!(log.last_error.as_deref(), Some("second\\u{1b}"));
        log.begin(at(1));
        assert_eq!(log.last_error, None);
        // Standard error may be a traceback; standard output is not.
        log.write_printed(Level::Info, "output", 0);
        log.write_printed(Level::Warn, " ", 0);
        assert_eq!(log.last_error, None);
        log.write_printed(Level::Warn, "trace", 0);
        assert_eq!(log.last_error.as_deref(), Some("trace"));
        log.write_printed(Level::Warn, "long", 1);
        assert_eq!(log.last_error.as_deref(), Some("long (1 more bytes)"));
        log.write_printed(Level::Warn, "", 0);
        assert_eq!(log.last_error.as_deref(), Some("long (1 more bytes)"));
    }
}
