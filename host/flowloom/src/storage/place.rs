//! Places of sources and outputs: paths of files, and URLs of objects.

use std::path::{Path, PathBuf};

#[cfg(feature = "cloud")]
use flowloom_plugin::has_more_privileges;

use super::ObjectUrl;
#[cfg(feature = "cloud")]
use super::object_url::path_of;
use super::url::{UrlError, scheme};

/// Where a source or an output is.
#[derive(Debug)]
pub(crate) enum Place {
    /// A file, a folder or a pipe of this machine.
    Local(PathBuf),
    /// An object in a store, or a folder of objects.
    #[cfg_attr(not(feature = "cloud"), allow(dead_code))]
    Object(ObjectUrl),
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
