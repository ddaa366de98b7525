//! The SDKs that the command contains, so that new plugins build without Flowloom's sources.
//!
//! The folder `sources` of this crate has symbolic links to the files. Cargo follows the links when it packages the
//! crate, so that the package contains the files. A folder with a `Cargo.toml` would not be packaged, so links to
//! manifests have the name `Cargo.toml.in`.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::exit::Failure;
use super::language::Language;

/// The folder of a plugin that holds its copy of the SDK.
pub(super) const FOLDER: &str = "flowloom-sdk";

/// A file of the SDK.
struct File {
    path: &'static str,
    bytes: &'static [u8],
}

/// Returns a file in `sources`.
macro_rules! source {
    ($path:expr) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/sources/", $path))
    };
}

macro_rules! files {
    ($($path:literal)*) => {
        &[$(File { path: $path, bytes: source!($path) }),*]
    };
}

macro_rules! manifests {
    ($($path:literal)*) => {
        &[$(File { path: $path, bytes: source!(concat!($path, ".in")) }),*]
    };
}

/// Files that every language needs.
const COMMON: &[File] = files![
    "LICENSE-APACHE"
    "LICENSE-MIT"
    "docs/schemas/flowloom-plugin.schema.json"
    "sdk/tools/env.sh"
    "sdk/tools/install.sh"
    "sdk/tools/package-lock.json"
    "sdk/tools/package.json"
    "sdk/tools/requirements.txt"
];

/// The contract, for every language but Rust. The first file names the package.
const CONTRACT: &[File] = files![
    "wit/worlds.wit"
    "wit/batch-feature.wit"
    "wit/feature.wit"
    "wit/log.wit"
    "wit/manifest.wit"
];

const RUST_MANIFESTS: &[File] = manifests![
    "sdk/rust/Cargo.toml"
    "sdk/rust/macros/Cargo.toml"
];

const RUST: &[File] = files![
    "sdk/rust/README.md"
    "sdk/rust/build.sh"
    "sdk/rust/macros/src/fields.rs"
    "sdk/rust/macros/src/lib.rs"
    "sdk/rust/macros/src/options.rs"
    "sdk/rust/macros/src/outputs.rs"
    "sdk/rust/macros/src/plugin.rs"
    "sdk/rust/macros/src/suggest.rs"
    "sdk/rust/macros/src/tables.rs"
    "sdk/rust/macros/src/target.rs"
    "sdk/rust/src/bindings.rs"
    "sdk/rust/src/chosen.rs"
    "sdk/rust/src/event.rs"
    "sdk/rust/src/export.rs"
    "sdk/rust/src/fields.rs"
    "sdk/rust/src/flows.rs"
    "sdk/rust/src/instance.rs"
    "sdk/rust/src/lib.rs"
    "sdk/rust/src/log.rs"
    "sdk/rust/src/options.rs"
    "sdk/rust/src/outputs.rs"
    "sdk/rust/src/plugin.rs"
    "sdk/rust/wit/batch-feature.wit"
    "sdk/rust/wit/feature.wit"
    "sdk/rust/wit/log.wit"
    "sdk/rust/wit/manifest.wit"
    "sdk/rust/wit/worlds.wit"
    "sdk/tools/rust.sh"
];

const C: &[File] = files![
    "sdk/c/README.md"
    "sdk/c/build.sh"
    "sdk/c/generated/dual_plugin.c"
    "sdk/c/generated/dual_plugin.h"
    "sdk/c/generated/dual_plugin_component_type.o"
    "sdk/c/include/flowloom.h"
    "sdk/c/src/batches.c"
    "sdk/c/src/events.c"
    "sdk/c/src/flows.c"
    "sdk/c/src/internal.h"
    "sdk/c/src/log.c"
    "sdk/c/src/mistakes.c"
    "sdk/c/src/open.c"
    "sdk/c/src/options.c"
    "sdk/c/src/outputs.c"
    "sdk/c/src/stdio.c"
];

const ZIG: &[File] = files![
    "sdk/zig/README.md"
    "sdk/zig/build.sh"
    "sdk/zig/flowloom.zig"
    "sdk/zig/program.zig"
];

