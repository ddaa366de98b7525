//! `flowloom plugin`: commands for authors of plugins.

mod bench;
mod build;
mod builder;
mod cache;
mod check;
mod compile;
mod component_file;
mod componentize;
mod contract;
mod description;
mod dev;
mod flows;
mod in_process;
mod language;
mod new;
mod open;
mod project;
mod sdk;
mod source;
mod sources;
mod start_costs;
mod test;
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use flowloom::Settings;
use flowloom::plugin::{
    Grants, PluginError, PluginSpec, Policy, Registry, RegistryConfig, SpecError,
};

use self::project::Project;
use super::compile::CommandCompiler;
use super::exit::{Exit, Failure, GrantAdvice};
use super::plugin_options::{PLUGINS, grant, warn_of_unused_policy, with_grants};

pub(super) const EXAMPLES: &str = "\
Examples:
  Create a plugin, build it and run its test:
    flowloom plugin new mine --lang python
    flowloom plugin build mine
    flowloom plugin test mine
  Build it again after each change, and show its values:
    flowloom plugin dev mine --source capture.pcap
  Show what it requests, and measure its time:
    flowloom plugin check mine
    flowloom plugin bench mine

Documentation: docs/plugins.md";

#[derive(Subcommand)]
pub(super) enum Plugin {
    /// Create the folder of a plugin, with a test.
    New(new::New),
    /// Build a plugin with the compiler of its language.
    Build(build::Build),
    /// Build a plugin again after each change of its sources, run its tests, and show its values.
    Dev(dev::Dev),
    /// Run the tests of a plugin.
    Test(test::Test),
    /// Show what a plugin requests, adds and costs.
    Check(check::Check),
    /// Measure the time that a plugin takes.
    Bench(bench::Bench),
    /// List or delete compiled plugins.
    Cache(cache::Cache),
    /// Compile a file of features to a component, without another compiler.
    Compile(compile::Compile),
    /// Print the text of features that a component was compiled from.
    Source(source::Source),
    /// Convert a core WebAssembly module into a component.
    Componentize(componentize::Componentize),
    /// Print the contract with plugins in WIT, for bindings without an SDK.
    Contract(contract::Contract),
    /// Compile a plugin from standard input. The other commands run this in a separate process.
    #[command(hide = true)]
    CompileProcess,
}

impl Plugin {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Dev(dev) => dev.run(),
            Self::Test(test) => test.run(),
            Self::Check(check) => check.run(),
            Self::Bench(bench) => bench.run(),
            Self::Cache(cache) => cache.run(),
            Self::Componentize(componentize) => componentize.run(),
            Self::Compile(compile) => compile.run(),
            Self::Source(source) => source.run(),
            Self::Contract(contract) => contract.run(),
            Self::CompileProcess => super::compile::run(),
        }
    }
}

/// A plugin, its grants and its policy.
#[derive(Args)]
struct PluginOptions {
    /// The plugin, with its name and options.
    ///
    /// FILE is a WebAssembly component, a file *.features, or the folder of a plugin that was built. The default NAME
    /// is the file name up to its first dot. Options of the plugin follow the file; `KEY=@FILE` passes the text of a file as the
    /// value.
    #[arg(value_name = "[NAME=]FILE[,KEY=VALUE…]", default_value = ".", value_parser = plugin)]
    plugin: PluginSpec,

    /// Let the plugin see more data (repeatable).
    ///
    /// WHAT is one of: addresses, pseudonyms, application, names, payload:N, bytes:N, as in `flowloom meter`.
    #[arg(long = "grant", value_name = "NAME=WHAT[,WHAT…]", value_parser = grant, help_heading = PLUGINS)]
    grants: Vec<(String, Grants)>,

    /// File of grants, options and limits of plugins.
    ///
    /// docs/sandbox.md describes this TOML file.
    #[arg(long, value_name = "FILE", help_heading = PLUGINS)]
    policy: Option<PathBuf>,
}

impl PluginOptions {
    fn spec(&self) -> Result<PluginSpec, Failure> {
        let mut spec = self.plugin.clone();
        if let Some(folder) = spec.source.file().filter(|file| file.is_dir()) {
            let built = Project::open(folder)?.built()?;
            spec.source = built.source;
            spec.name = built.name;
        }
        let spec = with_grants(spec, &self.grants)?;
        match &self.policy {
            None => Ok(spec),
            Some(file) => {
                let policy = Policy::from_file(file).map_err(Failure::failed)?;
                warn_of_unused_policy(file, &policy, &[&spec.name]);
                policy.apply(spec).map_err(Failure::failed)
            }
        }
    }

    /// Converts an error of loading the plugin.
    fn failure(&self, error: PluginError) -> Failure {
        let advice = match &self.policy {
            Some(policy) => GrantAdvice::Policy(policy),
            None => GrantAdvice::Option,
        };
        Failure::of_plugin(error, advice)
    }
}

/// Parses a plugin with its name and options, or the folder of a plugin.
fn plugin(text: &str) -> Result<PluginSpec, SpecError> {
    match Path::new(text).is_dir() {
        // The description in the folder has the name.
        true => Ok(PluginSpec::new(text)),
        false => text.parse(),
    }
}

/// Returns a registry that compiles plugins as `flowloom meter` does.
fn registry(settings: Settings, compiler: CommandCompiler) -> Result<Registry, Failure> {
    let mut config = RegistryConfig::default();
    config.compiler = Some(Arc::new(compiler));
    Registry::with(settings.schema(), config).map_err(Failure::failed)
}

/// Returns settings with all analyses, so that all fields exist that a plugin may request.
fn every_analysis() -> Settings {
    let mut settings = Settings::default();
    settings.statistical_analysis = true;
    settings.splt_analysis = 20;
    settings
}
