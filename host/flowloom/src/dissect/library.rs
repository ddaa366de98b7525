//! The nDPI that the dissectors of a run use.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use flowloom_plugin::{BoundedRead, check_owned_by_root, has_more_privileges, trusted_variable};
use ndpi_sys::{Choice, Custom, Error, Library, License, Module, Search};

use super::python::package_folders;
use super::{ApplicationName, DissectError, NdpiConfig, NdpiLibrary, NdpiLicense};

/// The environment variable with the library: `auto`, `none`, or a path.
const VARIABLE: &str = "FLOWLOOM_NDPI";

/// The maximum size of a list of protocols or categories in bytes. Those of nDPI are below 1 MiB.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// What determines a library: the choice, the folders, and the licence.
type Key = (Choice, Vec<PathBuf>, Option<License>);

/// The libraries that were loaded. They stay in memory, so that each is loaded once.
static LOADED: LazyLock<Mutex<HashMap<Key, Arc<Library>>>> = LazyLock::new(Mutex::default);

/// A loaded nDPI, or the reason why there is none.
///
/// A [`Streamer`](crate::Streamer) loads nDPI itself. Load it before if the program then gives up the access to the file:
/// see [`StreamerBuilder::loaded_ndpi`](crate::StreamerBuilder::loaded_ndpi).
#[derive(Clone, Debug)]
pub struct Ndpi {
    library: Result<Arc<Library>, Absence>,
    custom: Custom,
}

/// Why there is no library.
#[derive(Clone, Debug)]
enum Absence {
    /// None was asked for.
    Chosen,
    /// None was found.
    Missing(String),
}

impl Ndpi {
    /// Loads the nDPI of a configuration, unless that was done before. This runs code of the library.
    ///
    /// If no library is found, the result says [why](Self::missing).
    ///
    /// A program with more privileges than its caller ignores the environment variable `FLOWLOOM_NDPI`, and loads a file
    /// only if nobody but root can change it.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration names a file that is not a usable nDPI, or if one of its lists cannot be
    /// read.
    pub fn load(config: &NdpiConfig) -> Result<Self, DissectError> {
        Self::load_from(config, &package_folders())
    }

