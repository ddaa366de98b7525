//! A meter that reads its own source.

use std::sync::Arc;

use flowloom_core::meter::OverloadLevel;
use flowloom_plugin::PluginSet;

use super::meter::Meter;
use super::plugin_updates::PluginUpdates;
use crate::capture::{CaptureError, PacketSource, SourceEvent};

/// A meter and its source.
pub(crate) struct SourceMeter {
    pub(crate) origin: PacketSource,
    pub(crate) meter: Meter,
    plugins: PluginUpdates,
    /// The set of plugins that the meter could not switch to yet.
    pending: Option<Arc<PluginSet>>,
    overload: OverloadLevel,
}

impl SourceMeter {
    pub(crate) fn new(origin: PacketSource, meter: Meter, plugins: PluginUpdates) -> Self {
        Self {
            origin,
            meter,
            plugins,
            pending: None,
            overload: OverloadLevel::Normal,
        }
    }

    /// Reads once from the source, and meters what it returns. Returns whether the source has ended.
    pub(crate) fn read(&mut self) -> Result<bool, CaptureError> {
        let level = self.origin.overload();
        if level != OverloadLevel::Normal || self.overload != level {
            self.overload = level;
            self.meter.set_overload(level);
        }
        match self.origin.read()? {
            SourceEvent::Packets(packets) => {
                // The read may have waited, so the check for changed plugins comes after it.
                self.pending = self.plugins.changed().or(self.pending.take());
                self.pending = self
                    .pending
                    .take()
                    .filter(|plugins| !self.meter.set_plugins(plugins));
                self.meter.push(packets.iter());
            }
            SourceEvent::Pause(Some(now)) => self.meter.advance(now),
            SourceEvent::Pause(None) => self.meter.flush(),
            SourceEvent::Boundary(boundary) => self.meter.end_at(boundary),
            SourceEvent::End => return Ok(true),
        }
        Ok(false)
    }
}
