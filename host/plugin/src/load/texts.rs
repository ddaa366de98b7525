//! Names and texts that a plugin declares.

use crate::error::LoadErrorKind;

/// The maximum number of bytes of each description.
pub(super) const MAX_DESCRIPTION: usize = 4 << 10;

/// Checks that a text has at most `max` bytes. `of` says which text it is.
pub(super) fn check_len(of: &'static str, text: &str, max: usize) -> Result<(), LoadErrorKind> {
    match text.len() {
        len if len > max => Err(LoadErrorKind::TextTooLong { of, len, max }),
        _ => Ok(()),
    }
}

/// Returns whether the name of an output or an option matches `[a-z][a-z0-9_]{0,31}`.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}
