//! Names of sources and outputs: paths of files, and URLs of objects.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

#[cfg(feature = "cloud")]
use flowloom_plugin::has_more_privileges;

#[cfg(not(feature = "cloud"))]
use super::ObjectUrl;

/// Where a source or an output is.
#[derive(Debug)]
pub(crate) enum Place {
    /// A file, a folder or a pipe of this machine.
    Local(PathBuf),
    /// An object in a store, or a folder of objects.
    #[cfg_attr(not(feature = "cloud"), allow(dead_code))]
    Object(ObjectUrl),
}

/// The reason why a name that begins like a URL is not one that Flowloom accepts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("the scheme of the URL is unknown; s3, gs, az, https and file are known")]
    Scheme,
    #[error("http is not encrypted; use https, or download the file first")]
    Http,
    #[cfg(not(feature = "cloud"))]
    #[error("this build of Flowloom cannot read or write URLs (cargo feature `cloud`)")]
    NoSupport,
    #[cfg(feature = "cloud")]
    #[error(
        "a URL must not contain a user name or a password; set the credentials in the environment"
    )]
    Credentials,
    #[cfg(feature = "cloud")]
    #[error("a URL of this scheme has no query string")]
    Query,
    #[cfg(feature = "cloud")]
    #[error(
        "this command has more privileges than its caller, and reaches no stores; use a copy of it without them"
    )]
    Privileges,
    #[cfg(feature = "cloud")]
    #[error("it names no bucket")]
    NoBucket,
    #[cfg(feature = "cloud")]
    #[error("the name of a bucket has letters, digits, '.', '-' and '_' only")]
    Bucket,
    #[cfg(feature = "cloud")]
    #[error("the name of an object must not contain empty parts, '.', '..' or control characters")]
    Key,
    #[cfg(feature = "cloud")]
    #[error("a web server has no folders; name its files")]
    WebFolder,
    #[cfg(feature = "cloud")]
    #[error("it is not a valid URL: {0}")]
    Invalid(url::ParseError),
    #[cfg(feature = "cloud")]
    #[error("a file URL has no host: file:///path")]
    FileHost,
}

impl Place {
    /// Returns the place that a name stands for. A name with a scheme is a URL; `./` before it makes it a path.
    pub(crate) fn of(name: &Path) -> Result<Self, UrlError> {
        let text = name.to_str().unwrap_or_default();
        let scheme = scheme(text).map(str::to_ascii_lowercase);
        match scheme.as_deref() {
            None => Ok(Self::Local(name.to_owned())),
            Some("http") => Err(UrlError::Http),
            // The environment of its caller names files whose contents are sent to servers.
            #[cfg(feature = "cloud")]
            Some("s3" | "s3a" | "gs" | "az" | "https") if has_more_privileges() => {
                Err(UrlError::Privileges)
            }
            #[cfg(feature = "cloud")]
            Some("file") => path_of(text).map(Self::Local),
            #[cfg(feature = "cloud")]
            Some(scheme @ ("s3" | "s3a" | "gs" | "az" | "https")) => {
                ObjectUrl::parse(scheme, text).map(Self::Object)
            }
            #[cfg(not(feature = "cloud"))]
            Some("file" | "s3" | "s3a" | "gs" | "az" | "https") => Err(UrlError::NoSupport),
            Some(_) => Err(UrlError::Scheme),
        }
    }
}

/// Returns the scheme of a URL, which is before `://`.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let mut chars = scheme.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    let is_scheme = begins && chars.all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    is_scheme.then_some(scheme)
}

/// Returns the name of a source or an output as it may be shown and written: a URL without its user name, password, query string and fragment.
pub fn public(name: &Path) -> Cow<'_, Path> {
    let Some((scheme, text)) = name.to_str().and_then(|text| Some((scheme(text)?, text))) else {
        return Cow::Borrowed(name);
    };
    let rest = &text[scheme.len() + "://".len()..];
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let host_end = rest[..end].find('/').unwrap_or(end);
    let host_start = rest[..host_end].rfind('@').map_or(0, |at| at + 1);
    // An object may have '#' in its name.
    let has_fragments = scheme.eq_ignore_ascii_case("https");
    let end = match has_fragments {
        true => end,
        false => rest.find('?').unwrap_or(rest.len()),
    };
    if host_start == 0 && end == rest.len() {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("{scheme}://{}", &rest[host_start..end.max(host_start)]).into())
}

