//! `flowloom plugin`: commands for authors of plugins.

mod bench;
mod build;
mod check;
mod componentize;
mod language;
mod new;
mod project;
mod sdk;
mod sources;
mod test;
mod traffic;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use flowloom::Settings;
use flowloom::plugin::{Grants, PluginError, PluginSpec, Policy, Registry, RegistryConfig};

use super::compile::{self, CompileBounds};
use super::exit::{Exit, Failure, GrantAdvice};
use super::plugin_options::{PLUGINS, grant, warn_of_unused_policy, with_grants};

pub(super) const EXAMPLES: &str = "\
Examples:
  Create a plugin, build it and run its test:
    flowloom plugin new mine --lang python
    flowloom plugin build mine
    flowloom plugin test mine
  Show what it requests, and measure its time:
    flowloom plugin check mine/mine.wasm
    flowloom plugin bench mine/mine.wasm

Documentation: docs/plugins.md";

#[derive(Subcommand)]
pub(super) enum Plugin {
    /// Create the folder of a plugin, with a test.
    New(new::New),
    /// Build a plugin with the compiler of its language.
    Build(build::Build),
    /// Run the tests of a plugin.
    Test(test::Test),
    /// Show what a plugin requests, adds and costs.
    Check(check::Check),
    /// Measure the time that a plugin takes.
    Bench(bench::Bench),
    /// Convert a core WebAssembly module into a component.
    Componentize(componentize::Componentize),
    /// Compile a plugin from standard input. The other commands run this in a separate process.
    #[command(hide = true)]
    Compile,
}

impl Plugin {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::New(new) => new.run(),
            Self::Build(build) => build.run(),
            Self::Test(test) => test.run(),
            Self::Check(check) => check.run(),
            Self::Bench(bench) => bench.run(),
            Self::Componentize(componentize) => componentize.run(),
            Self::Compile => compile::run(),
        }
    }
}

/// A plugin, its grants and its policy.
#[derive(Args)]
struct PluginOptions {
    /// The plugin, with its name and options.
    ///
    /// FILE is a WebAssembly component. The default NAME is the file name up to its first dot. Options of the
    /// plugin follow the file; `KEY=@FILE` passes the text of a file as the value.
    #[arg(value_name = "[NAME=]FILE[,KEY=VALUE…]")]
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
        let spec = with_grants(self.plugin.clone(), &self.grants)?;
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

/// Returns a registry that compiles plugins as `flowloom meter` does.
fn registry(settings: Settings, compile: &CompileBounds) -> Result<Registry, Failure> {
    let mut config = RegistryConfig::default();
    config.compiler = Some(Arc::new(compile.compiler()));
    Registry::with(settings.schema(), config).map_err(Failure::failed)
}

/// Returns settings with all analyses, so that all fields exist that a plugin may request.
fn every_analysis() -> Settings {
    let mut settings = Settings::default();
    settings.statistical_analysis = true;
    settings.splt_analysis = 20;
    settings
}
