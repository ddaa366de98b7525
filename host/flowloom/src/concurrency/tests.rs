//! Tests of parallel meters and the background sink under many schedules of their threads.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use shuttle::sync::Mutex;

use crate::capture::Grouping;
use crate::sink::{BackgroundSink, OnFailure, Sink};
use crate::{Flow, Streamer};

/// The number of schedules that each test runs.
const SCHEDULES: usize = 5_000;

/// Returns more captures than the number of batches that fit into the channels. Each capture begins a batch.
fn captures() -> Vec<PathBuf> {
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
    vec![capture.into(); 10]
}

/// Returns the captures and ids of the flows of a run with this number of meters. With `stops_after`, the run
/// is dropped after that number of flows.
fn ids(meters: usize, stops_after: Option<usize>) -> Vec<(u32, u64)> {
    let id = |flow: Flow| (flow.capture(), flow.id());
    let streamer = Streamer::builder(captures())
        .grouping(Grouping::Each)
        .n_dissections(0)
        .n_meters(meters)
        .build()
        .unwrap();
    match stops_after {
        None => streamer.map(id).collect(),
        // The streamer is dropped while its threads run.
        Some(count) => streamer.take(count).map(id).collect(),
    }
}

#[test]
fn the_order_of_flows_of_several_meters_does_not_depend_on_the_schedule() {
    let expected = Arc::new(std::sync::OnceLock::new());
    for meters in [2, 3] {
        let expected = expected.clone();
        shuttle::check_random(
            move || {
                let flows = ids(meters, None);
                assert_eq!(flows, *expected.get_or_init(|| ids(1, None)));
            },
            SCHEDULES,
        );
    }
}

#[test]
fn dropping_a_run_ends_its_threads_under_every_schedule() {
    for count in [0, 1] {
        shuttle::check_random(
            move || assert_eq!(ids(2, Some(count)).len(), count),
            SCHEDULES,
        );
    }
}

/// A sink that stores the ids of written flows and fails at one flow.
struct IdSink {
    ids: Arc<Mutex<Vec<u64>>>,
    fails_at: Option<u64>,
}

impl Sink for IdSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        if self.fails_at == Some(flow.id()) {
            return Err(io::Error::other("an error of the test"));
        }
        self.ids.lock().unwrap().push(flow.id());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn flows() -> Vec<Flow> {
    flowloom_core::meter::testing::flows(600)
}

#[test]
fn a_background_sink_writes_all_flows_in_order_under_every_schedule() {
    let flows = flows();
    shuttle::check_random(
        move || {
            let ids = Arc::new(Mutex::new(Vec::new()));
            let id_sink = IdSink {
                ids: ids.clone(),
                fails_at: None,
            };
            let mut sink = BackgroundSink::start(id_sink);
            for flow in &flows {
                sink.write(flow.clone()).unwrap();
            }
            sink.finish().unwrap();
            let written = ids.lock().unwrap();
            assert_eq!(*written, (0..600).collect::<Vec<_>>());
        },
        SCHEDULES,
    );
}

#[test]
fn a_failed_write_is_reported_under_every_schedule() {
    let flows = flows();
    shuttle::check_random(
        move || {
            let id_sink = IdSink {
                ids: Arc::default(),
                fails_at: Some(300),
            };
            let mut sink = BackgroundSink::start(id_sink);
            let written = flows.iter().try_for_each(|flow| sink.write(flow.clone()));
            let finished = sink.finish();
            assert!(written.is_err() || finished.is_err());
        },
        SCHEDULES,
    );
}

#[test]
fn a_live_sink_counts_every_flow_under_every_schedule() {
    let flows = flows();
    for on_failure in [OnFailure::End, OnFailure::Retry] {
        let flows = flows.clone();
        shuttle::check_random(
            move || {
                let ids = Arc::new(Mutex::new(Vec::new()));
                let id_sink = IdSink {
                    ids: ids.clone(),
                    fails_at: Some(300),
                };
                let mut sink = BackgroundSink::live(id_sink, on_failure);
                let losses = sink.losses();
                for flow in &flows {
                    // An error ends the run. The flows before it are counted.
                    if sink.write(flow.clone()).is_err() {
                        break;
                    }
                }
                let _ = sink.finish();
                let written = ids.lock().unwrap().len() as u64;
                assert!(losses.given() <= 600);
                assert!(written <= losses.given());
                assert!(written + losses.queue() + losses.output() <= losses.given());
            },
            SCHEDULES,
        );
    }
}