#[cfg(feature = "cloud")]
pub(crate) use object::ObjectUrl;
#[cfg(feature = "cloud")]
pub(super) use object::StoreName;
#[cfg(feature = "cloud")]
use object::path_of;

#[cfg(feature = "cloud")]
mod object {
    use std::fmt;
    use std::path::{Path, PathBuf};

    use object_store::path::Path as Key;
    use url::Url;

    use super::{UrlError, public};

    /// The URL of an object or of a folder of objects. Formatting it reveals no secret.
    #[derive(Clone, PartialEq, Eq)]
    pub(crate) struct ObjectUrl {
        /// The URL without secrets.
        text: String,
        store: StoreName,
        key: Key,
        is_folder: bool,
    }

    /// The store of an object.
    #[derive(Clone, PartialEq, Eq, Hash)]
    pub(in crate::storage) enum StoreName {
        S3(String),
        Google(String),
        Azure(String),
        /// A web server: the whole URL, also the query string, which may be a signature.
        Web(Url),
    }

    impl ObjectUrl {
        pub(super) fn parse(scheme: &str, text: &str) -> Result<Self, UrlError> {
            match scheme {
                "https" => Self::web(text),
                // Hadoop's name for S3.
                "s3" | "s3a" => Self::bucket(text, StoreName::S3),
                "gs" => Self::bucket(text, StoreName::Google),
                _ => Self::bucket(text, StoreName::Azure),
            }
        }

        /// Parses `scheme://bucket/key`. A key is taken as it is: `%20` is not a space.
        fn bucket(text: &str, store: fn(String) -> StoreName) -> Result<Self, UrlError> {
            let (_, rest) = text.split_once("://").unwrap_or_default();
            if rest.contains('?') {
                return Err(UrlError::Query);
            }
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.contains('@') {
                return Err(UrlError::Credentials);
            }
            if bucket.is_empty() {
                return Err(UrlError::NoBucket);
            }
            let is_valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if !bucket.chars().all(is_valid) || bucket.starts_with('.') {
                return Err(UrlError::Bucket);
            }
            // The parser would accept one more slash at the begin.
            if key.starts_with('/') {
                return Err(UrlError::Key);
            }
            Ok(Self {
                text: text.to_owned(),
                store: store(bucket.to_owned()),
                key: Key::parse(key).map_err(|_| UrlError::Key)?,
                is_folder: key.is_empty() || key.ends_with('/'),
            })
        }

        fn web(text: &str) -> Result<Self, UrlError> {
            let mut url = Url::parse(text).map_err(UrlError::Invalid)?;
            if !url.username().is_empty() || url.password().is_some() {
                return Err(UrlError::Credentials);
            }
            if url.path().ends_with('/') {
                return Err(UrlError::WebFolder);
            }
            url.set_fragment(None);
            Ok(Self {
                text: public(Path::new(text)).to_string_lossy().into_owned(),
                store: StoreName::Web(url),
                key: Key::ROOT,
                is_folder: false,
            })
        }

        /// Returns the URL of an object in the same store.
        pub(in crate::storage) fn with_key(&self, key: Key) -> Self {
            let begin = match self.text.split_once("://") {
                Some((scheme, rest)) => {
                    let bucket = rest.split('/').next().unwrap_or_default();
                    format!("{scheme}://{bucket}")
                }
                None => String::new(),
            };
            Self {
                text: format!("{begin}/{key}"),
                store: self.store.clone(),
                key,
                is_folder: false,
            }
        }

        /// Returns whether it names a folder: it ends with a slash, or has no key.
        pub(crate) fn is_folder(&self) -> bool {
            self.is_folder
        }

        /// Returns whether it contains a query string, which may be a secret.
        pub(crate) fn has_secret(&self) -> bool {
            matches!(&self.store, StoreName::Web(url) if url.query().is_some())
        }

        /// Returns whether the name of the object looks like a pattern.
        pub(in crate::storage) fn is_pattern(&self) -> bool {
            self.key.as_ref().contains('*')
        }

        /// Returns whether it is on a web server, which has no credentials of the environment.
        pub(crate) fn is_web(&self) -> bool {
            matches!(self.store, StoreName::Web(_))
        }

        pub(in crate::storage) fn store(&self) -> &StoreName {
            &self.store
        }

        pub(in crate::storage) fn key(&self) -> &Key {
            &self.key
        }

        /// Returns the URL without secrets, as a path.
        pub(crate) fn path(&self) -> PathBuf {
            self.text.clone().into()
        }
    }

