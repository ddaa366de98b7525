//! Search, loading and identification of the library.

use std::ffi::c_void;
use std::fmt;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use crate::common::{Common, Identity};
use crate::handle::Handle;
use crate::{Error, elf, v42};

/// The versions that this crate supports, for messages.
pub(crate) const SUPPORTED: &str = "4.2";

/// Which library to load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first one that is found and can be used.
    #[default]
    Auto,
    /// None.
    None,
    /// This file.
    Path(PathBuf),
}

/// A loaded nDPI. It stays loaded until the process ends.
pub struct Library {
    api: &'static Api,
    path: PathBuf,
    version: String,
    confidences: Vec<String>,
}

/// The functions of a loaded library.
pub(crate) struct Api {
    pub(crate) common: Common,
    pub(crate) version: Version,
    /// The size of `struct ndpi_flow_struct` in bytes.
    pub(crate) flow_size: usize,
}

/// The functions that differ between versions.
pub(crate) enum Version {
    V42(v42::Functions),
}

impl Library {
    /// Loads nDPI, or returns `None` for [`Choice::None`]. This runs code of the file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be loaded, or is not an nDPI that this crate supports.
    /// For [`Choice::Auto`]: if no file is found that can be used.
    pub fn open(choice: &Choice) -> Result<Option<Arc<Self>>, Error> {
        match choice {
            Choice::None => Ok(None),
            Choice::Path(path) => Self::open_file(path).map(Some),
            Choice::Auto => Self::search().map(Some),
        }
    }

    /// Returns the version with the commit, for example `4.2.0-0-0000000`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the path of the library.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of the values of [`Details::confidence`](crate::Details::confidence),
    /// starting with 0.
    pub fn confidences(&self) -> &[String] {
        &self.confidences
    }

    /// Returns the size of a flow's state in bytes, without the texts that it points to.
    pub fn flow_size(&self) -> usize {
        self.api.flow_size
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    fn search() -> Result<Arc<Self>, Error> {
        let mut refused = Vec::new();
        match Self::open_system("libndpi.so.4.2") {
            Some(Ok(library)) => return Ok(library),
            Some(Err(error)) => refused.push(error),
            None => {}
        }
        Err(Error::NotFound(refused))
    }

    /// Opens a library of the system by its name, or returns `None` if there is none.
    fn open_system(name: &str) -> Option<Result<Arc<Self>, Error>> {
        let handle = match Handle::load(Path::new(name)) {
            Ok(handle) => handle,
            // The dynamic linker reports a missing library only by this text.
            Err(reason) if reason.starts_with(name) && reason.contains("No such file") => {
                return None;
            }
            Err(reason) => {
                let path = name.into();
                return Some(Err(Error::Load { path, reason }));
            }
        };
        Some(Self::identify(handle, name.into()))
    }

    fn open_file(path: &Path) -> Result<Arc<Self>, Error> {
        // The dynamic linker searches a path without slash elsewhere.
        let path = path::absolute(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        elf::check(&path)?;
        let handle = Handle::load(&path).map_err(|reason| Error::Load {
            path: path.clone(),
            reason,
        })?;
        Self::identify(handle, path)
    }

    /// Checks that a library is an nDPI that this crate supports, and finds its functions.
    #[allow(unsafe_code, reason = "the functions of a library have no types")]
    fn identify(handle: Handle, path: PathBuf) -> Result<Arc<Self>, Error> {
        // SAFETY: all versions of nDPI have these functions with these types. They are only called
        // while `handle` is alive.
        let identity = unsafe { Identity::find(&handle) };
        let Ok(identity) = identity else {
            return Err(Error::NotNdpi { path });
        };
        let path = match path.is_absolute() {
            true => path,
            false => handle
                .path_of(identity.revision as *const c_void)
                .unwrap_or(path),
        };
        let version = identity.revision();
        if !is_release(&version, "4.2") {
            return Err(Error::Version { path, version });
        }
        let (api_version, flow_size) = (identity.api_version(), identity.flow_size());
        let checks = [
            (
                "API version",
                api_version.into(),
                v42::layout::API_VERSION.into(),
            ),
            ("size of a flow", flow_size, v42::layout::FLOW),
        ];
        for (what, found, expected) in checks {
            if found != expected {
                return Err(Error::Layout {
                    path,
                    version,
                    what,
                    found,
                    expected,
                });
            }
        }
        let missing = |symbol| Error::Symbol {
            path: path.clone(),
            symbol,
        };
        // SAFETY: the library has this version, and is kept below.
        let (common, functions) = unsafe {
            let common = Common::find(&handle).map_err(missing)?;
            (common, v42::Functions::find(&handle).map_err(missing)?)
        };
        handle.keep();
        let confidences = (0..v42::layout::CONFIDENCES)
            .map(|number| common.confidence_name(number))
            .collect();
        let api = Box::leak(Box::new(Api {
            common,
            version: Version::V42(functions),
            flow_size,
        }));
        Ok(Arc::new(Self {
            api,
            path,
            version,
            confidences,
        }))
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("path", &self.path)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Returns whether a version, for example `4.2.0-0-0000000`, belongs to a release, for example
/// `4.2`.
fn is_release(version: &str, release: &str) -> bool {
    let rest = version.strip_prefix(release);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart() {
        assert!(is_release("4.2.0-0-0000000", "4.2"));
        assert!(is_release("4.2", "4.2"));
        assert!(!is_release("4.20.1", "4.2"));
        assert!(!is_release("14.2", "4.2"));
    }
}
