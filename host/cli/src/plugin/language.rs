//! Programming languages of plugins.

use std::fmt;

use clap::ValueEnum;
use serde::Deserialize;

/// The programming language of a plugin.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    Rust,
    C,
    Zig,
    #[value(name = "javascript")]
    JavaScript,
    /// JavaScript with types. It has the SDK of JavaScript.
    #[value(name = "typescript")]
    TypeScript,
    Python,
    Go,
    /// Expressions, which need no other compiler.
    Features,
}

impl Language {
    /// Returns whether plugins need an SDK and a compiler.
    pub(super) fn has_sdk(self) -> bool {
        self != Self::Features
    }

    /// Returns the name of its folder in `sdk/`. Features have none.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Zig => "zig",
            Self::JavaScript | Self::TypeScript => "javascript",
            Self::Python => "python",
            Self::Go => "go",
            Self::Features => "features",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
