//! The replacement of nDPI in a build without it.

use std::path::{Path, PathBuf};

use flowloom_core::meter::Classifier;
use flowloom_core::record::{Application, FlowPacket};

use super::{ApplicationName, DissectError, NdpiConfig};

/// A loaded nDPI. This build has none.
#[derive(Clone, Debug)]
pub struct Ndpi(());

impl Ndpi {
    /// Loads nothing.
    ///
    /// # Errors
    ///
    /// Always succeeds in this build.
    pub fn load(_: &NdpiConfig) -> Result<Self, DissectError> {
        Ok(Self(()))
    }

    /// Loads nothing.
    ///
    /// # Errors
    ///
    /// Always succeeds in this build.
    pub fn load_from(_: &NdpiConfig, _: &[PathBuf]) -> Result<Self, DissectError> {
        Ok(Self(()))
    }

    /// Returns `None`.
    pub fn version(&self) -> Option<&str> {
        None
    }

    /// Returns `None`.
    pub fn path(&self) -> Option<&Path> {
        None
    }

    /// Returns `None`: nothing was searched.
    pub fn missing(&self) -> Option<&str> {
        None
    }

    /// Returns an error.
    ///
    /// # Errors
    ///
    /// Always fails in this build.
    pub fn applications(&self) -> Result<Vec<ApplicationName>, DissectError> {
        Err(DissectError::Library("this build has no nDPI".to_owned()))
    }

    /// Returns none.
    pub fn risks(&self) -> &[String] {
        &[]
    }
}

/// A dissector, which cannot be created.
pub(crate) enum Dissector {}

impl Dissector {
    pub(crate) fn new(_: &Ndpi, dissections: u8, _: bool) -> Result<Option<Self>, DissectError> {
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
