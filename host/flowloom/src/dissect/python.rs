//! The Python environment that this program is installed in.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folders with the packages of the Python environment that this program belongs to. They are empty if it is
/// in no such environment.
///
/// `pip` installs a program as `bin/NAME`, and packages as `lib/pythonX.Y/site-packages/NAME`, in the same folder. Debian
/// calls the last folder `dist-packages`, and other systems call the first one `lib64`.
pub(super) fn package_folders() -> Vec<PathBuf> {
    // The path has no links: the name of a program may be a link to one in an environment.
    std::env::current_exe().map_or_else(|_| Vec::new(), |program| beside(&program))
}

fn beside(program: &Path) -> Vec<PathBuf> {
    let Some(folder) = program.parent().filter(|folder| folder.ends_with("bin")) else {
        return Vec::new();
    };
    let Some(prefix) = folder.parent() else {
        return Vec::new();
    };
    let libraries = ["lib", "lib64"].map(|name| prefix.join(name));
    let versions = libraries.iter().flat_map(|folder| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let is_python = |name: &std::ffi::OsString| name.as_encoded_bytes().starts_with(b"python3");
        entries
            .map(|entry| entry.file_name())
            .filter(is_python)
            .map(|name| folder.join(name))
    });
    let packages =
        |version: PathBuf| ["site-packages", "dist-packages"].map(|name| version.join(name));
    let mut folders: Vec<_> = versions
        .flat_map(packages)
        .filter(|folder| folder.is_dir())
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_beside_the_program() {
        let environment = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = environment.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        let site = folder("lib/python3.11/site-packages");
        let dist = folder("lib/python3.13/dist-packages");
        let other = folder("lib64/python3.11/site-packages");
        folder("lib/perl5/site-packages");
        folder("lib/python3.12");
        let program = folder("bin").join("flowloom");
        assert_eq!(beside(&program), [site, dist, other]);
        assert!(beside(&folder("debug").join("flowloom")).is_empty());
        assert!(beside(Path::new("/nonexistent/bin/flowloom")).is_empty());
        assert!(beside(Path::new("bin")).is_empty());
        assert!(package_folders().is_empty(), "tests are not installed");
    }
}
