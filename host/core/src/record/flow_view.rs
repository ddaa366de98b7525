//! What fields are computed from.

use std::sync::LazyLock;

use super::application::Application;
use super::flow_record::{Expiration, Record};
use super::splt::Splt;
use super::statistics::Statistics;

/// What features are computed from, of a live flow or an ended one.
#[derive(Clone, Copy)]
pub struct FlowView<'a> {
    pub record: &'a Record,
    pub statistics: Option<&'a Statistics>,
    pub splt: Option<&'a Splt>,
    pub application: Option<&'a Application>,
    pub expiration: Expiration,
    pub capture: u32,
}

impl<'a> FlowView<'a> {
    /// Features that need them are there only if they are kept.
    pub fn statistics(&self) -> &'a Statistics {
        static NONE: LazyLock<Statistics> = LazyLock::new(Statistics::default);
        self.statistics.unwrap_or(&NONE)
    }

    pub fn with_application(self, application: Option<&'a Application>) -> Self {
        Self {
            application,
            ..self
        }
    }

    pub fn application(&self) -> &'a Application {
        self.application.unwrap_or_else(|| Application::unknown())
    }
}
