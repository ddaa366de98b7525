//! The nDPI that the dissectors of this process use.

use std::ffi::OsString;
use std::sync::{Arc, LazyLock};

use ndpi_sys::{Choice, Error, Library, Search};

use super::DissectError;

/// The environment variable with the library: `auto`, `none`, or a path. A program with more
/// privileges than its caller ignores it.
const VARIABLE: &str = "FLOWLOOM_NDPI";

/// The library, which is loaded when it is first needed.
static LIBRARY: LazyLock<Result<Option<Arc<Library>>, Error>> = LazyLock::new(|| {
    let variable = match has_more_privileges() {
        true => None,
        false => std::env::var_os(VARIABLE),
    };
    let (choice, search) = chosen(variable);
    Library::open(&choice, &search)
});

/// Returns why there is no library, if none was asked for by its path. A run can then begin without dissection.
pub(crate) fn missing() -> Option<String> {
    match &*LIBRARY {
        Ok(None) => Some(format!("{VARIABLE} is none")),
        Err(error @ Error::NotFound(_)) => Some(error.to_string()),
        Ok(Some(_)) | Err(_) => None,
    }
}

/// Returns the library.
///
/// # Errors
///
/// Returns an error if there is no nDPI that can be used.
pub(crate) fn library() -> Result<&'static Arc<Library>, DissectError> {
    let reason = match &*LIBRARY {
        Ok(Some(library)) => return Ok(library),
        Ok(None) => format!("nDPI is switched off by {VARIABLE}=none"),
        Err(error) => error.to_string(),
    };
    Err(DissectError::Library(format!(
        "{reason}; or set n_dissections to 0, so that flows have no application columns"
    )))
}

/// Returns what a value of the variable means. Without one, nDPI 4.2 is preferred, so that results
/// do not depend on what else is installed.
fn chosen(variable: Option<OsString>) -> (Choice, Search) {
    let mut search = Search::default();
    let choice = match variable {
        None => {
            search.prefers_4_2 = true;
            Choice::Auto
        }
        Some(value) if value == "auto" => Choice::Auto,
        Some(value) if value == "none" => Choice::None,
        Some(path) => Choice::Path(path.into()),
    };
    (choice, search)
}

/// Returns whether this program has privileges that its caller does not have, for example through
/// `setcap`.
fn has_more_privileges() -> bool {
    #[allow(unsafe_code, reason = "there is no safe form")]
    // SAFETY: the function has no preconditions.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    is_secure != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_the_library() {
        let choice = |value: &str| chosen(Some(value.into())).0;
        assert_eq!(choice("auto"), Choice::Auto);
        assert_eq!(choice("none"), Choice::None);
        assert_eq!(choice("./libndpi.so"), Choice::Path("./libndpi.so".into()));
        assert!(chosen(None).1.prefers_4_2);
        assert!(!has_more_privileges());
    }
}
