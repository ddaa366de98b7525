//! Changes of plugins during a run.

use std::sync::Arc;

use flowloom_core::schema::Schema;
use flowloom_plugin::{PluginSet, Registry};

/// Detects changes of the plugins of a run. Each meter or reader has its own copy.
#[derive(Clone)]
pub(crate) struct PluginUpdates {
    registry: Option<Registry>,
    /// The newest set that was returned.
    pub(crate) set: Arc<PluginSet>,
    /// The number of the registry's set, read no later than `set`. Every change of the set changes it.
    number: u64,
}

impl PluginUpdates {
    pub(crate) fn new(registry: Option<Registry>, schema: &Schema) -> Self {
        // The number is read before the set. A change in between is reported once more, and is not lost.
        let number = registry.as_ref().map_or(0, Registry::number);
        Self {
            set: match &registry {
                Some(registry) => registry.set(),
                None => Arc::new(PluginSet::new(schema, &[])),
            },
            registry,
            number,
        }
    }

    /// Returns the current set of plugins if it has changed since the last call.
    #[inline]
    pub(crate) fn changed(&mut self) -> Option<Arc<PluginSet>> {
        let registry = self.registry.as_ref()?;
        let number = registry.number();
        if number == self.number {
            return None;
        }
        self.number = number;
        self.set = registry.set();
        Some(self.set.clone())
    }
}
