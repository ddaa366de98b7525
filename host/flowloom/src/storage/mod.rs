//! Objects in stores: Amazon S3, Google Cloud Storage, Azure Blob Storage, and files on web servers.
//!
//! A source or an output whose name begins with a scheme, for example `s3://bucket/captures/`, is a URL. This module knows
//! which URLs there are ([`Place`]), lists folders, and reads and writes objects. All its functions wait for the store, in
//! the thread that calls them.
//!
//! What it protects from:
//!
//! - Secrets. A name that is shown, or written to a column, a file or a task, has no query string ([`public`]). A user
//!   name or password in a URL is refused: credentials come from the environment.
//! - Servers. A server can send any number of bytes, at any pace, and redirect to any address. The bytes of an answer are
//!   limited, reading has a time limit, and a redirection must not lead to this machine or its link.

#[cfg(feature = "cloud")]
mod client;
#[cfg(feature = "cloud")]
mod error;
#[cfg(feature = "cloud")]
mod object_url;
mod place;
#[cfg(feature = "cloud")]
mod reader;
#[cfg(feature = "cloud")]
mod store;
mod store_error;
mod url;
mod version;
#[cfg(feature = "cloud")]
mod writer;

#[cfg(not(feature = "cloud"))]
mod absent;
#[cfg(not(feature = "cloud"))]
pub(crate) use absent::{ObjectHead, ObjectReader, ObjectUrl, ObjectWriter, list};

#[cfg(feature = "cloud")]
pub(crate) use self::object_url::ObjectUrl;
pub(crate) use self::place::Place;
pub(crate) use self::store_error::StoreError;
pub(crate) use self::url::UrlError;
pub use self::url::public;
pub(crate) use self::version::ObjectVersion;
#[cfg(feature = "cloud")]
pub(crate) use reader::ObjectReader;
#[cfg(feature = "cloud")]
pub(crate) use store::{ObjectHead, list};
#[cfg(feature = "cloud")]
pub(crate) use writer::ObjectWriter;
