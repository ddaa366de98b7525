//! A part of a planned run.

use flowloom_core::meter::Part;

use crate::capture::TaskFile;

/// The files of a part of a run, and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct PlannedPart {
    pub(crate) files: Vec<TaskFile>,
    pub(crate) part: Part,
    /// Whether flows have the column `capture`.
    pub(crate) has_captures: bool,
}
