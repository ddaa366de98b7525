//! The component around the core module.

use std::fmt::Write;

use wasm_encoder::{ComponentSection, CustomSection, Encode};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, SourceMap};

use super::check::CompileError;
use super::program::Program;

/// The custom section with the text that the component was compiled from.
pub const SECTION: &str = "flowloom:features";

/// The files of the contract.
const CONTRACT: [(&str, &str); 5] = [
    (
        "batch-feature.wit",
        include_str!("../../../wit/batch-feature.wit"),
    ),
    ("feature.wit", include_str!("../../../wit/feature.wit")),
    ("log.wit", include_str!("../../../wit/log.wit")),
    ("manifest.wit", include_str!("../../../wit/manifest.wit")),
    ("worlds.wit", include_str!("../../../wit/worlds.wit")),
];

/// Makes a component of a core module.
pub(super) fn component(program: &Program, module: &[u8]) -> Result<Vec<u8>, CompileError> {
    let mut component =
        encode(module.to_vec()).map_err(|error| CompileError::Encoding(format!("{error:#}")))?;
    let section = CustomSection {
        name: SECTION.into(),
        data: section(program).into_bytes().into(),
    };
    component.push(section.id());
    section.encode(&mut component);
    Ok(component)
}

type Encoding<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn encode(mut module: Vec<u8>) -> Encoding<Vec<u8>> {
    let mut files = SourceMap::default();
    for (name, text) in CONTRACT {
        files.push_str(name, text);
    }
    let mut resolve = Resolve::default();
    let group = files.parse().map_err(|(_, error)| error)?;
    let package = resolve.push_group(group)?;
    let world = resolve.select_world(&[package], Some("batch-plugin"))?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .encode()?;
    Ok(component)
}

/// Returns the contents of the custom section: a JSON object.
fn section(program: &Program) -> String {
    let mut json = format!(
        r#"{{"language":{},"flowloom":"{}","source":""#,
        program.language,
        env!("CARGO_PKG_VERSION")
    );
    for c in program.source.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push_str("\"}");
    json
}
