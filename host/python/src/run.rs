//! A run.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use flowloom::columns::DEFAULT_ROWS;
use flowloom::sink::{BackgroundSink, BlockCompression, Format, OutputFiles, SinkOptions};
use flowloom::{BatchStep, Flow as CoreFlow, RecordBatches, Step, Stopper, Streamer};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::callbacks::Raised;
use crate::error::{self, Class, exception};
use crate::flow::Flow;
use crate::nfstream::{EndedFlows, NFlow};
use crate::settings::Arguments;
use crate::{log, summary};

/// How long the library works before Python may handle a signal.
const SLICE: Duration = Duration::from_millis(50);

/// A run over captures or an interface. It can be read once: as flows, as record batches, or into a file.
#[pyclass(frozen, module = "flowloom._flowloom")]
pub(crate) struct Run {
    shared: Arc<Shared>,
}

struct Shared {
    work: Mutex<Work>,
    stopper: Stopper,
    /// Whether a batch was read.
    is_read: AtomicBool,
    /// The exception of a plugin that is a Python class, if the run has such plugins.
    plugins_raised: Option<Raised>,
    /// The flows of a run with NFStream's interface.
    nfstream: Option<Arc<EndedFlows>>,
    /// The thread that uses the run now.
    user: Mutex<Option<ThreadId>>,
    /// The exception that ended the reading of record batches, whose reader only passes on a text.
    raised: Mutex<Option<PyErr>>,
}

enum Work {
    Flows(Box<Streamer>),
    Batches(Box<RecordBatches<Streamer>>),
    /// The run was closed.
    Closed,
}

impl Work {
    fn streamer(&self) -> Option<&Streamer> {
        match self {
            Self::Flows(streamer) => Some(streamer),
            Self::Batches(batches) => Some(batches.streamer()),
            Self::Closed => None,
        }
    }
}

/// What was reached when a slice of time was over.
enum Slice<T> {
    Item(T),
    Time,
    End,
}

