//! From a plugin's file to the bytes of a component.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::error::Problem;

/// Larger files are refused before they are read: Python components have 18 MB.
const MOST_BYTES: u64 = 64 << 20;

/// Reads a plugin's file.
///
/// It is opened once, and what was read is what is compiled, whatever happens to the file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error| Problem::Unreadable {
        path: path.to_owned(),
        error,
    };
    // Looking before opening keeps a FIFO from blocking; looking again guards against a swap.
    let is_file = |data: std::fs::Metadata| {
        let size = data.len();
        match () {
            () if !data.is_file() => Err(Problem::NotAFile {
                path: path.to_owned(),
            }),
            () if size > MOST_BYTES => Err(Problem::TooLarge {
                path: path.to_owned(),
                size,
                most: MOST_BYTES,
            }),
            () => Ok(()),
        }
    };
    is_file(std::fs::metadata(path).map_err(unreadable)?)?;
    let file = File::open(path).map_err(unreadable)?;
    is_file(file.metadata().map_err(unreadable)?)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// The component in these bytes, made from a core module if they are one. Nothing is compiled.
pub fn component(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let header = bytes.first_chunk::<8>();
    match header.map(|header| (&header[..4], u16::from_le_bytes([header[6], header[7]]))) {
        Some((b"\0asm", 1)) => Ok(bytes),
        Some((b"\0asm", 0)) => componentize(&bytes),
        _ => Err(match bytes.first_chunk::<4>() {
            None => format!("it has {} bytes", bytes.len()),
            Some(b"\x7fELF") => {
                "it is a native program or object; plugins are WebAssembly".to_owned()
            }
            Some(first) => format!("it starts with `{}`", first.escape_ascii()),
        }),
    }
}

fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    let encode = || {
        wit_component::ComponentEncoder::default()
            .validate(true)
            .module(module)?
            .encode()
    };
    match wit_component::metadata::decode(module) {
        Ok((Some(_), _)) => encode().map_err(|error| format!("its core module does not fit its component type: {error:#}")),
        Ok((None, _)) => Err("it is a core module without a component type; build it with one of Flowloom's SDKs or wit-bindgen".to_owned()),
        Err(error) => Err(format!("its core module is broken: {error:#}")),
    }
}
