//! Stores, and the threads that wait for them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use tokio::runtime::{Handle, Runtime};

use super::client::Connector;
use super::error::{io_error, status_of};
use super::object_url::{ObjectUrl, StoreName};
use super::store_error::StoreError;
use super::version::ObjectVersion;

/// The threads that wait for stores. Reading is little work: TLS and copies.
const THREADS: usize = 2;
/// The most stores that are kept.
const MAX_STORES: usize = 64;
/// The most bytes of an object, whatever the server claims. A million of them have a sum.
const MAX_BYTES: u64 = 8 << 40;
/// The most objects of a folder that are looked at.
const MAX_LISTED: usize = 10_000_000;
/// The bytes that are read when an object is opened. They contain the first packet.
const HEAD_BYTES: u64 = 64 << 10;
/// The time that these may take, with all tries.
const HEAD_TIME: Duration = Duration::from_secs(120);
/// The variables that decide how stores are reached.
const VARIABLES: [&str; 6] = [
    "AWS_",
    "GOOGLE_",
    "AZURE_",
    "SSL_CERT_",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// What a process needs to reach stores.
struct Connections {
    /// The process that made it. A forked process has no threads of its parent.
    process: u32,
    runtime: ManuallyDrop<Runtime>,
    /// The environment of the stores.
    environment: u64,
    connector: Connector,
    stores: Vec<(StoreName, Arc<dyn ObjectStore>)>,
}

static CONNECTIONS: Mutex<Option<Connections>> = Mutex::new(None);

/// A store, and the threads that wait for it.
#[derive(Clone)]
pub(super) struct OpenStore {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) threads: Handle,
}

impl OpenStore {
    /// Returns the store of an object.
    pub(super) fn of(url: &ObjectUrl) -> io::Result<Self> {
        let mut connections = CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some(others) = connections.take_if(|known| known.process != process) {
            // Its runtime is not dropped: that would wait for threads that are not there.
            std::mem::forget(others);
        }
        let known = match &mut *connections {
            Some(known) => known,
            none => none.insert(Connections {
                process,
                runtime: ManuallyDrop::new(
                    tokio::runtime::Builder::new_multi_thread()
                        .worker_threads(THREADS)
                        .thread_name("flowloom-store")
                        .enable_all()
                        .build()?,
                ),
                environment: 0,
                connector: Connector::default(),
                stores: Vec::new(),
            }),
        };
        let threads = known.runtime.handle().clone();
        let environment = environment();
        if known.environment != environment {
            known.environment = environment;
            known.connector = Connector::default();
            known.stores.clear();
        }
        let found = known.stores.iter().find(|(name, _)| name == url.store());
        if let Some((_, store)) = found {
            let store = store.clone();
            return Ok(Self { store, threads });
        }
        let store =
            connect(url.store(), &known.connector).map_err(|error| io_error(&error, url))?;
        if known.stores.len() >= MAX_STORES {
            known.stores.clear();
        }
        known.stores.push((url.store().clone(), store.clone()));
        Ok(Self { store, threads })
    }

    /// Waits for an operation on an object.
    pub(super) fn wait<T>(
        &self,
        url: &ObjectUrl,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> io::Result<T> {
        self.threads
            .block_on(work)
            .map_err(|error| io_error(&error, url))
    }
}

/// Returns a number that changes with the credentials and addresses in the environment.
fn environment() -> u64 {
    let mut variables: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| {
            let name = name.to_string_lossy().to_ascii_uppercase();
            VARIABLES.iter().any(|begin| name.starts_with(begin))
        })
        .collect();
    variables.sort();
    let mut hasher = DefaultHasher::new();
    variables.hash(&mut hasher);
    hasher.finish()
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 10,
        retry_timeout: Duration::from_secs(60),
    }
}

fn connect(name: &StoreName, connector: &Connector) -> object_store::Result<Arc<dyn ObjectStore>> {
    Ok(match name {
        StoreName::S3(bucket) => Arc::new(
            AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retry())
                .with_http_connector(connector.clone())
                .build()?,
        ),
        StoreName::Google(bucket) => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .with_retry(retry())
                .with_http_connector(connector.clone())
                .build()?,
        ),
        StoreName::Azure(container) => Arc::new(
            MicrosoftAzureBuilder::from_env()
                .with_container_name(container)
                .with_retry(retry())
                .with_http_connector(connector.clone())
                .build()?,
        ),
        StoreName::Web(url) => Arc::new(
            HttpBuilder::new()
                .with_url(url.as_str())
                .with_retry(retry())
                .with_http_connector(connector.for_web(url.host_str().unwrap_or_default()))
                .build()?,
        ),
    })
}

