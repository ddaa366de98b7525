//! Reads the component of a plugin, or the text of its features.
//!
//! A file is opened once. Flowloom compiles what was read, whatever happens to the file later.

use std::path::Path;

use super::compile::FeatureText;
use crate::bounded_file::{BoundedRead, BoundedReadError};
use crate::config::spec::PluginSpec;
use crate::digest::Sha256;
use crate::error::LoadErrorKind;
use crate::escape::escaped_path;
use crate::source::PluginSource;

/// The maximum size of a component in bytes. Python components have 18 MB.
const MAX_BYTES: u64 = 64 << 20;

/// The extension of files with the text of features.
pub(crate) const FEATURES: &str = "features";

/// The content of a plugin's file as it was read.
pub(crate) struct PluginFile {
    pub(crate) code: PluginCode,
    /// The digest of the file.
    pub(crate) sha256: Sha256,
}

/// What a plugin is made of.
pub(crate) enum PluginCode {
    /// A component, or a core module with its component type. It is not checked.
    Wasm(Vec<u8>),
    /// Features, which are compiled to a component.
    Features(FeatureText),
}

impl PluginFile {
    /// Reads the component or text of `spec`, and checks its digest. `store` is the folder of files that are named by
    /// their digests.
    pub(crate) fn read(spec: &PluginSpec, store: Option<&Path>) -> Result<Self, LoadErrorKind> {
        let source = &spec.source;
        let (bytes, is_text) = match source {
            PluginSource::File(path) => {
                let is_text = is_text(path);
                let bytes = read(path, spec.follows_links, max_bytes(is_text), source)?;
                (bytes, is_text)
            }
            PluginSource::Bytes(bytes) => (bounded(bytes, false, source)?, false),
            PluginSource::Features(text) => (bounded(text.as_bytes(), true, source)?, true),
            PluginSource::Digest(digest) => {
                let store = store.ok_or_else(|| LoadErrorKind::NoStore {
                    component: source.clone(),
                })?;
                let text = store.join(format!("{digest}.{FEATURES}"));
                let (path, is_text) = match text.is_file() {
                    true => (text, true),
                    false => (store.join(format!("{digest}.wasm")), false),
                };
                (read(&path, true, max_bytes(is_text), source)?, is_text)
            }
        };
        let sha256 = Sha256::of(&bytes);
        let named = match source {
            PluginSource::Digest(digest) => Some(*digest),
            _ => None,
        };
        if let Some(wanted) = [spec.sha256, named]
            .into_iter()
            .flatten()
            .find(|wanted| *wanted != sha256)
        {
            return Err(LoadErrorKind::OtherFile {
                component: source.clone(),
                is: sha256,
                wanted,
            });
        }
        let code = match is_text {
            true => PluginCode::Features(text_of(bytes, source)?),
            false => PluginCode::Wasm(bytes),
        };
        Ok(Self { code, sha256 })
    }
}

impl PluginCode {
    /// Returns the text of features.
    pub(crate) fn features(&self) -> Option<&FeatureText> {
        match self {
            Self::Features(features) => Some(features),
            Self::Wasm(_) => None,
        }
    }
}

/// Returns whether a file has the text of features.
pub(crate) fn is_text(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == FEATURES)
}

/// Returns the maximum size of a component or a text.
fn max_bytes(is_text: bool) -> u64 {
    match is_text {
        true => FeatureText::MAX_BYTES,
        false => MAX_BYTES,
    }
}

/// Returns bytes that are not too large.
fn bounded(bytes: &[u8], is_text: bool, source: &PluginSource) -> Result<Vec<u8>, LoadErrorKind> {
    let (size, max) = (bytes.len() as u64, max_bytes(is_text));
    match size > max {
        true => Err(LoadErrorKind::TooLarge {
            component: source.clone(),
            size,
            max,
        }),
        false => Ok(bytes.to_vec()),
    }
}

fn text_of(bytes: Vec<u8>, source: &PluginSource) -> Result<FeatureText, LoadErrorKind> {
    let origin = match source {
        PluginSource::File(path) => escaped_path(path),
        _ => FEATURES.to_owned(),
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(FeatureText::new(origin, text)),
        Err(_) => Err(LoadErrorKind::NotText {
            component: source.clone(),
        }),
    }
}

