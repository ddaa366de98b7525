//! Tests of the contract in `wit/` that the command prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use wit_component::WitPrinter;
use wit_parser::{PackageId, Resolve, SourceMap};

use crate::command::{HOST, flowloom};

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

fn print(resolve: &Resolve, package: PackageId) -> String {
    let mut printer = WitPrinter::default();
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
    let printed = print(&resolve, package);
    let expected = print(&expected, in_folder);
    assert_eq!(items(&printed), items(&expected));
    // The head, four interfaces and three worlds.
    assert_eq!(items(&printed).len(), 8, "{printed}");
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
    parsed(&below);
    // A world that includes one of the contract.
    let world = "package mine:plugin; world mine { include flowloom:plugin/plugin@0.1.0; }";
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
