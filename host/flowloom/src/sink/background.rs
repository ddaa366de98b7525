//! A sink in its own thread, so that formatting takes no time from the metering thread.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowloom_core::flow::Flow;
use flowloom_core::meter::QUEUE_BYTES;
use flowloom_core::table::prefetch_all;
use flowloom_plugin::thread_time;

use super::Sink;
use crate::concurrency::is_finished;
use crate::concurrency::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::concurrency::sync::mpsc::{
    Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel,
};
use crate::concurrency::thread::{self, JoinHandle};

/// The number of flows of a batch. They fit into the second cache of a CPU.
pub const BATCH_FLOWS: usize = 256;
/// The number of flows that are written together. They fit into the first cache of a CPU.
const PREFETCHED: usize = 32;
/// The number of queued batches for files and pipes. They bridge the time in which the writer waits
/// for a slow disk. If the queue is full, the caller waits.
const QUEUED_BATCHES: usize = 8;
/// The number of queued batches for live captures: 65,536 flows. If the queue is full, flows are
/// dropped and counted, because the caller must not wait.
const LIVE_QUEUED_BATCHES: usize = if cfg!(test) { 8 } else { 256 };

/// The maximum number of batches for files and pipes. To the queued batches it adds two: the thread
/// writes one, and the caller fills the other.
const MAX_BATCHES: usize = QUEUED_BATCHES + 2;
/// The time without a batch after which the sink is flushed, so that flows of a slow pipe are
/// written in time.
const FLUSH_DELAY: Duration = Duration::from_millis(100);
/// The maximum time for which dropping a [`BackgroundSink`] waits for the writer thread.
const MAX_DROP_WAIT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Writes flows to a sink in another thread, in the order of the calls.
///
/// The queue is limited to a few thousand flows, and to the bytes that
/// [`queue_bytes`](Self::queue_bytes) sets. A later call of [`write`](Self::write), or
/// [`finish`](Self::finish), returns the error of a flow that could not be written.
///
/// A sink for a live capture never waits for its output. It flushes whenever the queue is empty.
/// Flows that do not fit into the queue, or that cannot be written, are lost and counted. If a flow
/// fits but the values of its plugins do not, only these values are lost.
pub struct BackgroundSink {
    batch: Vec<Flow>,
    /// The bytes of the flows in `batch`.
    batch_bytes: usize,
    /// The maximum number of bytes of all flows in the queue.
    max_bytes: usize,
    batches: Option<SyncSender<Command>>,
    is_live: bool,
    losses: Arc<Losses>,
    /// Batches that were written. Their memory is reused.
    written: Receiver<Vec<Flow>>,
    writer: Option<JoinHandle<io::Result<Duration>>>,
    /// The error of starting the writer thread.
    start_error: Option<io::Error>,
}

/// A command to the writer thread.
enum Command {
    /// Write these flows, which have this number of bytes in total.
    Write(Vec<Flow>, usize),
    Reopen,
}

/// Counters of a [`BackgroundSink`]: flows that were passed to it, and flows that were lost.
#[derive(Debug, Default)]
pub struct Losses {
    given: AtomicU64,
    written: AtomicU64,
    queue: AtomicU64,
    values: AtomicU64,
    output: AtomicU64,
    /// The bytes of flows in the queue. Only counted in live captures.
    waiting: AtomicUsize,
    /// Whether the output has failed and is not retried.
    failed: AtomicBool,
}

impl Losses {
    /// Returns the number of flows that were lost because the queue was full.
    pub fn queue(&self) -> u64 {
        self.queue.load(Ordering::Relaxed)
    }

    /// Returns the number of flows that were written without plugin values because the queue was
    /// full.
    pub fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }

    /// Returns the number of flows that were lost because the output failed.
    pub fn output(&self) -> u64 {
        self.output.load(Ordering::Relaxed)
    }

    /// Returns the number of flows that were passed to the sink, including lost ones.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Acquire)
    }

    /// Returns the number of flows that were written. A write may be in progress.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    fn lose(&self, flows: usize) {
        self.output.fetch_add(flows as u64, Ordering::Relaxed);
    }
}

/// The behaviour of a live capture whose output fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The run ends.
    End,
    /// The run continues and retries with the next flows. It still ends if the reader of a pipe is
    /// gone.
    Retry,
}

impl BackgroundSink {
    /// Starts the writer thread for files and pipes.
    pub fn start(sink: impl Sink + Send + 'static) -> Self {
        Self::with(QUEUED_BATCHES, None, |to_write, used, _| {
            write(sink, &to_write, &used)
        })
    }

