//! Lines that a plugin writes, on their way into the host's log.

use flowloom_core::time::Time;

use crate::contract::log::{Host, Level};
use crate::escape::shown;

/// The log of one instance.
pub(crate) struct Log {
    plugin: String,
    /// Lines that may be shown.
    tokens: f64,
    /// When they were counted.
    counted: Time,
    /// Whether it was said that lines are dropped.
    is_told: bool,
    pub(crate) dropped: u64,
    /// The last line that said what is wrong: a panic message, or the end of a traceback.
    pub(crate) last_error: Option<String>,
}

/// Lines that an instance may write at once.
const BURST: f64 = 1_000.0;
/// Lines a second of packets' time that it may write in the long run.
const RATE: f64 = 10.0;

impl Log {
    pub(crate) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            tokens: BURST,
            counted: Time::EPOCH,
            is_told: false,
            dropped: 0,
            last_error: None,
        }
    }

    /// A call begins at this time: what was wrong in an earlier one is not what is wrong now.
    #[inline]
    pub(crate) fn begin(&mut self, now: Time) {
        self.last_error = None;
        if self.tokens < BURST {
            let passed = now.ns().saturating_sub(self.counted.ns()) as f64 / 1e9;
            self.tokens = (self.tokens + passed * RATE).min(BURST);
        }
        self.counted = now;
    }

    /// A line that it printed, rather than logged.
    pub(crate) fn printed(&mut self, level: Level, line: &str) {
        let line = shown(line);
        if level == Level::Warn && !line.trim().is_empty() {
            self.last_error = Some(line.clone());
        }
        self.show(level, &line);
    }

    fn show(&mut self, level: Level, line: &str) {
        let plugin = &self.plugin;
        if self.tokens < 1.0 {
            self.dropped += 1;
            if !std::mem::replace(&mut self.is_told, true) {
                tracing::warn!(
                    "plugin {plugin}: wrote {BURST} lines at once; of more than {RATE} a second the \
                     rest is not shown, and counted"
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
        self.show(level, &line);
    }
}
