//! Search, loading and identification of the library.

use std::ffi::c_void;
use std::fmt;
use std::iter;
use std::ops::RangeInclusive;
use std::path::{self, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::common::{Common, Identity};
use crate::handle::Handle;
use crate::{CONFIDENCES, Error, elf, v42, v50};

/// The versions that this crate supports, for messages.
pub(crate) const SUPPORTED: &str = "4.2 or 5.0";
/// The names of the system's libraries.
const NAME_4_2: &str = "libndpi.so.4.2";
const NAME_5: &str = "libndpi.so.5";
/// The extension of NFStream that contains nDPI.
const ENGINE: &str = "_lib_engine.abi3.so";

/// The functions of all libraries that were loaded. Flows refer to them without counting.
static KEPT: Mutex<Vec<&'static Api>> = Mutex::new(Vec::new());

/// Which library to load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The first usable library of these: the system's `libndpi.so.5`, NFStream's nDPI, the system's
    /// `libndpi.so.4.2`. See [`Search`].
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
    risks: Vec<String>,
}

/// The functions of a loaded library.
pub(crate) struct Api {
    pub(crate) common: Common,
    pub(crate) version: Version,
    /// The size of `struct ndpi_flow_struct` in bytes.
    pub(crate) flow_size: usize,
    /// Whether the layout of that structure is known. That of 4.2 always is.
    pub(crate) has_layout: bool,
}

/// The functions that differ between versions.
pub(crate) enum Version {
    V42(v42::Functions),
    V50(v50::Functions),
}

/// Where [`Choice::Auto`] searches, and what may be loaded.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Folders with Python packages. NFStream 6.6.0, if it is installed in one of them, contains
    /// nDPI 5.0.
    pub folders: Vec<PathBuf>,
    /// The licence that the operator has for nDPI 6. Without one, an nDPI 6 is refused because of
    /// its licence. With one, it is refused because this crate does not support it yet.
    pub license: Option<License>,
    /// Checks a file before it is loaded. The libraries that the dynamic linker finds by their names
    /// are not checked.
    pub check: Option<Check>,
}

/// Returns the path to load for a path, or why the file must not be loaded.
pub type Check = fn(&Path) -> Result<PathBuf, String>;

/// A licence for nDPI 6, whose dissectors for TLS, QUIC and DNS are not free for all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum License {
    /// The LGPL, without those dissectors.
    Lgpl,
    /// The use is not commercial.
    NonCommercial,
    /// The operator has bought a licence.
    Commercial,
}

impl Library {
    /// Loads nDPI, or returns `None` for [`Choice::None`]. This runs code of the file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be loaded, or is not an nDPI that this crate supports.
    /// For [`Choice::Auto`]: if no file is found that can be used.
    pub fn open(choice: &Choice, search: &Search) -> Result<Option<Arc<Self>>, Error> {
        match choice {
            Choice::None => Ok(None),
            Choice::Path(path) => Self::open_file(path, search).map(Some),
            Choice::Auto => Self::search(search).map(Some),
        }
    }

    /// Returns the version with the commit, for example `4.2.0` or `5.0.0-1-375f99e`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the path of the library.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the names of the confidence values, as this version numbers them.
    pub fn confidences(&self) -> &[String] {
        &self.confidences
    }

    /// Returns the names of the risks, indexed by their numbers. The name of 0, which is no risk, is
    /// empty.
    pub fn risks(&self) -> &[String] {
        &self.risks
    }

    /// Returns the size of a flow's state in bytes, without the texts that it points to.
    pub fn flow_size(&self) -> usize {
        self.api.flow_size
    }

