//! Files that a program with more privileges than its caller may trust.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Returns whether this program has privileges that its caller does not have: it was started through `setcap` or a
/// set-user-ID bit.
///
/// Such a program ignores environment variables that name code, and loads code only from files that
/// [`check_owned_by_root`] accepts. The dynamic linker does the same.
pub fn has_more_privileges() -> bool {
    #[allow(unsafe_code, reason = "there is no safe form")]
    // SAFETY: the function has no preconditions.
    let is_secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    is_secure != 0
}

/// Returns an environment variable, or `None` if this program has more privileges than its caller.
pub fn trusted_variable(name: &str) -> Option<std::ffi::OsString> {
    match has_more_privileges() {
        true => None,
        false => std::env::var_os(name),
    }
}

/// Checks that only root can change a file or a folder, and what its path means. Returns the path without links.
///
/// # Errors
///
/// The path cannot be followed, or it or one of its parents belongs to another user, or others may write to it. The
/// text is the reason.
pub fn check_owned_by_root(path: &Path) -> Result<PathBuf, String> {
    check_owner(path, 0)
}

fn check_owner(path: &Path, owner: u32) -> Result<PathBuf, String> {
    let path = fs::canonicalize(path).map_err(|error| error.to_string())?;
    for part in path.ancestors() {
        let data = fs::symlink_metadata(part).map_err(|error| error.to_string())?;
        let name = part.to_string_lossy();
        let name = name.escape_debug();
        if data.uid() != owner && data.uid() != 0 {
            return Err(format!(
                "this program has more privileges than you, and {name} does not belong to root"
            ));
        }
        if data.mode() & 0o022 != 0 {
            return Err(format!(
                "this program has more privileges than you, and others than root may write to {name}"
            ));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn only_files_that_root_alone_can_change_are_accepted() {
        assert!(!has_more_privileges());
        let system = Path::new("/etc/passwd");
        assert_eq!(check_owned_by_root(system).unwrap(), system);
        // The folder for temporary files is open to all users.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = check_owned_by_root(&file).unwrap_err();
        assert!(error.contains("others than root may write to"), "{error}");
        // A link to a file of the system is that file.
        let link = folder.path().join("link");
        symlink(system, &link).unwrap();
        assert_eq!(check_owned_by_root(&link).unwrap(), system);
        let gone = check_owned_by_root(Path::new("/nonexistent")).unwrap_err();
        assert!(gone.contains("No such file"), "{gone}");
    }

    #[test]
    fn the_owner_and_the_mode_of_each_part_count() {
        let Some(home) = std::env::var_os("CARGO_MANIFEST_DIR") else {
            return;
        };
        let folder = tempfile::tempdir_in(home).unwrap();
        let owner = fs::metadata(folder.path()).unwrap().uid();
        let is_accepted = |path: &Path, owner| check_owner(path, owner).is_ok();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(&file, 0o644);
        if !is_accepted(&file, owner) {
            // This checkout is in a folder that others may write to.
            return;
        }
        for (bits, accepted) in [(0o664, false), (0o646, false), (0o600, true)] {
            mode(&file, bits);
            assert_eq!(is_accepted(&file, owner), accepted, "{bits:o}");
        }
        for (bits, accepted) in [(0o775, false), (0o757, false), (0o755, true)] {
            mode(folder.path(), bits);
            assert_eq!(is_accepted(&file, owner), accepted, "{bits:o}");
        }
        if owner != 0 {
            assert!(!is_accepted(&file, 0));
        }
    }
}
