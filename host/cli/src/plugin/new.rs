//! `flowloom plugin new`

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::super::exit::{Exit, Failure};
use super::super::standard;
use super::language::Language;
use super::project::check_name;
use super::sdk;

type File = (&'static str, &'static str);

macro_rules! text {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

/// Returns the file of an example. The default example has a name of its own; the others are named like the example.
macro_rules! code {
    ($example:expr, $folder:literal, $largest:literal, $extension:literal) => {
        match $example {
            Example::Largest => include_str!(concat!("../../templates/", $folder, $largest)),
            Example::Dns => include_str!(concat!("../../templates/", $folder, "dns", $extension)),
            Example::Tls => include_str!(concat!("../../templates/", $folder, "tls", $extension)),
            Example::Http => include_str!(concat!("../../templates/", $folder, "http", $extension)),
        }
    };
}

const EXAMPLES: &str = "\
Examples:
  Create a plugin, build it and run its test:
    flowloom plugin new mine --lang python
    flowloom plugin build mine
    flowloom plugin test mine
  Begin with a plugin that reads DNS messages:
    flowloom plugin new mine --lang go --example dns

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct New {
    /// Name of the plugin and of its new folder.
    name: String,

    /// Programming language.
    #[arg(long = "lang", value_name = "LANG")]
    language: Language,

    /// The plugin to begin with.
    #[arg(long, value_enum, default_value_t = Example::Largest)]
    example: Example,

    /// Use the SDK in this copy of Flowloom's sources.
    ///
    /// By default, the command copies the SDK into the new folder.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        check_name(&self.name)?;
        if self.language == Language::Features && self.example != Example::Largest {
            return Err(Failure::usage(
                "--example: features have only the example `largest`; the others return text, which needs a programming \
                 language",
            ));
        }
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
        for (path, contents) in self.files(&sdk) {
            sdk::write(&folder.join(path), &contents)?;
        }
        if self.sdk.is_none() && self.language.has_sdk() {
            sdk::write_copy(&folder.join(sdk::FOLDER), self.language)?;
        }
        let source = match self.language {
            Language::Rust => "src/lib.rs",
            Language::Go => "main.go",
            language => built(language),
        };
        let name = &self.name;
        standard::print(format_args!(
            "Created {name}. The plugin is {name}/{source}; {name}/README.md explains it.\n\
             Next: flowloom plugin build {name} && flowloom plugin test {name}\n"
        ))?;
        Ok(Exit::Done)
    }

    /// Returns the paths and contents of the files of the new folder, without the SDK.
    fn files(&self, sdk: &str) -> Vec<(String, Vec<u8>)> {
        let shared = self.example.shared();
        // Go accepts a relative path only if it begins with `./`.
        let sdk_path = match Path::new(sdk).is_absolute() {
            true => sdk.to_owned(),
            false => format!("./{sdk}"),
        };
        let (grant, grant_option) = match shared.grant {
            None => (String::new(), String::new()),
            Some(grant) => (
                format!("\ngrant = \"{grant}\""),
                format!(" --grant {}={grant}", self.name),
            ),
        };
        let filled = |text: &str| {
            text.replace("@OUTPUTS@", shared.outputs.trim_end())
                .replace("@CAPTURE@", shared.capture)
                .replace("@GRANT@", &grant)
                .replace("@GRANT_OPTION@", &grant_option)
                .replace("@NAME@", &self.name)
                .replace("@LANGUAGE@", self.language.name())
                .replace("@SOURCE@", built(self.language))
                .replace("@SDK_PATH@", &sdk_path)
                .replace("@SDK@", sdk)
        };
        let templates = template(self.language, self.example);
        let has_own = |path: &str| templates.iter().any(|(own, _)| *own == path);
        let common = COMMON.iter().filter(|(path, _)| !has_own(path));
        let texts = common.chain(&templates);
        let texts = texts.map(|(path, text)| ((*path).to_owned(), filled(text).into_bytes()));
        let test = |extension: &str| format!("tests/{}.{extension}", shared.capture);
        let tests = [
            (test("jsonl"), shared.expected.into()),
            (test("pcap"), shared.packets.into()),
        ];
        texts.chain(tests).collect()
    }
}

