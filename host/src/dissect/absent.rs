//! In place of the dissector, in a build without nDPI.

use std::sync::Arc;

use super::{Application, DissectError, NdpiFiles};
use crate::flow::FlowPacket;
use crate::plugin::Plugin;

/// There is none.
pub(crate) enum Dissector {}

impl Dissector {
    pub(crate) fn new(
        dissections: u8,
        _: &NdpiFiles,
        _: &[Arc<Plugin>],
    ) -> Result<Option<Self>, DissectError> {
        match dissections {
            0 => Ok(None),
            n => Err(DissectError::Absent(n)),
        }
    }

    pub(crate) fn restart(&mut self) {
        match *self {}
    }

    pub(crate) fn see(&mut self, _: u32, _: u64, _: &FlowPacket<'_>) {
        match *self {}
    }

    pub(crate) fn skip(&mut self, _: u32) {
        match *self {}
    }

    pub(crate) fn application(&self, _: u32) -> Option<&Application> {
        match *self {}
    }

    pub(crate) fn take(&mut self, _: u32) -> Option<Box<Application>> {
        match *self {}
    }

    pub(crate) fn show(&mut self, _: &[Arc<Plugin>]) {
        match *self {}
    }

    pub(crate) fn memory(&self) -> usize {
        match *self {}
    }
}
