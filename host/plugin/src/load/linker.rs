//! Links components with the functions that the host provides, and checks their imports and exports.

use std::borrow::Cow;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};

use super::compile::{CompileError, CompiledModule};
use crate::contract::{batch_feature, feature, log};
use crate::error::LoadErrorKind;
use crate::sandbox::engine_config::engine;
use crate::sandbox::host_cost::HostCost;
use crate::sandbox::host_state::HostState;
use crate::sandbox::instance::Exports;
use crate::sandbox::log::Log;
use crate::sandbox::wasi;

/// The engine, and the functions that plugins may import.
#[derive(Clone)]
pub(crate) struct HostLinker {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<HostState>,
}

/// A compiled component that matches the contract, linked and ready to be instantiated.
pub(crate) struct LinkedPlugin {
    pub(crate) component: InstancePre<HostState>,
    pub(crate) exports: Exports,
    /// The memory that the host needs for it.
    pub(crate) cost: HostCost,
}

impl HostLinker {
    pub(crate) fn new() -> wasmtime::Result<Self> {
        let engine = engine()?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<_, HasLog>(&mut linker, HostState::log)?;
        Ok(Self { engine, linker })
    }

    /// Loads machine code.
    pub(crate) fn open(
        &self,
        image: &CompiledModule,
    ) -> Result<(Component, HostCost), CompileError> {
        // The compiling process has checked this too. It is checked before loading, because loading allocates
        // memory.
        let cost = HostCost::of(image.bytes()).map_err(CompileError::DoesNotCompile)?;
        // SAFETY: an image was created by an engine of this library, in a process of the same user, or in a
        // file that only this user can write.
        #[allow(
            unsafe_code,
            reason = "machine code from a trusted source is loaded without validation"
        )]
        let component = unsafe { Component::deserialize(&self.engine, image.bytes()) };
        match component {
            Ok(component) => Ok((component, cost)),
            Err(error) => Err(CompileError::DoesNotCompile(format!("{error:#}"))),
        }
    }
}

impl LinkedPlugin {
    /// Checks what a component imports and exports, and links it.
    pub(crate) fn new(
        component: &Component,
        cost: HostCost,
        host: &HostLinker,
    ) -> Result<Self, LoadErrorKind> {
        let engine = &host.engine;
        let ty = component.component_type();
        let mut linker = Cow::Borrowed(&host.linker);
        let mut functions = 0;
        let other_types = |error: wasmtime::Error| LoadErrorKind::OtherTypes {
            reason: format!("{error:#}"),
        };
        for (import, is) in ty.imports(engine) {
            check_import(import)?;
            if let ComponentItem::ComponentInstance(interface) = &is.ty
                && wasi::is_wasi(import)
            {
                functions += interface.exports(engine).len();
                if functions > wasi::MAX_ITEMS {
                    return Err(LoadErrorKind::OtherTypes {
                        reason: format!(
                            "it imports more than {} functions and types of wasi",
                            wasi::MAX_ITEMS
                        ),
                    });
                }
                wasi::define(linker.to_mut(), engine, import, interface).map_err(other_types)?;
            }
        }
        let exports: Vec<_> = ty
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        check_exports(&exports)?;
        let component = linker.instantiate_pre(component).map_err(other_types)?;
        let exports = |name| {
            let is = |(short, version)| short == name && is_supported(version);
            exports
                .iter()
                .any(|export| interface(export).is_some_and(is))
        };
        let exports = Exports {
            feature: exports("feature")
                .then(|| feature::GuestIndices::new(&component))
                .transpose()
                .map_err(other_types)?,
            batch: exports("batch-feature")
                .then(|| batch_feature::GuestIndices::new(&component))
                .transpose()
                .map_err(other_types)?,
        };
        Ok(Self {
            component,
            exports,
            cost,
        })
    }
}

/// Returns `feature` and `0.1.0` for `flowloom:plugin/feature@0.1.0`.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("flowloom:plugin/")?.split_once('@')
}

/// Returns whether the host supports a version of the contract: 0.1.x.
fn is_supported(version: &str) -> bool {
    version
        .strip_prefix("0.1.")
        .is_some_and(|patch| patch.bytes().all(|b| b.is_ascii_digit()))
}

