//! A copy of a live flow.

use super::application::Application;
use super::flow_record::{Expiration, Record};
use super::flow_view::FlowView;
use super::splt::Splt;
use super::statistics::Statistics;

/// A copy of a live flow, as it was after one of its packets.
#[derive(Clone, Default)]
pub struct FlowSnapshot {
    record: Record,
    statistics: Option<Box<Statistics>>,
    splt: Option<Splt>,
    application: Option<Box<Application>>,
    capture: u32,
}

impl FlowSnapshot {
    /// Copies what has changed in a live flow since the last copy.
    ///
    /// A flow's application stays the same when its dissection has ended. `copies_application` then saves the copy.
    pub fn update(&mut self, flow: &FlowView<'_>, copies_application: bool) {
        self.record = flow.record.clone();
        self.capture = flow.capture;
        match (&mut self.statistics, flow.statistics) {
            (Some(own), Some(statistics)) => (**own).clone_from(statistics),
            (own, statistics) => *own = statistics.cloned().map(Box::new),
        }
        if self.splt.as_ref().is_none_or(|own| own.missing() > 0) {
            self.splt = flow.splt.cloned();
        }
        if copies_application {
            self.application = flow.application.cloned().map(Box::new);
        }
    }

    /// Returns the data that features are computed from.
    pub fn view(&self) -> FlowView<'_> {
        FlowView {
            record: &self.record,
            statistics: self.statistics.as_deref(),
            splt: self.splt.as_ref(),
            application: self.application.as_deref(),
            expiration: Expiration::Idle,
            capture: self.capture,
            identity: None,
        }
    }
}
