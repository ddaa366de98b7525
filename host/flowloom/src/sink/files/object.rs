//! The sink of an object in a store.

use std::io;
use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;

use super::{Existing, OutputError, OutputFiles};
use crate::sink::Sink;
use crate::sink::compressed::Compressed;
use crate::sink::format::Compression;
use crate::sink::identity::FileId;
use crate::sink::output::{Output, named};
use crate::storage::{ObjectUrl, ObjectWriter};

/// Writes flows to an object, which appears when it is complete.
struct ObjectSink {
    url: ObjectUrl,
    current: Box<dyn Sink + Send>,
    /// The number of flows in the object, which nobody can read before its end.
    written: u64,
}

/// Begins an object.
pub(super) fn create(
    files: OutputFiles,
    url: ObjectUrl,
    schema: &Arc<Schema>,
) -> Result<Box<dyn Sink + Send>, OutputError> {
    let refuse = |parameter, value: String, accepted| {
        Err(OutputError::Parameter {
            parameter,
            value,
            accepted,
        })
    };
    let one = "an object is not one of several; write to a folder, and copy its files";
    if files.rotation.is_timed() {
        return refuse("rotation", String::new(), one);
    }
    if files.flows_per_file > 0 {
        return refuse("flows_per_file", files.flows_per_file.to_string(), one);
    }
    if files.existing == Existing::Append {
        let accepted = "an object cannot be continued; choose another name";
        return refuse("append", String::new(), accepted);
    }
    let format = files.known_format()?;
    let failed = |error: &io::Error| OutputError::Io(named(&url.path(), error));
    if FileId::at(&files.path).is_some_and(|id| files.inputs.contains(&id)) {
        return Err(failed(&io::Error::other("the run reads this object")));
    }
    let may_replace = files.existing == Existing::Overwrite;
    let writer = match ObjectWriter::create(url.clone(), may_replace) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(OutputError::Exists(url.path()));
        }
        writer => writer.map_err(|error| failed(&error))?,
    };
    let output: Box<dyn Output + Send> = match Compression::of(&files.path) {
        Compression::None => Box::new(writer),
        compression => {
            Box::new(Compressed::new(writer, compression).map_err(|error| failed(&error))?)
        }
    };
    let current = format
        .new_sink(output, schema, &files.options, false)
        .map_err(|error| failed(&error))?;
    Ok(Box::new(ObjectSink {
        url,
        current,
        written: 0,
    }))
}

impl ObjectSink {
    fn named(&self, error: &io::Error) -> io::Error {
        named(&self.url.path(), error)
    }
}

impl Output for ObjectWriter {
    fn end(&mut self) -> io::Result<()> {
        Self::end(self)
    }
}

impl Sink for ObjectSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        self.written += 1;
        self.current.write(flow).map_err(|error| self.named(&error))
    }

    fn write_all(&mut self, flows: &[Flow]) -> io::Result<()> {
        self.written += flows.len() as u64;
        self.current
            .write_all(flows)
            .map_err(|error| self.named(&error))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.current.finish().map_err(|error| self.named(&error))?;
        self.written = 0;
        Ok(())
    }

    fn forget(&mut self) -> u64 {
        self.current.forget();
        std::mem::take(&mut self.written)
    }

    fn in_memory(&self) -> u64 {
        self.written
    }

    fn is_waiting(&self) -> bool {
        false
    }

    fn buffered_bytes(&self) -> u64 {
        self.current.buffered_bytes()
    }
}
