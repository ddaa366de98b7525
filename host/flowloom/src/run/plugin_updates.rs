//! The plugins of a run while packets flow.

use std::sync::Arc;

use flowloom_core::schema::Schema;
use flowloom_plugin::{PluginSet, Registry};

/// The plugins of a run, which may change.
#[derive(Clone)]
pub(crate) struct PluginUpdates {
    registry: Option<Registry>,
    /// Those that the meters have.
    pub(crate) set: Arc<PluginSet>,
    number: u64,
}

impl PluginUpdates {
    pub(crate) fn new(registry: Option<Registry>, schema: &Schema) -> Self {
        // A change in between is one more change.
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

    /// Another set of plugins, if there is one since it was last asked for.
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
