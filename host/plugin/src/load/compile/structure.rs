//! Checks that a file is complete, and limits its nesting and its number of items, before other libraries parse it.
//!
//! The libraries that create and compile components recurse over the content of a file. Some of them abort the process if
//! the file is cut off. This check reads sections and types only. Its own recursion is at most `MAX_DEPTH` levels deep.

use wasmparser::{
    ComponentType, ComponentTypeDeclaration, CoreType, InstanceTypeDeclaration, Parser, Payload,
    SectionLimited,
};

/// The maximum nesting of modules, components and types. Ordinary tools nest four levels.
const MAX_DEPTH: u32 = 32;

/// The maximum number of types, imports, exports, aliases and instances. Python's interpreter with all of WASI
/// has some thousands.
const MAX_ITEMS: u64 = 100_000;

/// Checks a component or core module, and the component types in its custom sections.
///
/// # Errors
///
/// The file is not valid or exceeds a limit. The text may contain names that the file chose.
pub(crate) fn check(file: &[u8]) -> Result<(), String> {
    StructureCheck::default().file(file, 0)
}

#[derive(Default)]
struct StructureCheck {
    /// Items so far.
    items: u64,
}

impl StructureCheck {
    fn file(&mut self, file: &[u8], depth: u32) -> Result<(), String> {
        let mut inside = depth;
        for payload in Parser::new(0).parse_all(file) {
            match payload.map_err(text)? {
                Payload::Version { .. } => {
                    inside += 1;
                    check_depth(inside)?;
                }
                Payload::End(_) => inside -= 1,
                // The parser accepts a nested part that is cut off between two of its sections.
                Payload::ModuleSection {
                    unchecked_range, ..
                }
                | Payload::ComponentSection {
                    unchecked_range, ..
                } if unchecked_range.end > file.len() => {
                    return Err("unexpected end-of-file".to_owned());
                }
                Payload::ComponentTypeSection(types) => {
                    for ty in types {
                        self.component_type(&ty.map_err(text)?, inside)?;
                    }
                }
                Payload::CoreTypeSection(types) => {
                    for ty in types {
                        self.core_type(&ty.map_err(text)?, inside)?;
                    }
                }
                Payload::ComponentImportSection(section) => self.items(section)?,
                Payload::ComponentExportSection(section) => self.items(section)?,
                Payload::ComponentAliasSection(section) => self.items(section)?,
                Payload::ComponentInstanceSection(section) => self.items(section)?,
                Payload::ComponentCanonicalSection(section) => self.items(section)?,
                Payload::InstanceSection(section) => self.items(section)?,
                Payload::CustomSection(section) if section.name().starts_with(TYPE_SECTION) => {
                    self.file(section.data(), inside)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn component_type(&mut self, ty: &ComponentType<'_>, depth: u32) -> Result<(), String> {
        self.count(1)?;
        check_depth(depth)?;
        match ty {
            ComponentType::Component(declarations) => {
                declarations.iter().try_for_each(|declared| match declared {
                    ComponentTypeDeclaration::Type(ty) => self.component_type(ty, depth + 1),
                    ComponentTypeDeclaration::CoreType(ty) => self.core_type(ty, depth + 1),
                    _ => self.count(1),
                })
            }
            ComponentType::Instance(declarations) => {
                declarations.iter().try_for_each(|declared| match declared {
                    InstanceTypeDeclaration::Type(ty) => self.component_type(ty, depth + 1),
                    InstanceTypeDeclaration::CoreType(ty) => self.core_type(ty, depth + 1),
                    _ => self.count(1),
                })
            }
            _ => Ok(()),
        }
    }

    fn core_type(&mut self, ty: &CoreType<'_>, depth: u32) -> Result<(), String> {
        check_depth(depth)?;
        self.count(match ty {
            CoreType::Module(declarations) => declarations.len() as u64 + 1,
            CoreType::Rec(_) => 1,
        })
    }

    /// Counts the items of a section, and parses all of them.
    fn items<'a, T: wasmparser::FromReader<'a>>(
        &mut self,
        section: SectionLimited<'a, T>,
    ) -> Result<(), String> {
        self.count(section.count().into())?;
        section
            .into_iter()
            .try_for_each(|item| item.map(|_| ()).map_err(text))
    }

    fn count(&mut self, items: u64) -> Result<(), String> {
        self.items += items;
        match self.items > MAX_ITEMS {
            true => Err(format!(
                "it has more than {MAX_ITEMS} types, imports, exports, aliases and instances"
            )),
            false => Ok(()),
        }
    }
}

/// The start of the names of custom sections that contain a core module's component type.
const TYPE_SECTION: &str = "component-type";

fn check_depth(depth: u32) -> Result<(), String> {
    match depth > MAX_DEPTH {
        true => Err(format!("its types nest more than {MAX_DEPTH} times")),
        false => Ok(()),
    }
}

fn text(error: wasmparser::BinaryReaderError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, reason: &str) {
        assert_eq!(
            check(&wat::parse_str(text).unwrap()),
            Err(reason.to_owned())
        );
    }

    /// A component with `open` and `close`, nested `times` times.
    fn nested(open: &str, close: &str, times: u32) -> String {
        let times = times as usize;
        format!("(component {}{})", open.repeat(times), close.repeat(times))
    }

    #[test]
    fn deep_nesting_is_rejected() {
        for (open, close) in [
            ("(component ", ")"),
            ("(type (component ", "))"),
            ("(type (instance ", "))"),
        ] {
            check(&wat::parse_str(nested(open, close, MAX_DEPTH - 1)).unwrap()).unwrap();
            for times in [MAX_DEPTH + 1, 45] {
                refused(
                    &nested(open, close, times),
                    "its types nest more than 32 times",
                );
            }
        }
    }

    #[test]
    fn too_many_items_are_rejected() {
        // A component with `count` function types without parameters and results, in one section.
        let types = |count: u32| {
            let mut section = Vec::new();
            let mut rest = count;
            while rest >= 0x80 {
                section.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            section.push(rest as u8);
            section.extend([0x40, 0, 1, 0].repeat(count as usize));
            // The section's length in five bytes of seven bits.
            let mut len = section.len();
            let mut bytes = b"\0asm\x0d\0\x01\0\x07".to_vec();
            for _ in 0..4 {
                bytes.push(len as u8 | 0x80);
                len >>= 7;
            }
            bytes.push(len as u8);
            bytes.extend(section);
            bytes
        };
        assert_eq!(check(&types(100_000)), Ok(()));
        assert_eq!(
            check(&types(100_001)),
            Err("it has more than 100000 types, imports, exports, aliases and instances".into())
        );
    }

    #[test]
    fn component_types_in_custom_sections_are_checked() {
        let deep = wat::parse_str(nested("(type (component ", "))", 45)).unwrap();
        let mut section = b"\x0ecomponent-type".to_vec();
        section.extend(deep);
        // The section's length, in two bytes.
        let len = section.len();
        assert!((128..16_384).contains(&len), "{len}");
        let mut module = b"\0asm\x01\0\0\0\0".to_vec();
        module.extend([len as u8 | 0x80, (len >> 7) as u8]);
        module.extend(section);
        assert_eq!(
            check(&module),
            Err("its types nest more than 32 times".to_owned())
        );
    }

    #[test]
    fn a_cut_is_accepted_only_between_sections() {
        let whole = wat::parse_str(
            r#"(component
                (import "i" (instance (export "f" (func))))
                (core module (func))
                (type (instance (type (func)) (export "x" (func (type 0))))))"#,
        )
        .unwrap();
        let mut ends = vec![8];
        while ends[ends.len() - 1] < whole.len() {
            // All sections are short.
            let start = ends[ends.len() - 1];
            ends.push(start + 2 + usize::from(whole[start + 1]));
        }
        let cuts: Vec<_> = (0..=whole.len())
            .filter(|&len| check(&whole[..len]).is_ok())
            .collect();
        assert_eq!(cuts, ends);
    }

    #[test]
    fn items_of_every_kind_are_counted_together() {
        let items = |text: &str| {
            let mut check = StructureCheck::default();
            check.file(&wat::parse_str(text).unwrap(), 0).unwrap();
            check.items
        };
        for (text, count) in [
            ("(component)", 0),
            ("(component (type (func)) (type (func)))", 2),
            // The type of the instance, the type and the export in it.
            (
                "(component (type (instance (type (func)) (export \"x\" (func (type 0))))))",
                3,
            ),
            (
                "(component (type (component (type (func)) (import \"x\" (func (type 0))))))",
                3,
            ),
            // A core module type counts its declarations too.
            (
                "(component (core type (module (import \"a\" \"b\" (func)))))",
                3,
            ),
            ("(component (core type (func)))", 1),
            ("(component (import \"a\" (func)))", 2),
            ("(component (component) (instance (instantiate 0)))", 1),
            (
                "(component (core module) (core instance (instantiate 0)))",
                1,
            ),
        ] {
            assert_eq!(items(text), count, "{text}");
        }
    }

    #[test]
    fn only_nesting_is_limited_and_not_the_number_of_parts() {
        for part in ["(component)", "(core module)", "(type (component))"] {
            let text = format!("(component {})", part.repeat(100));
            assert_eq!(check(&wat::parse_str(text).unwrap()), Ok(()), "{part}");
        }
    }

    #[test]
    fn types_count_for_the_nesting_as_components_do() {
        // The outermost component is the first level, and the core type the last.
        for (open, close) in [
            ("(component ", ")"),
            ("(type (component ", "))"),
            ("(type (instance ", "))"),
        ] {
            for (times, is_accepted) in [(MAX_DEPTH - 1, true), (MAX_DEPTH, false)] {
                let core = format!("{}(core type (func))", open.repeat(times as usize));
                let text = format!("(component {core}{})", close.repeat(times as usize));
                let checked = check(&wat::parse_str(text).unwrap());
                assert_eq!(checked.is_ok(), is_accepted, "{open} {times}");
            }
        }
    }
}
