use std::sync::{Mutex, OnceLock};

use flowloom_core::meter::testing::flows;
use flowloom_core::value::UdpValue;

use super::*;

/// Returns flows with plugin values of `bytes` bytes each.
fn large_flows(count: u64, bytes: u32) -> impl Iterator<Item = Flow> {
    flows(count).into_iter().map(move |mut flow| {
        let value = UdpValue::Bytes(vec![0; bytes as usize].into());
        flow.outputs.put(1, 0, [value], bytes);
        flow
    })
}

#[test]
fn live_values_that_exceed_the_queue_are_lost_but_flows_are_not() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End).queue_bytes(2 << 20);
    let losses = sink.losses();
    let stall = out.lock().unwrap();
    for flow in large_flows(200, 64 << 10) {
        sink.write(flow).unwrap();
    }
    drop(stall);
    // 15 flows fit into 1 MiB. More have values if the writer takes some before it stalls.
    assert!((100..200).contains(&losses.values()), "{losses:?}");
    // Written flows free memory.
    while losses.waiting.load(Ordering::Relaxed) > 1 << 20 {
        sink.flush().unwrap();
        thread::yield_now();
    }
    let before = losses.values();
    sink.finish().unwrap();
    assert_eq!((losses.queue(), losses.values()), (0, before));
    assert_eq!(out.lock().unwrap().len(), 200);
    assert_eq!(losses.waiting.load(Ordering::Relaxed), 0);
}

/// A slow sink that records the largest number of queued flows.
struct BacklogSink {
    losses: Arc<OnceLock<Arc<Losses>>>,
    written: u64,
    most: Arc<AtomicU64>,
}

impl Sink for BacklogSink {
    fn write(&mut self, _: &Flow) -> io::Result<()> {
        thread::sleep(Duration::from_millis(1));
        let given = self.losses.wait().given();
        self.most.fetch_max(given - self.written, Ordering::Relaxed);
        self.written += 1;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_caller_waits_if_large_flows_fill_the_queue() {
    let (losses, most) = (Arc::new(OnceLock::new()), Arc::new(AtomicU64::new(0)));
    let sink = BacklogSink {
        losses: losses.clone(),
        written: 0,
        most: most.clone(),
    };
    // One flow of 64 KiB fills a batch.
    let mut sink = BackgroundSink::start(sink).queue_bytes(1 << 20);
    losses.set(sink.losses()).unwrap();
    for flow in large_flows(200, 64 << 10) {
        sink.write(flow).unwrap();
    }
    sink.finish().unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!(most <= MAX_BATCHES as u64 + 1, "{most}");
}

#[test]
fn flows_are_flushed_when_no_further_flows_arrive() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::start(sink);
    for flow in flows(3) {
        sink.write(flow).unwrap();
    }
    sink.flush().unwrap();
    let since = Instant::now();
    while out.lock().unwrap().len() < 3 {
        assert!(since.elapsed().as_secs() < 60, "the flows were not flushed");
        thread::yield_now();
    }
    sink.finish().unwrap();
}

/// A sink that panics at the first flow.
struct PanickingSink;

impl Sink for PanickingSink {
    fn write(&mut self, _: &Flow) -> io::Result<()> {
        panic!("a defect of the sink")
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_of_the_writer_thread_is_an_error() {
    for sink in [
        BackgroundSink::start(PanickingSink),
        BackgroundSink::live(PanickingSink, OnFailure::Retry),
    ] {
        let mut sink = sink;
        let mut error = None;
        for flow in flows(5_000) {
            error = error.or(sink.write(flow).err());
            if error.is_some() {
                break;
            }
        }
        let error = error.unwrap_or_else(|| sink.finish().unwrap_err());
        assert_eq!(
            error.to_string(),
            "the writer thread panicked: a defect of the sink"
        );
    }
}

#[test]
fn dropping_a_blocked_sink_returns() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::start(sink);
    let stall = out.lock().unwrap();
    for flow in flows(BATCH_FLOWS as u64) {
        sink.write(flow).unwrap();
    }
    drop(sink);
    assert!(stall.is_empty());
}

/// A sink that records the ids of flows, and fails at one of them.
struct RecordingSink {
    ids: Arc<Mutex<Vec<u64>>>,
    fails_at: Option<u64>,
}

/// A sink that waits for a lock, and counts the flows that it holds in memory.
struct SlowSink {
    out: Arc<Mutex<Vec<u64>>>,
    memory: Vec<u64>,
    full: Arc<AtomicBool>,
}

impl Sink for SlowSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        self.memory.push(flow.id());
        match self.memory.len() {
            100 => self.flush(),
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = self.out.lock().unwrap();
        if self.full.load(Ordering::Relaxed) {
            return Err(io::Error::other("full"));
        }
        out.append(&mut self.memory);
        Ok(())
    }

    fn forget(&mut self) -> u64 {
        let lost = self.memory.len() as u64;
        self.memory.clear();
        lost
    }

