//! A library without code, made in memory, which lets a Python extension be loaded without Python.
//!
//! The wheel of NFStream contains nDPI 5.0 in a Python extension. The extension needs functions and
//! one variable of Python, and functions of libm that it does not ask for. The functions of nDPI use
//! nothing of Python. [`Stub::new`] makes a shared library that defines these symbols, and that asks
//! for the extension and for libm. When the dynamic linker loads it, the extension finds the symbols
//! there. They are not visible to any other library.
//!
//! The symbols point to data that is not executable: a call of one would end the process.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::elf::{HEADER, MACHINE, SEGMENT};

/// The symbols of Python that the extension needs. All are functions, except the last one.
const SYMBOLS: [&str; 12] = [
    "PyArg_UnpackTuple",
    "PyErr_Occurred",
    "PyEval_RestoreThread",
    "PyEval_SaveThread",
    "PyImport_ImportModule",
    "PyLong_FromLong",
    "PyLong_FromVoidPtr",
    "PyObject_CallMethod",
    "PyObject_Free",
    "PyObject_Malloc",
    "_Py_Dealloc",
    "_Py_NoneStruct",
];

/// The size of what all symbols point to. Python's `None` is smaller.
const TARGET: usize = 64;
/// The size of an entry of the table of symbols.
const SYMBOL: usize = 24;
/// The alignment of the segment: the largest page of any processor.
const PAGE: u64 = 1 << 16;

/// The library, in a file without name.
pub(crate) struct Stub(OwnedFd);

impl Stub {
    /// Makes a library that loads the extension at this absolute path.
    pub(crate) fn new(extension: &Path) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC;
        // Kernels before 6.3 do not know the second flag. Later ones may require it.
        let fd = memfd_create("ndpi-stub", flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| memfd_create("ndpi-stub", flags))?;
        let mut file = File::from(fd);
        file.write_all(&image(extension.as_os_str().as_bytes()))?;
        Ok(Self(file.into()))
    }

    /// Returns the path for the dynamic linker. The linker recognises a loaded library by its path.
    /// Therefore the stub must live as long as the library is loaded.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

/// Returns the bytes of the library: header, segments, dynamic section, symbols, hash table, target
/// of the symbols, strings. Addresses equal offsets.
fn image(extension: &[u8]) -> Vec<u8> {
    let mut strings = vec![0];
    let mut string = |text: &[u8]| {
        let at = strings.len();
        strings.extend(text);
        strings.push(0);
        at as u64
    };
    let names = SYMBOLS.map(|name| string(name.as_bytes()));
    let needed = [string(extension), string(b"libm.so.6")];
    let own_name = string(b"ndpi-stub");

    let count = SYMBOLS.len() + 1;
    let dynamic_at = HEADER + 3 * SEGMENT;
    let dynamic_len = 9 * 16;
    let symbols_at = dynamic_at + dynamic_len;
    let hash_at = symbols_at + count * SYMBOL;
    // The padding aligns the target to 16 bytes.
    let target_at = (hash_at + (3 + count) * 4).next_multiple_of(16);
    let strings_at = target_at + TARGET;
    let end = (strings_at + strings.len()) as u64;

    let mut image = Vec::new();
    // The header: 64 bits, little-endian, a shared library, without sections.
    image.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    image.extend(3u16.to_le_bytes());
    image.extend(MACHINE.unwrap_or_default().to_le_bytes());
    image.extend(1u32.to_le_bytes());
    for number in [0, HEADER as u64, 0] {
        image.extend(number.to_le_bytes());
    }
    image.extend(0u32.to_le_bytes());
    for number in [HEADER as u16, SEGMENT as u16, 3, 0, 0, 0] {
        image.extend(number.to_le_bytes());
    }
    // The segments: all bytes, writable because the dynamic linker changes them; the dynamic
    // section; and the wish for a stack that is not executable.
    for (kind, at, len, align) in [
        (1u32, 0, end, PAGE),
        (2, dynamic_at as u64, dynamic_len as u64, 8),
        (0x6474_e551, 0, 0, 16),
    ] {
        image.extend(kind.to_le_bytes());
        image.extend(6u32.to_le_bytes());
        for number in [at, at, at, len, len, align] {
            image.extend(number.to_le_bytes());
        }
    }
    for (tag, value) in [
        (1u64, needed[0]),
        (1, needed[1]),
        (14, own_name),
        (4, hash_at as u64),
        (5, strings_at as u64),
        (6, symbols_at as u64),
        (10, strings.len() as u64),
        (11, SYMBOL as u64),
        (0, 0),
    ] {
        image.extend(tag.to_le_bytes());
        image.extend(value.to_le_bytes());
    }
    // The first symbol is empty. The others are global, and defined in some section.
    image.extend([0; SYMBOL]);
    for (n, name) in names.into_iter().enumerate() {
        let kind = if n + 1 < SYMBOLS.len() { 2 } else { 1 };
        image.extend((name as u32).to_le_bytes());
        image.extend([1 << 4 | kind, 0, 1, 0]);
        image.extend((target_at as u64).to_le_bytes());
        image.extend((TARGET as u64).to_le_bytes());
    }
    // A hash table with one list, in which each symbol is followed by the next one.
    image.extend(1u32.to_le_bytes());
    image.extend((count as u32).to_le_bytes());
    image.extend(1u32.to_le_bytes());
    image.extend(0u32.to_le_bytes());
    for n in 1..count as u32 {
        let next = if n + 1 < count as u32 { n + 1 } else { 0 };
        image.extend(next.to_le_bytes());
    }
    image.resize(strings_at, 0);
    image.extend(strings);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_a_complete_library() {
        let image = image(b"/folder/library.so");
        let file = tempfile::NamedTempFile::new().expect("there is a temporary folder");
        std::fs::write(file.path(), image).expect("it takes files");
        crate::elf::check(file.path()).expect("it is a library");
    }
}
