//! Writing in a thread of its own, so that making text of flows takes no time of the metering.

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

/// Flows that are handed over together.
const BATCH: usize = 256;
/// Batches on their way: what comes while the writer waits for a slow disk. Then the giver waits.
const BATCHES: usize = 8;
/// The same when the giver must not wait: about 65,000 flows, then they are dropped and counted.
const LIVE_BATCHES: usize = if cfg!(test) { 8 } else { 256 };

/// Batches that can be there at a time when captures are read: those on their way, the one that is
/// written, and the one that is being made.
const ALL_BATCHES: usize = BATCHES + 2;
/// When no batch came for so long, what was written is flushed: flows of a slow pipe come out on time.
const QUIET: Duration = Duration::from_millis(100);
/// How long a sink that is given up may take to write what it was given.
const LONGEST_DROP: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// Writes flows to a sink in another thread, in the order in which they are given.
///
/// Some thousand flows may be under way, and so many bytes of them as
/// [`queue_bytes`](Self::queue_bytes) says. A flow whose writing failed is told of by a later
/// [`write`](Self::write), or by [`finish`](Self::finish) at last.
///
/// One for a live capture never waits for its sink, and flushes it whenever there is nothing else to
/// write. Flows that it has no room for, or that cannot be written, are lost and counted. Where it has room
/// for a flow, but not for as many bytes as plugins' values have, only these are lost.
pub struct BackgroundSink {
    batch: Vec<Flow>,
    /// Bytes of the flows in it.
    batch_bytes: usize,
    /// Bytes that all flows here may have.
    most_bytes: usize,
    batches: Option<SyncSender<Order>>,
    is_live: bool,
    losses: Arc<Losses>,
    /// Batches that are written: their memory is used again.
    written: Receiver<Vec<Flow>>,
    writer: Option<JoinHandle<io::Result<Duration>>>,
    /// Why there is no writer.
    not_started: Option<io::Error>,
}

/// What the thread is to do.
enum Order {
    /// To write flows, which have so many bytes.
    Write(Vec<Flow>, usize),
    Reopen,
}

/// Flows that were given to a sink for a live capture and not written.
#[derive(Debug, Default)]
pub struct Losses {
    given: AtomicU64,
    written: AtomicU64,
    queue: AtomicU64,
    values: AtomicU64,
    output: AtomicU64,
    /// Bytes of flows that were given and not written.
    waiting: AtomicUsize,
    /// Whether the output has failed for good.
    failed: AtomicBool,
}

impl Losses {
    /// Those that there was no room for, as the sink was slower than the flows.
    pub fn queue(&self) -> u64 {
        self.queue.load(Ordering::Relaxed)
    }

    /// Flows that were written without the values of plugins, as the sink was slower than the flows.
    pub fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }

    /// Those whose writing failed.
    pub fn output(&self) -> u64 {
        self.output.load(Ordering::Relaxed)
    }

    /// How many flows were given, lost ones and all.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Acquire)
    }

    /// Those of them that are out; the sink may be in the middle of writing some more.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    fn lose(&self, flows: usize) {
        self.output.fetch_add(flows as u64, Ordering::Relaxed);
    }
}

/// What a live capture does when its output fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends.
    End,
    /// It goes on and tries again with the next flows, unless a pipe's reader is gone.
    GoOn,
}

impl BackgroundSink {
    /// Starts the thread.
    pub fn start(sink: impl Sink + Send + 'static) -> Self {
        Self::with(BATCHES, None, |to_write, used, _| {
            write(sink, &to_write, &used)
        })
    }

    /// Starts the thread for a live capture.
    pub fn live(sink: impl Sink + Send + 'static, on_failure: OnFailure) -> Self {
        Self::with(LIVE_BATCHES, Some(()), move |to_write, used, losses| {
            let writer = LiveWriter {
                sink,
                on_failure,
                fails: false,
                taken: 0,
                losses,
            };
            writer.run(&to_write, &used)
        })
    }

    fn with(
        batches: usize,
        live: Option<()>,
        work: impl FnOnce(Receiver<Order>, Sender<Vec<Flow>>, Arc<Losses>) -> io::Result<Duration>
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
        let (writer, not_started) = match started {
            Ok(writer) => (Some(writer), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            batch: Vec::with_capacity(BATCH),
            batch_bytes: 0,
            most_bytes: QUEUE_BYTES / 2,
            batches: Some(batches),
            is_live: live.is_some(),
            losses,
            written,
            writer,
            not_started,
        }
    }

    /// Bounds the memory of flows that wait, here and in the meters: a half of it is for those here
    /// ([`Settings::queue_bytes`](flowloom_core::meter::Settings::queue_bytes)).
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.most_bytes = bytes / 2;
        self
    }

