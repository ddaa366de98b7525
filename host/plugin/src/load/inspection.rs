//! What a plugin wants, whether or not it would be loaded.

use flowloom_core::schema::Schema;

use super::engine::PluginEngine;
use super::feature_source::FeatureSource;
use super::file::PluginFile;
use super::linker::LinkedPlugin;
use super::manifest::{Manifest, ManifestRules};
use super::plugin::open_instance;
use crate::config::spec::PluginSpec;
use crate::digest::Sha256;
use crate::error::{LoadErrorKind, PluginError};

/// What a plugin requests and adds, whether or not it would be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// The digest of its component.
    pub sha256: Sha256,
    /// The size of its component in bytes.
    pub component_bytes: usize,
    /// The features that it was compiled from, as it says. `None` if it says nothing about them.
    pub features: Option<InspectedFeatures>,
    /// The interfaces that it imports, such as `flowloom:plugin/log@0.1.0`. A plugin chose the names.
    pub imports: Vec<String>,
    /// The interfaces that it exports. A plugin chose the names.
    pub exports: Vec<String>,
    /// The valid part of what it declares, as it declares it: grants do not limit numbers of bytes. `None` if it cannot
    /// be opened.
    pub manifest: Option<Manifest>,
    /// All reasons why it would not be loaded.
    pub problems: Vec<PluginError>,
}

/// The features that a component was compiled from, as it says.
#[derive(Debug)]
#[non_exhaustive]
pub struct InspectedFeatures {
    /// The text.
    pub source: FeatureSource,
    /// Whether this Flowloom compiles the text to exactly the bytes of the component.
    pub is_exact: bool,
}

impl Inspection {
    /// Compiles the file, opens an instance, and checks everything.
    ///
    /// # Errors
    ///
    /// The file cannot be compiled.
    pub(super) fn of(
        spec: &PluginSpec,
        file: PluginFile,
        engine: &PluginEngine,
        schema: &Schema,
    ) -> Result<Self, LoadErrorKind> {
        let PluginFile { code, sha256 } = file;
        let text = code.features().cloned();
        let bytes = engine.component(code)?;
        let component_bytes = bytes.len();
        let (component, cost) = engine.compile_only(bytes.clone(), &spec.source)?;
        // The compiler has accepted the structure of the component.
        let features = FeatureSource::of(&bytes).map(|source| InspectedFeatures {
            is_exact: source.gives(&bytes, engine),
            source,
        });
        let ty = component.component_type();
        let imports = ty.imports(engine.engine()).map(|(name, _)| name.to_owned());
        let exports = ty.exports(engine.engine()).map(|(name, _)| name.to_owned());
        let mut inspection = Self {
            sha256,
            component_bytes,
            features,
            imports: imports.collect(),
            exports: exports.collect(),
            manifest: None,
            problems: Vec::new(),
        };
        let mut add = |problem| {
            let error = PluginError::new(&spec.name, problem);
            inspection.problems.push(error);
        };
        if spec.grants.reveal_pseudonyms() {
            add(LoadErrorKind::RevealedPseudonyms);
        }
        let open = || {
            let linked = LinkedPlugin::new(&component, cost, engine.host())?;
            let rules = ManifestRules::new(spec, schema, &linked);
            let (_, declared) = open_instance(spec, engine, &linked, &rules)?;
            Ok((declared, rules))
        };
        match open() {
            Err(problem) => add(problem),
            Ok((declared, rules)) => {
                let (manifest, problems) = Manifest::examine(declared, &rules);
                problems.into_iter().for_each(&mut add);
                for checked in [
                    rules.check_grants(&manifest),
                    rules.check_presence(&manifest),
                ] {
                    let problem = checked.err();
                    let place = || text.as_ref()?.payload_place();
                    let problem = problem.map(|problem| problem.with_payload_place(place));
                    problem.into_iter().for_each(&mut add);
                }
                inspection.manifest = Some(manifest);
            }
        }
        Ok(inspection)
    }
}
