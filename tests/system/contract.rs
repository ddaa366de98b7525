//! Tests of the contract in `wit/`: what the command prints, what may change after its release, and that it has not
//! changed otherwise.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wit_component::WitPrinter;
use wit_parser::{PackageId, Resolve, SourceMap};

use crate::command::{HOST, flowloom, meter};
use crate::frozen;
use crate::guests::file;
use crate::wat::{Module, component, typed};

fn folder() -> PathBuf {
    Path::new(HOST).join("../../wit")
}

/// Parses the files of a folder.
fn parsed(folder: &Path) -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error:#}", folder.display()));
    (resolve, package)
}

/// Parses a document.
fn parsed_text(text: &str) -> (Resolve, PackageId) {
    let mut files = SourceMap::default();
    files.push_str("contract.wit", text);
    let group = files
        .parse()
        .unwrap_or_else(|(_, error)| panic!("{error:#}"));
    let mut resolve = Resolve::default();
    let package = resolve.push_group(group).expect("the package is complete");
    (resolve, package)
}

fn print(resolve: &Resolve, package: PackageId, has_docs: bool) -> String {
    let mut printer = WitPrinter::default();
    printer.emit_docs(has_docs);
    printer
        .print(resolve, package, &[])
        .expect("a parsed contract can be printed");
    printer.output.to_string()
}

/// Returns the head, the interfaces and the worlds of a printed package. Their order, which is that of the files, has no
/// meaning.
fn items(printed: &str) -> Vec<&str> {
    let (head, rest) = printed.split_once(";\n").expect("the package has a name");
    let rest = rest.split("\n}\n").map(str::trim);
    let rest = rest.filter(|item| !item.is_empty());
    let mut items: Vec<_> = rest.chain([head]).collect();
    items.sort_unstable();
    items
}

#[test]
fn the_command_prints_the_contract_as_one_document() {
    let run = flowloom().args(["plugin", "contract"]).run().done();
    let (resolve, package) = parsed_text(&run.stdout);
    let (expected, in_folder) = parsed(&folder());
    let printed = print(&resolve, package, true);
    let expected = print(&expected, in_folder, true);
    assert_eq!(items(&printed), items(&expected));
    let count = 1 + resolve.interfaces.len() + resolve.worlds.len();
    assert_eq!(items(&printed).len(), count, "{printed}");
    // Comments and all.
    for (path, text) in files(&folder()) {
        assert!(run.stdout.contains(&text), "{path} is not in\n{run}");
    }
}

#[test]
fn the_command_writes_the_files_of_the_contract() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let below = temporary.path().join("wit/contract");
    // The second run replaces the files.
    for _ in 0..2 {
        let run = flowloom()
            .folder(temporary.path())
            .args(["plugin", "contract", "-o", "wit/contract"])
            .run()
            .done();
        assert_eq!(files(&below), files(&folder()));
        for name in files(&below).keys() {
            let line = format!("wit/contract/{name}: ");
            assert!(run.stdout.contains(&line), "{run}");
        }
    }
    // A world that includes one of the contract.
    let (resolve, package) = parsed(&below);
    let plugin = resolve.packages[package].name.interface_id("plugin");
    let world = format!("package mine:plugin; world mine {{ include {plugin}; }}");
    let deps = temporary.path().join("mine/deps/flowloom-plugin");
    fs::create_dir_all(&deps).expect("a temporary folder");
    fs::write(temporary.path().join("mine/mine.wit"), world).expect("a temporary file");
    flowloom()
        .args(["plugin", "contract", "-o"])
        .arg(&deps)
        .run()
        .done();
    parsed(&temporary.path().join("mine"));
    // A file is in the way.
    flowloom()
        .folder(temporary.path())
        .args(["plugin", "contract", "-o", "wit/contract/log.wit"])
        .run()
        .fails("cannot write wit/contract/log.wit/worlds.wit: File exists (os error 17)");
}

/// Reads the files of a folder.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("the folder of a contract");
    entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path).expect("a contract is text");
            (name.into_owned(), text)
        })
        .collect()
}

/// What to do about a change of the contract.
const RULES: &str = "\
wit/ differs from the released contract. Components that were built from it must run in every later Flowloom.
docs/plugins.md, section \"Changes within 0.1.x\", says which additions components do not notice.
- An addition of this kind needs the next patch version, 0.1.1. CONTRIBUTING.md, section \"Change the contract\", has the
  steps.
- Any other change needs a package of another minor version, 0.2.0, beside this one. Undo the change of this one.";

