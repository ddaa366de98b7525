//! Writing in a thread of its own, so that making text of flows takes no time of the metering.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Sink;
use crate::flow::Flow;
use crate::time::thread_time;

/// Flows that are handed over together.
const BATCH: usize = 256;
/// Batches on their way: what comes while the writer waits for a slow disk. Then the giver waits.
const BATCHES: usize = 8;

/// Writes flows to a sink in another thread, in the order in which they are given.
///
/// Some thousand flows may be under way. A flow whose writing failed is told of by a later
/// [`write`](Self::write), or by [`finish`](Self::finish) at last.
pub struct BackgroundSink {
    batch: Vec<Flow>,
    batches: Option<SyncSender<Vec<Flow>>>,
    /// Batches that are written: their memory is used again.
    written: Receiver<Vec<Flow>>,
    writer: Option<JoinHandle<io::Result<Duration>>>,
}

impl BackgroundSink {
    /// Starts the thread.
    pub fn start(sink: impl Sink + Send + 'static) -> Self {
        let (batches, to_write) = sync_channel(BATCHES);
        let (used, written) = channel();
        Self {
            batch: Vec::with_capacity(BATCH),
            batches: Some(batches),
            written,
            writer: Some(thread::spawn(move || {
                let mut sink = sink;
                for mut batch in to_write {
                    for flow in &batch {
                        sink.write(flow)?;
                    }
                    batch.clear();
                    // Whoever gave it may be gone.
                    let _ = used.send(batch);
                }
                sink.finish()?;
                Ok(thread_time())
            })),
        }
    }

    /// Gives a flow to be written.
    ///
    /// # Errors
    ///
    /// What writing an earlier flow gave; nothing may be written afterwards.
    pub fn write(&mut self, flow: Flow) -> io::Result<()> {
        self.batch.push(flow);
        match self.batch.len() {
            BATCH => self.send(true),
            _ => Ok(()),
        }
    }

    /// Lets the flows so far be written if there is time to: called now and then, it keeps flows
    /// from waiting for others when few come.
    ///
    /// # Errors
    ///
    /// As of [`write`](Self::write).
    pub fn flush(&mut self) -> io::Result<()> {
        match self.batch.is_empty() {
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
        let next = self.written.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, next);
        match batches.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) if wait => match batches.send(batch) {
                Ok(()) => Ok(()),
                Err(_) => self.join().map(drop),
            },
            Err(TrySendError::Full(batch)) => {
                self.batch = batch;
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => self.join().map(drop),
        }
    }

    /// Waits for the thread, which ends when it has failed, or has written all.
    fn join(&mut self) -> io::Result<Duration> {
        self.batches = None;
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(written)) => written,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Duration::ZERO),
        }
    }
}

impl Drop for BackgroundSink {
    /// What was given is written, as far as that goes.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::flow::testing::flows;

    /// Takes note of flows, and fails at one of them.
    struct Noting {
        ids: Arc<Mutex<Vec<u64>>>,
        fails_at: Option<u64>,
    }

    impl Sink for Noting {
        fn write(&mut self, flow: &Flow) -> io::Result<()> {
            if self.fails_at == Some(flow.id()) {
                return Err(io::Error::other("full"));
            }
            self.ids.lock().unwrap().push(flow.id());
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            self.ids.lock().unwrap().push(u64::MAX);
            Ok(())
        }
    }

    #[test]
    fn flows_are_written_in_order_and_the_sink_is_finished() {
        let ids = Arc::new(Mutex::new(Vec::new()));
        let mut sink = BackgroundSink::start(Noting {
            ids: ids.clone(),
            fails_at: None,
        });
        let count = 10 * BATCH as u64 + 1;
        for (n, flow) in flows(count).into_iter().enumerate() {
            sink.write(flow).unwrap();
            if n % 100 == 0 {
                sink.flush().unwrap();
            }
        }
        sink.finish().unwrap();
        let expected: Vec<_> = (0..count).chain([u64::MAX]).collect();
        assert_eq!(*ids.lock().unwrap(), expected);
    }

    #[test]
    fn what_went_wrong_is_told_once_and_nothing_is_written_after_it() {
        let ids = Arc::new(Mutex::new(Vec::new()));
        let mut sink = BackgroundSink::start(Noting {
            ids: ids.clone(),
            fails_at: Some(3),
        });
        let mut told = Vec::new();
        for flow in flows(20 * BATCH as u64) {
            told.extend(sink.write(flow).err());
            if !told.is_empty() {
                break;
            }
        }
        told.extend(sink.finish().err());
        let told: Vec<_> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "full");
        assert_eq!(*ids.lock().unwrap(), [0, 1, 2]);
    }
}