    impl fmt::Display for ObjectUrl {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.text)
        }
    }

    impl fmt::Debug for ObjectUrl {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "ObjectUrl({})", self.text)
        }
    }

    /// Returns the path of a file URL.
    pub(super) fn path_of(text: &str) -> Result<PathBuf, UrlError> {
        let url = Url::parse(text).map_err(UrlError::Invalid)?;
        url.to_file_path().map_err(|()| UrlError::FileHost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_scheme_is_a_url() {
        for name in [
            "a.pcap",
            "./s3://b/c",
            "/x://y",
            "a b://c",
            "1a://b",
            "-",
            "C:/x",
        ] {
            assert!(
                matches!(Place::of(Path::new(name)), Ok(Place::Local(path)) if path == Path::new(name))
            );
        }
        for name in ["http://host/x.pcap", "HTTP://host/x.pcap"] {
            assert!(matches!(Place::of(Path::new(name)), Err(UrlError::Http)));
        }
        assert!(matches!(
            Place::of(Path::new("ftp://host/x")),
            Err(UrlError::Scheme)
        ));
    }

    #[test]
    fn a_public_name_has_no_secret() {
        for (name, shown) in [
            (
                "https://host/a.pcap?X-Amz-Signature=abc",
                "https://host/a.pcap",
            ),
            (
                "https://user:secret@host/a.pcap#part",
                "https://host/a.pcap",
            ),
            (
                "https://u:p@ss@host:8443/a@b.pcap?c@d/e",
                "https://host:8443/a@b.pcap",
            ),
            ("https://host?secret/x", "https://host"),
            ("https://user@secret?x", "https://secret"),
            ("s3://key:secret@bucket/a#b.pcap", "s3://bucket/a#b.pcap"),
            ("s3://bucket/a?secret", "s3://bucket/a"),
            ("ftp://user:secret@host/x?y", "ftp://host/x"),
            ("s3://bucket/a.pcap", "s3://bucket/a.pcap"),
            ("./a?b", "./a?b"),
        ] {
            assert_eq!(public(Path::new(name)), Path::new(shown));
        }
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn urls_of_objects_have_a_bucket_and_a_key() {
        let parse = |text: &str| match Place::of(Path::new(text)) {
            Ok(Place::Object(url)) => url,
            other => panic!("{text}: {other:?}"),
        };
        let url = parse("s3://bucket/a b/c%20d#e.pcap");
        assert_eq!(url.key().as_ref(), "a b/c%20d#e.pcap");
        assert_eq!(url.to_string(), "s3://bucket/a b/c%20d#e.pcap");
        assert!(!url.is_folder());
        assert!(parse("gs://bucket").is_folder());
        let folder = parse("az://container/a/");
        assert!(folder.is_folder());
        let object = folder.with_key(object_store::path::Path::from("a/x.pcap"));
        assert_eq!(object.to_string(), "az://container/a/x.pcap");
        let signed = parse("https://host/a%20b.pcap?signature=secret");
        assert!(signed.has_secret());
        assert_eq!(signed.to_string(), "https://host/a%20b.pcap");
        assert!(!format!("{signed:?}").contains("secret"));
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn urls_that_are_refused_say_why() {
        let error = |text: &str| match Place::of(Path::new(text)) {
            Err(error) => error,
            Ok(place) => panic!("{text}: {place:?}"),
        };
        assert!(matches!(error("s3:///key"), UrlError::NoBucket));
        assert!(matches!(error("s3://b!/key"), UrlError::Bucket));
        assert!(matches!(
            error("s3://id:secret@bucket/key"),
            UrlError::Credentials
        ));
        assert!(matches!(error("s3://bucket/key?secret"), UrlError::Query));
        assert!(matches!(error("s3://bucket/a/../b"), UrlError::Key));
        assert!(matches!(error("s3://bucket//a"), UrlError::Key));
        assert!(matches!(error("gs://bucket/a\nb"), UrlError::Key));
        assert!(matches!(
            error("https://user@host/x"),
            UrlError::Credentials
        ));
        assert!(matches!(
            error("https://host/captures/"),
            UrlError::WebFolder
        ));
        assert!(matches!(error("https://[::1/x"), UrlError::Invalid(_)));
        assert!(matches!(error("file://host/x"), UrlError::FileHost));
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn a_file_url_is_a_path() {
        let path = |text: &str| match Place::of(Path::new(text)) {
            Ok(Place::Local(path)) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(path("file:///a%20b/c.pcap"), Path::new("/a b/c.pcap"));
        assert_eq!(path("file://localhost/c.pcap"), Path::new("/c.pcap"));
    }
}
