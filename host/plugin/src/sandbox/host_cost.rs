//! The memory that the host needs for a compiled component, known before any code of it runs.

use wasmtime_environ::component::{
    Component, ComponentArtifacts, GlobalInitializer, InstantiateModule, VMComponentOffsets,
};
use wasmtime_environ::object::{File, Object as _, ObjectSection as _};
use wasmtime_environ::{HostPtr, VMOffsets, obj};

/// The maximum number of instances of nested components. Their number can double with every level of nesting,
/// and the host keeps a table for each.
const MAX_COMPONENTS: u32 = 1_024;
/// The maximum number of resource types of all nested components. All of WASI has about forty.
const MAX_RESOURCES: u32 = 4_096;
/// The maximum number of bytes that describe a component in its image. The host allocates about thirty times as
/// much for them. Python's interpreter has 0.6 MiB.
const MAX_DESCRIPTION: u64 = 8 << 20;

/// Bytes that the host allocates for an instance of a nested component: its handle table.
const COMPONENT_BYTES: usize = 128;
/// Bytes that the host allocates for a resource type.
const RESOURCE_BYTES: usize = 64;
/// Bytes that the host allocates for an instance of a core module, in addition to its context. The same holds
/// for the component.
const INSTANCE_BYTES: usize = 1_024;

/// The memory that the host needs for a compiled component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostCost {
    /// Bytes of its machine code and data, which all instances share.
    pub(crate) image: usize,
    /// Bytes of an instance without its memories and tables.
    pub(crate) instance: usize,
}

impl HostCost {
    /// Computes the cost of an image. Only this library creates images: nothing of the plugin itself is parsed
    /// here.
    ///
    /// # Errors
    ///
    /// The cost exceeds a limit. The text names it.
    pub(crate) fn of(image: &[u8]) -> Result<Self, String> {
        let broken = || "its machine code has no description".to_owned();
        let file = File::parse(image).map_err(|_| broken())?;
        let section = file
            .section_by_name(obj::ELF_WASMTIME_INFO)
            .ok_or_else(broken)?;
        check_count(
            "KiB of types, imports, exports and instances",
            section.size() >> 10,
            MAX_DESCRIPTION >> 10,
        )?;
        let description = section.data().map_err(|_| broken())?;
        let artifacts: ComponentArtifacts =
            postcard::from_bytes(description).map_err(|_| broken())?;
        let component = &artifacts.info.component;
        check_count(
            "instances of nested components",
            component.num_runtime_component_instances.into(),
            MAX_COMPONENTS.into(),
        )?;
        check_count(
            "resource types in nested components",
            component.num_resources.into(),
            MAX_RESOURCES.into(),
        )?;
        Ok(Self {
            image: image.len(),
            instance: instance(component, &artifacts),
        })
    }
}

/// Returns the bytes of an instance.
fn instance(component: &Component, artifacts: &ComponentArtifacts) -> usize {
    let context = VMComponentOffsets::new(HostPtr, component).size_of_vmctx() as usize;
    let cores = component.initializers.iter().map(|initializer| {
        match initializer {
            GlobalInitializer::InstantiateModule(InstantiateModule::Static(module, _), _) => {
                let module = &artifacts.static_modules[*module].module;
                INSTANCE_BYTES + VMOffsets::new(HostPtr, module).size_of_vmctx() as usize
            }
            // The host offers no modules to import.
            _ => 0,
        }
    });
    let tables = component.num_runtime_component_instances as usize * COMPONENT_BYTES;
    let resources = component.num_resources as usize * RESOURCE_BYTES;
    cores.fold(
        INSTANCE_BYTES + context + tables + resources,
        usize::saturating_add,
    )
}

fn check_count(what: &str, count: u64, max: u64) -> Result<(), String> {
    match count > max {
        true => Err(format!("it has {count} {what}; at most {max} are accepted")),
        false => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::load::compile::in_process;

    /// A component with 2 to the power of `levels` instances of another one.
    pub(crate) fn doubling(levels: u32, inside: &str) -> String {
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
    fn nested_components_are_counted_before_one_is_created() {
        let small = cost(&doubling(3, "")).unwrap();
        let larger = cost(&doubling(6, "")).unwrap();
        assert!(
            larger.instance >= small.instance + 100 * COMPONENT_BYTES,
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
    fn host_memory_of_modules_is_counted() {
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
    fn other_bytes_are_rejected() {
        for bytes in [&b""[..], b"\0asm", &[0; 4_096]] {
            assert_eq!(
                HostCost::of(bytes).unwrap_err(),
                "its machine code has no description"
            );
        }
    }
}