impl Shared {
    /// Returns the run when no other thread uses it.
    ///
    /// # Errors
    ///
    /// This thread uses it already: a plugin uses its own run.
    fn lock(&self) -> PyResult<MutexGuard<'_, Work>> {
        if *self.user() == Some(thread::current().id()) {
            return Err(Python::attach(|py| {
                exception(
                    py,
                    Class::Other,
                    "a plugin cannot use the run that calls it",
                )
            }));
        }
        Ok(self.work.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Calls a function with the run, when no other thread uses it.
    fn read<T: Send>(
        &self,
        py: Python<'_>,
        function: impl FnOnce(&Streamer) -> T + Send,
    ) -> PyResult<T> {
        py.detach(|| {
            let work = self.lock()?;
            work.streamer().map(function).ok_or_else(closed)
        })
    }

    fn user(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `step` until it returns an item or the end, or until a slice of time is over.
    fn slice<T>(&self, step: impl Fn(&mut Work) -> PyResult<Slice<T>>) -> PyResult<Slice<T>> {
        let mut work = self.lock()?;
        *self.user() = Some(thread::current().id());
        let end = Instant::now() + SLICE;
        let slice = loop {
            match step(&mut work) {
                Ok(Slice::Time) if Instant::now() < end && !self.has_raised() => {}
                slice => break slice,
            }
        };
        *self.user() = None;
        slice
    }

    fn has_raised(&self) -> bool {
        let raised = self.plugins_raised.as_ref();
        raised.is_some_and(Raised::is_set)
    }

    /// Calls `step` until it returns an item or the end. Meanwhile Python can handle signals. Python's lock is free, unless
    /// the run has plugins that are Python classes.
    fn repeat<T: Send>(
        &self,
        py: Python<'_>,
        step: impl Fn(&mut Work) -> PyResult<Slice<T>> + Sync,
    ) -> PyResult<Option<T>> {
        if let Some(error) = self.plugins_raised.as_ref().and_then(Raised::take) {
            return Err(error);
        }
        loop {
            let slice = match &self.plugins_raised {
                None => py.detach(|| self.slice(&step)),
                // Its plugins need Python's lock for every packet.
                Some(raised) => {
                    let slice = self.slice(&step);
                    // A flow is not lost by Ctrl-C: the next call raises it.
                    let is_item = matches!(slice, Ok(Slice::Item(_)));
                    if raised.is_error(py) || !is_item && raised.is_set() {
                        return Err(raised.take().unwrap_or_else(closed));
                    }
                    // Other threads of Python may run now.
                    py.detach(|| ());
                    slice
                }
            };
            log::drain(py)?;
            match slice? {
                Slice::Item(item) => return Ok(Some(item)),
                Slice::End => return Ok(None),
                Slice::Time => py.check_signals()?,
            }
        }
    }

    fn next_flow(&self, py: Python<'_>) -> PyResult<Option<CoreFlow>> {
        self.repeat(py, |work| match work {
            Work::Flows(streamer) => Ok(match streamer.step() {
                Step::Flow(flow) => Slice::Item(flow),
                Step::Read => Slice::Time,
                Step::End => Slice::End,
            }),
            Work::Batches(_) => Err(Python::attach(|py| {
                let message = "this run is read as record batches; flows cannot be read from it";
                exception(py, Class::Other, message)
            })),
            Work::Closed => Err(closed()),
        })
    }
}

/// Returns the result of a function that another thread calls. Meanwhile Python can handle signals: to compile a plugin
/// takes seconds.
///
/// # Errors
///
/// A signal handler raised an exception. The function goes on, and its result is dropped.
fn built<T: Send + 'static>(
    py: Python<'_>,
    build: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let builder = thread::Builder::new().name("flowloom-build".to_owned());
    let builder = builder.spawn(build)?;
    let mut wait = Duration::from_micros(100);
    while !builder.is_finished() {
        py.detach(|| thread::sleep(wait));
        wait = (2 * wait).min(SLICE);
        py.check_signals()?;
    }
    match builder.join() {
        Ok(built) => Ok(built),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn closed() -> PyErr {
    Python::attach(|py| exception(py, Class::Other, "the run is closed"))
}

#[pymethods]
impl Run {
    /// Opens the sources, loads the plugins, and starts the threads of the run.
    #[new]
    fn new(py: Python<'_>, arguments: Arguments) -> PyResult<Self> {
        let prepared = arguments.prepare(py)?;
        let builder = prepared.builder;
        let built = built(py, move || builder.build())?;
        log::drain(py)?;
        let streamer = built.map_err(|error| error::of_run(py, &error))?;
        Ok(Self {
            shared: Arc::new(Shared {
                stopper: streamer.stopper(),
                work: Mutex::new(Work::Flows(Box::new(streamer))),
                is_read: AtomicBool::new(false),
                plugins_raised: prepared.raised,
                nfstream: prepared.nfstream,
                user: Mutex::new(None),
                raised: Mutex::new(None),
            }),
        })
    }

    /// Returns the names of the columns of record batches.
    fn columns(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        match self.shared.read(py, Streamer::arrow_schema)? {
            Ok(schema) => {
                let names = schema.fields().iter().map(|field| field.name().clone());
                Ok(names.collect())
            }
            Err(error) => Err(exception(py, Class::Parameter, error)),
        }
    }

    /// Returns the next flow, or ``None`` after the last one.
    fn next_flow(&self, py: Python<'_>) -> PyResult<Option<Flow>> {
        Ok(self.shared.next_flow(py)?.map(Flow::new))
    }

    /// Returns the next flow with NFStream's attributes, or ``None`` after the last one.
    fn next_nflow(&self, py: Python<'_>) -> PyResult<Option<Py<NFlow>>> {
        let Some(nfstream) = &self.shared.nfstream else {
            let message = "this run has no flows with NFStream's attributes";
            return Err(exception(py, Class::Other, message));
        };
        let flow = self.shared.next_flow(py)?;
        flow.map(|flow| nfstream.output(py, flow)).transpose()
    }

    /// Returns the run as an Arrow C stream of record batches with ``rows`` flows each.
    ///
    /// Some libraries first ask for a stream whose schema they read, and then for another one. Both belong to the run
    /// until a batch is read.
    #[pyo3(signature = (rows=None))]
    fn stream<'py>(
        &self,
        py: Python<'py>,
        rows: Option<NonZeroUsize>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let rows = rows.unwrap_or(DEFAULT_ROWS);
        let schema = py.detach(|| -> PyResult<SchemaRef> {
            let mut work = self.shared.lock()?;
            let schema = match std::mem::replace(&mut *work, Work::Closed) {
                Work::Flows(streamer) => {
                    let batches =
                        RecordBatches::in_background(*streamer, rows).map_err(|error| {
                            Python::attach(|py| exception(py, Class::Parameter, error))
                        })?;
                    let schema = batches.schema();
                    *work = Work::Batches(Box::new(batches));
                    schema
                }
                Work::Batches(batches) => {
                    let schema = batches.schema();
                    *work = Work::Batches(batches);
                    if self.shared.is_read.load(Ordering::Relaxed) {
                        return Err(Python::attach(|py| {
                            exception(py, Class::Other, "this run was already read")
                        }));
                    }
                    schema
                }
                Work::Closed => return Err(closed()),
            };
            Ok(schema)
        })?;
        let reader = Reader {
            shared: self.shared.clone(),
            schema,
        };
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// Returns whether a batch was read.
    fn is_read(&self) -> bool {
        self.shared.is_read.load(Ordering::Relaxed)
    }

    /// Returns and removes the exception that ended the reading of record batches.
    fn take_raised(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let mut raised = self
            .shared
            .raised
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        raised.take().map(|error| error.into_value(py).into_any())
    }

    /// Writes all flows to a file, and returns their number.
    #[pyo3(signature = (path, format=None, compression=None))]
    fn write(
        &self,
        py: Python<'_>,
        path: PathBuf,
        format: Option<&str>,
        compression: Option<&str>,
    ) -> PyResult<u64> {
        let mut options = SinkOptions::default();
        if let Some(compression) = compression {
            let parsed: Result<BlockCompression, _> = compression.parse();
            let parsed = parsed.map_err(|error| {
                exception(
                    py,
                    Class::Parameter,
                    format_args!("compression '{}': {error}", compression.escape_debug()),
                )
            })?;
            options.compression = Some(parsed);
        }
        let format = match format {
            None => None,
            Some("csv") => Some(Format::Csv),
            Some("jsonl") => Some(Format::JsonLines),
            Some("arrow") => Some(Format::Arrow),
            Some("parquet") => Some(Format::Parquet),
            Some(other) => {
                let message = format!(
                    "format '{}': csv, jsonl, arrow or parquet is accepted",
                    other.escape_debug()
                );
                return Err(exception(py, Class::Parameter, message));
            }
        };
        let created = self.shared.read(py, |streamer| {
            options.columns = streamer.output_columns().clone();
            let mut files = OutputFiles::new(&path).options(options);
            if let Some(format) = format {
                files = files.format(format);
            }
            files.create(streamer.schema())
        })?;
        let sink = created.map_err(|error| error::of_output(py, &error))?;
        let sink = Mutex::new(BackgroundSink::start(sink));
        let lock = || sink.lock().unwrap_or_else(PoisonError::into_inner);
        let count = AtomicU64::new(0);
        self.shared.repeat(py, |work| {
            let Work::Flows(streamer) = work else {
                return Err(closed());
            };
            match streamer.step() {
                Step::Flow(flow) => {
                    lock().write(flow)?;
                    count.fetch_add(1, Ordering::Relaxed);
                    Ok(Slice::<()>::Time)
                }
                Step::Read => Ok(Slice::Time),
                Step::End => Ok(Slice::End),
            }
        })?;
        let sink = sink.into_inner().unwrap_or_else(PoisonError::into_inner);
        py.detach(|| sink.finish())?;
        Ok(count.into_inner())
    }

    /// Ends the reading. The flows up to then can still be read.
    fn stop(&self) {
        self.shared.stopper.stop();
    }

    /// Ends the run, and frees its memory.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.stopper.stop();
        py.detach(|| {
            *self.shared.lock()? = Work::Closed;
            Ok(())
        })
    }

    /// Returns the counters so far as JSON.
    fn summary(&self, py: Python<'_>) -> PyResult<String> {
        self.shared.read(py, summary::json_of)
    }

    /// Returns the number of bytes that were read, and of all bytes if it is known.
    fn progress(&self, py: Python<'_>) -> PyResult<(u64, Option<u64>)> {
        self.shared.read(py, Streamer::progress)
    }
}

/// The record batches of a run for another library.
struct Reader {
    shared: Arc<Shared>,
    schema: SchemaRef,
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.shared.is_read.store(true, Ordering::Relaxed);
        // The caller may or may not hold Python's lock.
        let next = Python::attach(|py| {
            self.shared.repeat(py, |work| match work {
                Work::Batches(batches) => Ok(match batches.step() {
                    Ok(BatchStep::Batch(batch)) => Slice::Item(Ok(batch)),
                    Ok(BatchStep::Read) => Slice::Time,
                    Ok(BatchStep::End) => Slice::End,
                    Err(error) => Slice::Item(Err(error)),
                }),
                Work::Flows(_) | Work::Closed => Err(closed()),
            })
        });
        next.unwrap_or_else(|error| {
            let text = error.to_string();
            let mut raised = self
                .shared
                .raised
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *raised = Some(error);
            Some(Err(ArrowError::ExternalError(text.into())))
        })
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
