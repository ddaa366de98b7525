//! The sinks of Arrow and Parquet.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{ArrowError, DataType, Schema as ArrowSchema};
use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::Sink;
use super::options::{BlockCompression, FileMetadata, SinkOptions};
use super::output::Output;
use crate::columns::{DEFAULT_ROWS, Dictionaries, FlowBatch};

/// The default number of flows in a row group.
const ROW_GROUP_SIZE: usize = 1 << 17;
/// The size of a row group in bytes at which it ends.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// The shortest time between two batches of a stream that have few flows.
const STREAM_DELAY: Duration = Duration::from_millis(100);
/// The columns with a Bloom filter: text that people search for, and that hardly repeats within a row group.
const BLOOM_FILTERS: [&str; 2] = ["src_ip", "dst_ip"];

/// A writer of record batches.
pub(super) trait BatchWriter: Send {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()>;

    /// Writes what follows the last batch, and ends the output.
    fn finish(&mut self, metadata: &FileMetadata) -> io::Result<()>;

    /// Returns the approximate number of bytes that are in memory and not in the output.
    fn buffered_bytes(&self) -> usize;

    /// Returns whether a reader can use the output up to the last batch before the output has ended.
    fn is_stream(&self) -> bool;
}

/// Writes flows as record batches.
pub(super) struct ColumnarSink<'a> {
    batch: FlowBatch,
    writer: Box<dyn BatchWriter + 'a>,
    metadata: FileMetadata,
    /// The number of flows that no reader could use if the run were killed now.
    unfinished: u64,
    /// The number of flows that were rejected because they have other columns.
    rejected: u64,
    /// Whether a write has failed. Nothing can follow what is written.
    is_broken: bool,
    /// The time of the last batch.
    written: Instant,
}

impl<'a> ColumnarSink<'a> {
    /// Creates the sink of an Arrow IPC stream.
    pub(super) fn arrow_stream(
        output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        options: &SinkOptions,
    ) -> io::Result<Self> {
        Self::new(schema, options, Dictionaries::PerBatch, |batch| {
            let ipc = ipc_options(options).map_err(arrow_error)?;
            let schema = with_metadata(batch.schema(), &options.metadata);
            let writer = StreamWriter::try_new_with_options(output, &schema, ipc);
            Ok(Box::new(writer.map_err(arrow_error)?))
        })
    }

    /// Creates the sink of an Arrow IPC file.
    ///
    /// The file has no dictionaries, because a file cannot replace a dictionary, and a dictionary of a whole capture
    /// is not bounded.
    pub(super) fn arrow_file(
        output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        options: &SinkOptions,
    ) -> io::Result<Self> {
        Self::new(schema, options, Dictionaries::None, |batch| {
            let ipc = ipc_options(options).map_err(arrow_error)?;
            let writer = FileWriter::try_new_with_options(output, batch.schema(), ipc);
            Ok(Box::new(writer.map_err(arrow_error)?))
        })
    }

    /// Creates the sink of a Parquet file.
    pub(super) fn parquet(
        output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        options: &SinkOptions,
    ) -> io::Result<Self> {
        Self::new(schema, options, Dictionaries::PerBatch, |batch| {
            let mut properties = WriterProperties::builder()
                .set_created_by(concat!("flowloom version ", env!("CARGO_PKG_VERSION")).to_owned())
                .set_compression(parquet_compression(options.compression)?)
                .set_max_row_group_row_count(Some(
                    options
                        .row_group_size
                        .map_or(ROW_GROUP_SIZE, |size| size.get()),
                ))
                .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
            for column in BLOOM_FILTERS {
                let path = ColumnPath::from(column);
                properties = properties.set_column_bloom_filter_enabled(path, true);
            }
            for column in integers(batch.schema()) {
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
            let properties = Some(properties.build());
            let writer = ArrowWriter::try_new(output, batch.schema().clone(), properties);
            let mut writer = writer.map_err(parquet_error)?;
            // Readers without Arrow see this metadata too.
            for (key, text) in batch.schema().metadata() {
                writer.append_key_value_metadata(KeyValue::new(key.clone(), text.clone()));
            }
            Ok(Box::new(ParquetWriter(Some(writer))))
        })
    }

    fn new(
        schema: &Arc<Schema>,
        options: &SinkOptions,
        dictionaries: Dictionaries,
        open: impl FnOnce(&FlowBatch) -> io::Result<Box<dyn BatchWriter + 'a>>,
    ) -> io::Result<Self> {
        let batch = FlowBatch::new(schema, &options.columns, dictionaries)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(Self {
            writer: open(&batch)?,
            batch,
            metadata: options.metadata.clone(),
            unfinished: 0,
            rejected: 0,
            is_broken: false,
            written: Instant::now(),
        })
    }

    /// Fails after a write has failed.
    fn check(&self) -> io::Result<()> {
        match self.is_broken {
            true => Err(io::Error::other("an earlier write has failed")),
            false => Ok(()),
        }
    }

    /// Writes the flows of the batch.
    fn write_batch(&mut self) -> io::Result<()> {
        if self.batch.rows() == 0 {
            return Ok(());
        }
        let batch = self.batch.finish().map_err(arrow_error);
        let written = batch.and_then(|batch| self.writer.write(&batch));
        written.inspect_err(|_| self.is_broken = true)?;
        self.written = Instant::now();
        if self.writer.is_stream() {
            self.unfinished = 0;
        }
        Ok(())
    }
}

impl Sink for ColumnarSink<'_> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        self.check()?;
        if let Err(error) = self.batch.push(flow) {
            self.rejected += 1;
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                error.to_string(),
            ));
        }
        self.unfinished += 1;
        match self.batch.rows() >= DEFAULT_ROWS.get() || self.batch.is_large() {
            true => self.write_batch(),
            false => Ok(()),
        }
    }

    fn write_all(&mut self, flows: &[Flow]) -> io::Result<()> {
        self.check()?;
        let room = DEFAULT_ROWS.get() - self.batch.rows();
        if flows.len() <= room && self.batch.push_all(flows) {
            self.unfinished += flows.len() as u64;
            return match self.batch.rows() == DEFAULT_ROWS.get() || self.batch.is_large() {
                true => self.write_batch(),
                false => Ok(()),
            };
        }
        flows.iter().try_for_each(|flow| self.write(flow))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.check()?;
        self.write_batch()?;
        let finished = self.writer.finish(&self.metadata);
        finished.inspect_err(|_| self.is_broken = true)?;
        self.unfinished = 0;
        Ok(())
    }

    /// Writes the flows of a stream if the last batch is old enough. A file ends only with [`finish`](Self::finish),
    /// so that it gains nothing from small batches.
    fn flush(&mut self) -> io::Result<()> {
        match self.writer.is_stream() && self.written.elapsed() >= STREAM_DELAY {
            true => self.write_batch(),
            false => Ok(()),
        }
    }

    fn forget(&mut self) -> u64 {
        let rejected = std::mem::take(&mut self.rejected);
        match self.is_broken {
            true => {
                self.batch.clear();
                rejected + std::mem::take(&mut self.unfinished)
            }
            false => rejected,
        }
    }

    fn in_memory(&self) -> u64 {
        self.unfinished + self.rejected
    }

    /// The flows of the batch are not counted: their size in the output is not known before they are encoded.
    fn buffered_bytes(&self) -> u64 {
        self.writer.buffered_bytes() as u64
    }
}