    pub(crate) fn api(&self) -> &'static Api {
        self.api
    }

    /// Converts a confidence value of this version to an index of [`CONFIDENCES`], by its name.
    pub(crate) fn stable_confidence(&self, native: u8) -> u8 {
        let name = self.confidences.get(usize::from(native));
        let found = name.and_then(|name| CONFIDENCES.iter().position(|known| known == name));
        found.unwrap_or_default() as u8
    }

    /// Returns the risks of this version as bits.
    pub(crate) fn known_risks(&self) -> u64 {
        // The bit 0 is no risk.
        (1 << self.risks.len()) - 2
    }

    fn search(search: &Search) -> Result<Arc<Self>, Error> {
        let system = |name| Self::open_system(name, search.license);
        let wheels = search.folders.iter().map(|folder| folder.join(ENGINE));
        let wheels = wheels.filter(|path| path.exists());
        let wheels = wheels.map(|path| Self::open_file(&path, search));
        let newer = iter::once_with(|| system(NAME_5)).flatten().chain(wheels);
        let old = iter::once_with(|| system(NAME_4_2)).flatten();
        Self::first(newer.chain(old))
    }

    /// Returns the first library that can be used. Those after it are not loaded.
    fn first(opened: impl Iterator<Item = Result<Arc<Self>, Error>>) -> Result<Arc<Self>, Error> {
        let mut refused = Vec::new();
        for library in opened {
            match library {
                Ok(library) => return Ok(library),
                Err(error) => refused.push(error),
            }
        }
        Err(Error::NotFound(refused))
    }

    /// Opens a library of the system by its name, or returns `None` if there is none.
    fn open_system(name: &str, license: Option<License>) -> Option<Result<Arc<Self>, Error>> {
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
        Some(Self::identify(handle, name.into(), license))
    }

    fn open_file(path: &Path, search: &Search) -> Result<Arc<Self>, Error> {
        // The dynamic linker searches a path without slash elsewhere.
        let mut path = path::absolute(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        if let Some(check) = search.check {
            path = check(&path).map_err(|reason| Error::Forbidden { path, reason })?;
        }
        elf::check(&path)?;
        let loaded = match Handle::load(&path) {
            // A Python extension.
            Err(reason) if reason.contains("undefined symbol") => Handle::load_extension(&path),
            loaded => loaded,
        };
        let handle = loaded.map_err(|reason| Error::Load {
            path: path.clone(),
            reason,
        })?;
        Self::identify(handle, path, search.license)
    }

    /// Checks that a library is an nDPI that this crate supports, and finds its functions.
    #[allow(unsafe_code, reason = "the functions of a library have no types")]
    fn identify(
        handle: Handle,
        path: PathBuf,
        license: Option<License>,
    ) -> Result<Arc<Self>, Error> {
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
        let release = match &version {
            version if is_release(version, "4.2") => Release::V42,
            version if is_release(version, "5.0") => Release::V50,
            licensed if is_release(licensed, "6") && license.is_none() => {
                return Err(Error::License { path, version });
            }
            _ => return Err(Error::Version { path, version }),
        };
        let flow_size = identity.flow_size();
        let expected = release.expected();
        let api_version = usize::from(expected.api_version);
        for (what, found, expected) in [
            (
                "API version",
                identity.api_version().into(),
                api_version..=api_version,
            ),
            ("size of a flow", flow_size, expected.flow_sizes),
        ] {
            if !expected.contains(&found) {
                return Err(Error::Layout {
                    path,
                    version,
                    what,
                    found,
                    expected,
                });
            }
        }
        let handle = match release {
            Release::V42 => handle,
            // From here on, the functions in `identity` are gone.
            Release::V50 => handle.reload_apart(&path).map_err(|reason| Error::Load {
                path: path.clone(),
                reason,
            })?,
        };
        let missing = |symbol| Error::Symbol {
            path: path.clone(),
            symbol,
        };
        // SAFETY: the library has this version, and is kept below.
        let (common, functions) = unsafe {
            let common = Common::find(&handle).map_err(missing)?;
            let functions = match release {
                Release::V42 => Version::V42(v42::Functions::find(&handle).map_err(missing)?),
                Release::V50 => Version::V50(v50::Functions::find(&handle).map_err(missing)?),
            };
            (common, functions)
        };
        handle.keep();
        let confidences = (0..expected.confidences)
            .map(|number| common.confidence_name(number))
            .collect();
        let risks = (1..expected.risks).map(|number| common.risk_name(number));
        let risks = iter::once(String::new()).chain(risks).collect();
        let api: &Api = Box::leak(Box::new(Api {
            common,
            version: functions,
            flow_size,
            has_layout: match release {
                Release::V42 => true,
                Release::V50 => {
                    is_release(&version, v50::layout::RELEASE) && flow_size == v50::layout::FLOW
                }
            },
        }));
        KEPT.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(api);
        Ok(Arc::new(Self {
            api,
            path,
            version,
            confidences,
            risks,
        }))
    }
}

/// A supported release.
#[derive(Clone, Copy)]
enum Release {
    V42,
    V50,
}

/// What a library of a release must have.
struct Expected {
    api_version: u16,
    /// The sizes of a flow in bytes.
    flow_sizes: RangeInclusive<usize>,
    /// The number of confidence values.
    confidences: u8,
    /// The number of risks, with 0.
    risks: u8,
}

impl Release {
    fn expected(self) -> Expected {
        match self {
            Self::V42 => Expected {
                api_version: v42::layout::API_VERSION,
                flow_sizes: v42::layout::FLOW..=v42::layout::FLOW,
                confidences: v42::layout::CONFIDENCES,
                risks: v42::layout::RISKS,
            },
            Self::V50 => Expected {
                api_version: v50::API_VERSION,
                flow_sizes: v50::FLOW,
                confidences: v50::CONFIDENCES,
                risks: v50::RISKS,
            },
        }
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
    fn a_library_that_is_not_installed_is_no_error() {
        assert!(Library::open_system("libndpi.so.99", None).is_none());
    }

    #[test]
    fn releases_are_told_apart() {
        assert!(is_release("4.2.0-0-0000000", "4.2"));
        assert!(is_release("4.2", "4.2"));
        assert!(!is_release("4.20.1", "4.2"));
        assert!(!is_release("14.2", "4.2"));
        assert!(is_release("5.0.0-1-375f99e", "5.0"));
        assert!(is_release("6.0.0", "6"));
    }
}