fn read(
    path: &Path,
    follows_links: bool,
    max: u64,
    source: &PluginSource,
) -> Result<Vec<u8>, LoadErrorKind> {
    let read = BoundedRead::new(max)
        .follows_links(follows_links)
        .bytes(path);
    let path = path.to_owned();
    read.map_err(|error| match error {
        BoundedReadError::Io(error) => LoadErrorKind::Unreadable { path, error },
        BoundedReadError::NotAFile(_) => LoadErrorKind::NotAFile { path },
        BoundedReadError::Link => LoadErrorKind::Link { path },
        BoundedReadError::TooLarge { size, max } => LoadErrorKind::TooLarge {
            component: source.clone(),
            size,
            max,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &PluginSpec, store: Option<&Path>) -> Result<Vec<u8>, String> {
        let file = PluginFile::read(spec, store);
        file.map(|file| match file.code {
            PluginCode::Wasm(bytes) => bytes,
            PluginCode::Features(features) => features.text.into_bytes(),
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn a_component_can_be_given_as_bytes() {
        let given = |bytes: Vec<u8>| PluginSpec::named("x", PluginSource::Bytes(bytes.into()));
        assert_eq!(read(&given(b"abc".to_vec()), None).unwrap(), b"abc");
        let mut pinned = given(b"abc".to_vec());
        pinned.sha256 = Some(Sha256::of(b"abc"));
        assert!(read(&pinned, None).is_ok());
        pinned.sha256 = Some(Sha256::of(b"other"));
        let error = read(&pinned, None).unwrap_err();
        assert!(error.starts_with("the component of 3 bytes has SHA-256 ba7816bf"));
        assert!(read(&given(vec![0; MAX_BYTES as usize]), None).is_ok());
        assert_eq!(
            read(&given(vec![0; MAX_BYTES as usize + 1]), None).unwrap_err(),
            "the component of 67108865 bytes has 67108865 bytes; at most 67108864 are accepted"
        );
    }

    #[test]
    fn a_digest_names_a_component_of_the_store() {
        let digest = Sha256::of(b"abc");
        let spec = PluginSpec::named("x", PluginSource::Digest(digest));
        assert_eq!(
            read(&spec, None).unwrap_err(),
            format!(
                "the component with SHA-256 {digest} cannot be found, because the run has no store of plugins"
            )
        );
        let store = tempfile::tempdir().unwrap();
        let error = read(&spec, Some(store.path())).unwrap_err();
        assert!(error.starts_with("cannot read "), "{error}");
        let file = store.path().join(format!("{digest}.wasm"));
        std::fs::write(&file, b"abc").unwrap();
        assert_eq!(read(&spec, Some(store.path())).unwrap(), b"abc");
        std::fs::write(&file, b"other").unwrap();
        assert_eq!(
            read(&spec, Some(store.path())).unwrap_err(),
            format!(
                "the component with SHA-256 {digest} has SHA-256 {}, but only {digest} may be loaded",
                Sha256::of(b"other")
            )
        );
    }

    #[test]
    fn features_are_text() {
        let given = |text: &str| PluginSpec::named("x", PluginSource::Features(text.into()));
        assert_eq!(read(&given("n = count()"), None).unwrap(), b"n = count()");
        let long = "#".repeat(FeatureText::MAX_BYTES as usize + 1);
        assert_eq!(
            read(&given(&long), None).unwrap_err(),
            "the text of features (65537 bytes) has 65537 bytes; at most 65536 are accepted"
        );
        let store = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let file = store.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            file
        };
        let file = write("a.b.features", "µ = 1".as_bytes());
        let spec = PluginSpec::new(&file);
        let found = PluginFile::read(&spec, None).ok().unwrap();
        let PluginCode::Features(text) = found.code else {
            panic!("it is text");
        };
        assert_eq!((&*text.text, text.origin), ("µ = 1", escaped_path(&file)));
        assert_eq!(found.sha256, Sha256::of("µ = 1".as_bytes()));
        let bad = write("bad.features", b"n = count() # \xff");
        let error = read(&PluginSpec::new(bad), None).unwrap_err();
        assert!(error.ends_with(" is not UTF-8 text"), "{error}");
        // A text can be named by its digest too.
        let digest = Sha256::of(b"n = count()");
        write(&format!("{digest}.features"), b"n = count()");
        let spec = PluginSpec::named("x", PluginSource::Digest(digest));
        assert_eq!(read(&spec, Some(store.path())).unwrap(), b"n = count()");
    }
}
