//! The data that features are computed from.

use super::application::Application;
use super::flow_record::{Expiration, Record};
use super::identity::FlowIdentity;
use super::splt::Splt;
use super::statistics::Statistics;

/// The data of a live or an ended flow that features are computed from.
#[derive(Clone, Copy)]
pub struct FlowView<'a> {
    /// The flow key, MAC addresses and counters.
    pub record: &'a Record,
    /// The statistics; `None` without statistical analysis.
    pub(crate) statistics: Option<&'a Statistics>,
    /// The lengths and times of the first packets; `None` for a live flow without SPLT analysis.
    pub splt: Option<&'a Splt>,
    /// The application; `None` if the flow was not dissected.
    pub(crate) application: Option<&'a Application>,
    /// The reason why the flow ended; `Idle` for a live flow.
    pub(crate) expiration: Expiration,
    /// The number of the capture in the run, from 0.
    pub(crate) capture: u32,
    /// The identifiers; `None` for a live flow, and if no column needs them.
    pub(crate) identity: Option<&'a FlowIdentity>,
}

impl<'a> FlowView<'a> {
    /// Returns the statistics, or empty statistics without statistical analysis. In that case no column needs
    /// them.
    pub(crate) fn statistics(&self) -> &'a Statistics {
        static EMPTY: Statistics = Statistics::EMPTY;
        self.statistics.unwrap_or(&EMPTY)
    }

    /// Returns the view with another application.
    pub(crate) fn with_application(self, application: Option<&'a Application>) -> Self {
        Self {
            application,
            ..self
        }
    }

    /// Returns the application, or `Unknown` if the flow was not dissected.
    pub(crate) fn application(&self) -> &'a Application {
        self.application.unwrap_or_else(|| Application::unknown())
    }
}