/// The text of the contract, without comments, is that of its release.
#[test]
fn a_released_contract_does_not_change() {
    let (resolve, package) = parsed(&folder());
    let version = resolve.packages[package].name.version.clone();
    let version = version.expect("the contract has a version");
    let printed = print(&resolve, package, false);
    let path = folder().join(format!("../tests/frozen/{version}/contract.wit"));
    let released = frozen::read_or_create(&path, || printed.clone());
    let (released, printed) = (items(&released), items(&printed));
    let only = |these: &[&str], others: &[&str]| {
        let these = these.iter().filter(|item| !others.contains(item));
        these.copied().collect::<Vec<_>>().join("\n}\n")
    };
    assert!(
        released == printed,
        "{RULES}\n\nReleased:\n{}\n\nNow:\n{}",
        only(&released, &printed),
        only(&printed, &released)
    );
}

/// The contract describes the components that were built from earlier versions, by the rules of the component model.
#[test]
fn frozen_plugins_match_the_contract() {
    let (mut resolve, package) = parsed(&folder());
    // The rules compare names with their versions, and Flowloom accepts any 0.1.x. So the contract gets the version
    // of the components.
    let version = resolve.packages[package].name.version.as_mut();
    version.expect("the contract has a version").patch = 0;
    for plugin in frozen::plugins() {
        let bytes = fs::read(&plugin).unwrap_or_else(|e| panic!("{}: {e}", plugin.display()));
        let stem = plugin.file_stem().unwrap_or_default();
        let world = match stem.to_str() {
            Some("features") => "batch-plugin",
            Some("every_type_wit") => "plugin",
            _ => "dual-plugin",
        };
        let world = resolve
            .select_world(&[package], Some(world))
            .unwrap_or_else(|error| panic!("{error:#}\n{RULES}"));
        wit_component::targets(&resolve, world, &bytes)
            .unwrap_or_else(|error| panic!("{}: {error:#}\n{RULES}", plugin.display()));
    }
}

/// A contract that differs from the present one, and what a host does with a component that was built from it. An older
/// component in a newer Flowloom and a newer component in an older Flowloom are the same case: types must be equal.
struct Change {
    what: &'static str,
    /// Replacements in the files of the contract.
    contract: Vec<(&'static str, &'static str)>,
    /// The core module of the component.
    module: String,
    /// A part of the error, or none if the component runs.
    error: Option<&'static str>,
}

impl Change {
    fn runs<const N: usize>(
        what: &'static str,
        contract: [(&'static str, &'static str); N],
    ) -> Self {
        Self {
            what,
            contract: contract.into(),
            module: Module::default().text(),
            error: None,
        }
    }

    fn fails<const N: usize>(
        what: &'static str,
        contract: [(&'static str, &'static str); N],
        error: &'static str,
    ) -> Self {
        Self {
            error: Some(error),
            ..Self::runs(what, contract)
        }
    }

    /// The module imports this function.
    fn importing(self, before: &'static str) -> Self {
        let module = Module {
            before,
            ..Module::default()
        };
        Self {
            module: module.text(),
            ..self
        }
    }

    /// The module exports this function.
    fn exporting(self, more: &'static str) -> Self {
        let module = Module {
            more,
            ..Module::default()
        };
        Self {
            module: module.text(),
            ..self
        }
    }
}

/// A further interface, `clock`.
const CLOCK: (&str, &str) = (
    "interface log {",
    "interface clock { now: func() -> u64; }\ninterface log {",
);
const IMPORT_CLOCK: (&str, &str) = ("import log;", "import log; import clock;");
/// A further function of the log.
const FLUSH: (&str, &str) = ("write: func(", "flush: func();\n  write: func(");