const JAVASCRIPT: &[File] = files![
    "sdk/javascript/README.md"
    "sdk/javascript/build.sh"
    "sdk/javascript/flowloom/batch.js"
    "sdk/javascript/flowloom/component.js"
    "sdk/javascript/flowloom/console.js"
    "sdk/javascript/flowloom/errors.js"
    "sdk/javascript/flowloom/fields.d.ts"
    "sdk/javascript/flowloom/fields.js"
    "sdk/javascript/flowloom/index.d.ts"
    "sdk/javascript/flowloom/index.js"
    "sdk/javascript/flowloom/manifest.js"
    "sdk/javascript/flowloom/names.js"
    "sdk/javascript/flowloom/no_clock.js"
    "sdk/javascript/flowloom/options.js"
    "sdk/javascript/flowloom/outputs.js"
    "sdk/javascript/flowloom/package.json"
    "sdk/javascript/flowloom/plugin.js"
    "sdk/javascript/flowloom/rows.js"
    "sdk/javascript/flowloom/testing.d.ts"
    "sdk/javascript/flowloom/testing.js"
    "sdk/javascript/flowloom/utf8.js"
    "sdk/javascript/strip_types.mjs"
];

const PYTHON: &[File] = files![
    "sdk/python/README.md"
    "sdk/python/build.sh"
    "sdk/python/build_errors.py"
    "sdk/python/flowloom/__init__.py"
    "sdk/python/flowloom/__init__.pyi"
    "sdk/python/flowloom/checks.py"
    "sdk/python/flowloom/checks.pyi"
    "sdk/python/flowloom/component.py"
    "sdk/python/flowloom/fields.py"
    "sdk/python/flowloom/log.py"
    "sdk/python/flowloom/log.pyi"
    "sdk/python/flowloom/options.py"
    "sdk/python/flowloom/options.pyi"
    "sdk/python/flowloom/outputs.py"
    "sdk/python/flowloom/outputs.pyi"
    "sdk/python/flowloom/plugin.py"
    "sdk/python/flowloom/plugin.pyi"
    "sdk/python/flowloom/py.typed"
    "sdk/python/flowloom/report.py"
    "sdk/python/flowloom/row_types.py"
    "sdk/python/flowloom/row_types.pyi"
    "sdk/python/flowloom/rows.py"
    "sdk/python/join_stubs.py"
];

const GO: &[File] = files![
    "sdk/go/README.md"
    "sdk/go/abi.go"
    "sdk/go/abi_other.go"
    "sdk/go/build.sh"
    "sdk/go/event.go"
    "sdk/go/go.mod"
    "sdk/go/level.go"
    "sdk/go/mistakes.go"
    "sdk/go/options.go"
    "sdk/go/outputs.go"
    "sdk/go/plugin.go"
    "sdk/go/row.go"
    "sdk/go/stdio.go"
    "sdk/go/wasi.wat"
    "sdk/c/generated/dual_plugin_component_type.o"
];

fn files(language: Language) -> impl Iterator<Item = &'static File> {
    let of_language: &[&[File]] = match language {
        Language::Rust => &[RUST_MANIFESTS, RUST],
        Language::C => &[CONTRACT, C],
        Language::Zig => &[CONTRACT, ZIG, C],
        Language::JavaScript | Language::TypeScript => &[CONTRACT, JAVASCRIPT],
        Language::Python => &[CONTRACT, PYTHON],
        Language::Go => &[CONTRACT, GO],
        Language::Features => &[],
    };
    let common = if language.has_sdk() { COMMON } else { &[] };
    common.iter().chain(of_language.iter().copied().flatten())
}

/// Returns the names and contents of the contract's files.
pub(super) fn contract() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    CONTRACT.iter().map(|file| {
        let name = file.path.rsplit('/').next().unwrap_or(file.path);
        (name, file.bytes)
    })
}

/// Returns the contract as one document.
pub(super) fn contract_document() -> String {
    let files = contract().map(|(_, contents)| String::from_utf8_lossy(contents));
    files.collect::<Vec<_>>().join("\n")
}

/// Writes the SDK of a language and the contract into a folder.
pub(super) fn write_copy(folder: &Path, language: Language) -> Result<(), Failure> {
    for file in files(language) {
        write(&folder.join(file.path), file.bytes)?;
    }
    if language == Language::Rust {
        write(&folder.join("Cargo.toml"), workspace()?.as_bytes())?;
    }
    Ok(())
}

