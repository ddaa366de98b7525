//! One meter, which works in the thread of the caller.

use std::sync::Arc;
use std::time::Duration;

use flowloom_core::meter::OverloadLevel;
use flowloom_plugin::PluginSet;

use super::meter::Meter;
use super::plugin_updates::PluginUpdates;
use crate::capture::{CaptureError, Origin, Read};

pub(crate) struct SingleMeter {
    pub(crate) origin: Origin,
    pub(crate) meter: Meter,
    pub(crate) plugins: PluginUpdates,
    /// Plugins that the meter could not go over to yet.
    pub(crate) pending: Option<Arc<PluginSet>>,
    pub(crate) problems: Vec<CaptureError>,
    pub(crate) finished: bool,
    pub(crate) overload: OverloadLevel,
    /// Processor time of the thread before the run.
    pub(crate) start: Duration,
}

impl SingleMeter {
    pub(crate) fn read(&mut self) {
        let level = self.origin.overload();
        if level != OverloadLevel::Normal || self.overload != level {
            self.overload = level;
            self.meter.set_overload(level);
        }
        match self.origin.read() {
            Ok(Read::Packets(packets)) => {
                // Reading may have waited for long.
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

    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.meter.end();
        }
    }

    /// Ends all flows: what comes out is counted and dropped.
    pub(crate) fn stop(&mut self) {
        self.finish();
        while self.meter.next_flow().is_some() {}
    }
}
