//! The file of a component that a command writes.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flowloom::plugin::escaped_path;

use super::super::exit::Failure;

/// Writes a component in one step, because a run may use the older one or watch the folder. A pipe or a device is
/// written as it is.
pub(super) fn write(path: &Path, component: &[u8]) -> Result<(), Failure> {
    let written = match fs::metadata(path) {
        Ok(is) if !is.is_file() => fs::write(path, component),
        _ => replace(path, component),
    };
    written.map_err(|error| {
        Failure::failed(format_args!("cannot write {}: {error}", escaped_path(path)))
    })
}

fn replace(path: &Path, component: &[u8]) -> io::Result<()> {
    // A symbolic link remains one.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".flowloom-")
        .suffix(".tmp")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(component)?;
    file.persist(path)?;
    Ok(())
}
