//! The manifest, as the canonical ABI of the component model lays it out in memory.

use super::data::Data;
use super::program::{Field, Program};

/// Writes `result<manifest, string>` with the manifest, and returns its address.
pub(super) fn write(program: &Program, flow_bytes: u32, data: &mut Data) -> u32 {
    let [version, version_len] = data.text(&program.version);
    let [description, description_len] = data.text(&program.description);
    let mut outputs = Vec::new();
    for output in &program.outputs {
        let [name, name_len] = data.text(&output.name);
        let [text, text_len] = data.text(&output.description);
        let kind = program.ty(&output.value).case();
        outputs.extend([name, name_len, kind, text, text_len]);
    }
    let outputs = data.words(&outputs);
    let packet = names(&program.packet, data);
    let expired = names(&program.expired, data);
    data.words(&[
        // The result is a manifest.
        0,
        version,
        version_len,
        description,
        description_len,
        outputs,
        program.outputs.len() as u32,
        // No options.
        4,
        0,
        packet,
        program.packet.len() as u32,
        program.payload_bytes,
        // packet-bytes
        0,
        // at-init, at-update
        4,
        0,
        4,
        0,
        expired,
        program.expired.len() as u32,
        // packets-per-flow
        program.packets_per_flow.is_some().into(),
        program.packets_per_flow.unwrap_or(0),
        flow_bytes,
        // cuts-flows, packed, needs-one-meter
        0,
    ])
}

/// Writes a list of names, and returns its address.
fn names(fields: &[Field], data: &mut Data) -> u32 {
    let places: Vec<u32> = fields
        .iter()
        .flat_map(|field| data.text(field.name))
        .collect();
    data.words(&places)
}
