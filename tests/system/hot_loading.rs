//! Tests that load, replace and remove plugins while packets flow. No flow may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowloom::capture::{LinkType, RawPacket};
use flowloom::plugin::{
    CallMode, PluginFolder, PluginReport, PluginSpec, Registry, RunContext, SchemaMode,
};
use flowloom::{Flow, Meter, Settings, Step, Streamer, StreamerBuilder, Time, Value};
use tempfile::TempDir;

use crate::guests::plugin;

/// The number of packets of the large capture.
const PACKETS: u32 = 1_500_000;

/// Creates a capture of raw IP with a packet every 100 µs and many live flows of 1 to 60 packets.
fn capture(packets: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("many.pcap");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).expect("a file"));
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.write_all(&word.to_le_bytes())
            .expect("the folder is writable");
    }
    let mut random = 88_172_645_463_325_252_u64;
    for n in 0..packets {
        // Xorshift, a simple random number generator.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // The range of ports moves, so that flows begin and end all the time.
        let port = (n / 40 + (random % 400) as u32) % 60_000;
        let us = u64::from(n) * 100;
        for word in [(us / 1_000_000) as u32, (us % 1_000_000) as u32, 28, 28] {
            file.write_all(&word.to_le_bytes())
                .expect("the folder is writable");
        }
        let mut packet = [
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
        ]
        .to_vec();
        packet.extend((1_024 + port as u16).to_be_bytes());
        packet.extend([0, 53, 0, 8, 0, 0]);
        file.write_all(&packet).expect("the folder is writable");
    }
    file.flush().expect("the folder is writable");
    (folder, path)
}

fn builder(capture: &Path, meters: usize) -> StreamerBuilder {
    Streamer::builder([capture])
        .idle_timeout(1)
        .n_dissections(0)
        .n_meters(meters)
}

fn evil(plus: u64, calls: CallMode) -> PluginSpec {
    PluginSpec::new(plugin("evil"))
        .option("plus", plus.to_string())
        .calls(calls)
}

/// Returns a hash of all core columns of a flow.
fn core(flow: &Flow) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    for (name, value) in flow.iter().filter(|(name, _)| !name.starts_with("udps.")) {
        format!("{name}={value:?}").hash(&mut hasher);
    }
    hasher.finish()
}

fn integer(flow: &Flow, name: &str) -> Option<i64> {
    match flow.get(name) {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    }
}

/// Returns the hashes of the flows of a run without plugins.
fn alone(capture: &Path) -> Vec<u64> {
    let streamer = builder(capture, 1).build().expect("a capture");
    streamer.map(|flow| core(&flow)).collect()
}

/// Executes a run, and calls `after_read` after each step that reads packets and `on_flow` with each flow. Returns the
/// hashes of the core columns of all flows in order.
fn run(
    mut streamer: Streamer,
    mut after_read: impl FnMut(&Registry),
    mut on_flow: impl FnMut(&Flow),
) -> (Vec<u64>, Streamer) {
    let registry = streamer.registry().expect("a registry").clone();
    let mut flows = Vec::new();
    loop {
        match streamer.step() {
            Step::Flow(flow) => {
                flows.push(core(&flow));
                on_flow(&flow);
            }
            Step::Read => after_read(&registry),
            Step::End => return (flows, streamer),
        }
    }
}

/// Generation N of the plugin adds N times this to its value, which is a number of packets. A value thus contains
/// both.
const VERSION: i64 = 1_000_000;