    /// Starts the writer thread for a live capture.
    pub fn live(sink: impl Sink + Send + 'static, on_failure: OnFailure) -> Self {
        Self::with(
            LIVE_QUEUED_BATCHES,
            Some(()),
            move |to_write, used, losses| {
                let writer = LiveWriter {
                    sink,
                    on_failure,
                    has_failed: false,
                    accepted: 0,
                    losses,
                };
                writer.run(&to_write, &used)
            },
        )
    }

    fn with(
        batches: usize,
        live: Option<()>,
        work: impl FnOnce(Receiver<Command>, Sender<Vec<Flow>>, Arc<Losses>) -> io::Result<Duration>
        + Send
        + 'static,
    ) -> Self {
        let (batches, to_write) = sync_channel(batches);
        let (used, written) = channel();
        let losses = Arc::new(Losses::default());
        let counted = losses.clone();
        let started = thread::Builder::new()
            .name("flowloom-writer".into())
            .spawn(move || work(to_write, used, counted));
        let (writer, start_error) = match started {
            Ok(writer) => (Some(writer), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            batch: Vec::with_capacity(BATCH_FLOWS),
            batch_bytes: 0,
            max_bytes: QUEUE_BYTES / 2,
            batches: Some(batches),
            is_live: live.is_some(),
            losses,
            written,
            writer,
            start_error,
        }
    }

    /// Limits the memory of waiting flows in this sink and in the meters. Half of it is for this
    /// sink ([`Settings::queue_bytes`](flowloom_core::meter::Settings::queue_bytes)).
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes / 2;
        self
    }

    /// Returns the counters. They remain readable after the sink has ended.
    pub fn losses(&self) -> Arc<Losses> {
        self.losses.clone()
    }

