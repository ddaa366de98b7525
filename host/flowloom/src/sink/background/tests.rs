use std::sync::{Mutex, OnceLock};

use flowloom_core::meter::testing::flows;
use flowloom_core::value::UdpValue;

use super::*;

/// Flows with so many bytes of values each.
fn heavy_flows(count: u64, bytes: u32) -> impl Iterator<Item = Flow> {
    flows(count).into_iter().map(move |mut flow| {
        let value = UdpValue::Bytes(vec![0; bytes as usize].into());
        flow.outputs.put(1, 0, [value], bytes);
        flow
    })
}

#[test]
fn live_values_that_there_are_no_bytes_for_are_lost_and_flows_are_not() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End).queue_bytes(2 << 20);
    let losses = sink.losses();
    let stall = out.lock().unwrap();
    for flow in heavy_flows(200, 64 << 10) {
        sink.write(flow).unwrap();
    }
    drop(stall);
    assert!((185..200).contains(&losses.values()), "{losses:?}");
    // What is written makes room.
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

/// Is slow, and notes the most flows that were given and not written.
struct Behind {
    losses: Arc<OnceLock<Arc<Losses>>>,
    written: u64,
    most: Arc<AtomicU64>,
}

impl Sink for Behind {
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
fn a_giver_of_large_flows_waits_for_its_sink() {
    let (losses, most) = (Arc::new(OnceLock::new()), Arc::new(AtomicU64::new(0)));
    let sink = Behind {
        losses: losses.clone(),
        written: 0,
        most: most.clone(),
    };
    // A batch is full with one flow of 64 KiB.
    let mut sink = BackgroundSink::start(sink).queue_bytes(1 << 20);
    losses.set(sink.losses()).unwrap();
    for flow in heavy_flows(200, 64 << 10) {
        sink.write(flow).unwrap();
    }
    sink.finish().unwrap();
    let most = most.load(Ordering::Relaxed);
    assert!(most <= ALL_BATCHES as u64 + 1, "{most}");
}

#[test]
fn flows_of_captures_are_flushed_when_no_more_come() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::start(sink);
    for flow in flows(3) {
        sink.write(flow).unwrap();
    }
    sink.flush().unwrap();
    let since = Instant::now();
    while out.lock().unwrap().len() < 3 {
        assert!(since.elapsed().as_secs() < 60, "they hang");
        thread::yield_now();
    }
    sink.finish().unwrap();
}

/// Panics at the first flow.
struct Panics;

impl Sink for Panics {
    fn write(&mut self, _: &Flow) -> io::Result<()> {
        panic!("a bug of the sink")
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_panics_is_an_error_of_the_run() {
    for sink in [
        BackgroundSink::start(Panics),
        BackgroundSink::live(Panics, OnFailure::GoOn),
    ] {
        let mut sink = sink;
        let mut told = None;
        for flow in flows(5_000) {
            told = told.or(sink.write(flow).err());
            if told.is_some() {
                break;
            }
        }
        let told = told.unwrap_or_else(|| sink.finish().unwrap_err());
        assert_eq!(
            told.to_string(),
            "the thread that writes flows panicked: a bug of the sink"
        );
    }
}

#[test]
fn a_sink_that_is_given_up_keeps_nobody() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::start(sink);
    let stall = out.lock().unwrap();
    for flow in flows(BATCH as u64) {
        sink.write(flow).unwrap();
    }
    drop(sink);
    assert!(stall.is_empty());
}

/// Takes note of flows, and fails at one of them.
struct Noting {
    ids: Arc<Mutex<Vec<u64>>>,
    fails_at: Option<u64>,
}

/// Is as slow as whoever holds the lock, and counts what it has in memory.
struct Slow {
    out: Arc<Mutex<Vec<u64>>>,
    memory: Vec<u64>,
    full: Arc<AtomicBool>,
}

impl Sink for Slow {
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

fn slow() -> (Slow, Arc<Mutex<Vec<u64>>>, Arc<AtomicBool>) {
    let (out, full) = (Arc::default(), Arc::default());
    let sink = Slow {
        out: Arc::clone(&out),
        memory: Vec::new(),
        full: Arc::clone(&full),
    };
    (sink, out, full)
}

#[test]
fn live_nobody_waits_for_a_sink_that_stalls_and_what_is_lost_is_counted() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End);
    let losses = sink.losses();
    let count = (2 * LIVE_BATCHES * BATCH) as u64;
    let stall = out.lock().unwrap();
    for flow in flows(count) {
        sink.write(flow).unwrap();
    }
    drop(stall);
    sink.finish().unwrap();
    let written = out.lock().unwrap();
    assert!(written.is_sorted());
    assert!(losses.queue() >= count / 3, "{losses:?}");
    assert!(written.len() >= LIVE_BATCHES * BATCH);
    assert_eq!(losses.queue() + written.len() as u64, count);
}

#[test]
fn live_what_a_sink_that_is_stuck_has_not_written_is_known() {
    let (sink, out, _) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End);
    let losses = sink.losses();
    for flow in flows(BATCH as u64) {
        sink.write(flow).unwrap();
    }
    sink.flush().unwrap();
    while losses.written() < BATCH as u64 {
        thread::yield_now();
    }
    let stall = out.lock().unwrap();
    for flow in flows(2 * BATCH as u64) {
        sink.write(flow).unwrap();
    }
    assert_eq!(losses.written(), BATCH as u64);
    assert_eq!(losses.given(), 3 * BATCH as u64);
    drop(stall);
    sink.finish().unwrap();
    assert_eq!(losses.written(), 3 * BATCH as u64);
}

#[test]
fn live_an_output_that_fails_is_tried_again_and_what_is_lost_is_counted() {
    let (sink, out, full) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::GoOn);
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
fn live_an_output_that_fails_for_good_ends_the_run_and_all_is_counted() {
    let (sink, out, full) = slow();
    let mut sink = BackgroundSink::live(sink, OnFailure::End);
    let losses = sink.losses();
    full.store(true, Ordering::Relaxed);
    let (mut given, mut told) = (0, None);
    for flow in flows(10_000) {
        given += 1;
        told = sink.write(flow).err();
        if told.is_some() {
            break;
        }
    }
    let told = told.unwrap_or_else(|| sink.finish().unwrap_err());
    assert_eq!(told.to_string(), "full");
    assert_eq!(losses.queue() + losses.output(), given);
    assert!(out.lock().unwrap().is_empty());
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
