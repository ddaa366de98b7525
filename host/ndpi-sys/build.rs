//! Finds the system's nDPI and compiles the shim against its headers.

use std::process::exit;

/// The versions that the shim was written for.
const VERSIONS: std::ops::Range<&str> = "4.2".."4.3";

fn main() {
    println!("cargo:rerun-if-changed=shim");
    // Dynamically: nDPI is under the LGPL.
    let found = pkg_config::Config::new()
        .range_version(VERSIONS)
        .statik(false)
        .probe("libndpi");
    let library = match found {
        Ok(library) => library,
        Err(error) => {
            eprintln!(
                "flowloom needs nDPI {} (Debian: apt-get install libndpi-dev); to do without \
                 application columns, build with --no-default-features.\n{error}",
                VERSIONS.start
            );
            exit(1);
        }
    };
    let mut shim = cc::Build::new();
    shim.file("shim/shim.c").include("shim").std("gnu11");
    for path in library.include_paths {
        // As a system header: its warnings are not ours.
        shim.flag("-isystem").flag(path);
    }
    shim.extra_warnings(true).compile("flowloom_ndpi");
}
