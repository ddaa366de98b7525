//! Errors that show their place in the text.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A place in a text, in bytes.
pub(crate) type Span = Range<usize>;

/// One error in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The place in the text, in bytes.
    pub span: Range<usize>,
    /// What is accepted there, or what to write instead. It stands beside the place.
    pub label: String,
}

impl Diagnostic {
    pub(crate) fn new(span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span,
            label: label.into(),
        }
    }
}

/// An expression that cannot be used, with its text.
///
/// Its text is of several lines: each error is followed by the expression and a mark at the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ExprError {
    /// The name of the text: an option or a file.
    origin: String,
    text: String,
    diagnostics: Vec<Diagnostic>,
}

impl ExprError {
    pub(crate) fn new(origin: &str, text: &str, diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            origin: origin.to_owned(),
            text: text.to_owned(),
            diagnostics,
        }
    }

    /// Returns the errors, in the order of their places.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reports: Vec<_> = self
            .diagnostics
            .iter()
            .map(|diagnostic| {
                let place = AnnotationKind::Primary
                    .span(diagnostic.span.clone())
                    .label(&diagnostic.label);
                let snippet = Snippet::source(&self.text)
                    .path(&self.origin)
                    .annotation(place);
                Level::ERROR
                    .primary_title(&diagnostic.message)
                    .element(snippet)
            })
            .collect();
        f.write_str(&Renderer::plain().render(&reports))
    }
}