fn check_import(name: &str) -> Result<(), LoadErrorKind> {
    match interface(name) {
        // It has types only, in every version. A component that uses them imports it, also a component that exports several
        // versions of the contract.
        Some(("manifest", _)) => Ok(()),
        Some((_, version)) if !is_supported(version) => Err(LoadErrorKind::OtherVersion {
            wanted: version.to_owned(),
        }),
        Some(("log", _)) => Ok(()),
        None if wasi::is_wasi(name) => Ok(()),
        _ => Err(LoadErrorKind::UnknownImport {
            import: name
                .chars()
                .take(200)
                .flat_map(char::escape_debug)
                .collect(),
        }),
    }
}

/// Other exports are ignored, because the tools of some languages add their own.
fn check_exports(names: &[String]) -> Result<(), LoadErrorKind> {
    let features = || {
        names
            .iter()
            .filter_map(|name| interface(name))
            .filter(|(name, _)| matches!(*name, "feature" | "batch-feature"))
    };
    if features().any(|(_, version)| is_supported(version)) {
        return Ok(());
    }
    Err(match features().next() {
        Some((_, version)) => LoadErrorKind::OtherVersion {
            wanted: version.to_owned(),
        },
        None => LoadErrorKind::NoExports,
    })
}

struct HasLog;

impl wasmtime::component::HasData for HasLog {
    type Data<'a> = &'a mut Log;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(result: Result<(), LoadErrorKind>) -> String {
        result
            .err()
            .map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn only_the_log_and_wasi_can_be_imported() {
        for import in [
            "flowloom:plugin/log@0.1.0",
            "flowloom:plugin/log@0.1.12",
            "flowloom:plugin/manifest@0.1.0",
            "flowloom:plugin/manifest@0.2.0",
            "wasi:io/poll@0.2.6",
        ] {
            assert_eq!(problem(check_import(import)), "", "{import}");
        }
        for import in [
            "env",
            "flowloom:plugin/feature@0.1.0",
            "wasi:io/poll@0.3.0",
            "a\nb",
        ] {
            let error = problem(check_import(import));
            let start = format!("imports '{}', which", import.escape_debug());
            assert!(error.starts_with(&start), "{error}");
        }
        for version in ["0.2.0", "1.1.0", "0.1", "0.1.x", "0.10.0"] {
            let error = problem(check_import(&format!("flowloom:plugin/log@{version}")));
            let start = format!("requires flowloom:plugin {version}; this");
            assert!(error.starts_with(&start), "{error}");
        }
        let long = problem(check_import(&"x".repeat(10_000)));
        assert!(long.len() < 400, "{long}");
    }

    #[test]
    fn a_plugin_exports_feature_or_batch_feature() {
        let check = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            problem(check_exports(&names))
        };
        let feature = "flowloom:plugin/feature@0.1.0";
        assert_eq!(check(&[feature]), "");
        assert_eq!(check(&["other", "flowloom:plugin/batch-feature@0.1.3"]), "");
        // A supported version is enough.
        assert_eq!(check(&["flowloom:plugin/feature@0.2.0", feature]), "");
        let other = check(&["flowloom:plugin/feature@0.2.0"]);
        assert!(
            other.starts_with("requires flowloom:plugin 0.2.0"),
            "{other}"
        );
        for names in [&[][..], &["feature"], &["flowloom:plugin/log@0.1.0"]] {
            let error = check(names);
            assert!(error.starts_with("exports neither "), "{error}");
        }
    }

    #[test]
    fn functions_of_wasi_are_limited() {
        let functions = |count: usize| {
            let exports: String = (0..count)
                .map(|n| format!("(export \"f{n}\" (func))"))
                .collect();
            // Two interfaces, whose functions add up.
            let text = format!(
                "(component (import \"wasi:a/a@0.2.0\" (instance {exports})) \
                 (import \"wasi:a/b@0.2.0\" (instance {exports})))"
            );
            let host = HostLinker::new().unwrap();
            let component = Component::new(&host.engine, wat::parse_str(text).unwrap()).unwrap();
            let cost = HostCost {
                image: 0,
                instance: 0,
            };
            problem(LinkedPlugin::new(&component, cost, &host).map(|_| ()))
        };
        let exports = functions(wasi::MAX_ITEMS / 2);
        assert!(exports.starts_with("exports neither "), "{exports}");
        let error = functions(wasi::MAX_ITEMS / 2 + 1);
        assert!(
            error.contains("more than 4096 functions and types of wasi"),
            "{error}"
        );
    }
}
