//! Errors of stores, in words that name no secret.

use std::io;

use object_store::Error;

use super::object_url::ObjectUrl;
use super::store_error::StoreError;

/// The most characters of a server's own message.
const MAX_MESSAGE: usize = 300;

/// Returns the error of an operation on an object. Its message does not name the object.
pub(super) fn io_error(error: &Error, url: &ObjectUrl) -> io::Error {
    let text = error.to_string();
    let code = code_of(&text).map_or(String::new(), |code| format!(", {code}"));
    let environment = match url.is_web() {
        true => "",
        false => "; check the credentials in the environment",
    };
    let missing = match url {
        url if url.is_web() => "there is no such file on the server".to_owned(),
        url if url.is_folder() => format!("there is no such bucket{code}"),
        _ => format!("there is no such object{code}; a folder ends with '/'"),
    };
    let (kind, message) = match error {
        // Before the others: machines of a cloud have credentials, which any answer can deny.
        _ if METADATA.iter().any(|host| text.contains(host)) => (
            io::ErrorKind::PermissionDenied,
            "there are no credentials in the environment, and this machine has none of its own"
                .to_owned(),
        ),
        Error::Precondition { .. } | Error::NotModified { .. } => (
            io::ErrorKind::InvalidData,
            "the object has changed since it was opened".to_owned(),
        ),
        Error::AlreadyExists { .. } => (io::ErrorKind::AlreadyExists, "it exists".to_owned()),
        Error::NotSupported { .. } => (
            io::ErrorKind::Unsupported,
            "the server does not return parts of files (HTTP status 206); download the file first"
                .to_owned(),
        ),
        Error::NotFound { .. } => (io::ErrorKind::NotFound, missing),
        Error::PermissionDenied { .. } => (
            io::ErrorKind::PermissionDenied,
            format!("the store denies access (HTTP status 403{code}){environment}"),
        ),
        Error::Unauthenticated { .. } => (
            io::ErrorKind::PermissionDenied,
            format!("the store demands other credentials (HTTP status 401{code}){environment}"),
        ),
        error => match status_of(&text) {
            Some(404) => (io::ErrorKind::NotFound, missing),
            Some(status @ (401 | 403)) => (
                io::ErrorKind::PermissionDenied,
                format!("the store denies access (HTTP status {status}{code}){environment}"),
            ),
            Some(status) => (
                io::ErrorKind::Other,
                format!("the server answers with HTTP status {status}{code}"),
            ),
            None => (io::ErrorKind::Other, explained(&innermost(error))),
        },
    };
    StoreError::io(kind, message)
}

/// Where machines of a cloud find their credentials.
const METADATA: [&str; 3] = [
    "169.254.169.254",
    "169.254.170.",
    "metadata.google.internal",
];

/// Returns a message with what the user can do, if that is known.
fn explained(message: &str) -> String {
    let way_out = match message {
        text if text.contains("URL scheme is not allowed") => {
            "the endpoint is not https; for a server of your own, set AWS_ALLOW_HTTP=true"
        }
        text if text.contains("Account must be specified") => "set AZURE_STORAGE_ACCOUNT_NAME",
        text if text.contains("UnknownIssuer") => {
            "to trust an authority of your own, name its certificate in SSL_CERT_FILE"
        }
        text if text.contains("without LOCATION") => {
            "the bucket is in another region; set AWS_REGION"
        }
        _ => return message.to_owned(),
    };
    format!("{message}; {way_out}")
}

/// Returns the HTTP status in the message of an error.
pub(super) fn status_of(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Returns the code of a store's own error, as in `<Code>InvalidAccessKeyId</Code>`.
fn code_of(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_code = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then(|| code.to_owned())
}

/// Returns the message of the innermost cause. The messages around it have URLs.
fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    clean(&cause.to_string())
}

/// Removes what could be a secret or a control sequence from a message, and shortens it.
fn clean(message: &str) -> String {
    let mut cleaned = String::new();
    let mut is_query = false;
    for c in message.chars().take(MAX_MESSAGE) {
        match c {
            '?' => is_query = true,
            c if c.is_whitespace() || "\"')>".contains(c) => is_query = false,
            _ => {}
        }
        match c {
            _ if is_query => {}
            c if c.is_control() => cleaned.push(' '),
            c => cleaned.push(c),
        }
    }
    if message.chars().nth(MAX_MESSAGE).is_some() {
        cleaned.push('…');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_servers_are_short_and_have_no_query_strings_or_control_characters() {
        assert_eq!(
            clean("GET https://host/x?sig=secret failed\u{1b}[2J"),
            "GET https://host/x failed [2J"
        );
        assert_eq!(clean(&"a".repeat(1_000)).chars().count(), MAX_MESSAGE + 1);
    }
}
