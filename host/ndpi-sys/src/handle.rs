//! Libraries that the dynamic linker has loaded.

#![allow(
    unsafe_code,
    reason = "the dynamic linker runs code of the library, and does not know the types of functions"
)]

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::stub::Stub;

/// A loaded library. It is unloaded when this value is dropped.
pub(crate) struct Handle {
    library: Library,
    /// Whether the library prefers its own symbols.
    is_apart: bool,
    /// Kept open while the library is loaded.
    _stub: Option<Stub>,
}

impl Handle {
    /// Loads a library, and runs its initialisation. A name without slash is searched in the
    /// system's folders. Returns the message of the dynamic linker on failure.
    ///
    /// All symbols that the library needs are resolved now, because an unresolved one would end
    /// the process later. Its own symbols are not visible to other libraries.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        Self::load_with(path, 0)
    }

    /// Loads the library again, so that it prefers its own symbols to those of the same name in the
    /// libraries of this process. nDPI 5.0 contains functions of libgcrypt, which work only
    /// together, and the process may have loaded the real libgcrypt.
    ///
    /// The sanitizers of LLVM forbid this.
    pub(crate) fn reload_apart(self, path: &Path) -> Result<Self, String> {
        if self.is_apart {
            return Ok(self);
        }
        drop(self);
        let mut handle = Self::load_with(path, libc::RTLD_DEEPBIND)?;
        handle.is_apart = true;
        Ok(handle)
    }

    fn load_with(path: &Path, more_flags: c_int) -> Result<Self, String> {
        let flags = RTLD_NOW | RTLD_LOCAL | more_flags;
        // SAFETY: the caller has chosen the library, so that its code may run in this process.
        let library = unsafe { Library::open(Some(path), flags) };
        match library {
            Ok(library) => Ok(Self {
                library,
                is_apart: false,
                _stub: None,
            }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Loads a Python extension without Python, from an absolute path. It prefers its own symbols.
    pub(crate) fn load_extension(path: &Path) -> Result<Self, String> {
        let stub = Stub::new(path).map_err(|error| format!("it needs Python: {error}"))?;
        let mut handle = Self::load_with(&stub.path(), libc::RTLD_DEEPBIND)?;
        handle.is_apart = true;
        handle._stub = Some(stub);
        Ok(handle)
    }

    /// Returns a function of the library, or `None` if it has none of this name.
    ///
    /// # Safety
    ///
    /// `F` is the type of the function. The function is called only while the library is loaded.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &CStr) -> Option<F> {
        // SAFETY: see above.
        let symbol = unsafe { self.library.get::<F>(name.to_bytes_with_nul()) };
        symbol.ok().map(|symbol| *symbol)
    }

    /// Returns the path of the file that contains an address of this library, if the dynamic linker
    /// knows it.
    pub(crate) fn path_of(&self, address: *const c_void) -> Option<PathBuf> {
        let mut found = MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: the address is only compared, and `found` is valid for writes.
        if unsafe { libc::dladdr(address, found.as_mut_ptr()) } == 0 {
            return None;
        }
        // SAFETY: the function has filled `found`. The name lives as long as the library is loaded.
        let name = unsafe { text(found.assume_init().dli_fname, usize::MAX) };
        Some(OsStr::from_bytes(name).into())
    }

    /// Keeps the library loaded until the process ends.
    pub(crate) fn keep(self) {
        mem::forget(self);
    }
}

/// Returns a text of nDPI up to its zero byte, at most `most` bytes. It is empty for a null
/// pointer.
///
/// # Safety
///
/// `text` is null, or points to a text that ends with a zero byte and does not change during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, most: usize) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: see above.
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    &bytes[..bytes.len().min(most)]
}

/// Declares a table of functions of a library, with their names there.
macro_rules! functions {
    (
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $symbol:ident($($arg:ty),*) $(-> $result:ty)?;)* }
    ) => {
        $(#[$doc])*
        pub(crate) struct $name {
            $(pub(crate) $field: unsafe extern "C" fn($($arg),*) $(-> $result)?,)*
        }

        impl $name {
            /// Finds the functions in a library, or returns the name of the first one that it
            /// lacks.
            ///
            /// # Safety
            ///
            /// The library has the version that the table is for, and stays loaded.
            pub(crate) unsafe fn find(
                handle: &$crate::handle::Handle,
            ) -> Result<Self, &'static str> {
                Ok(Self {
                    $($field: {
                        const SYMBOL: &str = concat!(stringify!($symbol), "\0");
                        let name = std::ffi::CStr::from_bytes_until_nul(SYMBOL.as_bytes());
                        // SAFETY: the types are those of this version's API.
                        let found = name.ok().and_then(|name| unsafe { handle.function(name) });
                        found.ok_or(stringify!($symbol))?
                    },)*
                })
            }
        }
    };
}
pub(crate) use functions;