    /// Reopens the output after the flows passed so far, as [`Sink::reopen`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if the queue is full, and the same errors as [`write`](Self::write).
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush()?;
        let sent = self
            .batches
            .as_ref()
            .map(|batches| batches.try_send(Command::Reopen));
        match sent {
            Some(Err(TrySendError::Full(_))) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "too many flows are waiting to be written",
            )),
            Some(Err(TrySendError::Disconnected(_))) => self.join().map(drop),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Passes a flow to the writer thread.
    ///
    /// # Errors
    ///
    /// Returns the error of writing an earlier flow. No flow may follow it.
    // Flows are large. The flow is pushed before anything else happens to it, so that it is copied
    // only once.
    #[inline]
    pub fn write(&mut self, flow: Flow) -> io::Result<()> {
        self.batch.push(flow);
        self.handle_pushed_flow()
    }

    /// Returns memory for flows of [`write_all`](Self::write_all): an empty vector.
    pub fn spare(&mut self) -> Vec<Flow> {
        // Those flows replace an empty batch, so that its memory is free too.
        match self.batch.is_empty() && self.batch.capacity() > 0 {
            true => std::mem::take(&mut self.batch),
            false => self.written.try_recv().unwrap_or_default(),
        }
    }

    /// Passes flows to the writer thread, in their order. It moves fewer flows than [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// Returns the error of writing an earlier flow. No flow may follow it.
    pub fn write_all(&mut self, mut flows: Vec<Flow>) -> io::Result<()> {
        let bytes: usize = flows.iter().map(Flow::bytes).sum();
        let most = self.max_bytes / MAX_BATCHES;
        if self.is_live || bytes >= most {
            return flows.into_iter().try_for_each(|flow| self.write(flow));
        }
        self.losses
            .given
            .fetch_add(flows.len() as u64, Ordering::AcqRel);
        let is_large = flows.len() >= BATCH_FLOWS / 2 || self.batch_bytes + bytes >= most;
        if is_large && !self.batch.is_empty() {
            self.send(true)?;
        }
        match self.batch.is_empty() {
            true => self.batch = flows,
            false => self.batch.append(&mut flows),
        }
        self.batch_bytes += bytes;
        match is_large || self.batch.len() >= BATCH_FLOWS {
            true => self.send(true),
            false => Ok(()),
        }
    }

    /// Counts the flow that was pushed to the batch, and sends the batch if it is full.
    fn handle_pushed_flow(&mut self) -> io::Result<()> {
        if let Some(flow) = self.batch.last_mut() {
            if self.is_live {
                drop_values_if_full(&self.losses, self.max_bytes, flow);
            }
            self.batch_bytes += flow.bytes();
        }
        self.losses.given.fetch_add(1, Ordering::AcqRel);
        match self.batch.len() >= BATCH_FLOWS || self.batch_bytes >= self.max_bytes / MAX_BATCHES {
            true => self.send(!self.is_live),
            false => Ok(()),
        }
    }

    /// Sends the flows so far to the writer thread, unless the queue is full. If few flows arrive,
    /// regular calls keep them from waiting for others.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`write`](Self::write).
    pub fn flush(&mut self) -> io::Result<()> {
        match self.batch.is_empty() && !self.losses.failed.load(Ordering::Acquire) {
            true => Ok(()),
            false => self.send(false),
        }
    }

    /// Waits until all flows are written. Returns the CPU time of the writer thread.
    ///
    /// # Errors
    ///
    /// Returns the error of writing a flow.
    pub fn finish(mut self) -> io::Result<Duration> {
        if !self.batch.is_empty() {
            self.send(true)?;
        }
        self.join()
    }

    fn send(&mut self, wait: bool) -> io::Result<()> {
        let Some(batches) = &self.batches else {
            return Err(io::Error::other("the writer thread has ended"));
        };
        if self.losses.failed.load(Ordering::Acquire) {
            self.losses.lose(self.batch.len());
            self.discard_batch();
            return self.join().map(drop);
        }
        let next = self.written.try_recv().unwrap_or_default();
        let bytes = std::mem::take(&mut self.batch_bytes);
        let batch = Command::Write(std::mem::replace(&mut self.batch, next), bytes);
        match batches.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) if wait => match batches.send(batch) {
                Ok(()) => Ok(()),
                Err(_) => self.join().map(drop),
            },
            Err(TrySendError::Full(Command::Write(batch, bytes))) => {
                (self.batch, self.batch_bytes) = (batch, bytes);
                if self.is_live && self.batch.len() >= BATCH_FLOWS {
                    let lost = self.batch.len() as u64;
                    self.losses.queue.fetch_add(lost, Ordering::Relaxed);
                    self.discard_batch();
                }
                Ok(())
            }
            Err(TrySendError::Full(Command::Reopen)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => self.join().map(drop),
        }
    }

    fn discard_batch(&mut self) {
        self.batch.clear();
        let bytes = std::mem::take(&mut self.batch_bytes);
        if self.is_live {
            self.losses.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Waits for the writer thread. It ends after an error, or when it has written all flows.
    fn join(&mut self) -> io::Result<Duration> {
        self.batches = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(panic)) => Err(io::Error::other(format!(
                "the writer thread panicked: {}",
                panic_message(&*panic)
            ))),
            None => self.start_error.take().map_or(Ok(Duration::ZERO), Err),
        }
    }
}

/// Removes the plugin values of a flow if the waiting flows would otherwise exceed `max_bytes`.
fn drop_values_if_full(losses: &Losses, max_bytes: usize, flow: &mut Flow) {
    let waiting = &losses.waiting;
    if flow.outputs.bytes() > 0 && waiting.load(Ordering::Relaxed) + flow.bytes() > max_bytes {
        flow.outputs.clear();
        losses.values.fetch_add(1, Ordering::Relaxed);
    }
    waiting.fetch_add(flow.bytes(), Ordering::Relaxed);
}

