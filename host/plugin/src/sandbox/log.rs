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
        if level == Level::Warn && !line.trim().is_empty() {
            self.last_error = Some(line.clone());
        }
        self.write_line(level, &line);
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
        if level == Level::Error {
            self.last_error = Some(line.clone());
        }
        self.write_line(level, &line);
    }
}
