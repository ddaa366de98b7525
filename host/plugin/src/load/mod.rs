//! Loading: from files to plugins that can be opened.

pub(crate) mod compile;
pub(crate) mod engine;
pub(crate) mod feature_source;
pub(crate) mod file;
pub(crate) mod folder;
pub(crate) mod inspection;
pub(crate) mod linker;
pub(crate) mod manifest;
pub(crate) mod option;
pub(crate) mod plugin;
pub(crate) mod registry;
mod texts;
