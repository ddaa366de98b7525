//! What an instance of a compiled component costs the host, before any code of it runs.

use wasmtime_environ::component::{
    Component, ComponentArtifacts, GlobalInitializer, InstantiateModule, VMComponentOffsets,
};
use wasmtime_environ::object::{File, Object as _, ObjectSection as _};
use wasmtime_environ::{HostPtr, VMOffsets, obj};

/// Instances of nested components that a component may have. They can double with every level that they
/// nest, and the host keeps a table for each.
const MOST_COMPONENTS: u32 = 1_024;
/// Resource types of all nested components. All of WASI has about forty.
const MOST_RESOURCES: u32 = 4_096;
/// Bytes that describe a component in its image. The host makes some thirty times as much of them; those
/// of Python's interpreter have 0.6 MiB.
const MOST_DESCRIPTION: u64 = 8 << 20;

/// Bytes that the host keeps for an instance of a nested component: its table of handles.
const COMPONENT: usize = 128;
/// For a resource type.
const RESOURCE: usize = 64;
/// For an instance of a core module, besides its own context; the same for the component.
const INSTANCE: usize = 1_024;

/// What a compiled component costs the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostCost {
    /// Bytes of its machine code and data, which all instances share.
    pub(crate) image: usize,
    /// Bytes of an instance besides its memories and tables.
    pub(crate) instance: usize,
}

impl HostCost {
    /// That of an image. Only this library makes images: the plugin itself is not parsed here.
    ///
    /// # Errors
    ///
    /// It is more than any plugin may cost, and why.
    pub(crate) fn of(image: &[u8]) -> Result<Self, String> {
        let broken = || "its machine code has no description".to_owned();
        let file = File::parse(image).map_err(|_| broken())?;
        let section = file
            .section_by_name(obj::ELF_WASMTIME_INFO)
            .ok_or_else(broken)?;
        at_most(
            "KiB of types, imports, exports and instances",
            section.size() >> 10,
            MOST_DESCRIPTION >> 10,
        )?;
        let description = section.data().map_err(|_| broken())?;
        let artifacts: ComponentArtifacts =
            postcard::from_bytes(description).map_err(|_| broken())?;
        let component = &artifacts.info.component;
        at_most(
            "instances of nested components",
            component.num_runtime_component_instances.into(),
            MOST_COMPONENTS.into(),
        )?;
        at_most(
            "resource types in nested components",
            component.num_resources.into(),
            MOST_RESOURCES.into(),
        )?;
        Ok(Self {
            image: image.len(),
            instance: instance(component, &artifacts),
        })
    }
}

/// Bytes of an instance.
fn instance(component: &Component, artifacts: &ComponentArtifacts) -> usize {
    let context = VMComponentOffsets::new(HostPtr, component).size_of_vmctx() as usize;
    let cores = component.initializers.iter().map(|initializer| {
        match initializer {
            GlobalInitializer::InstantiateModule(InstantiateModule::Static(module, _), _) => {
                let module = &artifacts.static_modules[*module].module;
                INSTANCE + VMOffsets::new(HostPtr, module).size_of_vmctx() as usize
            }
            // Nothing gives a plugin modules to import.
            _ => 0,
        }
    });
    let tables = component.num_runtime_component_instances as usize * COMPONENT;
    let resources = component.num_resources as usize * RESOURCE;
    cores.fold(
        INSTANCE + context + tables + resources,
        usize::saturating_add,
    )
}

fn at_most(what: &str, count: u64, most: u64) -> Result<(), String> {
    match count > most {
        true => Err(format!(
            "it has {count} {what}; at most {most} are accepted"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::compile::in_process;

    /// A component with another one in it so many times, 2 to the power of `levels`.
    fn doubling(levels: u32, inside: &str) -> String {
        let mut text = format!("(component $c0 {inside})");
        for level in 1..=levels {
            let below = level - 1;
            text = format!(
                "(component $c{level} {text} (instance (instantiate $c{below})) \
                 (instance (instantiate $c{below})))"
            );
        }
        format!("(component {text} (instance (instantiate $c{levels})))")
    }

    fn cost(text: &str) -> Result<HostCost, String> {
        let image = in_process(wat::parse_str(text).unwrap()).unwrap();
        HostCost::of(image.bytes())
    }

    #[test]
    fn nested_components_that_double_are_counted_before_there_is_one() {
        let small = cost(&doubling(3, "")).unwrap();
        let larger = cost(&doubling(6, "")).unwrap();
        assert!(
            larger.instance >= small.instance + 100 * COMPONENT,
            "{larger:?}"
        );
        for levels in [10, 14] {
            let count = 2_u64.pow(levels + 1);
            let error = cost(&doubling(levels, "")).unwrap_err();
            let expected =
                format!("it has {count} instances of nested components; at most 1024 are accepted");
            assert_eq!(error, expected);
        }
        let resources: String = (0..10).map(|_| "(type (resource (rep i32)))").collect();
        let error = cost(&doubling(9, &resources)).unwrap_err();
        assert!(
            error.contains("resource types in nested components; at most 4096"),
            "{error}"
        );
    }

    #[test]
    fn what_modules_keep_in_the_host_is_counted() {
        let module = |globals: usize| {
            let globals = "(global (mut i64) (i64.const 0))".repeat(globals);
            format!(
                "(component (core module $m {globals}) (core instance (instantiate $m)) \
                 (core instance (instantiate $m)))"
            )
        };
        let few = cost(&module(10)).unwrap().instance;
        let many = cost(&module(10_010)).unwrap().instance;
        assert_eq!(many - few, 2 * 10_000 * 16);
    }

    #[test]
    fn what_is_no_image_has_no_cost() {
        for bytes in [&b""[..], b"\0asm", &[0; 4_096]] {
            assert_eq!(
                HostCost::of(bytes).unwrap_err(),
                "its machine code has no description"
            );
        }
    }
}
