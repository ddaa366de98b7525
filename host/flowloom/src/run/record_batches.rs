//! The flows of a run as record batches.

use std::borrow::BorrowMut;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};

use super::streamer::{Step, Streamer};
use crate::columns::{self, Dictionaries, FlowBatch, SelectError};

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
    batch: FlowBatch,
    rows: usize,
    /// The time of the first flow of the batch; only known in a live run.
    since: Option<Instant>,
    is_ended: bool,
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
        let run: &Streamer = streamer.borrow();
        let chosen = run.output_columns().clone().with_times();
        let batch = FlowBatch::new(run.schema(), &chosen, Dictionaries::PerBatch)?;
        Ok(Self {
            streamer,
            batch,
            rows: rows.get(),
            since: None,
            is_ended: false,
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
        while !self.is_ended {
            match self.streamer.borrow_mut().step() {
                Step::Flow(flow) => {
                    self.batch.push(&flow)?;
                    if self.batch.rows() >= self.rows || self.batch.is_large() {
                        return self.finish().map(BatchStep::Batch);
                    }
                    if self.since.is_none() && self.streamer.borrow().is_live() {
                        self.since = Some(Instant::now());
                    }
                }
                Step::Read if self.is_late() => return self.finish().map(BatchStep::Batch),
                Step::Read => return Ok(BatchStep::Read),
                Step::End => self.is_ended = true,
            }
        }
        match self.batch.rows() {
            0 => Ok(BatchStep::End),
            _ => self.finish().map(BatchStep::Batch),
        }
    }

    /// Returns whether a batch of a live run has waited long enough.
    fn is_late(&self) -> bool {
        self.since
            .is_some_and(|since| since.elapsed() >= LIVE_DELAY)
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.since = None;
        self.batch.finish()
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
        self.batch.schema().clone()
    }
}