    fn in_memory(&self) -> u64 {
        self.memory.len() as u64
    }
}

fn slow() -> (SlowSink, Arc<Mutex<Vec<u64>>>, Arc<AtomicBool>) {
    let (out, full) = (Arc::default(), Arc::default());
    let sink = SlowSink {
        out: Arc::clone(&out),
        memory: Vec::new(),
        full: Arc::clone(&full),
    };
    (sink, out, full)
}

#[test]
fn live_a_blocked_sink_does_not_block_the_caller_and_losses_are_counted() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End);
    let losses = sink.losses();
    let count = (2 * LIVE_QUEUED_BATCHES * BATCH_FLOWS) as u64;
    let stall = out.lock().unwrap();
    for flow in flows(count) {
        sink.write(flow).unwrap();
    }
    drop(stall);
    sink.finish().unwrap();
    let written = out.lock().unwrap();
    assert!(written.is_sorted());
    assert!(losses.queue() >= count / 3, "{losses:?}");
    assert!(written.len() >= LIVE_QUEUED_BATCHES * BATCH_FLOWS);
    assert_eq!(losses.queue() + written.len() as u64, count);
}

#[test]
fn live_unwritten_flows_of_a_blocked_sink_are_counted() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End);
    let losses = sink.losses();
    for flow in flows(BATCH_FLOWS as u64) {
        sink.write(flow).unwrap();
    }
    sink.flush().unwrap();
    while losses.written() < BATCH_FLOWS as u64 {
        thread::yield_now();
    }
    let stall = out.lock().unwrap();
    for flow in flows(2 * BATCH_FLOWS as u64) {
        sink.write(flow).unwrap();
    }
    assert_eq!(losses.written(), BATCH_FLOWS as u64);
    assert_eq!(losses.given(), 3 * BATCH_FLOWS as u64);
    drop(stall);
    sink.finish().unwrap();
    assert_eq!(losses.written(), 3 * BATCH_FLOWS as u64);
}

#[test]
fn live_a_failed_output_is_retried_and_losses_are_counted() {
    let (sink, out, full) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::Retry);
    let losses = sink.losses();
    full.store(true, Ordering::Relaxed);
    for flow in flows(1_000) {
        sink.write(flow).unwrap();
    }
    sink.flush().unwrap();
    while losses.output() < 1_000 {
        thread::yield_now();
    }
    full.store(false, Ordering::Relaxed);
    for flow in flows(2_000).into_iter().skip(1_000) {
        sink.write(flow).unwrap();
    }
    sink.finish().unwrap();
    assert_eq!((losses.given(), losses.written()), (2_000, 1_000));
    assert_eq!(*out.lock().unwrap(), (1_000..2_000).collect::<Vec<_>>());
    assert_eq!((losses.queue(), losses.output()), (0, 1_000));
}

#[test]
fn live_a_failed_output_ends_the_run_and_all_losses_are_counted() {
    let (sink, out, full) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End);
    let losses = sink.losses();
    full.store(true, Ordering::Relaxed);
    let (mut given, mut error) = (0, None);
    for flow in flows(10_000) {
        given += 1;
        error = sink.write(flow).err();
        if error.is_some() {
            break;
        }
    }
    let error = error.unwrap_or_else(|| sink.finish().unwrap_err());
    assert_eq!(error.to_string(), "full");
    assert_eq!(losses.queue() + losses.output(), given);
    assert!(out.lock().unwrap().is_empty());
}

impl Sink for RecordingSink {
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
    let mut sink = BackgroundSink::start(RecordingSink {
        ids: ids.clone(),
        fails_at: None,
    });
    let count = 10 * BATCH_FLOWS as u64 + 1;
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
fn flows_that_are_passed_together_keep_their_order() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let mut sink = BackgroundSink::start(RecordingSink {
        ids: ids.clone(),
        fails_at: None,
    });
    let losses = sink.losses();
    let mut flows = flows(8_000).into_iter();
    let mut count = 0;
    for n in [1, 2, 200, 0, 300, 5_000, 1, 127, 128, 1_024, 1_025].into_iter() {
        let mut batch = sink.spare();
        batch.extend(flows.by_ref().take(n));
        count += batch.len() as u64;
        sink.write_all(batch).unwrap();
        if let Some(flow) = flows.next() {
            count += 1;
            sink.write(flow).unwrap();
        }
    }
    assert_eq!(losses.given(), count);
    sink.finish().unwrap();
    let expected: Vec<_> = (0..count).chain([u64::MAX]).collect();
    assert_eq!(*ids.lock().unwrap(), expected);
}

#[test]
fn an_error_is_returned_once_and_no_flow_is_written_after_it() {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let mut sink = BackgroundSink::start(RecordingSink {
        ids: ids.clone(),
        fails_at: Some(3),
    });
    let mut error = Vec::new();
    for flow in flows(20 * BATCH_FLOWS as u64) {
        error.extend(sink.write(flow).err());
        if !error.is_empty() {
            break;
        }
    }
    error.extend(sink.finish().err());
    let error: Vec<_> = error.iter().map(ToString::to_string).collect();
    assert_eq!(error[0], "full");
    assert_eq!(*ids.lock().unwrap(), [0, 1, 2]);
}