#[test]
fn hundreds_of_replacements_lose_nothing() {
    let (_folder, capture) = capture(PACKETS);
    let alone = alone(&capture);
    for (meters, call_mode) in [
        (1, CallMode::Auto),
        (1, CallMode::PerEvent),
        (2, CallMode::Auto),
    ] {
        let streamer = builder(&capture, meters)
            .plugin(evil(0, call_mode))
            .build()
            .expect("the plugin opens");
        let mut version = 0;
        let mut began = BTreeMap::new();
        let (flows, streamer) = run(
            streamer,
            |registry| {
                version += 1;
                let spec = evil(version * VERSION as u64, call_mode);
                registry.replace(spec).expect("the new version opens");
            },
            |flow| {
                let value = integer(flow, "udps.evil.count").expect("every flow has its value");
                let packets = integer(flow, "bidirectional_packets").expect("a counter");
                assert_eq!(value % VERSION, packets, "{flow:?}");
                began.insert(flow.id(), value / VERSION);
            },
        );
        assert!(
            flows == alone,
            "the flows are not those of a run without plugins"
        );
        // A flow that began later has the same or a later generation.
        let versions: Vec<_> = began.values().copied().collect();
        assert!(versions.is_sorted(), "{meters} meters, {call_mode:?}");
        let used = versions.chunk_by(|a, b| a == b).count();
        assert!(
            version > 100 && used > 50,
            "{used} of {version} versions were used"
        );
        let report = streamer.summary();
        let evil = &report.plugins[0];
        assert_eq!(
            (evil.traps, evil.flows_abandoned, evil.flows_lost),
            (0, 0, 0)
        );
        assert_eq!(evil.flows_held, 0);
        assert_eq!(report.counters.flows, alone.len() as u64);
    }
}

#[test]
fn traps_lose_only_values_of_the_plugin() {
    let (_folder, capture) = capture(PACKETS / 3);
    let alone = alone(&capture);
    for (meters, call_mode) in [(1, CallMode::Auto), (2, CallMode::PerEvent)] {
        let spec = evil(0, call_mode)
            .option("mode", "silent")
            .option("at", "update")
            .option("after", "59999");
        let (flows, streamer) = run(
            builder(&capture, meters)
                .plugin(spec)
                .build()
                .expect("the plugin opens"),
            |_| {},
            |flow| {
                let packets = integer(flow, "bidirectional_packets").expect("a counter");
                let value = integer(flow, "udps.evil.count");
                assert!(value.is_none_or(|value| value == packets), "{flow:?}");
            },
        );
        assert!(
            flows == alone,
            "the flows are not those of a run without plugins"
        );
        let report = streamer.summary();
        let evil = &report.plugins[0];
        assert!(evil.traps > 3, "{evil:?}");
        assert!(
            evil.flows_lost > 0 && evil.flows_lost < alone.len() as u64,
            "{evil:?}"
        );
    }
}

/// A meter that receives two packets per second: one of a long flow, and one of a new short flow.
struct Seconds {
    registry: Registry,
    meter: Meter,
    second: u64,
}

impl Seconds {
    fn new() -> Self {
        let mut seconds = Self::without_plugin();
        let Self {
            registry, meter, ..
        } = &mut seconds;
        registry
            .load(evil(0, CallMode::Auto))
            .expect("the plugin opens");
        registry
            .begin(RunContext::default())
            .expect("the plugin opens again");
        assert!(meter.set_plugins(&registry.set()));
        seconds
    }

    fn without_plugin() -> Self {
        let mut settings = Settings::default();
        settings.idle_timeout = 5;
        settings.n_dissections = 0;
        Self {
            registry: Registry::new(settings.schema()).expect("the engine starts"),
            meter: Meter::new(settings, &[]).expect("a meter"),
            second: 0,
        }
    }

    fn go_on(&mut self, seconds: u64) {
        let mut packets = Vec::new();
        for _ in 0..seconds {
            self.second += 1;
            for port in [1, 1_000 + self.second as u16] {
                let mut packet = [
                    0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 0, 0,
                    53, 0, 8, 0, 0,
                ];
                packet[20..22].copy_from_slice(&u16::to_be_bytes(port));
                packets.push((self.second, packet));
            }
        }
        // All packets form one batch, so that flows end between packets of a batch.
        self.meter
            .push(packets.iter().map(|(second, data)| RawPacket {
                time: Time::from_ns(second * 1_000_000_000),
                link: LinkType(101),
                wire_len: 28,
                data,
            }));
    }

    fn replace(&mut self, version: u64) -> bool {
        let spec = evil(version * VERSION as u64, CallMode::Auto);
        self.registry.replace(spec).expect("the new version opens");
        self.meter.set_plugins(&self.registry.set())
    }

