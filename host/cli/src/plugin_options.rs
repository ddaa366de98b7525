//! What the options of plugins have in common between commands.

use std::path::Path;

use flowloom::plugin::{GrantError, Grants, PluginSpec, Policy, escaped, escaped_path};

use super::exit::Failure;

/// Help heading of the options of plugins.
pub(super) const PLUGINS: &str = "Plugins";

/// Parses `NAME=WHAT[,WHAT…]`.
pub(super) fn grant(text: &str) -> Result<(String, Grants), String> {
    let (name, what) = text
        .split_once('=')
        .ok_or("give NAME=WHAT, as in slicer=addresses,payload:64")?;
    let grants = what
        .parse()
        .map_err(|error: GrantError| error.to_string())?;
    Ok((name.to_owned(), grants))
}

/// Adds the grants of `--grant` to the plugin of a command that has one plugin.
pub(super) fn with_grants(
    mut spec: PluginSpec,
    grants: &[(String, Grants)],
) -> Result<PluginSpec, Failure> {
    for (name, grants) in grants {
        if *name != spec.name {
            return Err(Failure::usage(format_args!(
                "--grant {name}=…: the plugin is called {}",
                spec.name
            )));
        }
        spec = spec.grant(*grants);
    }
    Ok(spec)
}

/// Warns if a policy has entries, and none of them is for one of these plugins.
pub(super) fn warn_of_unused_policy(file: &Path, policy: &Policy, plugins: &[&str]) {
    let entries: Vec<_> = policy.plugins().collect();
    if entries.is_empty() || entries.iter().any(|entry| plugins.contains(entry)) {
        return;
    }
    let list = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => escaped(&names.join(", ")),
    };
    tracing::warn!(
        "the policy {} has no entry for a plugin of this run; entries: {}; plugins: {}",
        escaped_path(file),
        list(&entries),
        list(plugins)
    );
}
