//! The flows of a run as record batches.

use std::borrow::BorrowMut;
use std::io;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use flowloom_core::flow::Flow;

use super::streamer::{Step, Streamer};
use crate::columns::{self, Dictionaries, FlowBatch, SelectError};
use crate::sink::{BATCH_FLOWS, BackgroundSink, Sink};

/// The time after which a batch of a live run ends, even if it has few flows.
const LIVE_DELAY: Duration = Duration::from_secs(1);

/// The flows of a run as Arrow record batches.
///
/// It is an iterator, and a [`RecordBatchReader`]. Each batch has as many flows as were asked for. It has fewer at
/// the end, if values of plugins are large, and in a live capture if a second has passed since its first flow.
///
/// `S` is a [`Streamer`] or a mutable reference to one.
///
/// # Examples
///
/// ```
/// use flowloom::Streamer;
/// use flowloom::columns::DEFAULT_ROWS;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let mut streamer = Streamer::builder([capture]).build()?;
/// for batch in streamer.record_batches(DEFAULT_ROWS)? {
///     let batch = batch?;
///     println!("{} flows, {} columns", batch.num_rows(), batch.num_columns());
/// }
/// assert!(streamer.summary().problems.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct RecordBatches<S> {
    streamer: S,
    schema: SchemaRef,
    builder: Builder,
}

/// Where batches are built.
enum Builder {
    Here {
        batch: RowBatch,
        /// The time of the first flow of the batch; only known in a live run.
        since: Option<Instant>,
        is_ended: bool,
    },
    /// In another thread. The sink is gone when all flows were passed to it.
    Background {
        sink: Option<BackgroundSink>,
        batches: Receiver<RecordBatch>,
        /// The number of flows that were passed to the sink.
        written: usize,
    },
}

/// A batch of a number of rows, which is being built.
struct RowBatch {
    batch: FlowBatch,
    rows: usize,
}

impl RowBatch {
    /// Adds a flow, and returns the batch if it is complete.
    fn push(&mut self, flow: &Flow) -> Result<Option<RecordBatch>, ArrowError> {
        self.batch.push(flow)?;
        match self.batch.rows() >= self.rows || self.batch.is_large() {
            true => self.batch.finish().map(Some),
            false => Ok(None),
        }
    }

    /// Returns the rows that are no complete batch, if there are any.
    fn rest(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        match self.batch.rows() {
            0 => Ok(None),
            _ => self.batch.finish().map(Some),
        }
    }
}

/// A sink that builds batches, and sends them to the reader.
struct BatchSink {
    batch: RowBatch,
    built: Sender<RecordBatch>,
}

impl BatchSink {
    /// Sends a batch. A reader that is gone needs none.
    fn send(&self, batch: Option<RecordBatch>) {
        if let Some(batch) = batch {
            drop(self.built.send(batch));
        }
    }
}

impl Sink for BatchSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        let batch = self.batch.push(flow).map_err(io::Error::other)?;
        self.send(batch);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let batch = self.batch.rest().map_err(io::Error::other)?;
        self.send(batch);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What [`RecordBatches::step`] returned.
#[derive(Debug)]
pub enum BatchStep {
    /// A batch is complete.
    Batch(RecordBatch),
    /// No batch is complete yet. The caller can show progress, or stop.
    Read,
    /// All packets were read, and all batches were returned.
    End,
}

impl<S: BorrowMut<Streamer>> RecordBatches<S> {
    /// Returns the flows of a run in batches of `rows` flows, with the chosen columns of the run, and with
    /// `first_seen` and `last_seen` if all are chosen.
    ///
    /// # Errors
    ///
    /// Returns an error if the run was built with a choice of columns that its flows do not have.
    pub fn new(streamer: S, rows: NonZeroUsize) -> Result<Self, SelectError> {
        let batch = row_batch(streamer.borrow(), rows)?;
        Ok(Self {
            schema: batch.batch.schema().clone(),
            streamer,
            builder: Builder::Here {
                batch,
                since: None,
                is_ended: false,
            },
        })
    }

    /// Returns the same batches as [`new`](Self::new), built in another thread while packets are metered. In a live run,
    /// they are built in this thread.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`new`](Self::new).
    pub fn in_background(streamer: S, rows: NonZeroUsize) -> Result<Self, SelectError> {
        let run: &Streamer = streamer.borrow();
        if run.is_live() {
            return Self::new(streamer, rows);
        }
        let batch = row_batch(run, rows)?;
        let schema = batch.batch.schema().clone();
        let (built, batches) = mpsc::channel();
        let sink = BackgroundSink::start(BatchSink { batch, built });
        Ok(Self {
            streamer,
            schema,
            builder: Builder::Background {
                sink: Some(sink),
                batches,
                written: 0,
            },
        })
    }

    /// Returns the run.
    pub fn streamer(&self) -> &Streamer {
        self.streamer.borrow()
    }

