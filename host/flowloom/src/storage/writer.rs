//! Writing of an object.

use std::io::{self, Write};

use bytes::Bytes;
use object_store::{
    ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, WriteMultipart,
};

use super::error::io_error;
use super::object_url::ObjectUrl;
use super::store::OpenStore;

/// The bytes of a part. Stores accept up to 10,000 parts of an object.
const PART: usize = 16 << 20;
const MAX_PARTS: u64 = 10_000;
/// The parts that are sent at the same time. Each is held in memory.
const CONCURRENT_PARTS: usize = 4;

/// Writes an object, which appears when it is complete. If the writer is dropped before, there is no object.
pub(crate) struct ObjectWriter {
    url: ObjectUrl,
    open: OpenStore,
    /// The bytes before the first part is full.
    pending: Vec<u8>,
    upload: Option<WriteMultipart>,
    written: u64,
    may_replace: bool,
    has_ended: bool,
}

impl ObjectWriter {
    /// Begins an object. Without `may_replace`, there must be no object of this name.
    ///
    /// # Errors
    ///
    /// The store cannot be reached or denies access, or the object exists and must not be replaced.
    pub(crate) fn create(url: ObjectUrl, may_replace: bool) -> io::Result<Self> {
        if url.is_web() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a web server is not written to; use s3, gs or az",
            ));
        }
        if url.is_folder() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a folder; give the name of an object",
            ));
        }
        let open = OpenStore::of(&url)?;
        let writer = Self {
            url,
            open,
            pending: Vec::new(),
            upload: None,
            written: 0,
            may_replace,
            has_ended: false,
        };
        // Wrong credentials are found before the run, not after it.
        match writer.exists()? {
            true if !may_replace => Err(io::ErrorKind::AlreadyExists.into()),
            _ => Ok(writer),
        }
    }

    fn exists(&self) -> io::Result<bool> {
        let head = self.open.store.head(self.url.key());
        match self.open.threads.block_on(head) {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(io_error(&error, &self.url)),
        }
    }

    /// Ends the object. After an error there is no object, and the writer cannot be used again.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if self.has_ended {
            return Ok(());
        }
        match self.upload.take() {
            None => {
                let mode = match self.may_replace {
                    true => PutMode::Overwrite,
                    false => PutMode::Create,
                };
                let payload = PutPayload::from(Bytes::from(std::mem::take(&mut self.pending)));
                let options = PutOptions::from(mode);
                let put = self.open.store.put_opts(self.url.key(), payload, options);
                self.open.wait(&self.url, put)?;
            }
            Some(upload) => {
                if !self.may_replace && self.exists()? {
                    let _ = self.open.wait(&self.url, upload.abort());
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.open.wait(&self.url, upload.finish())?;
            }
        }
        self.has_ended = true;
        Ok(())
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len() as u64;
        if self.written > MAX_PARTS * PART as u64 {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!(
                    "an object has at most {} GiB",
                    (MAX_PARTS * PART as u64) >> 30
                ),
            ));
        }
        let Some(upload) = &mut self.upload else {
            self.pending.extend_from_slice(bytes);
            if self.pending.len() >= PART {
                let pending = std::mem::take(&mut self.pending);
                let open = &self.open;
                let begin = async {
                    let upload = open.store.put_multipart(self.url.key()).await?;
                    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
                    upload.put(Bytes::from(pending));
                    Ok(upload)
                };
                self.upload = Some(self.open.wait(&self.url, begin)?);
            }
            return Ok(bytes.len());
        };
        let more = async {
            upload.wait_for_capacity(CONCURRENT_PARTS).await?;
            upload.write(bytes);
            Ok(())
        };
        self.open.wait(&self.url, more)?;
        Ok(bytes.len())
    }

    /// Does nothing: the bytes of an object cannot be read before its end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            // The store would keep, and charge for, the parts.
            let _ = self.open.threads.block_on(upload.abort());
        }
    }
}
