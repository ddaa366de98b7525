//! `flowloom plugin check`

use std::time::Instant;

use clap::Args;
use flowloom::Settings;
use flowloom::plugin::{Grants, LoadErrorKind, PluginError, PluginSpec};

use super::super::compile::CompileOptions;
use super::super::exit::{Exit, Failure};
use super::super::standard;
use super::start_costs::StartCosts;
use super::{PluginOptions, description, every_analysis, registry};

const EXAMPLES: &str = "\
Examples:
  Show the plugin of this folder:
    flowloom plugin check
  Show a plugin that needs payload bytes:
    flowloom plugin check first_bytes.wasm --grant first_bytes=payload:64

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Check {
    #[command(flatten)]
    options: PluginOptions,

    #[command(flatten)]
    compile: CompileOptions,
}

impl Check {
    /// Prints what the plugin requests and adds in a run with all analyses, also if such a run would not load it.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let spec = self.options.spec()?;
        let settings = every_analysis();
        let mut inspection = registry(settings, self.compile.compiler(None))?
            .inspect(&spec)
            .map_err(|error| self.options.failure(error))?;
        let problems = std::mem::take(&mut inspection.problems);
        let missing = missing_grants(&problems);
        // The costs need a plugin that is loaded, and therefore its grants.
        let costs = match problems.len() {
            0 => self.costs(spec.clone(), settings)?,
            1 => match missing {
                Some(missing) => self.costs(spec.clone().grant(missing), settings)?,
                None => None,
            },
            _ => None,
        };
        let costs = costs.map(|costs| costs.to_string());
        let mut text = Vec::new();
        description::write(&mut text, &spec, &inspection, costs.as_deref(), missing)
            .map_err(Failure::failed)?;
        standard::print(String::from_utf8_lossy(&text))?;
        let mut failures = problems
            .into_iter()
            .map(|error| self.options.failure(error));
        match failures.next() {
            None => Ok(Exit::Done),
            Some(first) => Err(failures.fold(first, Failure::and).for_author()),
        }
    }

    /// Measures what the plugin costs. `None` if it cannot be loaded: with more grants, it may request more.
    fn costs(&self, spec: PluginSpec, settings: Settings) -> Result<Option<StartCosts>, Failure> {
        let registry = registry(settings, self.compile.compiler(None))?;
        let start = Instant::now();
        match registry.load(spec) {
            Ok(plugin) => StartCosts::measure(&plugin, start.elapsed(), settings).map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Returns the grants that a plugin lacks.
pub(super) fn missing_grants(problems: &[PluginError]) -> Option<Grants> {
    problems.iter().find_map(|error| match &*error.problem {
        LoadErrorKind::NotGranted { missing, .. } => Some(*missing),
        _ => None,
    })
}
