//! Runs the checks of the fuzz targets on inputs that once failed, and on the captures of this repository.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "tests/fuzz builds this module as a separate library"
)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

use crate::command::{HOST, captures};
use crate::golden::all_captures;

/// Settings of the target: statistics, all tunnels, SPLT of three packets, timeouts of 1 and 2 seconds.
const SETTINGS: [u8; 7] = [4, 1, 2, 0x3f, 3, 0, 0];

#[test]
fn regression_inputs_pass() {
    type Target = fn(&[u8]);
    let targets: [(&str, Target); 6] = [
        ("decode", targets::decode),
        ("capture", targets::capture),
        ("meter", targets::meter),
        ("whole", targets::whole),
        ("expressions", targets::expressions),
        ("features", targets::features),
    ];
    let folder = Path::new(HOST).join("../../tests/fuzz/regressions");
    for (name, target) in targets {
        let Ok(files) = fs::read_dir(folder.join(name)) else {
            continue;
        };
        for file in files {
            let path = file.expect("the folder can be read").path();
            println!("{}", path.display());
            target(&fs::read(path).expect("the file can be read"));
        }
    }
}

#[test]
fn own_captures_pass_the_fuzz_checks() {
    for name in all_captures() {
        println!("{name}");
        let capture = fs::read(captures().join(name)).expect("the capture can be read");
        targets::capture(&[&[0x84], &capture[..]].concat());
        targets::whole(&[&SETTINGS[..], &[3], &capture[..]].concat());
    }
}