impl<O: Output + Send> BatchWriter for StreamWriter<O> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        StreamWriter::write(self, batch).map_err(arrow_error)?;
        self.get_mut().flush()
    }

    fn finish(&mut self, _: &FileMetadata) -> io::Result<()> {
        StreamWriter::finish(self).map_err(arrow_error)?;
        self.get_mut().end()
    }

    fn buffered_bytes(&self) -> usize {
        0
    }

    fn is_stream(&self) -> bool {
        true
    }
}

impl<O: Output + Send> BatchWriter for FileWriter<O> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        FileWriter::write(self, batch).map_err(arrow_error)
    }

    fn finish(&mut self, metadata: &FileMetadata) -> io::Result<()> {
        for (key, text) in metadata.entries() {
            self.write_metadata(key, text);
        }
        FileWriter::finish(self).map_err(arrow_error)?;
        self.get_mut().end()
    }

    fn buffered_bytes(&self) -> usize {
        0
    }

    fn is_stream(&self) -> bool {
        false
    }
}

/// A Parquet file until it is finished.
struct ParquetWriter<O: Write>(Option<ArrowWriter<O>>);

impl<O: Output + Send> BatchWriter for ParquetWriter<O> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        match &mut self.0 {
            Some(writer) => writer.write(batch).map_err(parquet_error),
            None => Err(io::Error::other("the file has ended")),
        }
    }

    fn finish(&mut self, metadata: &FileMetadata) -> io::Result<()> {
        let Some(mut writer) = self.0.take() else {
            return Ok(());
        };
        for (key, text) in metadata.entries() {
            writer.append_key_value_metadata(KeyValue::new(key, text));
        }
        writer.into_inner().map_err(parquet_error)?.end()
    }

    fn buffered_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, ArrowWriter::in_progress_size)
    }

    fn is_stream(&self) -> bool {
        false
    }
}

/// Returns the places of the integers in Parquet.
///
/// A dictionary of integers costs more time than their encoding as differences, and few columns are smaller with one.
fn integers(schema: &ArrowSchema) -> impl Iterator<Item = ColumnPath> {
    schema.fields().iter().filter_map(|field| {
        let name = field.name().clone();
        match field.data_type() {
            DataType::Int32 | DataType::Int64 | DataType::Timestamp(..) => Some(vec![name].into()),
            DataType::List(item) if *item.data_type() == DataType::Int64 => {
                Some(vec![name, "list".to_owned(), item.name().clone()].into())
            }
            _ => None,
        }
    })
}

fn ipc_options(options: &SinkOptions) -> Result<IpcWriteOptions, ArrowError> {
    match options.compression {
        None | Some(BlockCompression::None) => Ok(IpcWriteOptions::default()),
        Some(BlockCompression::Zstd(level)) => IpcWriteOptions::default()
            .try_with_compression(Some(arrow_ipc::CompressionType::ZSTD))?
            .try_with_compression_level(Some(level.into())),
    }
}

fn parquet_compression(compression: Option<BlockCompression>) -> io::Result<Compression> {
    match compression.unwrap_or(BlockCompression::Zstd(3)) {
        BlockCompression::None => Ok(Compression::UNCOMPRESSED),
        BlockCompression::Zstd(level) => {
            let level = ZstdLevel::try_new(level.into()).map_err(parquet_error)?;
            Ok(Compression::ZSTD(level))
        }
    }
}

/// Adds texts to the metadata of a schema. A stream has no other place for them.
fn with_metadata(schema: &ArrowSchema, metadata: &FileMetadata) -> ArrowSchema {
    let mut all = schema.metadata().clone();
    all.extend(metadata.entries());
    ArrowSchema::new_with_metadata(schema.fields().clone(), all)
}

/// Returns the error of the output, if there was one.
fn arrow_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}

/// Returns the error of the output, if there was one.
fn parquet_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
