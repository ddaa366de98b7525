//! The first opening of a component that was just built.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use flowloom::plugin::{Grants, LoadErrorKind, Manifest, PluginError, PluginSpec, shown};

use super::super::compile::CommandCompiler;
use super::super::exit::{Failure, GrantAdvice};
use super::check::missing_grants;
use super::project::Project;
use super::{every_analysis, registry};

/// What an author learns from the first opening of a component.
pub(super) struct Opened {
    name: String,
    /// The names and types of outputs.
    outputs: Vec<String>,
    /// The grants that a run has to give.
    pub(super) needs: Option<Grants>,
    /// The time to compile and open it.
    time: Duration,
    /// Why it was not opened: it has no test, and rejects its default options.
    rejected: Option<String>,
}

/// All data of packets and flows. Pseudonyms exclude addresses.
const ALL_GRANTS: &str = "addresses,application,names,payload:65575,bytes:65575";

/// Opens a component with its default options, or those of a test, and with all grants and analyses.
///
/// # Errors
///
/// No run can load the component. The message has all reasons.
pub(super) fn open(
    project: &Project,
    file: &Path,
    compiler: CommandCompiler,
) -> Result<Opened, Failure> {
    let name = &project.plugin.name;
    let registry = registry(every_analysis(), compiler)?;
    let failure = |error| Failure::of_plugin(error, GrantAdvice::Option);
    let inspect = |spec: &PluginSpec| {
        let mut inspection = registry.inspect(spec).map_err(failure)?;
        let (fatal, others) = inspection.problems.into_iter().partition(is_fatal);
        inspection.problems = fatal;
        Ok::<_, Failure>((inspection, others))
    };
    let all: Grants = ALL_GRANTS.parse().map_err(Failure::failed)?;
    let start = Instant::now();
    let default = PluginSpec::new(file).name(name);
    let mut specs = vec![default];
    for test in &project.tests {
        specs.push(project.spec_of(file.to_owned(), test)?);
    }
    let mut rejected = None;
    for mut spec in specs {
        spec.grants = all;
        let (inspection, _) = inspect(&spec)?;
        let (manifest, problems) = (inspection.manifest, inspection.problems);
        if let [error] = &problems[..]
            && let LoadErrorKind::RejectedOptions(reason) = &*error.problem
        {
            rejected.get_or_insert_with(|| shown(reason));
            continue;
        }
        let mut failures = problems.into_iter().map(failure);
        if let Some(first) = failures.next() {
            return Err(failures.fold(first, Failure::and).for_author());
        }
        let time = start.elapsed();
        let mut needs = None;
        if manifest.as_ref().is_some_and(requests_grants) {
            // A plugin may request less if less is available.
            spec.grants = Grants::default();
            needs = missing_grants(&inspect(&spec)?.1);
        }
        let outputs = manifest.iter().flat_map(|manifest| &manifest.outputs);
        return Ok(Opened {
            name: name.clone(),
            outputs: outputs
                .map(|output| format!("{} ({})", output.name(), output.ty().name()))
                .collect(),
            needs,
            time,
            rejected: None,
        });
    }
    // A test gives the options that the plugin requires, so its author made a mistake.
    if let Some(reason) = rejected.as_ref().filter(|_| !project.tests.is_empty()) {
        return Err(Failure::failed(format_args!(
            "plugin '{name}': cannot be opened, neither by default nor with the options of a test: {reason}"
        ))
        .for_author());
    }
    Ok(Opened {
        name: name.clone(),
        outputs: Vec::new(),
        needs: None,
        time: start.elapsed(),
        rejected,
    })
}

/// Returns whether a plugin requests data that not every run shows.
fn requests_grants(manifest: &Manifest) -> bool {
    let none = Grants::default();
    let at_events = [&manifest.at_init, &manifest.at_update, &manifest.at_expire];
    let mut flow = at_events.into_iter().flatten();
    let mut packet = manifest.packet.iter();
    manifest.payload_bytes > 0
        || manifest.packet_bytes > 0
        || packet.any(|field| !none.allow(field.sensitivity))
        || flow.any(|field| !none.allow(field.sensitivity))
}

/// Returns whether no run can load a plugin with this problem. Others depend on the grants and analyses of a run.
fn is_fatal(error: &PluginError) -> bool {
    !matches!(
        *error.problem,
        LoadErrorKind::NotGranted { .. }
            | LoadErrorKind::ConflictingRequests { .. }
            | LoadErrorKind::FieldAbsent { .. }
            | LoadErrorKind::RevealedPseudonyms
    )
}

/// Writes what was learned after the time of the build, without a line feed at the end.
impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, time, .. } = self;
        if let Some(reason) = &self.rejected {
            return write!(
                f,
                "; compiled in {time:.1?}\nnot opened   by default: {reason}; a [[test]] in flowloom-plugin.toml may set \
                 options"
            );
        }
        write!(f, "; compiled and opened in {time:.1?}")?;
        match self.outputs.len() {
            0 => write!(f, "\nadds         nothing")?,
            _ => write!(f, "\nadds         {}", self.outputs.join(", "))?,
        }
        if let Some(needs) = &self.needs {
            write!(f, "\nneeds        --grant {name}={needs}")?;
        }
        Ok(())
    }
}
