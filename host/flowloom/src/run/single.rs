//! One meter that runs in the caller's thread.

use std::sync::Arc;
use std::time::Duration;

use flowloom_core::meter::OverloadLevel;
use flowloom_plugin::PluginSet;

use super::meter::Meter;
use super::plugin_updates::PluginUpdates;
use crate::capture::{CaptureError, Origin, Read};

/// A meter and its source.
pub(crate) struct SingleMeter {
    pub(crate) origin: Origin,
    pub(crate) meter: Meter,
    pub(crate) plugins: PluginUpdates,
    /// The set of plugins that the meter could not switch to yet.
    pub(crate) pending: Option<Arc<PluginSet>>,
    pub(crate) problems: Vec<CaptureError>,
    pub(crate) finished: bool,
    pub(crate) overload: OverloadLevel,
    /// The processor time of the thread before the run.
    pub(crate) start: Duration,
}

impl SingleMeter {
    /// Reads once from the source, and meters what it returns.
    pub(crate) fn read(&mut self) {
        let level = self.origin.overload();
        if level != OverloadLevel::Normal || self.overload != level {
            self.overload = level;
            self.meter.set_overload(level);
        }
        match self.origin.read() {
            Ok(Read::Packets(packets)) => {
                // The read may have waited, so the check for changed plugins comes after it.
                self.pending = self.plugins.changed().or(self.pending.take());
                self.pending = self
                    .pending
                    .take()
                    .filter(|plugins| !self.meter.set_plugins(plugins));
                self.meter.push(packets.iter());
            }
            Ok(Read::Pause(Some(now))) => self.meter.advance(now),
            Ok(Read::Pause(None)) => self.meter.flush(),
            Ok(Read::Boundary(boundary)) => self.meter.cross(boundary),
            Ok(Read::End) => self.finish(),
            Err(error) => {
                tracing::warn!("{error}");
                self.problems.push(error);
            }
        }
    }

    /// Ends all flows, which are then ready.
    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.meter.end();
        }
    }

    /// Ends all flows, which are counted and dropped.
    pub(crate) fn stop(&mut self) {
        self.finish();
        while self.meter.next_flow().is_some() {}
    }
}
