//! `flowloom plugin`: for those who write plugins.

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
use flowloom::plugin::{Grants, PluginSpec, Policy, Registry, RegistryConfig};

use super::compile::{self, CompileBounds};
use super::exit::{Exit, Failure};
use super::meter::grant;

#[derive(Subcommand)]
pub(super) enum Plugin {
    /// Begin a plugin: a folder that builds as it is, with a test.
    New(new::New),
    /// Build a plugin's folder into a component, with the compiler of its language.
    Build(build::Build),
    /// Meter the captures of a plugin's tests, and compare what it adds with what is expected.
    Test(test::Test),
    /// Load a plugin as a run would, and say what it asks for, what it adds, and what it costs.
    Check(check::Check),
    /// Measure what a plugin costs, against runs without it.
    Bench(bench::Bench),
    /// Make a component of a core WebAssembly module that carries its component type.
    Componentize(componentize::Componentize),
    /// Compile a plugin from standard input: what the others call, in a process of its own.
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

/// Which plugin, and what it may see.
#[derive(Args)]
struct Chosen {
    /// The plugin: its component, a name for it if the file's is not to be used, and options.
    #[arg(value_name = "[NAME=]FILE[,KEY=VALUE…]")]
    plugin: PluginSpec,

    /// What it may see beyond sizes, times, direction, flags, ports, protocol and counters, as in
    /// `flowloom meter`.
    #[arg(long = "grant", value_name = "NAME=WHAT[,WHAT…]", value_parser = grant)]
    grants: Vec<(String, Grants)>,

    /// What plugins are allowed: a policy, as in `flowloom meter`.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl Chosen {
    fn spec(self) -> Result<PluginSpec, Failure> {
        let mut spec = self.plugin;
        for (name, grants) in self.grants {
            if name != spec.name {
                return Err(Failure::usage(format_args!(
                    "--grant {name}=…: the plugin is called {}",
                    spec.name
                )));
            }
            spec = spec.grant(grants);
        }
        match self.policy {
            None => Ok(spec),
            Some(file) => {
                let policy = Policy::from_file(file).map_err(Failure::failed)?;
                policy.apply(spec).map_err(Failure::failed)
            }
        }
    }
}

/// A registry whose plugins are compiled as those of a run are.
fn registry(settings: Settings, compile: &CompileBounds) -> Result<Registry, Failure> {
    let config = RegistryConfig {
        compiler: Some(Arc::new(compile.compiler())),
        ..RegistryConfig::default()
    };
    Registry::with(settings.schema(), config).map_err(Failure::failed)
}

/// A run with every analysis, so that there is every field that a plugin may ask for.
fn every_analysis() -> Settings {
    Settings {
        statistical_analysis: true,
        splt_analysis: 20,
        ..Settings::default()
    }
}