/// A plugin to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Example {
    /// The largest packet of a flow. It needs no grant.
    Largest,
    /// The first DNS question of a flow, and its answer.
    Dns,
    /// What a TLS client offers in its ClientHello.
    Tls,
    /// The first HTTP/1 request and response of a flow.
    Http,
}

/// What all languages share of an example.
struct Shared {
    /// The name of the capture of its test, without extension.
    capture: &'static str,
    packets: &'static [u8],
    /// The expected values, as JSON lines.
    expected: &'static str,
    /// The documentation of its outputs.
    outputs: &'static str,
    grant: Option<&'static str>,
}

impl Example {
    fn shared(self) -> Shared {
        match self {
            Self::Largest => Shared {
                capture: "tls13",
                packets: CAPTURE,
                expected: text!("examples/largest/expected.jsonl"),
                outputs: text!("examples/largest/outputs.md"),
                grant: None,
            },
            Self::Dns => Shared {
                capture: "dns",
                packets: include_bytes!("../../sources/dns.pcap"),
                expected: text!("examples/dns/expected.jsonl"),
                outputs: text!("examples/dns/outputs.md"),
                grant: Some("payload:512"),
            },
            Self::Tls => Shared {
                capture: "tls13",
                packets: CAPTURE,
                expected: text!("examples/tls/expected.jsonl"),
                outputs: text!("examples/tls/outputs.md"),
                grant: Some("payload:1500"),
            },
            Self::Http => Shared {
                capture: "http",
                packets: include_bytes!("../../sources/http.pcap"),
                expected: text!("examples/http/expected.jsonl"),
                outputs: text!("examples/http/outputs.md"),
                grant: Some("payload:1500"),
            },
        }
    }
}

/// The capture of the default example.
pub(super) const CAPTURE: &[u8] = include_bytes!("../../sources/tls13.pcap");

const COMMON: &[File] = &[
    ("flowloom-plugin.toml", text!("common/flowloom-plugin.toml")),
    ("README.md", text!("common/README.md")),
    (".gitignore", text!("common/gitignore")),
];

/// Returns the source that the SDK builds: a file, or the folder of the plugin.
fn built(language: Language) -> &'static str {
    match language {
        Language::Rust | Language::Go => ".",
        Language::C => "plugin.c",
        Language::Zig => "plugin.zig",
        Language::JavaScript => "plugin.js",
        Language::TypeScript => "plugin.ts",
        Language::Python => "plugin.py",
        Language::Features => "plugin.features",
    }
}

