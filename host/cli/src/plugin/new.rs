//! `flowloom plugin new`

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::super::exit::{Exit, Failure};
use super::super::standard;
use super::language::Language;
use super::project::check_name;
use super::sdk;

const EXAMPLES: &str = "\
Examples:
  Create a plugin, build it and run its test:
    flowloom plugin new mine --lang python
    flowloom plugin build mine
    flowloom plugin test mine

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct New {
    /// Name of the plugin and of its new folder.
    name: String,

    /// Programming language.
    #[arg(long = "lang", value_name = "LANG")]
    language: Language,

    /// Use the SDK in this copy of Flowloom's sources.
    ///
    /// By default, the command copies the SDK into the new folder.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        check_name(&self.name)?;
        let folder = Path::new(&self.name);
        let sdk = match &self.sdk {
            Some(sources) => sdk::of_sources(sources)?.display().to_string(),
            None => sdk::FOLDER.to_owned(),
        };
        fs::create_dir(folder).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::failed(format_args!(
                "cannot create {}: it exists",
                folder.display()
            ))
            .hint("choose another name, or remove it"),
            _ => Failure::failed(format_args!("cannot create {}: {error}", folder.display())),
        })?;
        let (source, templates) = template(self.language);
        // Go accepts a relative path only if it begins with `./`.
        let sdk_path = match Path::new(&sdk).is_absolute() {
            true => sdk.clone(),
            false => format!("./{sdk}"),
        };
        let filled = |text: &str| {
            text.replace("@NAME@", &self.name)
                .replace("@LANGUAGE@", self.language.name())
                .replace("@SOURCE@", source)
                .replace("@SDK_PATH@", &sdk_path)
                .replace("@SDK@", &sdk)
        };
        for (path, text) in COMMON.iter().chain(templates) {
            sdk::write(&folder.join(path), filled(text).as_bytes())?;
        }
        sdk::write(&folder.join("tests/tls13.pcap"), CAPTURE)?;
        if self.sdk.is_none() {
            sdk::write_copy(&folder.join(sdk::FOLDER), self.language)?;
        }
        let source = match self.language {
            Language::Rust => "src/lib.rs",
            Language::Go => "main.go",
            _ => source,
        };
        let name = &self.name;
        standard::print(format_args!(
            "Created {name}. The plugin is {name}/{source}; {name}/README.md explains it.\n\
             Next: flowloom plugin build {name} && flowloom plugin test {name}\n"
        ))?;
        Ok(Exit::Done)
    }
}

/// The capture of the tests of new plugins.
pub(super) const CAPTURE: &[u8] = include_bytes!("../../sources/tls13.pcap");

type File = (&'static str, &'static str);

macro_rules! text {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

const COMMON: &[File] = &[
    ("flowloom-plugin.toml", text!("common/flowloom-plugin.toml")),
    ("README.md", text!("common/README.md")),
    (".gitignore", text!("common/gitignore")),
    ("tests/tls13.jsonl", text!("common/tls13.jsonl")),
];

/// Returns the source that the SDK builds, and the files of a new plugin.
fn template(language: Language) -> (&'static str, &'static [File]) {
    match language {
        Language::Rust => (
            ".",
            &[
                ("Cargo.toml", text!("rust/Cargo.toml.in")),
                ("src/lib.rs", text!("rust/src/lib.rs")),
            ],
        ),
        Language::C => ("plugin.c", &[("plugin.c", text!("c/plugin.c"))]),
        Language::Zig => ("plugin.zig", &[("plugin.zig", text!("zig/plugin.zig"))]),
        Language::JavaScript => (
            "plugin.js",
            &[
                ("plugin.js", text!("javascript/plugin.js")),
                ("package.json", text!("javascript/package.json")),
                ("jsconfig.json", text!("javascript/jsconfig.json")),
                (
                    "tests/plugin.test.js",
                    text!("javascript/tests/plugin.test.js"),
                ),
            ],
        ),
        Language::TypeScript => (
            "plugin.ts",
            &[
                ("plugin.ts", text!("typescript/plugin.ts")),
                ("package.json", text!("typescript/package.json")),
                ("tsconfig.json", text!("typescript/tsconfig.json")),
                (
                    "tests/plugin.test.ts",
                    text!("typescript/tests/plugin.test.ts"),
                ),
            ],
        ),
        Language::Python => ("plugin.py", &[("plugin.py", text!("python/plugin.py"))]),
        Language::Go => (
            ".",
            &[
                ("go.mod", text!("go/go.mod")),
                ("main.go", text!("go/main.go")),
            ],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_the_examples_of_the_readmes() {
        for (language, readme) in [
            (Language::C, include_str!("../../sources/sdk/c/README.md")),
            (
                Language::JavaScript,
                include_str!("../../sources/sdk/javascript/README.md"),
            ),
            (
                Language::Python,
                include_str!("../../sources/sdk/python/README.md"),
            ),
        ] {
            let (_, files) = template(language);
            let (_, code) = files[0].1.split_once("\n\n").expect("a first line");
            assert!(readme.contains(code), "{language}");
        }
    }
}
