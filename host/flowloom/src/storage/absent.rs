//! The same names in a build without stores. No [`ObjectUrl`] exists.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::version::ObjectVersion;

/// No URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectUrl(Infallible);

impl ObjectUrl {
    pub(crate) fn parts_in<'a>(&'a self, _: &Self) -> std::iter::Empty<&'a str> {
        match self.0 {}
    }

    pub(crate) fn is_folder(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn is_pattern(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn folder(&self) -> Self {
        match self.0 {}
    }

    pub(crate) fn matches(&self, _: &Self) -> bool {
        match self.0 {}
    }

    pub(crate) fn has_secret(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn path(&self) -> PathBuf {
        match self.0 {}
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

/// No head of an object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectHead {
    pub(crate) size: u64,
    pub(crate) etag: Option<String>,
}

impl ObjectHead {
    pub(crate) fn is_whole(&self) -> bool {
        false
    }

    pub(crate) fn forget_bytes(&mut self) {}

    pub(crate) fn read(url: &ObjectUrl) -> io::Result<Self> {
        match url.0 {}
    }
}

pub(crate) fn list(
    folder: &ObjectUrl,
    _: usize,
    _: impl Fn(&ObjectUrl) -> bool,
) -> io::Result<Vec<(ObjectUrl, ObjectVersion)>> {
    match folder.0 {}
}

/// No reader of an object.
pub(crate) struct ObjectReader(Infallible);

impl ObjectReader {
    pub(crate) fn new(url: ObjectUrl, _: ObjectHead) -> Self {
        match url.0 {}
    }

    pub(crate) fn prefetch(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

impl Read for ObjectReader {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

/// No writer of an object.
pub(crate) struct ObjectWriter(Infallible);

impl ObjectWriter {
    pub(crate) fn create(url: ObjectUrl, _: bool) -> io::Result<Self> {
        match url.0 {}
    }

    pub(crate) fn end(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}
