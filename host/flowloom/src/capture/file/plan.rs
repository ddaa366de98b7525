//! Looking at captures before any is metered, and the order in which they are read.

use std::collections::VecDeque;
use std::path::PathBuf;

use flowloom_core::link_type::LinkType;
use flowloom_core::time::Time;

use super::block::Block;
use super::groups::{self, FileHead, Grouping};
use super::input::Source;
use super::reading::Reading;
use crate::capture::CaptureError;

/// A source in its place among the captures.
pub(crate) struct Planned {
    pub(crate) source: Source,
    /// Whether it begins a capture in any case.
    pub(crate) begins: bool,
    /// The time of its first packet, if it may continue a capture.
    pub(crate) first: Option<Time>,
}

/// Captures that were looked at before any is metered.
pub(crate) struct Checked {
    pub(crate) sources: Vec<(Source, FileHead)>,
    pub(crate) errors: Vec<CaptureError>,
}

/// Looks at every source that can be looked at: whether it is a capture and, if wanted, at its first
/// packet.
pub(crate) fn look_at(paths: Vec<PathBuf>, looks_inside: bool) -> Result<Checked, CaptureError> {
    let mut checked = Checked {
        sources: Vec::new(),
        errors: Vec::new(),
    };
    let mut block = Block::new();
    let mut standard_input = false;
    for path in paths {
        let looked = Source::of(path.clone()).and_then(|source| {
            let first = match &source {
                Source::File { path, len } => {
                    let (path, len) = (path.clone(), *len);
                    first_packet(Source::File { path, len }, looks_inside, &mut block)?
                }
                _ => None,
            };
            Ok((source, FileHead { path, first }))
        });
        match looked {
            Ok((Source::StandardInput, _)) if standard_input => {
                return Err(CaptureError::StandardInputTwice);
            }
            Ok((source, head)) => {
                standard_input |= matches!(source, Source::StandardInput);
                checked.sources.push((source, head));
            }
            Err(error) => checked.errors.push(error),
        }
    }
    Ok(checked)
}

/// The time and link type of a file's first packet, if they are wanted and there is one. A file that is
/// no capture is an error in any case.
fn first_packet(
    source: Source,
    is_wanted: bool,
    block: &mut Block,
) -> Result<Option<(Time, LinkType)>, CaptureError> {
    block.clear();
    let mut reading = Reading::begin(source)?;
    reading.read_header(block)?;
    if !is_wanted {
        return Ok(None);
    }
    let mut records = Vec::new();
    match reading.next(block, &mut records) {
        Ok(_) => Ok(records.first().map(|record| (record.time, record.link))),
        // It is told again when the file is read.
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts sources into the order in which they are read.
pub(crate) fn plan(sources: Vec<(Source, FileHead)>, grouping: Grouping) -> VecDeque<Planned> {
    let planned = |source, begins, first| Planned {
        source,
        begins,
        first,
    };
    match grouping {
        Grouping::One => (sources.into_iter().enumerate())
            .map(|(at, (source, _))| planned(source, at == 0, None))
            .collect(),
        Grouping::Each => (sources.into_iter())
            .map(|(source, _)| planned(source, true, None))
            .collect(),
        Grouping::Auto => {
            let (mut sources, heads): (Vec<_>, Vec<_>) = sources
                .into_iter()
                .map(|(source, head)| (Some(source), head))
                .unzip();
            let mut order = VecDeque::new();
            for group in groups::group(&heads) {
                for (nth, at) in group.into_iter().enumerate() {
                    if let Some(source) = sources[at].take() {
                        let first = heads[at].first.map(|(time, _)| time);
                        order.push_back(planned(source, nth == 0, first));
                    }
                }
            }
            order
        }
    }
}
