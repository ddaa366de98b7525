//! The functions of a plugin that were active when a call into it failed.

use std::fmt;

use wasmtime::WasmBacktrace;

use crate::escape::escaped;

/// The names of a plugin's active functions, the innermost first. They come from the component, if it has names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallStack(Vec<Frame>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    name: String,
    /// How many times in a row the function is active.
    calls: usize,
}

/// The maximum number of different functions.
const MAX_FRAMES: usize = 6;
/// The maximum number of characters of a name.
const MAX_CHARS: usize = 80;

impl CallStack {
    /// Returns the stack of an error of the engine. It is empty if the error is not from a call.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
            return Self::default();
        };
        let frames = backtrace.frames().iter();
        Self::new(frames.map(|frame| (frame.func_name(), frame.func_index())))
    }

    /// Returns the stack of functions with these names and numbers, the innermost first.
    fn new<'a>(functions: impl Iterator<Item = (Option<&'a str>, u32)>) -> Self {
        let mut frames: Vec<Frame> = Vec::new();
        for (name, index) in functions {
            // The author knows the function that called the standard library.
            if frames.is_empty() && name.is_some_and(is_of_standard_library) {
                continue;
            }
            // Calls of the contract's functions are in every stack.
            if !frames.is_empty() && name.is_some_and(is_of_contract) {
                continue;
            }
            let name = match name {
                Some(name) => readable(name),
                None => format!("function {index}"),
            };
            let len = frames.len();
            match frames.last_mut() {
                Some(last) if last.name == name => last.calls += 1,
                _ if len == MAX_FRAMES => break,
                _ => frames.push(Frame { name, calls: 1 }),
            }
        }
        Self(frames)
    }
}

/// Returns whether a function belongs to Rust's standard library, such as those that end a plugin without memory.
fn is_of_standard_library(name: &str) -> bool {
    let start = &name[..name.floor_char_boundary(16 * MAX_CHARS)];
    let name = format!("{:#}", rustc_demangle::demangle(start));
    let name = name.trim_start_matches('<');
    ["std::", "core::", "alloc::", "__rustc::", "dlmalloc::"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// Returns whether a function is an export of the contract, or was generated for it.
fn is_of_contract(name: &str) -> bool {
    // The names of Rust, C and Zig.
    name.starts_with("flowloom:plugin/")
        || name.contains("7exports8flowloom6plugin")
        || name.contains("exports_flowloom_plugin_")
}

/// Returns a name as the author wrote it, on one line of limited length.
fn readable(name: &str) -> String {
    // A plugin chose the name. Names of generic functions can be long.
    let start: String = name.chars().take(16 * MAX_CHARS).collect();
    // `{:#}` omits the hash at the end.
    let name = escaped(&format!("{:#}", rustc_demangle::demangle(&start)));
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// Writes the stack as the end of a sentence: ` in share, called from average, update`. Writes nothing if it is empty.
impl fmt::Display for CallStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, frame) in self.0.iter().enumerate() {
            f.write_str(match n {
                0 => " in ",
                1 => ", called from ",
                _ => ", ",
            })?;
            f.write_str(&frame.name)?;
            if frame.calls > 1 {
                write!(f, " ({} times)", frame.calls)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(names: &[Option<&str>]) -> String {
        CallStack::new(names.iter().map(|name| (*name, 7))).to_string()
    }

    #[test]
    fn functions_are_named_from_the_innermost() {
        assert_eq!(text(&[]), "");
        assert_eq!(text(&[Some("share")]), " in share");
        assert_eq!(
            text(&[
                Some("_ZN4evil5count17h0123456789abcdefE"),
                None,
                Some("update")
            ]),
            " in evil::count, called from function 7, update"
        );
        let panic = "_ZN4core9panicking5panic17h0123456789abcdefE";
        assert_eq!(text(&[Some(panic), Some("update")]), " in update");
        let mut deep = vec![Some("depth"); 18];
        deep.push(Some("update"));
        assert_eq!(text(&deep), " in depth (18 times), called from update");
        assert_eq!(
            text(&[
                Some("share"),
                Some("_ZN4evil8bindings7exports8flowloom6plugin7feature5Guest17h0123456789abcdefE"),
                Some("__wasm_export_exports_flowloom_plugin_feature_init"),
                Some("flowloom:plugin/feature@0.1.0#init")
            ]),
            " in share"
        );
        assert_eq!(text(&[Some("flowloom:plugin/x")]), " in flowloom:plugin/x");
        let many = ["a", "b", "c", "d", "e", "f", "g"].map(Some);
        assert_eq!(text(&many), " in a, called from b, c, d, e, f");
    }

    #[test]
    fn names_are_escaped_and_bounded() {
        assert_eq!(text(&[Some("a\u{1b}[2J\nb")]), " in a\\u{1b}[2J\\u{a}b");
        let long = "x".repeat(10_000_000);
        assert_eq!(text(&[Some(&long)]), format!(" in {}…", "x".repeat(80)));
        // A name that expands when it is demangled or escaped is bounded too.
        let text = text(&[Some(&"\u{1b}".repeat(10_000))]);
        assert!(text.chars().count() <= 85, "{text}");
    }
}
