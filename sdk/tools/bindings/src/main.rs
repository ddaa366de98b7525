//! Generates the C bindings of the contract's world `dual-plugin` with wit-bindgen:
//!
//!     make bindings
//!
//! With --check, as in `make check`, it writes nothing and exits with a failure status if a file is not
//! current.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use wit_bindgen_core::{Files, wit_parser::Resolve};

fn main() -> Result<ExitCode> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let words: Vec<_> = std::env::args().skip(1).collect();
    let is_check = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => bail!("unknown arguments; give no argument or --check"),
    };
    let mut code = ExitCode::SUCCESS;
    for (path, contents) in bindings(&sdk)? {
        let path = path.as_path();
        if fs::read(path).is_ok_and(|current| current == contents) {
            continue;
        }
        if is_check {
            eprintln!(
                "{} does not match wit/; run `make bindings`",
                path.display()
            );
            code = ExitCode::FAILURE;
        } else {
            fs::write(path, contents).with_context(|| path.display().to_string())?;
            println!("{}", path.display());
        }
    }
    Ok(code)
}

/// Generates the files, as paths and contents.
fn bindings(sdk: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(sdk.join("../wit"))?;
    let world = resolve.select_world(&[package], Some("dual-plugin"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)?;
    let folder = sdk.join("c/generated").canonicalize()?;
    let file = |(name, contents): (&str, &[u8])| (folder.join(name), contents.to_vec());
    Ok(files.iter().map(file).collect())
}
