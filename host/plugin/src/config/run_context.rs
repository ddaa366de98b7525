//! The run that plugins are part of.

/// The run that plugins are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunContext {
    /// How many meters there are.
    pub meters: usize,
    /// Which columns flows have.
    pub columns: SchemaMode,
    /// Whether packets come as they are captured, and do not wait.
    pub is_live: bool,
}

impl Default for RunContext {
    /// One meter reads captures, and columns are fixed.
    fn default() -> Self {
        Self {
            meters: 1,
            columns: SchemaMode::default(),
            is_live: false,
        }
    }
}

/// Which columns flows have once a run has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaMode {
    /// Those of the plugins that were loaded by then, since a table has one header. Plugins with other
    /// outputs are refused, and values of a plugin that was removed are null.
    #[default]
    Fixed,
    /// Each flow has the columns of the plugins that it began with.
    PerFlow,
}
