//! The replacement of the dissector in a build without nDPI.

use flowloom_core::meter::Classifier;
use flowloom_core::record::{Application, FlowPacket};

use super::{DissectError, NdpiFiles};

/// Returns `None`: a build without nDPI does not search for it.
pub(crate) fn missing() -> Option<String> {
    None
}

/// A dissector that cannot be created.
pub(crate) enum Dissector {}

impl Dissector {
    pub(crate) fn new(
        dissections: u8,
        _: &NdpiFiles,
        _: bool,
    ) -> Result<Option<Self>, DissectError> {
        match dissections {
            0 => Ok(None),
            n => Err(DissectError::Absent(n)),
        }
    }

    pub(crate) fn show(&mut self, _: bool) {
        match *self {}
    }
}

impl Classifier for Dissector {
    fn see(&mut self, _: u32, _: u64, _: &FlowPacket<'_>) {
        match *self {}
    }

    fn skip(&mut self, _: u32) {
        match *self {}
    }

    fn application(&self, _: u32) -> Option<&Application> {
        match *self {}
    }

    fn take(&mut self, _: u32) -> Option<Box<Application>> {
        match *self {}
    }

    fn restart(&mut self) {
        match *self {}
    }

    fn memory(&self) -> usize {
        match *self {}
    }
}