    /// Does the same as [`load`](Self::load), but searches NFStream in these folders of Python packages instead of those
    /// of the environment that this program is installed in.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`load`](Self::load).
    pub fn load_from(config: &NdpiConfig, folders: &[PathBuf]) -> Result<Self, DissectError> {
        for path in [&config.protocols, &config.categories]
            .into_iter()
            .flatten()
        {
            // nDPI opens the file itself. Therefore it is only checked here.
            let checked = BoundedRead::new(MAX_LIST_BYTES).check(path);
            checked.map_err(|error| DissectError::File {
                path: path.clone(),
                source: error.into(),
            })?;
        }
        let custom = Custom {
            protocols: config.protocols.clone(),
            categories: config.categories.clone(),
        };
        let library = match open(config, folders) {
            Ok(Some(library)) => Ok(library),
            Ok(None) => Err(Absence::Chosen),
            Err(error @ Error::NotFound(_)) => Err(Absence::Missing(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { library, custom })
    }

    /// Returns the version of the library with its commit, for example `4.2.0` or `5.0.0-1-375f99e`, or `None` if there
    /// is no library.
    pub fn version(&self) -> Option<&str> {
        self.library.as_ref().ok().map(|library| library.version())
    }

    /// Returns the path of the library, or `None` if there is none.
    pub fn path(&self) -> Option<&Path> {
        self.library.as_ref().ok().map(|library| library.path())
    }

    /// Returns what was searched without success, and what to install, or `None` if there is a library or none was asked
    /// for.
    pub fn missing(&self) -> Option<&str> {
        match &self.library {
            Err(Absence::Missing(reason)) => Some(reason),
            Err(Absence::Chosen) | Ok(_) => None,
        }
    }

    /// Returns the applications that nDPI can find, with additional protocols if the configuration has some.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no library, or if nDPI does not start.
    pub fn applications(&self) -> Result<Vec<ApplicationName>, DissectError> {
        let module = self.module()?;
        let named = module.applications().map(|protocol| ApplicationName {
            name: module.protocol_name(protocol),
            category: module.category_name(protocol.category),
        });
        Ok(named.collect())
    }

    /// Returns the names of the risks that nDPI can see in a flow.
    pub fn risks(&self) -> &[String] {
        match &self.library {
            // The first one stands for no risk.
            Ok(library) => library.risks().get(1..).unwrap_or_default(),
            Err(_) => &[],
        }
    }

    /// Creates nDPI's state of a meter.
    pub(super) fn module(&self) -> Result<Module, DissectError> {
        let reason = match &self.library {
            Ok(library) => return Ok(Module::new(library, &self.custom)?),
            Err(Absence::Missing(reason)) => reason,
            Err(Absence::Chosen) => "nDPI is switched off",
        };
        Err(DissectError::Library(format!(
            "{reason}; or set n_dissections to 0, so that flows have no application columns"
        )))
    }
}

/// Opens a library, unless it is open already.
fn open(config: &NdpiConfig, folders: &[PathBuf]) -> Result<Option<Arc<Library>>, Error> {
    let choice = choice(config.library.as_ref(), || trusted_variable(VARIABLE));
    let license = config.license.map(License::from);
    let key = (choice, folders.to_owned(), license);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = loaded.get(&key) {
        return Ok(Some(library.clone()));
    }
    let search = Search {
        folders: folders.to_owned(),
        license,
        check: has_more_privileges().then_some(check_owned_by_root),
    };
    let library = Library::open(&key.0, &search)?;
    if let Some(library) = &library {
        loaded.insert(key, library.clone());
    }
    Ok(library)
}

/// Returns the library of the configuration, or else that of the environment variable.
fn choice(configured: Option<&NdpiLibrary>, variable: impl FnOnce() -> Option<OsString>) -> Choice {
    let library = match configured {
        Some(library) => library.clone(),
        None => variable().map_or(NdpiLibrary::Auto, |value| PathBuf::from(value).into()),
    };
    match library {
        NdpiLibrary::Auto => Choice::Auto,
        NdpiLibrary::None => Choice::None,
        NdpiLibrary::File(path) => Choice::Path(path),
    }
}

impl From<NdpiLicense> for License {
    fn from(license: NdpiLicense) -> Self {
        match license {
            NdpiLicense::Lgpl => Self::Lgpl,
            NdpiLicense::NonCommercial => Self::NonCommercial,
            NdpiLicense::Commercial => Self::Commercial,
        }
    }
}

impl From<Error> for DissectError {
    fn from(error: Error) -> Self {
        match error {
            Error::File { path, source } => Self::File { path, source },
            error => Self::Library(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_comes_before_the_environment() {
        let choice = |configured: Option<&str>, variable: Option<&str>| {
            let configured = configured.map(NdpiLibrary::from);
            choice(configured.as_ref(), || variable.map(OsString::from))
        };
        assert_eq!(choice(None, None), Choice::Auto);
        assert_eq!(choice(None, Some("auto")), Choice::Auto);
        assert_eq!(choice(None, Some("none")), Choice::None);
        let path = Choice::Path("./libndpi.so".into());
        assert_eq!(choice(None, Some("./libndpi.so")), path);
        assert_eq!(choice(Some("./libndpi.so"), Some("none")), path);
        assert_eq!(choice(Some("auto"), Some("none")), Choice::Auto);
    }

    #[test]
    fn a_library_is_loaded_once() {
        let config = NdpiConfig::default();
        let [first, second] = [(); 2].map(|()| Ndpi::load(&config).expect("it is installed"));
        let (Ok(first), Ok(second)) = (first.library, second.library) else {
            panic!("nDPI is not installed");
        };
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn the_absence_of_a_library_has_a_reason() {
        let none = NdpiConfig {
            library: Some(NdpiLibrary::None),
            ..NdpiConfig::default()
        };
        let none = Ndpi::load(&none).expect("nothing is loaded");
        assert_eq!((none.version(), none.path()), (None, None));
        assert_eq!(none.missing(), None);
        let error = none.module().expect_err("there is no library");
        assert!(error.to_string().starts_with("nDPI is switched off"));
        let file = NdpiConfig {
            library: Some("/nonexistent/libndpi.so".into()),
            ..NdpiConfig::default()
        };
        let error = Ndpi::load(&file).expect_err("there is no such file");
        assert!(
            error.to_string().contains("/nonexistent/libndpi.so"),
            "{error}"
        );
    }
}