/// What is known of an object when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct ObjectHead {
    /// The size in bytes.
    pub(crate) size: u64,
    /// The mark of this version of the object, if the store has one.
    pub(crate) etag: Option<String>,
    /// The first bytes, up to 64 KiB.
    pub(crate) bytes: Bytes,
}

impl ObjectHead {
    /// Returns whether the first bytes are all bytes of the object.
    pub(crate) fn is_whole(&self) -> bool {
        self.bytes.len() as u64 == self.size
    }

    /// Drops the first bytes. They are requested again when the object is read.
    pub(crate) fn forget_bytes(&mut self) {
        self.bytes = Bytes::new();
    }

    /// Reads the size and the first bytes of an object.
    ///
    /// # Errors
    ///
    /// The object is not there, or the store cannot be reached or denies access.
    pub(crate) fn read(url: &ObjectUrl) -> io::Result<Self> {
        let open = OpenStore::of(url)?;
        let range = GetOptions {
            range: Some(GetRange::Bounded(0..HEAD_BYTES)),
            ..GetOptions::default()
        };
        let read = async {
            let answer = open.store.get_opts(url.key(), range).await?;
            let (size, etag) = (answer.meta.size, answer.meta.e_tag.clone());
            let bytes = answer.bytes().await?;
            Ok((size, etag, bytes))
        };
        let limited = {
            // The timer is one of these threads.
            let _threads = open.threads.enter();
            tokio::time::timeout(HEAD_TIME, read)
        };
        let Ok(read) = open.threads.block_on(limited) else {
            return Err(StoreError::other("the server is too slow"));
        };
        let error: object_store::Error = match read {
            Ok((size, ..)) if size > MAX_BYTES => {
                return Err(StoreError::io(
                    io::ErrorKind::FileTooLarge,
                    format!(
                        "it has {size} bytes; at most {} TiB are read",
                        MAX_BYTES >> 40
                    ),
                ));
            }
            Ok((size, etag, bytes)) if bytes.len() as u64 == size.min(HEAD_BYTES) => {
                return Ok(Self {
                    size,
                    etag: etag.filter(|etag| is_strong(etag)),
                    bytes,
                });
            }
            Ok(_) => return Err(StoreError::other("the server's answer has another length")),
            Err(error) => error,
        };
        // No range of an empty object is valid.
        if status_of(&error.to_string()) == Some(416)
            && let Ok(meta) = open.threads.block_on(open.store.head(url.key()))
            && meta.size == 0
        {
            return Ok(Self {
                size: 0,
                etag: meta.e_tag.filter(|etag| is_strong(etag)),
                bytes: Bytes::new(),
            });
        }
        Err(io_error(&error, url))
    }
}

/// Returns whether no other bytes have this mark. A weak mark is the same for objects that are equivalent.
fn is_strong(etag: &str) -> bool {
    !etag.starts_with("W/")
}

/// Returns the objects of a folder and its subfolders that satisfy `is_wanted`, in the order in which a folder of files is
/// read. It stops after `limit` + 1 of them. Empty objects, with which some programs mark folders, are left out.
///
/// # Errors
///
/// The store cannot be reached or denies access.
pub(crate) fn list(
    folder: &ObjectUrl,
    limit: usize,
    is_wanted: impl Fn(&ObjectUrl) -> bool,
) -> io::Result<Vec<(ObjectUrl, ObjectVersion)>> {
    let open = OpenStore::of(folder)?;
    let prefix = (!folder.key().as_ref().is_empty()).then(|| folder.key().clone());
    let mut seen = 0;
    let mut keys: Vec<(Key, ObjectVersion)> = open.wait(folder, async {
        let mut keys = Vec::new();
        let mut objects = open.store.list(prefix.as_ref());
        while let Some(object) = objects.try_next().await? {
            let key = object.location;
            if object.size > 0 && is_wanted(&folder.with_key(key.clone())) {
                let etag = object.e_tag.filter(|etag| is_strong(etag));
                keys.push((
                    key,
                    ObjectVersion {
                        size: object.size,
                        etag,
                    },
                ));
            }
            seen += 1;
            if keys.len() > limit || seen > MAX_LISTED {
                break;
            }
        }
        Ok(keys)
    })?;
    if seen > MAX_LISTED {
        return Err(StoreError::other(format!(
            "it has more than {MAX_LISTED} objects; name folders in it"
        )));
    }
    keys.sort_by(|(one, _), (other, _)| one.as_ref().split('/').cmp(other.as_ref().split('/')));
    Ok(keys
        .into_iter()
        .map(|(key, version)| (folder.with_key(key), version))
        .collect())
}