    /// Ends all flows. Returns the generation of each flow by its id, and the report of the plugin.
    fn versions(self) -> (BTreeMap<u64, Option<i64>>, PluginReport) {
        let mut flows = self.meter.finish();
        let versions = flows.by_ref().map(|flow| {
            let value = integer(&flow, "udps.evil.count");
            (flow.id(), value.map(|value| value / VERSION))
        });
        (versions.collect(), flows.plugins().remove(0))
    }
}

#[test]
fn a_first_plugin_sees_all_packets_of_flows_that_begin_after_it() {
    let mut seconds = Seconds::without_plugin();
    // These flows end without a plugin.
    seconds.go_on(10);
    seconds
        .registry
        .load(evil(0, CallMode::Auto))
        .expect("the plugin opens");
    assert!(seconds.meter.set_plugins(&seconds.registry.set()));
    seconds.go_on(10);
    let flows = seconds.meter.finish();
    let seen: Vec<_> = flows
        .filter(|flow| flow.schema().udps().len() == 1)
        .map(|flow| integer(&flow, "udps.evil.count"))
        .collect();
    // The short flows have one packet. The long flow began before the plugin was loaded.
    assert_eq!(seen, [Some(1); 10]);
}

#[test]
fn flows_that_outlive_a_replaced_generation_are_abandoned() {
    let mut seconds = Seconds::new();
    seconds.go_on(10);
    assert!(seconds.replace(1));
    seconds.go_on(100);
    let (versions, report) = seconds.versions();
    // The long flow is abandoned 60 s of packet time after the second generation was loaded.
    assert_eq!(versions[&0], None);
    assert_eq!(versions.values().filter(|value| value.is_none()).count(), 1);
    assert_eq!(
        versions.values().filter(|value| **value == Some(0)).count(),
        10
    );
    assert_eq!(
        (report.flows_abandoned, report.generations),
        (1, 2),
        "{report:?}"
    );
    assert_eq!(report.flows_lost, 0);
}

#[test]
fn a_generation_that_traps_in_finish_is_removed() {
    let mut seconds = Seconds::new();
    let spec = evil(0, CallMode::Auto)
        .option("mode", "silent")
        .option("at", "finish");
    seconds.registry.replace(spec).expect("the plugin opens");
    assert!(seconds.meter.set_plugins(&seconds.registry.set()));
    seconds.go_on(1);
    assert!(seconds.replace(1));
    // The short flows end, and the long flow is abandoned.
    seconds.go_on(80);
    let report = &seconds.meter.plugins()[0];
    assert_eq!((report.traps, report.generations), (1, 3), "{report:?}");
    let (versions, _) = seconds.versions();
    assert_eq!(
        versions
            .values()
            .filter(|version| version.is_none())
            .count(),
        1
    );
}

#[test]
fn at_most_four_generations_are_alive() {
    let mut seconds = Seconds::new();
    for version in 1..=3 {
        seconds.go_on(1);
        assert!(seconds.replace(version));
    }
    seconds.go_on(1);
    // The long flow keeps the first generation alive, and short flows keep the others alive.
    assert!(!seconds.replace(4));
    seconds.go_on(1);
    assert!(!seconds.replace(5));
    // The short flows end.
    seconds.go_on(10);
    let set = seconds.registry.set();
    assert!(seconds.meter.set_plugins(&set), "a generation has ended");
    seconds.go_on(1);
    let versions: Vec<_> = seconds.versions().0.into_values().flatten().collect();
    // Only the newest waiting generation is used. The one before was replaced before it was used.
    assert!(
        versions.contains(&5) && !versions.contains(&4),
        "{versions:?}"
    );
}

