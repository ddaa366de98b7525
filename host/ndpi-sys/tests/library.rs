//! Tests of files that are no usable nDPI.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use ndpi_sys::{Choice, Error, Library, License, Search};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("ndpi-sys-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary folder takes folders");
        Self(folder)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("the folder takes files");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Result<Option<Arc<Library>>, Error> {
    Library::open(&Choice::Path(path.to_owned()), &Search::default())
}

fn refused(path: &Path) -> (Error, String) {
    let error = open(path).expect_err("it is no nDPI");
    let message = error.to_string();
    let name = path.file_name().expect("it has a name").to_string_lossy();
    assert!(message.contains(&*name), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    (error, message)
}

/// Returns a copy of the library under test.
fn ndpi() -> Vec<u8> {
    fs::read(common::library_4_2().path()).expect("the library can be read")
}

#[test]
fn the_loaded_library_is_described() {
    let library = common::library_4_2();
    assert!(library.version().starts_with("4.2"), "{library:?}");
    assert!(library.path().is_absolute(), "{library:?}");
    let same = open(library.path());
    let same = same
        .expect("the path can be used")
        .expect("it is a library");
    assert_eq!(same.version(), library.version());
    assert!(matches!(
        Library::open(&Choice::None, &Search::default()),
        Ok(None)
    ));
}

#[test]
fn files_that_are_no_library_are_refused() {
    let folder = Folder::new("files");
    for (name, bytes) in [
        ("text.so", &b"#!/bin/sh\n"[..]),
        ("empty.so", b""),
        ("magic.so", b"\x7fELF"),
    ] {
        let (error, message) = refused(&folder.file(name, bytes));
        assert!(matches!(error, Error::NotLibrary { .. }), "{message}");
    }
    let (error, message) = refused(&folder.0);
    assert!(matches!(error, Error::NotLibrary { .. }), "{message}");
    let program = std::env::current_exe().expect("this is a program");
    open(&program).expect_err("a program is no library");
}

#[test]
fn a_missing_file_is_refused() {
    let (error, message) = refused(Path::new("/nonexistent/libndpi.so"));
    assert!(matches!(error, Error::Unreadable { .. }), "{message}");
    // A path without slash is a file too.
    let (error, message) = refused(Path::new("libc.so.6"));
    assert!(matches!(error, Error::Unreadable { .. }), "{message}");
}

#[test]
fn a_named_pipe_does_not_block() {
    let folder = Folder::new("pipe");
    let path = folder.0.join("pipe.so");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo is installed").success());
    let (error, message) = refused(&path);
    assert!(matches!(error, Error::NotLibrary { .. }), "{message}");
}

#[test]
fn a_library_for_another_processor_is_refused() {
    let folder = Folder::new("processor");
    let mut bytes = ndpi();
    // The ELF machine number of RISC-V.
    bytes[18] = 243;
    let (error, message) = refused(&folder.file("riscv.so", &bytes));
    assert!(
        matches!(error, Error::Processor { machine: 243, .. }),
        "{message}"
    );
}

#[test]
fn an_incomplete_library_is_refused() {
    let folder = Folder::new("incomplete");
    let bytes = ndpi();
    for len in [64, 4096, bytes.len() / 2] {
        let (error, message) = refused(&folder.file("cut.so", &bytes[..len]));
        assert!(matches!(error, Error::NotLibrary { .. }), "{message}");
    }
}

#[test]
fn another_library_is_refused() {
    // This process has loaded the C library.
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has this file");
    let libc = maps
        .split_whitespace()
        .find(|word| word.contains("/libc.so") || word.contains("/libc-"))
        .expect("the C library is loaded");
    let libz = Path::new(libc).with_file_name("libz.so.1");
    for path in [Path::new(libc), &libz] {
        if path.exists() {
            let (error, message) = refused(path);
            assert!(matches!(error, Error::NotNdpi { .. }), "{message}");
        }
    }
}

/// Replaces a text in a file by another one of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, found)| *found == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "the library contains the text");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn another_version_is_named() {
    let folder = Folder::new("version");
    let version = common::library_4_2().version();
    let other = version.replacen("4.2", "4.9", 1);
    let bytes = replaced(&ndpi(), version.as_bytes(), other.as_bytes());
    let (error, message) = refused(&folder.file("other.so", &bytes));
    assert!(matches!(error, Error::Version { .. }), "{message}");
    assert!(message.contains(&other), "{message}");
}

#[test]
fn version_6_is_refused_because_of_its_licence() {
    let folder = Folder::new("licence");
    let version = common::library_4_2().version();
    let licensed = version.replacen("4.2", "6.0", 1);
    let bytes = replaced(&ndpi(), version.as_bytes(), licensed.as_bytes());
    let path = folder.file("licensed.so", &bytes);
    let (error, message) = refused(&path);
    assert!(matches!(error, Error::License { .. }), "{message}");
    assert!(message.contains(&licensed), "{message}");
    let search = Search {
        license: Some(License::NonCommercial),
        ..Search::default()
    };
    let error = Library::open(&Choice::Path(path), &search).expect_err("it is not supported");
    assert!(matches!(error, Error::Version { .. }), "{error}");
}

#[test]
fn a_python_environment_is_searched() {
    let Some(library) = common::library_5_0() else {
        return;
    };
    let folder = library.path().parent().expect("a file is in a folder");
    let found = |folders, check| {
        let search = Search {
            folders,
            check,
            ..Search::default()
        };
        let found = Library::open(&Choice::Auto, &search).expect("there is one");
        found.expect("a library was asked for").version().to_owned()
    };
    let folders = vec!["/nonexistent".into(), folder.to_owned()];
    assert!(found(folders.clone(), None).starts_with("5.0"));
    // Without it, and if it must not be loaded, the library of the system is found.
    assert!(found(Vec::new(), None).starts_with("4.2"));
    assert!(found(folders, Some(|_| Err("no".to_owned()))).starts_with("4.2"));
}

#[test]
fn a_forbidden_file_is_not_loaded() {
    let path = common::library_4_2().path();
    let search = Search {
        check: Some(|path| Err(format!("{} is mine", path.display()))),
        ..Search::default()
    };
    let error = Library::open(&Choice::Path(path.to_owned()), &search).expect_err("forbidden");
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    assert!(error.to_string().ends_with(" is mine"), "{error}");
    // The check decides which file is loaded.
    let search = Search {
        check: Some(|_| Ok(common::library_4_2().path().to_owned())),
        ..Search::default()
    };
    let found = Library::open(&Choice::Path("/nonexistent".into()), &search);
    let found = found
        .expect("it is there")
        .expect("a library was asked for");
    assert_eq!(found.path(), path);
}

#[test]
fn a_missing_library_is_an_instruction() {
    let message = Error::NotFound(Vec::new()).to_string();
    assert!(message.contains("apt-get install libndpi4.2"), "{message}");
}

#[test]
fn a_missing_function_is_named() {
    let folder = Folder::new("symbol");
    let name = "ndpi_load_categories_file";
    let bytes = replaced(&ndpi(), name.as_bytes(), b"ndpi_load_categories_fil_");
    let (error, message) = refused(&folder.file("symbol.so", &bytes));
    assert!(matches!(error, Error::Symbol { .. }), "{message}");
    assert!(message.contains(name), "{message}");
}
