//! The nDPI that the dissectors of this process use.

use std::sync::{Arc, LazyLock};

use ndpi_sys::{Choice, Error, Library, Search};

use super::DissectError;

/// Returns the library, which is loaded at the first call.
///
/// # Errors
///
/// Returns an error if there is no nDPI that can be used.
pub(crate) fn library() -> Result<&'static Arc<Library>, DissectError> {
    static LIBRARY: LazyLock<Result<Option<Arc<Library>>, Error>> = LazyLock::new(|| {
        let search = Search {
            prefers_4_2: true,
            ..Search::default()
        };
        Library::open(&Choice::Auto, &search)
    });
    match &*LIBRARY {
        Ok(Some(library)) => Ok(library),
        Ok(None) => Err(DissectError::Library("nDPI is switched off".to_owned())),
        Err(error) => Err(DissectError::Library(format!(
            "{error}; or set n_dissections to 0, so that flows have no application columns"
        ))),
    }
}
