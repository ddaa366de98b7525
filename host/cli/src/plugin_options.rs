//! Options of plugins.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use flowloom::StreamerBuilder;
use flowloom::plugin::{
    CallMode, GrantError, Grants, PluginFolder, PluginSpec, Policy, escaped, escaped_path,
};

use super::exit::Failure;

/// Help heading of the options of plugins.
pub(super) const PLUGINS: &str = "Plugins";

/// Options that choose the plugins of a run.
#[derive(Args)]
pub(super) struct RunPlugins {
    /// Run a plugin (repeatable).
    ///
    /// FILE is a WebAssembly component, or a file *.features (docs/features.md). The default NAME is the file name up to its first dot. Options of the
    /// plugin follow the file; `KEY=@FILE` passes the text of a file as the value.
    #[arg(id = "plugins", long = "plugin", value_name = "[NAME=]FILE[,KEY=VALUE…]", help_heading = PLUGINS)]
    plugin: Vec<PluginSpec>,

    /// Add a column that an expression defines (repeatable).
    ///
    /// All expressions of a run are one plugin, whose name is `features`: its columns begin with
    /// `udps.features.`. It gets the grants that it needs. docs/features.md describes the language. Example:
    /// `--feature 'big = count(where ip_size > 1000)'`.
    #[arg(long = "feature", value_name = "NAME = EXPRESSION", help_heading = PLUGINS)]
    features: Vec<String>,

    /// Run all plugins of a folder.
    ///
    /// Flowloom runs the files *.wasm and *.features in the order of their names, without options, after the plugins of
    /// --plugin.
    #[arg(long = "plugins", value_name = "DIR", help_heading = PLUGINS)]
    pub(super) folder: Option<PathBuf>,

    /// Follow changes of the folder during the run.
    ///
    /// Flowloom loads files that appear, replaces plugins whose files change, and removes plugins whose files
    /// disappear. Live flows finish with the version that they began with.
    #[arg(long, requires = "folder", help_heading = PLUGINS)]
    pub(super) watch: bool,

    /// Let a plugin see more data (repeatable).
    ///
    /// Every plugin sees sizes, times, direction, TCP flags, ports, protocol and counters. WHAT is one of:
    /// addresses, pseudonyms (numbers instead of addresses), application, names, payload:N (the first N
    /// payload bytes of each packet), bytes:N (the first N bytes of each packet from its IP header on).
    #[arg(long = "grant", value_name = "NAME=WHAT[,WHAT…]", value_parser = grant, help_heading = PLUGINS)]
    grants: Vec<(String, Grants)>,

    /// File of grants, options and limits of plugins.
    ///
    /// docs/sandbox.md describes this TOML file. With --watch, Flowloom follows its changes.
    #[arg(long, value_name = "FILE", help_heading = PLUGINS)]
    pub(super) policy: Option<PathBuf>,

    /// How plugins are called.
    ///
    /// Plugins support calls with batches of events, calls with single events, or both. `auto` uses batches if
    /// the plugin supports them. `per-event` uses single events if the plugin supports them.
    #[arg(
        long,
        default_value = "auto",
        value_name = "auto|per-event",
        hide_possible_values = true,
        help_heading = PLUGINS
    )]
    plugin_calls: PluginCalls,
}

#[derive(Clone, Copy, ValueEnum)]
enum PluginCalls {
    Auto,
    PerEvent,
}

impl RunPlugins {
    /// Returns whether the run has no plugins.
    pub(super) fn is_empty(&self) -> bool {
        self.plugin.is_empty() && self.features.is_empty() && self.folder.is_none()
    }

    /// Returns the files of plugins that are named one by one.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.plugin.iter().filter_map(|plugin| plugin.source.file())
    }

    /// Returns the files with the texts of options.
    pub(super) fn option_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.plugin.iter().flat_map(|plugin| &plugin.option_files)
    }

    fn calls(&self) -> CallMode {
        match self.plugin_calls {
            PluginCalls::Auto => CallMode::Auto,
            PluginCalls::PerEvent => CallMode::PerEvent,
        }
    }

    /// Returns the plugins that are named one by one, with their grants, and that of the features.
    pub(super) fn specs(&self) -> Result<Vec<PluginSpec>, Failure> {
        let plugins = self.plugin.iter().cloned().chain(self.features()?);
        let specs = plugins.map(|plugin| {
            let granted = self.grants.iter().filter(|(name, _)| *name == plugin.name);
            let plugin = granted.fold(plugin.clone(), |plugin, (_, grants)| plugin.grant(*grants));
            plugin.calls(self.calls())
        });
        Ok(specs.collect())
    }

    /// Returns the plugin of `--feature`. It gets the grants that it needs, because the user of the command wrote it.
    fn features(&self) -> Result<Option<PluginSpec>, Failure> {
        if self.features.is_empty() {
            return Ok(None);
        }
        let text = self.features.join("\n");
        let spec = PluginSpec::features("--feature", text).map_err(Failure::usage)?;
        Ok(Some(spec))
    }

    /// Adds the plugins to a run.
    pub(super) fn add_to(&self, mut builder: StreamerBuilder) -> Result<StreamerBuilder, Failure> {
        let calls = self.calls();
        let specs = self.specs()?;
        let mut others = self
            .grants
            .iter()
            .filter(|(name, _)| !specs.iter().any(|plugin| plugin.name == *name));
        if let Some(folder) = &self.folder {
            let folder = PluginFolder::new(folder).followed(self.watch).calls(calls);
            let folder = others.fold(folder, |folder, (name, grants)| folder.grant(name, *grants));
            builder = builder.plugin_folder(folder);
        } else if let Some((name, _)) = others.next() {
            return Err(Failure::usage(format_args!(
                "--grant {name}=…: this run has no plugin of that name"
            )));
        }
        for plugin in specs {
            builder = builder.plugin(plugin);
        }
        Ok(builder)
    }
}

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