/// Returns the manifest of the workspace that the crates of the Rust SDK inherit from. It has the entries of
/// Flowloom's workspace that they use.
fn workspace() -> Result<String, Failure> {
    let manifest = |text: &str| {
        text.parse::<toml::Table>()
            .map_err(|error| Failure::failed(format_args!("the SDK's own manifest: {error}")))
    };
    let mut ours = manifest(&String::from_utf8_lossy(source!("Cargo.toml.in")))?;
    let mut used = Vec::new();
    for file in RUST_MANIFESTS {
        let of_crate = manifest(&String::from_utf8_lossy(file.bytes))?;
        for section in ["dependencies", "dev-dependencies"] {
            if let Some(table) = of_crate.get(section).and_then(toml::Value::as_table) {
                used.extend(table.keys().cloned());
            }
        }
    }
    let mut workspace = match ours.remove("workspace") {
        Some(toml::Value::Table(workspace)) => workspace,
        _ => toml::Table::new(),
    };
    workspace.retain(|key, _| matches!(key, "dependencies" | "lints" | "package" | "resolver"));
    if let Some(toml::Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        dependencies.retain(|name, _| used.iter().any(|used| used == name));
    }
    workspace.insert("members".into(), vec!["sdk/rust", "sdk/rust/macros"].into());
    let mut contents = toml::Table::new();
    contents.insert("workspace".into(), workspace.into());
    Ok(contents.to_string())
}

/// Returns the folder of Flowloom's sources that `--sdk` names.
pub(super) fn of_sources(folder: &Path) -> Result<PathBuf, Failure> {
    let found = fs::canonicalize(folder)
        .ok()
        .filter(|found| found.join("sdk").is_dir() && found.join("wit").is_dir());
    found.ok_or_else(|| {
        Failure::usage(format_args!(
            "--sdk {}: the folder has no sdk and wit of Flowloom",
            folder.display()
        ))
    })
}

/// Writes a file and creates its folder. Scripts become executable.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, bytes)?;
        #[cfg(unix)]
        if path.extension().is_some_and(|extension| extension == "sh") {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    };
    write().map_err(|error: std::io::Error| {
        Failure::failed(format_args!("cannot write {}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Collects the files below a folder of the sources that the author of a plugin needs.
    fn needed(root: &Path, below: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(root.join(below)).expect("a folder of the sources") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy();
            let path = format!("{below}/{name}");
            match name.as_ref() {
                "examples" | "tests" | "__pycache__" => {}
                // Only authors of the SDKs need these.
                "bindings" => {}
                // The copy has them once.
                "LICENSE-APACHE" | "LICENSE-MIT" => {}
                _ if root.join(&path).is_dir() => needed(root, &path, found),
                _ => _ = found.insert(path),
            }
        }
    }

    #[test]
    fn every_file_of_the_sdks_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut wanted = BTreeSet::new();
        needed(&root, "sdk", &mut wanted);
        needed(&root, "wit", &mut wanted);
        for other in [
            "sdk/README.md",
            "sdk/build.sh",
            "sdk/c/generated/README.md",
            "sdk/rust/macros/README.md",
            "sdk/tools/fields.py",
            "sdk/tools/reference.py",
        ] {
            assert!(wanted.remove(other), "{other} is gone");
        }
        // Editors check `flowloom-plugin.toml` with it.
        wanted.insert("docs/schemas/flowloom-plugin.schema.json".to_owned());
        let all = [
            COMMON,
            CONTRACT,
            RUST_MANIFESTS,
            RUST,
            C,
            ZIG,
            JAVASCRIPT,
            PYTHON,
            GO,
        ];
        let carried: BTreeSet<_> = all
            .into_iter()
            .flatten()
            .map(|file| file.path.to_owned())
            .filter(|path| !path.starts_with("LICENSE"))
            .collect();
        assert_eq!(carried, wanted);
    }

    #[test]
    fn the_workspace_has_what_the_crates_inherit() {
        let text = workspace().expect("our manifest is read");
        let workspace = text.parse::<toml::Table>().expect("it is TOML");
        let dependencies = workspace["workspace"]["dependencies"]
            .as_table()
            .expect("a table");
        let names: Vec<_> = dependencies.keys().map(String::as_str).collect();
        let expected = [
            "flowloom-sdk-macros",
            "proc-macro2",
            "proptest",
            "quote",
            "syn",
            "trybuild",
            "wit-bindgen",
        ];
        assert_eq!(names, expected);
    }
}
