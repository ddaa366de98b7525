use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use flowloom::capture::Files;
use flowloom::sink::Format;
use flowloom::{Counters, Flow, Meter, Settings, Streamer};

use super::bytes::Bytes;
use super::capture::{MOST_PACKETS, files};
use super::flows;
use super::model::Model;
use super::settings::settings;

/// Meters arbitrary bytes as a capture, with arbitrary settings. The input is the settings, a byte with the number of
/// meters of a second run, and then the capture.
pub fn whole(data: &[u8]) {
    let mut bytes = Bytes(data);
    let settings = settings(&mut bytes);
    let meters = bytes.u8() & 7;
    let capture = bytes.0;
    let Some((flows, counters)) = metered(files(capture, capture.len().max(1)), settings) else {
        return;
    };
    flows::check(&flows, counters, &settings);
    flows::lines(&flows, Format::Csv);
    // The results of several meters differ with a limit on live flows, because each meter has a share of the limit.
    // They also differ with dissection, because each meter has its own nDPI with state across flows.
    if meters > 1 && settings.max_flows == 0 && settings.n_dissections == 0 {
        let folder = Folder::new();
        let file = folder.0.join("capture");
        fs::write(&file, capture).expect("the folder is writable");
        let one = streamed(&file, settings, 1);
        let many = streamed(&file, settings, meters.into());
        assert_eq!(one, many);
        if let Some((lines, streamed)) = one {
            assert_eq!(lines, flows::lines(&flows, Format::JsonLines));
            assert_eq!(streamed, counters);
        }
    }
}

/// Returns the flows of one meter after a comparison with the model, or `None` if there are too many packets.
fn metered(mut files: Files, settings: Settings) -> Option<(Vec<Flow>, Counters)> {
    let mut meter = Meter::new(settings, &[]).expect("there are no plugins to fail");
    let mut model = Model::new(settings);
    let mut flows: Vec<Flow> = Vec::new();
    let mut bytes = 0;
    loop {
        match files.read() {
            Ok(Some(packets)) => {
                for packet in packets.iter() {
                    bytes += packet.data.len();
                    model.push(&packet);
                }
                meter.push(packets.iter());
            }
            Ok(None) => break,
            Err(_) => {}
        }
        if files.packets_read() >= MOST_PACKETS || bytes > 16 << 20 {
            return None;
        }
        flows.extend(std::iter::from_fn(|| meter.next_flow()));
    }
    let mut meter = meter.finish();
    flows.extend(meter.by_ref());
    let counters = meter.counters();
    assert_eq!(counters.packets, files.packets_read());
    if Model::supports(&settings, counters) {
        model.check(&flows);
    }
    Some((flows, counters))
}

/// Returns the flows and counters of a streamer, or `None` if it cannot be built.
fn streamed(file: &PathBuf, settings: Settings, meters: usize) -> Option<(String, Counters)> {
    let mut streamer = Streamer::builder([file])
        .idle_timeout(settings.idle_timeout)
        .active_timeout(settings.active_timeout)
        .end_on_fin(settings.end_on_fin)
        .accounting_mode(settings.accounting_mode)
        .decode_tunnels(settings.decode_tunnels)
        .statistical_analysis(settings.statistical_analysis)
        .splt_analysis(settings.splt_analysis)
        .n_dissections(settings.n_dissections)
        .n_meters(meters)
        .build()
        .ok()?;
    let flows: Vec<_> = streamer.by_ref().collect();
    let report = streamer.summary();
    assert_eq!(report.packets_read, report.counters.packets);
    assert!(report.problems.len() <= 1);
    Some((flows::lines(&flows, Format::JsonLines), report.counters))
}

/// A temporary folder, in memory if possible.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("flowloom-fuzz-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder is writable");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
