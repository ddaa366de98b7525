//! Reading of an object, some ranges ahead.

use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{GetOptions, GetRange};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::error::io_error;
use super::object_url::ObjectUrl;
use super::store::{ObjectHead, OpenStore};
use super::store_error::StoreError;

/// The bytes of one request.
const RANGE: u64 = 8 << 20;
/// The ranges that are requested at the same time. They are held in memory until they are read.
const AHEAD: usize = 8;
/// The time that a range may take. Slower servers could hold a run for ever.
const RANGE_TIME: Duration = Duration::from_secs(600);
/// The number of times that a range is requested.
const TRIES: u32 = 4;
/// The time before the second request; it doubles with each.
const PAUSE: Duration = Duration::from_millis(250);

/// The time that a read waits.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Reads the bytes of an object. It requests up to 64 MiB before they are needed. A read that waits for 100 ms returns the
/// error `WouldBlock`, and can be repeated.
pub(crate) struct ObjectReader {
    url: ObjectUrl,
    size: u64,
    etag: Option<String>,
    /// The number of bytes that were returned.
    position: u64,
    /// Bytes that have arrived and were not returned.
    current: Bytes,
    /// `None` before the first request.
    ranges: Option<Ranges>,
}

/// The requests of a reader.
struct Ranges {
    open: OpenStore,
    arrived: mpsc::Receiver<io::Result<Bytes>>,
    requests: AbortHandle,
}

impl Ranges {
    /// Waits for the next range, at most 100 ms: the error is then `WouldBlock`, so that the reader can be stopped.
    fn wait(&mut self) -> io::Result<Bytes> {
        let next = {
            // The timer is one of these threads.
            let _threads = self.open.threads.enter();
            tokio::time::timeout(MAX_WAIT, self.arrived.recv())
        };
        match self.open.threads.block_on(next) {
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(Some(range)) => range,
            Ok(None) => Err(StoreError::other("reading was ended")),
        }
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.requests.abort();
    }
}

impl ObjectReader {
    /// Reads an object from its begin. The bytes of its head are not requested again.
    pub(crate) fn new(url: ObjectUrl, head: ObjectHead) -> Self {
        Self {
            url,
            size: head.size,
            etag: head.etag,
            position: 0,
            current: head.bytes,
            ranges: None,
        }
    }

    /// Begins to request ranges, if that has not begun.
    pub(crate) fn prefetch(&mut self) -> io::Result<()> {
        if self.ranges.is_some() {
            return Ok(());
        }
        let begin = self.position + self.current.len() as u64;
        let open = OpenStore::of(&self.url)?;
        let (send, arrived) = mpsc::channel(1);
        let (url, etag, size) = (self.url.clone(), self.etag.clone(), self.size);
        let of = open.clone();
        let requests = open.threads.spawn(async move {
            let mut arriving = stream::iter(ranges(begin, size))
                .map(|range| request_repeatedly(&of, &url, etag.as_deref(), size, range))
                .buffered(AHEAD);
            while let Some(range) = arriving.next().await {
                let is_error = range.is_err();
                if send.send(range).await.is_err() || is_error {
                    break;
                }
            }
        });
        self.ranges = Some(Ranges {
            open,
            arrived,
            requests: requests.abort_handle(),
        });
        Ok(())
    }
}

/// Returns the ranges of the bytes from `begin` to `size`.
fn ranges(begin: u64, size: u64) -> impl Iterator<Item = Range<u64>> {
    let starts = std::iter::successors(Some(begin), |start| Some(start + RANGE));
    starts
        .take_while(move |start| *start < size)
        .map(move |start| start..size.min(start + RANGE))
}

async fn request_repeatedly(
    open: &OpenStore,
    url: &ObjectUrl,
    etag: Option<&str>,
    size: u64,
    range: Range<u64>,
) -> io::Result<Bytes> {
    let mut tries = 1;
    loop {
        let answer = request(open, url, etag, size, range.clone());
        let answer = tokio::time::timeout(RANGE_TIME, answer)
            .await
            .unwrap_or_else(|_| Err(StoreError::other("the server is too slow")));
        match answer {
            Err(error) if error.kind() == io::ErrorKind::Other && tries < TRIES => {
                tracing::debug!("{url}: {error}; the range is requested again");
                tokio::time::sleep(PAUSE * (1 << tries)).await;
                tries += 1;
            }
            result => return result,
        }
    }
}

async fn request(
    open: &OpenStore,
    url: &ObjectUrl,
    etag: Option<&str>,
    size: u64,
    range: Range<u64>,
) -> io::Result<Bytes> {
    let failed = |error: object_store::Error| io_error(&error, url);
    let changed = || StoreError::io(io::ErrorKind::InvalidData, "the object has changed");
    let options = GetOptions {
        range: Some(GetRange::Bounded(range.clone())),
        if_match: etag.map(ToOwned::to_owned),
        ..GetOptions::default()
    };
    let answer = match open.store.get_opts(url.key(), options).await {
        Err(object_store::Error::Precondition { .. }) => return Err(changed()),
        answer => answer.map_err(failed)?,
    };
    if answer.meta.size != size {
        return Err(changed());
    }
    let wanted = (range.end - range.start) as usize;
    let mut bytes = BytesMut::with_capacity(wanted);
    let mut parts = answer.into_stream();
    while let Some(part) = parts.try_next().await.map_err(failed)? {
        if bytes.len() + part.len() > wanted {
            return Err(StoreError::other(
                "the server sends more bytes than were requested",
            ));
        }
        bytes.extend_from_slice(&part);
    }
    if bytes.len() < wanted {
        return Err(StoreError::other("the server ends its answer early"));
    }
    Ok(bytes.freeze())
}

impl Read for ObjectReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && self.position < self.size {
            self.prefetch()?;
            self.current = match &mut self.ranges {
                Some(ranges) => ranges.wait()?,
                None => return Err(StoreError::other("reading was ended")),
            };
        }
        let count = self.current.len().min(into.len());
        self.current.copy_to_slice(&mut into[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_adjacent_and_end_with_the_object() {
        let all = |begin, size| ranges(begin, size).collect::<Vec<_>>();
        assert_eq!(all(0, 0), []);
        assert_eq!(all(5, 5), []);
        assert_eq!(all(5, 2 * RANGE), [5..5 + RANGE, 5 + RANGE..2 * RANGE]);
        assert_eq!(all(0, RANGE + 1), [0..RANGE, RANGE..RANGE + 1]);
    }
}
