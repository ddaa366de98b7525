//! Exceptions. Their classes are in the Python package.

use std::fmt::Display;

use flowloom::StreamerError;
use flowloom::sink::OutputError;
use pyo3::prelude::*;

/// The classes of `flowloom.errors`.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    Capture,
    Parameter,
    Plugin,
    Other,
}

/// Returns an exception of a class with this message.
pub(crate) fn exception(py: Python<'_>, class: Class, message: impl Display) -> PyErr {
    let name = match class {
        Class::Capture => "CaptureError",
        Class::Parameter => "ParameterError",
        Class::Plugin => "PluginError",
        Class::Other => "FlowloomError",
    };
    let raised = py
        .import("flowloom.errors")
        .and_then(|module| module.getattr(name))
        .and_then(|class| class.call1((message.to_string(),)));
    match raised {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// Returns the exception of a run that cannot begin.
pub(crate) fn of_run(py: Python<'_>, error: &StreamerError) -> PyErr {
    let class = match error {
        StreamerError::Capture(_) => Class::Capture,
        StreamerError::Filter(_)
        | StreamerError::Condition(_)
        | StreamerError::UnknownColumn(_)
        | StreamerError::Select(_)
        | StreamerError::Dissect(_)
        | StreamerError::Parameter { .. } => Class::Parameter,
        StreamerError::Plugin(_)
        | StreamerError::Folder(_)
        | StreamerError::Follow(_)
        | StreamerError::Policy(_)
        | StreamerError::Registry(_) => Class::Plugin,
        _ => Class::Other,
    };
    match error {
        // The library calls a condition by the name of the command's option.
        StreamerError::Condition(_) => {
            exception(py, class, error.to_string().replace("--where:", "where:"))
        }
        _ => exception(py, class, error),
    }
}

/// Returns the exception of an output that cannot be created.
pub(crate) fn of_output(py: Python<'_>, error: &OutputError) -> PyErr {
    let class = match error {
        OutputError::Parameter { .. } => Class::Parameter,
        _ => Class::Other,
    };
    exception(py, class, error)
}
