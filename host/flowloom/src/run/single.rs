//! One meter that runs in the caller's thread.

use std::time::Duration;

use flowloom_plugin::thread_time;

use super::meter::Meter;
use super::source_meter::SourceMeter;
use super::status::Progress;
use crate::capture::CaptureError;

/// A meter in the caller's thread.
pub(crate) struct SingleMeter {
    source: SourceMeter,
    pub(crate) problems: Vec<CaptureError>,
    pub(crate) finished: bool,
    /// The processor time of the thread before the first read.
    start: Option<Duration>,
}

impl SingleMeter {
    pub(crate) fn new(source: SourceMeter) -> Self {
        Self {
            source,
            problems: Vec::new(),
            finished: false,
            start: None,
        }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.source.meter
    }

    pub(crate) fn meter_mut(&mut self) -> &mut Meter {
        &mut self.source.meter
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress::of(&self.source.origin)
    }

    /// Returns the processor time of the thread during the run.
    pub(crate) fn cpu_time(&self) -> Duration {
        let start = self.start.unwrap_or_else(thread_time);
        thread_time().saturating_sub(start)
    }

    /// Reads once from the source, and meters what it returns.
    pub(crate) fn read(&mut self) {
        // Another thread may have set up the run.
        self.start.get_or_insert_with(thread_time);
        match self.source.read() {
            Ok(true) => self.finish(),
            Ok(false) => {}
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
            self.source.meter.end();
        }
    }

    /// Ends all flows, which are counted and dropped.
    pub(crate) fn stop(&mut self) {
        self.finish();
        while self.source.meter.next_flow().is_some() {}
    }
}