    /// What is lost so far; it may be asked after the end as well.
    pub fn losses(&self) -> Arc<Losses> {
        self.losses.clone()
    }

    /// Opens the output anew, as [`Sink::reopen`] says, behind the flows given so far.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write).
    pub fn reopen(&mut self) -> io::Result<()> {
        self.flush()?;
        let sent = self
            .batches
            .as_ref()
            .map(|batches| batches.try_send(Order::Reopen));
        match sent {
            Some(Err(TrySendError::Full(_))) => Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "too many flows wait to be written",
            )),
            Some(Err(TrySendError::Disconnected(_))) => self.join().map(drop),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Gives a flow to be written.
    ///
    /// # Errors
    ///
    /// What writing an earlier flow gave; nothing may be written afterwards.
    // Flows are large: nothing is done with one before it is in the batch, so that it is copied once.
    #[inline]
    pub fn write(&mut self, flow: Flow) -> io::Result<()> {
        self.batch.push(flow);
        self.added()
    }

    /// Counts the flow that was added to the batch, and sends a batch that is full.
    fn added(&mut self) -> io::Result<()> {
        if let Some(flow) = self.batch.last_mut() {
            if self.is_live {
                make_room(&self.losses, self.most_bytes, flow);
            }
            self.batch_bytes += flow.bytes();
        }
        self.losses.given.fetch_add(1, Ordering::AcqRel);
        match self.batch.len() >= BATCH || self.batch_bytes >= self.most_bytes / ALL_BATCHES {
            true => self.send(!self.is_live),
            false => Ok(()),
        }
    }

    /// Lets the flows so far be written if there is time to: called now and then, it keeps flows
    /// from waiting for others when few come.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write).
    pub fn flush(&mut self) -> io::Result<()> {
        match self.batch.is_empty() && !self.losses.failed.load(Ordering::Acquire) {
            true => Ok(()),
            false => self.send(false),
        }
    }

    /// Waits until all is written, and returns how long the thread worked, in processor time.
    ///
    /// # Errors
    ///
    /// What writing gave.
    pub fn finish(mut self) -> io::Result<Duration> {
        if !self.batch.is_empty() {
            self.send(true)?;
        }
        self.join()
    }

    fn send(&mut self, wait: bool) -> io::Result<()> {
        let Some(batches) = &self.batches else {
            return Err(io::Error::other("the writer has ended"));
        };
        if self.losses.failed.load(Ordering::Acquire) {
            self.losses.lose(self.batch.len());
            self.forget_batch();
            return self.join().map(drop);
        }
        let next = self.written.try_recv().unwrap_or_default();
        let bytes = std::mem::take(&mut self.batch_bytes);
        let batch = Order::Write(std::mem::replace(&mut self.batch, next), bytes);
        match batches.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) if wait => match batches.send(batch) {
                Ok(()) => Ok(()),
                Err(_) => self.join().map(drop),
            },
            Err(TrySendError::Full(Order::Write(batch, bytes))) => {
                (self.batch, self.batch_bytes) = (batch, bytes);
                if self.is_live && self.batch.len() >= BATCH {
                    let lost = self.batch.len() as u64;
                    self.losses.queue.fetch_add(lost, Ordering::Relaxed);
                    self.forget_batch();
                }
                Ok(())
            }
            Err(TrySendError::Full(Order::Reopen)) => Ok(()),
            Err(TrySendError::Disconnected(_)) => self.join().map(drop),
        }
    }

    fn forget_batch(&mut self) {
        self.batch.clear();
        let bytes = std::mem::take(&mut self.batch_bytes);
        if self.is_live {
            self.losses.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Waits for the thread, which ends when it has failed, or has written all.
    fn join(&mut self) -> io::Result<Duration> {
        self.batches = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(panic)) => Err(io::Error::other(format!(
                "the thread that writes flows panicked: {}",
                said(&*panic)
            ))),
            None => self.not_started.take().map_or(Ok(Duration::ZERO), Err),
        }
    }
}

