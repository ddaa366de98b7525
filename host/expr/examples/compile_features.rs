//! Compiles a file of features to a component.
//!
//!     compile_features FILE.features FILE.wasm

use flowloom_expr::features::{Limits, Program};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, source, target] = arguments.as_slice() else {
        return Err("usage: compile_features FILE.features FILE.wasm".into());
    };
    let text = std::fs::read_to_string(source)?;
    let program = match Program::parse(source, &text, &Limits::default()) {
        Ok(program) => program,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    std::fs::write(target, program.compile()?)?;
    Ok(())
}
