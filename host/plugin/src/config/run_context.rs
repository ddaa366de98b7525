//! Properties of a run that affect plugins.

/// Properties of a run that affect plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunContext {
    /// The number of meters.
    pub meters: usize,
    /// The columns of flows.
    pub columns: SchemaMode,
    /// Whether packets are captured live, so that they do not wait for plugins.
    pub is_live: bool,
}

impl Default for RunContext {
    /// Returns a run over files with one meter and fixed columns.
    fn default() -> Self {
        Self {
            meters: 1,
            columns: SchemaMode::default(),
            is_live: false,
        }
    }
}

/// The columns of flows while packets flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaMode {
    /// All flows have the columns of the plugins that were loaded when the run began, because a CSV file has
    /// one header. Flowloom rejects plugin versions with other outputs. Values of a removed plugin are null.
    #[default]
    Fixed,
    /// Each flow has the columns of the plugins that were loaded when it began.
    PerFlow,
}