/// Returns the files of a new plugin that depend on the language. The first one is the plugin's code.
fn template(language: Language, example: Example) -> Vec<File> {
    match language {
        Language::Rust => vec![
            ("src/lib.rs", code!(example, "rust/", "src/lib.rs", ".rs")),
            ("Cargo.toml", text!("rust/Cargo.toml.in")),
        ],
        Language::C => vec![("plugin.c", code!(example, "c/", "plugin.c", ".c"))],
        Language::Zig => vec![("plugin.zig", code!(example, "zig/", "plugin.zig", ".zig"))],
        Language::JavaScript => vec![
            (
                "plugin.js",
                code!(example, "javascript/", "plugin.js", ".js"),
            ),
            (
                "tests/plugin.test.js",
                code!(example, "javascript/tests/", "plugin.test.js", ".test.js"),
            ),
            ("package.json", text!("javascript/package.json")),
            ("jsconfig.json", text!("javascript/jsconfig.json")),
        ],
        Language::TypeScript => vec![
            (
                "plugin.ts",
                code!(example, "typescript/", "plugin.ts", ".ts"),
            ),
            (
                "tests/plugin.test.ts",
                match example {
                    Example::Largest => text!("typescript/tests/plugin.test.ts"),
                    // These are correct in both languages.
                    _ => code!(example, "javascript/tests/", "plugin.test.js", ".test.js"),
                },
            ),
            ("package.json", text!("typescript/package.json")),
            ("tsconfig.json", text!("typescript/tsconfig.json")),
        ],
        Language::Python => vec![("plugin.py", code!(example, "python/", "plugin.py", ".py"))],
        Language::Go => vec![
            ("main.go", code!(example, "go/", "main.go", ".go")),
            ("go.mod", text!("go/go.mod")),
        ],
        Language::Features => vec![
            ("plugin.features", text!("features/plugin.features")),
            ("README.md", text!("features/README.md")),
            (
                "flowloom-plugin.toml",
                text!("features/flowloom-plugin.toml"),
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

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
            let files = template(language, Example::Largest);
            let (_, code) = files[0].1.split_once("\n\n").expect("a first line");
            assert!(readme.contains(code), "{language}");
        }
    }

    /// Returns the outputs that an example documents.
    fn documented(example: Example) -> BTreeSet<&'static str> {
        let rows = example.shared().outputs.lines();
        rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next())
            .collect()
    }

    #[test]
    fn every_flow_of_an_example_has_the_documented_outputs() {
        for &example in Example::value_variants() {
            let shared = example.shared();
            let documented = documented(example);
            assert!(!documented.is_empty(), "{example:?}");
            let mut given = BTreeSet::new();
            for line in shared.expected.lines() {
                let flow: Value = serde_json::from_str(line).expect("JSON");
                let values = flow["udps"].as_object().expect("an object");
                let names: BTreeSet<_> = values.keys().map(String::as_str).collect();
                assert_eq!(names, documented, "{example:?}");
                let present = values.iter().filter(|(_, value)| !value.is_null());
                given.extend(present.map(|(name, _)| name.clone()));
            }
            // The capture shows each output at least once.
            assert_eq!(given.len(), documented.len(), "{example:?}: {given:?}");
        }
    }

    #[test]
    fn every_language_has_every_example() {
        let mut codes = BTreeSet::new();
        for &language in Language::value_variants() {
            let examples = match language {
                Language::Features => &[Example::Largest][..],
                _ => Example::value_variants(),
            };
            for &example in examples {
                let new = New {
                    name: "mine".to_owned(),
                    language,
                    example,
                    sdk: None,
                };
                let case = format!("{language:?}, {example:?}");
                let files: BTreeMap<_, _> = new.files(sdk::FOLDER).into_iter().collect();
                let shared = example.shared();
                let text = |path: &str| {
                    let bytes = files
                        .get(path)
                        .unwrap_or_else(|| panic!("{case}: no {path}"));
                    String::from_utf8(bytes.clone()).expect("text")
                };
                for path in files.keys().filter(|path| !path.ends_with(".pcap")) {
                    let text = text(path);
                    let left = text.split('@').skip(1).find(|word| {
                        !word.is_empty()
                            && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                    });
                    assert_eq!(left, None, "{case}: {path}");
                }

                let described: toml::Table =
                    text(super::super::project::FILE).parse().expect(&case);
                let test = &described["test"][0];
                for key in ["capture", "expected"] {
                    assert!(
                        files.contains_key(test[key].as_str().expect(key)),
                        "{case}: {key}"
                    );
                }
                let grant = test.get("grant").and_then(toml::Value::as_str);
                assert_eq!(grant, shared.grant, "{case}");

                let (path, _) = template(language, example)[0];
                let code = text(path);
                for output in documented(example) {
                    assert!(code.contains(output), "{case}: {output}");
                }
                // The code requests what the test grants.
                if let Some(grant) = grant {
                    let (_, bytes) = grant.split_once(':').expect("a number of bytes");
                    assert!(code.contains(bytes), "{case}: {grant}");
                    let option = format!("--grant mine={grant}");
                    assert!(text("README.md").contains(&option), "{case}");
                }
                assert!(codes.insert(code), "{case}: has the code of another one");
            }
        }
    }
}
