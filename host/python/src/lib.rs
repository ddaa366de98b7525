//! The native module of the Python package `flowloom`: runs, their flows, and Arrow streams.
//!
//! | module | contents |
//! |---|---|
//! | `run` | the class `Run`: a run, as an iterator of flows, as an Arrow stream, or into a file |
//! | `callbacks`, `packet` | plugins that are Python classes, and what they see |
//! | `nfstream` | runs with the interface of NFStream |
//! | `flow` | the classes `Flow` and `Udps`: the values of one flow |
//! | `settings` | the arguments of a run |
//! | `summary` | the counters of a run as a Python dictionary |
//! | `log` | messages of the library for Python's `logging` |
//! | `error` | exceptions |
//!
//! The package itself is in `host/python/flowloom`. It has the functions and classes that users see.

mod callbacks;
mod error;
mod flow;
mod log;
mod nfstream;
mod packet;
mod run;
mod settings;
mod summary;

use pyo3::prelude::*;

#[pymodule]
mod _flowloom {
    use std::path::PathBuf;

    use flowloom::capture::Interface;

    use super::error::{Class, exception};
    use super::{Bound, PyModule, PyModuleMethods as _, PyResult, Python, log, pyfunction};

    #[pymodule_export]
    use super::flow::{Flow, Udps};
    #[pymodule_export]
    use super::nfstream::{NFPacket, NFlow};
    #[pymodule_export]
    use super::packet::{Fields, Packet};
    #[pymodule_export]
    use super::run::Run;
    #[pymodule_export]
    use super::settings::{available, plan};

    /// Returns the parameters of a run with their defaults, as JSON.
    #[pyfunction]
    fn defaults() -> String {
        serde_json::json!(flowloom::RunConfig::default()).to_string()
    }

    /// Returns the versions of the libraries that are built in.
    #[pyfunction]
    fn versions() -> (String, String) {
        use flowloom::versions;
        (versions::WASMTIME.to_owned(), versions::libpcap())
    }

    /// Returns the names of the interfaces that can be metered.
    #[pyfunction]
    fn interfaces(py: Python<'_>) -> PyResult<Vec<String>> {
        let listed = py.detach(Interface::all);
        let listed = listed.map_err(|error| exception(py, Class::Capture, error))?;
        Ok(listed.into_iter().map(|interface| interface.name).collect())
    }

    /// Returns the name of a source without the secrets that a URL may contain.
    #[pyfunction]
    fn public_name(name: PathBuf) -> PathBuf {
        flowloom::public_name(&name).into_owned()
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        log::start();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
