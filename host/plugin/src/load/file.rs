//! Reads the component of a plugin.
//!
//! A file is opened once. Flowloom compiles what was read, whatever happens to the file later.

use std::path::{Path, PathBuf};

use crate::bounded_file::{BoundedRead, BoundedReadError};
use crate::config::spec::PluginSpec;
use crate::digest::Sha256;
use crate::error::LoadErrorKind;
use crate::source::PluginSource;

/// The maximum size of a component in bytes. Python components have 18 MB.
const MAX_BYTES: u64 = 64 << 20;

/// The component of a plugin as it was read.
pub(crate) struct PluginFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: Sha256,
}

impl PluginFile {
    /// Reads the component of `spec`, and checks its digest. `store` is the folder of components that are named by
    /// their digests.
    pub(crate) fn read(spec: &PluginSpec, store: Option<&Path>) -> Result<Self, LoadErrorKind> {
        let source = &spec.source;
        let too_large = |size, max| LoadErrorKind::TooLarge {
            component: source.clone(),
            size,
            max,
        };
        let bytes = match source {
            PluginSource::File(path) => read(path.clone(), spec.follows_links, too_large)?,
            PluginSource::Bytes(bytes) if bytes.len() as u64 > MAX_BYTES => {
                return Err(too_large(bytes.len() as u64, MAX_BYTES));
            }
            PluginSource::Bytes(bytes) => bytes.to_vec(),
            PluginSource::Digest(digest) => {
                let store = store.ok_or_else(|| LoadErrorKind::NoStore {
                    component: source.clone(),
                })?;
                read(store.join(format!("{digest}.wasm")), true, too_large)?
            }
        };
        let sha256 = Sha256::of(&bytes);
        let named = match source {
            PluginSource::Digest(digest) => Some(*digest),
            _ => None,
        };
        match [spec.sha256, named]
            .into_iter()
            .flatten()
            .find(|wanted| *wanted != sha256)
        {
            Some(wanted) => Err(LoadErrorKind::OtherFile {
                component: source.clone(),
                is: sha256,
                wanted,
            }),
            None => Ok(Self { bytes, sha256 }),
        }
    }
}

fn read(
    path: PathBuf,
    follows_links: bool,
    too_large: impl Fn(u64, u64) -> LoadErrorKind,
) -> Result<Vec<u8>, LoadErrorKind> {
    let read = BoundedRead::new(MAX_BYTES)
        .follows_links(follows_links)
        .bytes(&path);
    read.map_err(|error| match error {
        BoundedReadError::Io(error) => LoadErrorKind::Unreadable { path, error },
        BoundedReadError::NotAFile(_) => LoadErrorKind::NotAFile { path },
        BoundedReadError::Link => LoadErrorKind::Link { path },
        BoundedReadError::TooLarge { size, max } => too_large(size, max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(spec: &PluginSpec, store: Option<&Path>) -> Result<Vec<u8>, String> {
        let file = PluginFile::read(spec, store);
        file.map(|file| file.bytes)
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
}
