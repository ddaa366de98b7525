//! Where the component of a plugin comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::escape::escaped_path;

/// Where the component of a plugin comes from.
///
/// With serde, it is `{"file": "ja4.wasm"}`, `{"features": "n = count()"}` or `{"digest": "9f86…"}`. Bytes cannot be serialised: put the component
/// into a store, and name it by its digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PluginSource {
    /// A file with the component, or a file `*.features` with the text of features.
    File(PathBuf),
    /// The text of features, which is compiled to a component.
    Features(String),
    /// The component itself.
    #[serde(skip)]
    Bytes(Arc<[u8]>),
    /// The SHA-256 of the component or text, which is the file `<digest>.wasm` or `<digest>.features` in the
    /// [store](crate::RegistryConfig::store) of the run.
    Digest(Sha256),
}

impl PluginSource {
    /// Returns the path, if the source is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Features(_) | Self::Bytes(_) | Self::Digest(_) => None,
        }
    }
}

/// Writes the source as the subject of a message.
impl fmt::Display for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&escaped_path(path)),
            Self::Features(text) => write!(f, "the text of features ({} bytes)", text.len()),
            Self::Bytes(bytes) => write!(f, "the component of {} bytes", bytes.len()),
            Self::Digest(digest) => write!(f, "the component with SHA-256 {digest}"),
        }
    }
}

/// Writes the source without the bytes of a component.
impl fmt::Debug for PluginSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginSource({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_without_its_bytes() {
        let digest = Sha256::of(b"abc");
        for (source, text, file) in [
            (
                PluginSource::File("a\nb.wasm".into()),
                "a\\u{a}b.wasm".to_owned(),
                Some(Path::new("a\nb.wasm")),
            ),
            (
                PluginSource::Bytes(b"abc".to_vec().into()),
                "the component of 3 bytes".to_owned(),
                None,
            ),
            (
                PluginSource::Features("n = count()".into()),
                "the text of features (11 bytes)".to_owned(),
                None,
            ),
            (
                PluginSource::Digest(digest),
                format!("the component with SHA-256 {digest}"),
                None,
            ),
        ] {
            assert_eq!(source.to_string(), text);
            assert_eq!(format!("{source:?}"), format!("PluginSource({text})"));
            assert_eq!(source.file(), file);
        }
    }
}
