//! Names that are URLs, and what is wrong with them.

use std::borrow::Cow;
use std::path::Path;

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

/// Returns the scheme of a URL, which is before `://`.
pub(super) fn scheme(text: &str) -> Option<&str> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