/// Returns the message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Writes flows until the sender is dropped or an error occurs.
fn write(
    mut sink: impl Sink,
    to_write: &Receiver<Command>,
    used: &Sender<Vec<Flow>>,
) -> io::Result<Duration> {
    let mut is_flushed = true;
    loop {
        let order = match is_flushed {
            true => to_write.recv().map_err(RecvTimeoutError::from),
            false => to_write.recv_timeout(FLUSH_DELAY),
        };
        let mut batch = match order {
            Ok(Command::Write(batch, _)) => batch,
            Ok(Command::Reopen) => {
                sink.reopen()?;
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {
                sink.flush()?;
                is_flushed = !sink.is_waiting();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        is_flushed = false;
        // Another CPU wrote the flows. The next ones are prefetched while the first ones are written.
        let mut ahead = PREFETCHED.min(batch.len());
        batch[..ahead].iter().for_each(prefetch_all);
        for flows in batch.chunks(PREFETCHED) {
            let next = ahead..(ahead + PREFETCHED).min(batch.len());
            ahead = next.end;
            for flow in &batch[next] {
                prefetch_all(flow);
            }
            flows.iter().for_each(Flow::prefetch_parts);
            sink.write_all(flows)?;
        }
        batch.clear();
        // The receiver may be gone.
        let _ = used.send(batch);
    }
    sink.finish()?;
    Ok(thread_time())
}

/// Prefetches the flow at `at`, which another CPU wrote, and the parts of the flow before it.
#[inline]
fn prefetch(batch: &[Flow], at: usize) {
    if let Some(flow) = batch.get(at) {
        prefetch_all(flow);
        batch[at - 1].prefetch_parts();
    }
}

/// The writer thread of a live capture.
struct LiveWriter<S> {
    sink: S,
    on_failure: OnFailure,
    /// Whether the last write failed.
    has_failed: bool,
    /// The number of flows that the sink has accepted, without those that it lost.
    accepted: u64,
    losses: Arc<Losses>,
}

impl<S: Sink> LiveWriter<S> {
    fn run(
        mut self,
        to_write: &Receiver<Command>,
        used: &Sender<Vec<Flow>>,
    ) -> io::Result<Duration> {
        loop {
            let Some(order) = self.next_order(to_write)? else {
                break;
            };
            match order {
                Command::Write(mut batch, bytes) => {
                    for (n, flow) in batch.iter().enumerate() {
                        prefetch(&batch, n + 2);
                        let written = self.sink.write(flow);
                        self.accepted += 1;
                        if written.is_err() {
                            self.handle_result(written, batch.len() - n - 1, to_write)?;
                        }
                        self.update_written();
                    }
                    batch.clear();
                    self.losses.waiting.fetch_sub(bytes, Ordering::Relaxed);
                    let _ = used.send(batch);
                }
                Command::Reopen => {
                    let reopened = self.sink.reopen();
                    self.handle_result(reopened, 0, to_write)?;
                }
            }
        }
        let finished = self.sink.finish();
        self.handle_result(finished, 0, to_write)?;
        self.update_written();
        Ok(thread_time())
    }

    /// Waits for the next command. The sink is flushed when the queue is empty. Returns `None` when the sender is
    /// dropped.
    fn next_order(&mut self, to_write: &Receiver<Command>) -> io::Result<Option<Command>> {
        if let Ok(order) = to_write.try_recv() {
            return Ok(Some(order));
        }
        loop {
            let flushed = self.sink.flush();
            self.handle_result(flushed, 0, to_write)?;
            self.update_written();
            if !self.sink.is_waiting() {
                return Ok(to_write.recv().ok());
            }
            match to_write.recv_timeout(FLUSH_DELAY) {
                Ok(order) => return Ok(Some(order)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    /// Updates the number of written flows.
    fn update_written(&self) {
        let written = self.accepted.saturating_sub(self.sink.in_memory());
        self.losses.written.store(written, Ordering::Release);
    }

    /// Handles the result of an operation of the sink.
    ///
    /// An error is returned if the run has to end. Then `unwritten` flows of the current batch, and
    /// all queued flows, are counted as lost.
    fn handle_result(
        &mut self,
        done: io::Result<()>,
        unwritten: usize,
        to_write: &Receiver<Command>,
    ) -> io::Result<()> {
        let Err(error) = done else {
            if std::mem::take(&mut self.has_failed) {
                tracing::info!("the output works again");
            }
            return Ok(());
        };
        let forgotten = self.sink.forget();
        self.accepted = self.accepted.saturating_sub(forgotten);
        self.losses.lose(forgotten as usize);
        if self.on_failure == OnFailure::Retry && error.kind() != io::ErrorKind::BrokenPipe {
            if !std::mem::replace(&mut self.has_failed, true) {
                tracing::error!("cannot write to {error}; flows are lost until it works again");
            }
            return Ok(());
        }
        // The caller learns of the error with one of its next calls. Flows that it sends until then
        // are counted too.
        self.losses.lose(unwritten);
        self.losses.failed.store(true, Ordering::Release);
        for order in to_write {
            if let Command::Write(batch, _) = order {
                self.losses.lose(batch.len());
            }
        }
        Err(error)
    }
}

impl Drop for BackgroundSink {
    /// Writes the flows in the queue, but waits at most 10 s. A pipe that nobody reads does not
    /// block the caller for longer.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(writer) = self.writer.take() {
            let since = Instant::now();
            while !is_finished(&writer) && since.elapsed() < MAX_DROP_WAIT {
                thread::sleep(Duration::from_millis(1));
            }
            if is_finished(&writer) {
                let _ = writer.join();
            }
        }
    }
}