/// Additions and changes that a component does not notice.
fn compatible() -> Vec<Change> {
    vec![
        Change::runs("nothing", []),
        Change::runs(
            "a function and an interface that the component does not use",
            [FLUSH, CLOCK, IMPORT_CLOCK],
        ),
        Change::runs(
            "a type that the functions do not use",
            [(
                "record output {",
                "record unit { name: string }\n  record output {",
            )],
        ),
        Change::runs(
            "another name of a type",
            [
                ("verdict", "decision"),
                ("record packet {", "record seen {"),
                ("packet: packet", "packet: seen"),
            ],
        ),
        Change::runs(
            "another name of a parameter",
            [("init: func(flow: u64", "init: func(id: u64")],
        ),
        Change::runs(
            "a function more in an exported interface",
            [("finish: func();", "finish: func();\n  pause: func();")],
        )
        .exporting(r#"(func (export "flowloom:plugin/feature@0.1.0#pause"))"#),
        Change::runs(
            "an exported interface more",
            [
                (
                    "interface log {",
                    "interface pausing { pause: func(); }\ninterface log {",
                ),
                ("export feature;", "export feature; export pausing;"),
            ],
        )
        .exporting(r#"(func (export "flowloom:plugin/pausing@0.1.0#pause"))"#),
        Change::runs(
            "a further export of the next version",
            [
                (
                    "export feature;\n  export batch-feature;\n}\n",
                    "export feature;\n  export batch-feature;\n}\n\
                     package flowloom:plugin@0.2.0 {\n\
                     interface manifest { record manifest { more: u32 } }\n\
                     interface feature { use manifest.{manifest}; open: func() -> manifest; } }\n",
                ),
                (
                    "export feature;",
                    "export feature; export flowloom:plugin/feature@0.2.0;",
                ),
            ],
        )
        .exporting(
            r#"(func (export "flowloom:plugin/feature@0.2.0#open") (result i32) i32.const 0)"#,
        ),
    ]
}

/// Changes that a component notices, if it uses the item.
fn incompatible() -> Vec<Change> {
    vec![
        Change::fails(
            "a function of the log that the host lacks",
            [FLUSH],
            "instance export `flush` has the wrong type: function implementation is missing",
        )
        .importing(r#"(import "flowloom:plugin/log@0.1.0" "flush" (func $flush))"#),
        Change::fails(
            "an interface that the host lacks",
            [CLOCK, IMPORT_CLOCK],
            "imports 'flowloom:plugin/clock@0.1.0', which Flowloom does not provide",
        )
        .importing(r#"(import "flowloom:plugin/clock@0.1.0" "now" (func $now (result i64)))"#),
        Change {
            module: Module::default().text().replace("#finish", "#stop"),
            ..Change::fails(
                "an exported interface with another function in place of one",
                [("finish: func();", "stop: func();")],
                "does not have export `finish`",
            )
        },
        Change::fails(
            "a record without its last field",
            [("needs-one-meter: bool,", "")],
            "expected record of 15 fields, found 14 fields",
        ),
        Change::fails(
            "a record with a field more",
            [(
                "needs-one-meter: bool,",
                "needs-one-meter: bool,\n    more: bool,",
            )],
            "expected record of 15 fields, found 16 fields",
        ),
        Change::fails(
            "another name of a field",
            [("needs-one-meter: bool,", "needs-single-meter: bool,")],
            "expected record field named needs-one-meter, found needs-single-meter",
        ),
        Change::fails(
            "fields in another order",
            [
                ("cuts-flows: bool,", "packed: bool,"),
                (
                    "packed: bool,\n    /// The plugin keeps",
                    "cuts-flows: bool,\n    /// The plugin keeps",
                ),
            ],
            "expected record field named cuts-flows, found packed",
        ),
        Change::fails(
            "an enum with a case more",
            [("dst2src,\n  }", "dst2src,\n    unknown,\n  }")],
            "field direction: expected enum of 2 names, found 3 names",
        ),
        Change::fails(
            "an enum without a case",
            [("json,\n  }", "}")],
            "field kind: expected enum of 9 names, found 8 names",
        ),
        Change::fails(
            "a variant without its last case",
            [("json(string),\n  }", "}")],
            "expected variant of 10 cases, found 9 cases",
        ),
        Change::fails(
            "flags with a flag more",
            [("ece, cwr }", "ece, cwr, ae }")],
            "expected flags type with 8 names, found 9 names",
        ),
        Change::fails(
            "an enum of an imported function with a case more",
            [("debug,\n  }", "debug,\n    trace,\n  }")],
            "expected enum of 4 names, found 5 names",
        )
        .importing(
            r#"(import "flowloom:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#,
        ),
        Change::fails(
            "another type of a parameter",
            [("expire: func(flow: u64", "expire: func(flow: s64")],
            "expected `u64` found `s64`",
        ),
    ]
}

#[test]
fn a_component_notices_changes_of_what_it_uses() {
    let mut wrong = String::new();
    for change in compatible().into_iter().chain(incompatible()) {
        let unused = RefCell::new(change.contract.clone());
        let bytes = typed(&change.module, |mut text| {
            for (from, to) in &change.contract {
                if text.contains(from) {
                    unused.borrow_mut().retain(|(text, _)| text != from);
                    text = text.replace(from, to);
                }
            }
            text
        });
        assert_eq!(unused.into_inner(), [], "{}", change.what);
        let (_folder, path) = file("hand.wasm", bytes);
        let run = meter("dns.pcap").arg("--plugin").arg(&path).run();
        let is_expected = match change.error {
            None => run.stderr.contains("plugin   hand "),
            Some(error) => run.stderr.contains(error) && run.stdout.is_empty(),
        };
        if !is_expected {
            wrong += &format!("{}: {run}\n", change.what);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The types of an interface without functions need no definition, whatever its version.
#[test]
fn an_import_of_types_alone_needs_nothing() {
    for version in ["0.1.7", "0.2.0", "0.1.1-rc.1"] {
        let text = format!(
            r#"(component
                 (import "flowloom:plugin/manifest@{version}" (instance
                   (type $unit (record (field "name" string)))
                   (export "unit" (type (eq $unit))))))"#
        );
        let (_folder, path) = component(&text);
        let run = meter("dns.pcap").arg("--plugin").arg(&path).run().exits(1);
        // The component is rejected for the next reason.
        assert!(run.stderr.contains("exports neither "), "{run}");
    }
}