#[test]
fn only_json_lines_accept_changed_outputs() {
    let (_folder, capture) = capture(20_000);
    let other = || evil(0, CallMode::Auto).option("outputs", "other:integer");
    // CSV files have one header, so outputs must not change.
    let streamer = builder(&capture, 1)
        .plugin(evil(0, CallMode::Auto))
        .build()
        .expect("a plugin");
    let registry = streamer.registry().expect("a registry").clone();
    let error = registry.replace(other()).err().expect("other outputs");
    assert_eq!(
        error.to_string(),
        "plugin 'evil': declares outputs that differ from its columns in this run, which cannot \
         change while packets flow; JSON lines accept any outputs"
    );
    assert_eq!(registry.refused(), 1);
    registry.remove("evil").expect("the path exists");
    assert!(registry.remove("evil").is_err());
    let names: Vec<_> = streamer.schema().names().map(str::to_owned).collect();
    for flow in streamer {
        assert!(
            flow.iter().map(|(name, _)| name).eq(names.iter()),
            "{flow:?}"
        );
        assert_eq!(flow.get("udps.evil.count"), Some(Value::Null));
    }
    // JSON lines have no header.
    let streamer = builder(&capture, 1)
        .hot_loading(SchemaMode::PerFlow)
        .build()
        .expect("no plugin");
    let mut steps = 0;
    let mut columns = BTreeSet::new();
    let (flows, _) = run(
        streamer,
        |registry| {
            steps += 1;
            match steps {
                1 => registry.load(evil(0, CallMode::Auto)).map(|_| ()),
                2 => registry.replace(other()).map(|_| ()),
                3 => registry.remove("evil"),
                _ => Ok(()),
            }
            .expect("any change will do");
        },
        |flow| {
            let its: Vec<_> = flow.udps().iter().map(|(column, _)| column.name).collect();
            if let [column] = its[..] {
                assert!(integer(flow, column).is_some(), "{flow:?}");
            }
            columns.insert(its.join("+"));
        },
    );
    assert_eq!(flows, alone(&capture));
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    assert_eq!(columns, ["", "udps.evil.count", "udps.evil.other"]);
}

#[test]
fn a_folder_that_changes_constantly_affects_only_its_plugins() {
    let (_folder, capture) = capture(PACKETS / 3);
    let alone = alone(&capture);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("evil.wasm");
    fs::copy(plugin("evil"), &file).expect("the folder is writable");
    let policy = folder.path().join("flowloom.toml");
    let write_policy = |text: &str| {
        fs::write(&policy, format!("version = 1\n{text}")).expect("the folder is writable")
    };
    write_policy("");
    let whole = fs::read(&file).expect("a file");
    for meters in [1, 2] {
        let streamer = builder(&capture, meters)
            .plugin_folder(PluginFolder::new(folder.path()).followed(true))
            .policy(&policy)
            .hot_loading(SchemaMode::PerFlow)
            .build()
            .expect("a folder");
        let mut step = 0;
        let (flows, streamer) = run(
            streamer,
            |_| {
                step += 1;
                // The file is truncated, invalid, removed, a link, removed and complete again. Then its time and the
                // policy change.
                let _ = match step % 8 {
                    0 => fs::write(&file, &whole[..whole.len() / 2]),
                    1 => fs::write(&file, "no component"),
                    2 => fs::remove_file(&file),
                    3 => std::os::unix::fs::symlink("/dev/zero", &file),
                    4 => fs::remove_file(&file),
                    5 => fs::write(&file, &whole),
                    6 => fs::File::options()
                        .write(true)
                        .open(&file)
                        .and_then(|file| file.set_modified(std::time::SystemTime::UNIX_EPOCH)),
                    _ => {
                        write_policy(&format!(
                            "[plugins.evil.options]\nplus = {}",
                            step * 1_000_000
                        ));
                        Ok(())
                    }
                };
                // The pauses are long enough that the run notices some of the changes.
                std::thread::sleep(Duration::from_millis(if step % 8 == 7 { 350 } else { 20 }));
            },
            |flow| {
                let packets = integer(flow, "bidirectional_packets").expect("a counter");
                let value = integer(flow, "udps.evil.count");
                assert!(
                    value.is_none_or(|value| value % VERSION == packets),
                    "{flow:?}"
                );
            },
        );
        assert!(
            flows == alone,
            "the flows are not those of a run without plugins"
        );
        assert_eq!(streamer.summary().counters.flows, alone.len() as u64);
        fs::write(&file, &whole).expect("the folder is writable");
        write_policy("");
    }
}
