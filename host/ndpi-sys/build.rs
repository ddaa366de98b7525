//! Finds the system's nDPI, and compiles the shim with its headers.

use std::process::exit;

/// The versions that the shim supports.
const VERSIONS: std::ops::Range<&str> = "4.2".."4.3";

fn main() {
    println!("cargo:rerun-if-changed=shim");
    // nDPI is linked dynamically because of its licence, the LGPL.
    let found = pkg_config::Config::new()
        .range_version(VERSIONS)
        .statik(false)
        .probe("libndpi");
    let library = match found {
        Ok(library) => library,
        Err(error) => {
            eprintln!(
                "cannot find nDPI {}: install it (Debian: apt-get install libndpi-dev), or build \
                 without application columns (--no-default-features)\n{error}",
                VERSIONS.start
            );
            exit(1);
        }
    };
    let mut shim = cc::Build::new();
    shim.file("shim/shim.c").include("shim").std("gnu11");
    for path in library.include_paths {
        // As system headers, they cause no warnings.
        shim.flag("-isystem").flag(path);
    }
    shim.extra_warnings(true).compile("flowloom_ndpi");
}