    /// Returns the next batch, or processes the next packets if it is not complete. The iterator repeats steps until
    /// there is a batch. A step is short, as [`Streamer::step`] is.
    ///
    /// # Errors
    ///
    /// Returns an error if the texts of a batch have more than 2 GiB.
    pub fn step(&mut self) -> Result<BatchStep, ArrowError> {
        let run = self.streamer.borrow_mut();
        match &mut self.builder {
            Builder::Here {
                batch,
                since,
                is_ended,
            } => {
                while !*is_ended {
                    match run.step() {
                        Step::Flow(flow) => {
                            if let Some(batch) = batch.push(&flow)? {
                                *since = None;
                                return Ok(BatchStep::Batch(batch));
                            }
                            if since.is_none() && run.is_live() {
                                *since = Some(Instant::now());
                            }
                        }
                        Step::Read if since.is_some_and(|since| since.elapsed() >= LIVE_DELAY) => {
                            *since = None;
                            return batch.batch.finish().map(BatchStep::Batch);
                        }
                        Step::Read => return Ok(BatchStep::Read),
                        Step::End => *is_ended = true,
                    }
                }
                let rest = batch.rest()?;
                Ok(rest.map_or(BatchStep::End, BatchStep::Batch))
            }
            Builder::Background {
                sink,
                batches,
                written,
            } => {
                while let Some(writer) = sink {
                    match run.step() {
                        Step::Flow(flow) => {
                            writer.write(flow).map_err(failed)?;
                            *written += 1;
                            // At the end of a capture, all flows follow each other. Their batches must not pile up.
                            if *written % BATCH_FLOWS == 0
                                && let Ok(batch) = batches.try_recv()
                            {
                                return Ok(BatchStep::Batch(batch));
                            }
                        }
                        Step::Read => {
                            return Ok(batches
                                .try_recv()
                                .map_or(BatchStep::Read, BatchStep::Batch));
                        }
                        Step::End => {
                            let ended = sink.take().map(BackgroundSink::finish);
                            ended.transpose().map_err(failed)?;
                        }
                    }
                }
                // Its sender is gone.
                Ok(batches.recv().map_or(BatchStep::End, BatchStep::Batch))
            }
        }
    }
}

fn row_batch(run: &Streamer, rows: NonZeroUsize) -> Result<RowBatch, SelectError> {
    let chosen = run.output_columns().clone().with_times();
    Ok(RowBatch {
        batch: FlowBatch::new(run.schema(), &chosen, Dictionaries::PerBatch)?,
        rows: rows.get(),
    })
}

/// Returns the error of a batch that another thread has built.
fn failed(error: io::Error) -> ArrowError {
    match error.downcast::<ArrowError>() {
        Ok(error) => error,
        Err(error) => ArrowError::ExternalError(error.into()),
    }
}

impl Streamer {
    /// Returns the flows of the run in record batches of `rows` flows. See [`RecordBatches`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`RecordBatches::new`].
    pub fn record_batches(
        &mut self,
        rows: NonZeroUsize,
    ) -> Result<RecordBatches<&mut Self>, SelectError> {
        RecordBatches::new(self, rows)
    }

    /// Returns the schema of the [record batches](Self::record_batches).
    ///
    /// # Errors
    ///
    /// Returns the errors of [`RecordBatches::new`].
    pub fn arrow_schema(&self) -> Result<SchemaRef, SelectError> {
        columns::arrow_schema(self.schema(), &self.output_columns().clone().with_times())
    }
}

impl<S: BorrowMut<Streamer>> Iterator for RecordBatches<S> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(BatchStep::Batch(batch)) => return Some(Ok(batch)),
                Ok(BatchStep::Read) => {}
                Ok(BatchStep::End) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<S: BorrowMut<Streamer>> RecordBatchReader for RecordBatches<S> {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_the_same_in_the_background() {
        let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
        let rows = NonZeroUsize::new(4).expect("not 0");
        let run = || {
            Streamer::builder([capture])
                .build()
                .expect("the capture exists")
        };
        let here = RecordBatches::new(run(), rows).expect("all columns");
        let background = RecordBatches::in_background(run(), rows).expect("all columns");
        assert_eq!(here.schema(), background.schema());
        let collected = |batches: RecordBatches<Streamer>| -> Vec<RecordBatch> {
            batches.map(|batch| batch.expect("small texts")).collect()
        };
        let (here, background) = (collected(here), collected(background));
        assert!(here.len() > 1 && here[0].num_rows() == 4);
        assert_eq!(here, background);
    }

    #[test]
    fn batches_do_not_pile_up_at_the_end_of_a_capture() {
        // A capture of flows that all end with it: UDP packets with different ports.
        const FLOWS: u32 = 60_000;
        let mut capture = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        capture.extend([0, 0, 1, 0, 101, 0, 0, 0]);
        for port in 0..FLOWS as u16 {
            let [high, low] = port.to_be_bytes();
            capture.extend([0, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 28, 0, 0, 0]);
            capture.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1]);
            capture.extend([192, 0, 2, 2, high, low, 0, 53, 0, 8, 0, 0]);
        }
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(&file, capture).expect("a temporary file");
        let run = Streamer::builder([file.path()]).build().expect("a capture");
        let rows = NonZeroUsize::new(1_000).expect("not 0");
        let mut batches = RecordBatches::in_background(run, rows).expect("all columns");
        let (mut flows, mut most) = (0, 0);
        while let Some(batch) = batches.next() {
            flows += batch.expect("small texts").num_rows();
            let Builder::Background { written, .. } = &batches.builder else {
                panic!("a file is not live");
            };
            most = most.max(written - flows);
        }
        assert_eq!(flows, FLOWS as usize);
        // Those in the queue of the sink, and some that wait for this thread.
        assert!(most < FLOWS as usize / 2, "{most}");
    }
}
