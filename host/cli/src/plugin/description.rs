//! The description of a plugin for people: what it requests, adds and costs.

use std::io::{self, Write};

use flowloom::plugin::{
    FeatureSource, Grants, InspectedFeatures, Inspection, Manifest, OptionDescription, PluginSpec,
    escaped, shown,
};

/// Describes an option in one line.
fn described(option: &OptionDescription) -> String {
    let accepts = match &*option.accepts {
        "" => option.ty.name().to_owned(),
        accepts => escaped(accepts),
    };
    let default = match option.default.as_deref() {
        None => "required".to_owned(),
        Some("") => "optional".to_owned(),
        Some(default) => format!("default {}", escaped(default)),
    };
    let description = escaped(&option.description);
    format!("{}, {accepts}, {default}: {description}", option.name)
}

/// Says whether a component is what its text of features says.
fn text_of(features: &InspectedFeatures) -> String {
    let FeatureSource {
        language, flowloom, ..
    } = &features.source;
    let compared = match features.is_exact {
        true => "this Flowloom compiles it to the same bytes",
        false => "NOT what its text says: this Flowloom compiles the text to other bytes",
    };
    let version = match (features.is_exact, flowloom == env!("CARGO_PKG_VERSION")) {
        (false, false) => format!(", which may be due to its version, {}", escaped(flowloom)),
        _ => String::new(),
    };
    format!("in language {language} (flowloom plugin source); {compared}{version}")
}

/// Writes the description. `costs` is what the plugin costs before its first event, and `missing` are the grants that
/// it lacks.
pub(super) fn write(
    out: &mut impl Write,
    spec: &PluginSpec,
    inspection: &Inspection,
    costs: Option<&str>,
    missing: Option<Grants>,
) -> io::Result<()> {
    let mut line = |what: &str, text: &str| match text {
        "" => Ok(()),
        text => writeln!(out, "{what:<12} {text}"),
    };
    let manifest = inspection.manifest.as_ref();
    let version = manifest.map_or("", |manifest| &manifest.version);
    line(
        "plugin",
        format!("{} {}", spec.name, escaped(version)).trim_end(),
    )?;
    if let Some(manifest) = manifest {
        line("description", &escaped(&manifest.description))?;
    }
    let size = format!("{} bytes", inspection.component_bytes);
    line("file", costs.unwrap_or(&size))?;
    line("sha256", &inspection.sha256.to_string())?;
    if let Some(features) = &inspection.features {
        line("features", &text_of(features))?;
    }
    // Types need no function of the host.
    let imports = inspection
        .imports
        .iter()
        .filter(|import| !import.starts_with("flowloom:plugin/manifest@"));
    let imports: Vec<_> = imports.map(|import| shown(import)).collect();
    let imports = match imports.len() {
        0 => "nothing".to_owned(),
        1..=MAX_IMPORTS => imports.join(", "),
        count => format!(
            "{} and {} more",
            imports[..MAX_IMPORTS].join(", "),
            count - MAX_IMPORTS
        ),
    };
    line("imports", &imports)?;
    if let Some(manifest) = manifest {
        write_manifest(out, spec, inspection, manifest, missing)?;
    }
    Ok(())
}

/// The maximum number of imports that are shown. Components with WASI have up to thirty.
const MAX_IMPORTS: usize = 32;

fn write_manifest(
    out: &mut impl Write,
    spec: &PluginSpec,
    inspection: &Inspection,
    manifest: &Manifest,
    missing: Option<Grants>,
) -> io::Result<()> {
    let mut line = |what: &str, text: &str| match text {
        "" => Ok(()),
        text => writeln!(out, "{what:<12} {text}"),
    };
    let has_batches = inspection
        .exports
        .iter()
        .any(|export| export.starts_with("flowloom:plugin/batch-feature@"));
    line(
        "called",
        match has_batches && !manifest.cuts_flows {
            true => "with batches of events",
            false => "with single events",
        },
    )?;
    let packet: Vec<_> = manifest.packet.iter().map(|field| field.name).collect();
    line("packet", &packet.join(", "))?;
    for (what, requested, granted) in [
        ("payload", manifest.payload_bytes, spec.grants.payload()),
        ("IP packet", manifest.packet_bytes, spec.grants.bytes()),
    ] {
        let text = match (requested, granted) {
            (0, _) => String::new(),
            (requested, granted) if granted == 0 || granted >= requested => {
                format!("the first {requested} bytes of each packet")
            }
            (requested, granted) => {
                format!("the first {granted} bytes of each packet; it requests {requested} bytes")
            }
        };
        line(what, &text)?;
    }
    for (what, fields) in [
        ("at init", &manifest.at_init),
        ("at update", &manifest.at_update),
        ("at expire", &manifest.at_expire),
    ] {
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        line(what, &names.join(", "))?;
    }
    if spec.grants != Grants::default() {
        line("granted", &spec.grants.to_string())?;
    }
    if let Some(missing) = missing {
        line("missing", &format!("{missing}, which the run must grant"))?;
    }
    if manifest.packets_per_flow < u64::MAX {
        line(
            "packets",
            &format!("at most {} per flow", manifest.packets_per_flow),
        )?;
    }
    if manifest.flow_bytes > 0 {
        let bytes = format!("{} bytes per live flow", manifest.flow_bytes);
        line("memory", &bytes)?;
    }
    if manifest.cuts_flows {
        line("cuts", "may end flows early")?;
    }
    if manifest.needs_one_meter {
        line("meters", "one, because the plugin keeps state across flows")?;
    }
    for (n, option) in manifest.options.iter().enumerate() {
        let what = if n == 0 { "options" } else { "" };
        writeln!(out, "{what:<12} {}", described(option))?;
    }
    for (n, output) in manifest.outputs.iter().enumerate() {
        let what = if n == 0 { "outputs" } else { "" };
        let text = format!(
            "{}, {}: {}",
            output.path(),
            output.ty().name(),
            escaped(output.description())
        );
        writeln!(out, "{what:<12} {text}")?;
    }
    Ok(())
}