/// Takes the values of plugins from a flow if flows that wait would have more than `most_bytes` with them.
fn make_room(losses: &Losses, most_bytes: usize, flow: &mut Flow) {
    let waiting = &losses.waiting;
    if flow.outputs.bytes() > 0 && waiting.load(Ordering::Relaxed) + flow.bytes() > most_bytes {
        flow.outputs.clear();
        losses.values.fetch_add(1, Ordering::Relaxed);
    }
    waiting.fetch_add(flow.bytes(), Ordering::Relaxed);
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Writes all, to the first error.
fn write(
    mut sink: impl Sink,
    to_write: &Receiver<Order>,
    used: &Sender<Vec<Flow>>,
) -> io::Result<Duration> {
    let mut is_flushed = true;
    loop {
        let order = match is_flushed {
            true => to_write.recv().map_err(RecvTimeoutError::from),
            false => to_write.recv_timeout(QUIET),
        };
        let mut batch = match order {
            Ok(Order::Write(batch, _)) => batch,
            Ok(Order::Reopen) => {
                sink.reopen()?;
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {
                sink.flush()?;
                is_flushed = true;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        is_flushed = false;
        for (at, flow) in batch.iter().enumerate() {
            prefetch(&batch, at + 2);
            sink.write(flow)?;
        }
        batch.clear();
        // Whoever gave it may be gone.
        let _ = used.send(batch);
    }
    sink.finish()?;
    Ok(thread_time())
}

/// Has brought the flow at `at`, which another processor made, and the parts of the one before it.
#[inline]
fn prefetch(batch: &[Flow], at: usize) {
    if let Some(flow) = batch.get(at) {
        prefetch_all(flow);
        batch[at - 1].prefetch_parts();
    }
}

/// The thread of a live capture.
struct LiveWriter<S> {
    sink: S,
    on_failure: OnFailure,
    /// Whether the last writing failed.
    fails: bool,
    /// Flows that the sink has taken, but for those that it lost.
    taken: u64,
    losses: Arc<Losses>,
}

impl<S: Sink> LiveWriter<S> {
    fn run(mut self, to_write: &Receiver<Order>, used: &Sender<Vec<Flow>>) -> io::Result<Duration> {
        loop {
            // There is time to flush where nothing waits.
            let order = match to_write.try_recv() {
                Ok(order) => order,
                Err(_) => {
                    let flushed = self.sink.flush();
                    self.judge(flushed, 0, to_write)?;
                    self.settle();
                    match to_write.recv() {
                        Ok(order) => order,
                        Err(_) => break,
                    }
                }
            };
            match order {
                Order::Write(mut batch, bytes) => {
                    for (n, flow) in batch.iter().enumerate() {
                        prefetch(&batch, n + 2);
                        let written = self.sink.write(flow);
                        self.taken += 1;
                        if written.is_err() {
                            self.judge(written, batch.len() - n - 1, to_write)?;
                        }
                        self.settle();
                    }
                    batch.clear();
                    self.losses.waiting.fetch_sub(bytes, Ordering::Relaxed);
                    let _ = used.send(batch);
                }
                Order::Reopen => {
                    let reopened = self.sink.reopen();
                    self.judge(reopened, 0, to_write)?;
                }
            }
        }
        let finished = self.sink.finish();
        self.judge(finished, 0, to_write)?;
        self.settle();
        Ok(thread_time())
    }

    /// Takes note of what is out.
    fn settle(&self) {
        let written = self.taken.saturating_sub(self.sink.in_memory());
        self.losses.written.store(written, Ordering::Release);
    }

    /// Goes on after an error, if that is wanted; `unwritten` flows of a batch are lost if it is not.
    fn judge(
        &mut self,
        done: io::Result<()>,
        unwritten: usize,
        to_write: &Receiver<Order>,
    ) -> io::Result<()> {
        let Err(error) = done else {
            if std::mem::take(&mut self.fails) {
                tracing::info!("the output is written to again");
            }
            return Ok(());
        };
        let forgotten = self.sink.forget();
        self.taken = self.taken.saturating_sub(forgotten);
        self.losses.lose(forgotten as usize);
        if self.on_failure == OnFailure::GoOn && error.kind() != io::ErrorKind::BrokenPipe {
            if !std::mem::replace(&mut self.fails, true) {
                tracing::error!("cannot write to {error}: flows are lost until it works again");
            }
            return Ok(());
        }
        // The giver is told, and what it gives until it is has to be counted too.
        self.losses.lose(unwritten);
        self.losses.failed.store(true, Ordering::Release);
        for order in to_write {
            if let Order::Write(batch, _) = order {
                self.losses.lose(batch.len());
            }
        }
        Err(error)
    }
}

impl Drop for BackgroundSink {
    /// What was given is written, as far as that goes in 10 s: a pipe that nobody reads does not keep the
    /// caller.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(writer) = self.writer.take() {
            let since = Instant::now();
            while !is_finished(&writer) && since.elapsed() < LONGEST_DROP {
                thread::sleep(Duration::from_millis(1));
            }
            if is_finished(&writer) {
                let _ = writer.join();
            }
        }
    }
}
