//! URLs of objects and folders, and patterns.

use std::fmt;
use std::path::{Path, PathBuf};

use object_store::path::Path as Key;
use url::Url;

use super::url::{UrlError, public};

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
pub(super) enum StoreName {
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
    pub(super) fn with_key(&self, key: Key) -> Self {
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

    /// Returns the parts of the name of an object in a folder, without those of the folder.
    pub(crate) fn parts_in<'a>(&'a self, folder: &Self) -> impl Iterator<Item = &'a str> {
        let parts = folder.key.parts().count();
        self.key.as_ref().split('/').skip(parts)
    }

    /// Returns whether it names a folder: it ends with a slash, or has no key.
    pub(crate) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// Returns whether it contains a query string, which may be a secret.
    pub(crate) fn has_secret(&self) -> bool {
        matches!(&self.store, StoreName::Web(url) if url.query().is_some())
    }

    /// Returns whether it names objects by a pattern: `*` stands for any characters of a part of a name, and `**` for
    /// any parts.
    pub(crate) fn is_pattern(&self) -> bool {
        self.key.as_ref().contains('*')
    }

    /// Returns the folder in which all objects of a pattern are.
    pub(crate) fn folder(&self) -> Self {
        let key = self.key.as_ref();
        let fixed = &key[..key.find('*').unwrap_or(key.len())];
        let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut url = self.with_key(Key::parse(folder).unwrap_or_default());
        url.is_folder = true;
        if !url.text.ends_with('/') {
            url.text.push('/');
        }
        url
    }

    /// Returns whether an object matches this pattern.
    pub(crate) fn matches(&self, object: &Self) -> bool {
        let parts = |url: &Self| -> Vec<String> {
            url.key.as_ref().split('/').map(ToOwned::to_owned).collect()
        };
        self.store == object.store && parts_match(&parts(self), &parts(object))
    }

    /// Returns whether it is on a web server, which has no credentials of the environment.
    pub(crate) fn is_web(&self) -> bool {
        matches!(self.store, StoreName::Web(_))
    }

    pub(super) fn store(&self) -> &StoreName {
        &self.store
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the URL without secrets, as a path.
    pub(crate) fn path(&self) -> PathBuf {
        self.text.clone().into()
    }
}

/// Returns whether the parts of a name match those of a pattern.
fn parts_match(pattern: &[String], name: &[String]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((first, rest)) if first == "**" => {
            let hidden = name.iter().position(|part| part.starts_with('.'));
            (0..=hidden.unwrap_or(name.len())).any(|from| parts_match(rest, &name[from..]))
        }
        Some((first, rest)) => name
            .split_first()
            .is_some_and(|(part, others)| part_matches(first, part) && parts_match(rest, others)),
    }
}

/// Returns whether a part of a name matches that of a pattern. As in a shell, `*` at the begin does not stand for a
/// dot.
fn part_matches(pattern: &str, part: &str) -> bool {
    if part.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let mut pieces = pattern.split('*');
    let Some(mut rest) = part.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<_> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_a_part_of_a_name() {
        for (pattern, part, is_match) in [
            ("*", "a.pcap", true),
            ("*", "", true),
            ("*", ".a", false),
            (".*", ".a", true),
            ("a*.pcap", "a.pcap", true),
            ("a*.pcap", "abc.pcap", true),
            ("a*.pcap", "abc.pcapng", false),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*", "ba", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(part_matches(pattern, part), is_match, "{pattern} {part}");
        }
    }

    #[test]
    fn two_stars_stand_for_parts() {
        let url = |text: &str| ObjectUrl::parse("s3", text).unwrap();
        let matches = |pattern: &str, name: &str| {
            url(&format!("s3://b/{pattern}")).matches(&url(&format!("s3://b/{name}")))
        };
        assert!(matches("day/*.pcap", "day/a.pcap"));
        assert!(!matches("day/*.pcap", "day/x/a.pcap"));
        assert!(matches("day/**/*.pcap", "day/a.pcap"));
        assert!(matches("day/**/*.pcap", "day/x/y/a.pcap"));
        assert!(matches("**", "day/a.pcap"));
        assert!(!matches("day/**", "night/a.pcap"));
        assert!(!matches("**/a.pcap", "day/.hidden/a.pcap"));
        assert!(matches("**/.hidden/a.pcap", "day/.hidden/a.pcap"));
        assert_eq!(url("s3://b/day/x*/a").folder().to_string(), "s3://b/day/");
        assert_eq!(url("s3://b/d*").folder().to_string(), "s3://b/");
        assert!(url("s3://b/d*").folder().is_folder());
    }
}
