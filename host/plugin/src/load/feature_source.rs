//! The text of features that a component carries.

use flowloom_expr::features::SECTION;
use serde::Deserialize;
use wasmparser::{Parser, Payload};

use super::compile::FeatureText;
use super::engine::PluginEngine;
use super::file::PluginCode;

/// The maximum state of a flow with which a component may have been compiled.
const MAX_STATE_BYTES: u32 = 4_096;

/// The maximum size of the section. A control character takes six bytes.
const MAX_SECTION: usize = 6 * FeatureText::MAX_BYTES as usize + 4_096;

/// The text of features that a component was compiled from, as the component says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct FeatureSource {
    /// The version of the language.
    pub language: u32,
    /// The version of Flowloom that compiled it.
    pub flowloom: String,
    /// The text.
    #[serde(rename = "source")]
    pub text: String,
}

impl FeatureSource {
    /// Reads the section of a component that has the text. `None` if there is none, or it is not valid.
    pub fn of(component: &[u8]) -> Option<Self> {
        let mut depth = 0;
        for payload in Parser::new(0).parse_all(component) {
            match payload.ok()? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) if depth > 0 => depth -= 1,
                Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                    let data = section.data();
                    return serde_json::from_slice(data.get(..data.len().min(MAX_SECTION))?).ok();
                }
                _ => {}
            }
        }
        None
    }

    /// Returns whether the text gives exactly these bytes.
    pub(super) fn gives(&self, component: &[u8], engine: &PluginEngine) -> bool {
        let text = FeatureText::new("features", &*self.text).state_bytes(MAX_STATE_BYTES);
        let compiled = engine.component(PluginCode::Features(text));
        compiled.is_ok_and(|compiled| compiled == component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::anonymization_key::AnonymizationKey;
    use crate::load::plugin::tests::{MODULE, embedded};
    use crate::supervised::ThreadPanics;

    #[test]
    fn a_component_that_lies_about_its_text_is_told_apart() {
        let key = AnonymizationKey::from([7; 64]);
        let engine = PluginEngine::new(None, &key, &ThreadPanics::default()).unwrap();
        let text = "big = count(where ip_size > 1000)  # Packets.\n";
        let component = FeatureText::new("x", text).component().unwrap();
        let source = FeatureSource::of(&component).expect("it carries its text");
        assert_eq!((&*source.text, source.language), (text, 1));
        assert_eq!(source.flowloom, env!("CARGO_PKG_VERSION"));
        assert!(source.gives(&component, &engine));
        // The same text in another component.
        let other = FeatureText::new("x", text.replace("1000", "2000"));
        let mut other = other.component().unwrap();
        let at = other.len() - text.len()..;
        let tail = component[component.len() - text.len()..].to_vec();
        other[at].copy_from_slice(&tail);
        let lie = FeatureSource::of(&other).expect("it carries a text");
        assert_eq!(lie.text, text);
        assert!(!lie.gives(&other, &engine));
        // Other components carry none.
        assert_eq!(FeatureSource::of(&embedded(MODULE, "plugin")), None);
        assert_eq!(FeatureSource::of(b"abc"), None);
        assert_eq!(FeatureSource::of(&component[..component.len() - 1]), None);
    }
}
