//! The library that the tests use.

use std::sync::{Arc, LazyLock};

use ndpi_sys::{Choice, Library};

/// nDPI 4.2 of the system.
pub(crate) fn library() -> &'static Arc<Library> {
    static LIBRARY: LazyLock<Arc<Library>> = LazyLock::new(|| {
        let system = Library::open(&Choice::Auto).expect("nDPI 4.2 is installed");
        system.expect("a library was asked for")
    });
    &LIBRARY
}
