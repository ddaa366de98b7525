//! Tests of the delivery of events to plugins that count the packets of their flows.

use std::fmt::Write;
use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::link_type::{LinkType, RawPacket};
use flowloom_core::meter::{Boundary, Meter, NoClassifier, Settings};
use flowloom_core::record::Expiration;
use flowloom_core::time::Time;
use flowloom_core::value::Value;

use super::dispatcher::PluginDispatcher;
use crate::config::limits::Limits;
use crate::config::spec::CallMode;
use crate::load::plugin::Plugin;
use crate::load::plugin::tests::load_module;
use crate::load::registry::PluginSet;
use crate::supervise::health::PluginState;
use crate::supervise::report::PluginReport;

/// The source port of packets at which the plugins trap.
const TRAPS: u16 = 666;

/// How a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Calls {
    PerEvent,
    InBatches,
    /// In batches, with numbers as little-endian bytes.
    Packed,
}

const ALL: [Calls; 3] = [Calls::PerEvent, Calls::InBatches, Calls::Packed];

/// A plugin that counts the packets of each flow. Its outputs are `packets`, and `text` with `text_len` times as
/// many `x`.
#[derive(Clone, Copy)]
struct Counting {
    name: &'static str,
    /// Three bytes.
    version: &'static str,
    calls: Calls,
    /// Whether it can be called in both ways. `calls` is then how it is.
    is_dual: bool,
    /// Whether it declares that `text` has bytes, which is not true.
    declares_bytes: bool,
    text_len: u32,
    packets_per_flow: Option<u32>,
    /// Whether it adds `bidirectional_packets` at each update instead of 1, and a thousand times the same at the
    /// end.
    reads_flows: bool,
    /// The flow is cut at this packet; 0 for never.
    cut_at: u32,
    limits: Limits,
}

impl Counting {
    fn new(calls: Calls) -> Self {
        Self {
            name: "x",
            version: "1.2",
            calls,
            is_dual: false,
            declares_bytes: false,
            text_len: 1,
            packets_per_flow: None,
            reads_flows: false,
            cut_at: 0,
            limits: Limits::default(),
        }
    }

    fn load(self, generation: u64) -> Arc<Plugin> {
        let (world, functions) = match self.calls {
            _ if self.is_dual => (
                "dual-plugin",
                self.batch_functions() + &self.feature_functions(),
            ),
            Calls::PerEvent => ("plugin", self.feature_functions()),
            Calls::InBatches | Calls::Packed => ("batch-plugin", self.batch_functions()),
        };
        let module = format!(
            r#"(module
              (memory (export "memory") 64)
              {}
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                global.get $free
                local.get 2
                i32.add
                i32.const 1
                i32.sub
                i32.const 0
                local.get 2
                i32.sub
                i32.and
                local.tee $at
                local.get 3
                i32.add
                global.set $free
                local.get $at)
              (global $free (mut i32) (i32.const 196608))
              {functions})"#,
            self.manifest(),
        );
        load_module(&module, world, generation, |spec| {
            spec.name = self.name.to_owned();
            spec.limits = self.limits;
            if self.calls == Calls::PerEvent {
                spec.calls = CallMode::PerEvent;
            }
        })
    }

    /// Returns the data of the manifest, which `open` returns at 1024.
    fn manifest(self) -> String {
        let mut manifest = [0_u32; 23];
        // The version.
        (manifest[1], manifest[2]) = (1320, 3);
        // Outputs at 1200: names and types, integer and text.
        (manifest[5], manifest[6]) = (1200, 2);
        if self.calls != Calls::PerEvent {
            // One packet field at 1240.
            (manifest[9], manifest[10]) = (1240, 1);
        }
        if self.reads_flows {
            // A field at update and at expire.
            (manifest[15], manifest[16], manifest[17], manifest[18]) = (1248, 1, 1248, 1);
        }
        if let Some(packets) = self.packets_per_flow {
            (manifest[19], manifest[20]) = (1, packets);
        }
        let packed = u32::from(self.calls == Calls::Packed) << 8;
        manifest[22] = u32::from(self.cut_at > 0) | packed;
        let text = if self.declares_bytes { 4 } else { 3 };
        let outputs = [1300, 7, 1, 0, 0, 1307, 4, text, 0, 0, 1311, 8, 1323, 21];
        let data = |at, words: &[u32]| {
            let mut text = format!("(data (i32.const {at}) \"");
            for byte in words.iter().flat_map(|word| word.to_le_bytes()) {
                write!(text, "\\{byte:02x}").unwrap();
            }
            text + "\")"
        };
        let version = self.version;
        let names = format!(
            "(data (i32.const 1300) \"packetstextsrc_port {version}bidirectional_packets\")"
        );
        data(1024, &manifest) + &data(1200, &outputs) + &names
    }

    /// The count of a flow is at 32768 + 4 * id.
    fn feature_functions(self) -> String {
        let (cut_at, text_len) = (self.cut_at, self.text_len);
        let packet = |added: &str| {
            format!(
                r#"(param $flow i64) (param i64 i64 i32 i32 i32 i32 i32) (param $src_port i32)
              (param i32 i32 i32 i32) (param $values i32) (param i32) (result i32)
              (local $cell i32)
              (if (i32.eq (local.get $src_port) (i32.const {TRAPS}))
                (then unreachable))
              (local.set $cell (i32.mul (i32.wrap_i64 (local.get $flow)) (i32.const 4)))
              (i32.store offset=32768 (local.get $cell)
                (i32.add (i32.load offset=32768 (local.get $cell)) {added}))
              (global.set $free (i32.const 196608))
              (i32.eq (i32.load offset=32768 (local.get $cell)) (i32.const {cut_at})))"#
            )
        };
        let init = packet("(i32.const 1)");
        let (update, at_end) = match self.reads_flows {
            // The first value is a variant with the number at offset 8.
            true => (
                packet("(i32.load offset=8 (local.get $values))"),
                "(i32.mul (i32.const 1000) (i32.load offset=8 (local.get $values)))",
            ),
            false => (init.clone(), "(i32.const 0)"),
        };
        format!(
            r#"(func (export "flowloom:plugin/feature@0.1.0#open")
              (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 1024)
            (func (export "flowloom:plugin/feature@0.1.0#init") {init}
            (func (export "flowloom:plugin/feature@0.1.0#update") {update}
            (func (export "flowloom:plugin/feature@0.1.0#expire")
              (param $id i64) (param i32) (param $values i32) (param i32) (result i32)
              (local $n i32) (local $len i32)
              (local.set $n (i32.add {at_end} (i32.load offset=32768
                (i32.mul (i32.wrap_i64 (local.get $id)) (i32.const 4)))))
              (local.set $len (i32.mul (local.get $n) (i32.const {text_len})))
              (memory.fill (i32.const 1048576) (i32.const 120) (local.get $len))
              (i32.store (i32.const 2048) (i32.const 2064))
              (i32.store (i32.const 2052) (i32.const 2))
              (i32.store8 (i32.const 2064) (i32.const 2))
              (i64.store (i32.const 2072) (i64.extend_i32_u (local.get $n)))
              (i32.store8 (i32.const 2080) (i32.const 4))
              (i32.store (i32.const 2088) (i32.const 1048576))
              (i32.store (i32.const 2092) (local.get $len))
              (global.set $free (i32.const 196608))
              i32.const 2048)
            (func (export "flowloom:plugin/feature@0.1.0#finish"))"#
        )
    }

    /// The count of a flow is at 32768 + 4 * slot.
    fn batch_functions(self) -> String {
        // The bytes of a column of ports do not depend on whether it is packed.
        let interface = "flowloom:plugin/batch-feature@0.1.0";
        let text_len = self.text_len;
        // The first column of flow fields has numbers of 64 bits.
        let number = |columns: u32, index: &str| {
            format!(
                "(i32.load (i32.add (i32.load offset=4 (i32.load offset={columns} (local.get $batch))) \
                 (i32.mul (i32.const 8) (local.get {index}))))"
            )
        };
        let (updated, at_end) = match self.reads_flows {
            true => (
                format!(
                    "{} (local.set $updates (i32.add (local.get $updates) (i32.const 1)))",
                    number(92, "$updates")
                ),
                format!("(i32.mul (i32.const 1000) {})", number(100, "$ended")),
            ),
            false => ("(i32.const 1)".to_owned(), "(i32.const 0)".to_owned()),
        };
        format!(
            r#"(func (export "{interface}#open") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 1024)
            (func (export "{interface}#process") (param $batch i32) (result i32)
              (local $i i32) (local $kind i32) (local $cell i32)
              (local $packets i32) (local $updates i32) (local $ended i32) (local $total i32)
              (block $end
                (loop $next
                  (br_if $end (i32.ge_u (local.get $i) (i32.load offset=4 (local.get $batch))))
                  (local.set $kind (i32.load8_u
                    (i32.add (i32.load (local.get $batch)) (local.get $i))))
                  (local.set $cell (i32.mul (i32.const 4) (i32.load
                    (i32.add (i32.load offset=12 (local.get $batch))
                             (i32.mul (i32.const 4) (local.get $i))))))
                  (if (i32.eq (local.get $kind) (i32.const 2))
                    (then
                      (i32.store offset=32768 (local.get $cell) (i32.add {at_end}
                        (i32.load offset=32768 (local.get $cell))))
                      (local.set $total
                        (i32.add (local.get $total) (i32.mul (i32.const {text_len})
                          (i32.load offset=32768 (local.get $cell)))))
                      (i64.store offset=8192 (i32.mul (i32.const 8) (local.get $ended))
                        (i64.load32_u offset=32768 (local.get $cell)))
                      (i32.store offset=20480 (i32.mul (i32.const 4) (local.get $ended))
                        (local.get $total))
                      (local.set $ended (i32.add (local.get $ended) (i32.const 1))))
                    (else
                      (if (i32.eqz (local.get $kind))
                        (then (i32.store offset=32768 (local.get $cell) (i32.const 1)))
                        (else
                          (i32.store offset=32768 (local.get $cell) (i32.add
                            (i32.load offset=32768 (local.get $cell))
                            (block (result i32) {updated})))))
                      (if (i32.eq (i32.const {TRAPS}) (i32.load16_u
                            (i32.add (i32.load offset=4 (i32.load offset=28 (local.get $batch)))
                                     (i32.mul (i32.const 2) (local.get $packets)))))
                        (then unreachable))
                      (local.set $packets (i32.add (local.get $packets) (i32.const 1)))))
                  (local.set $i (i32.add (local.get $i) (i32.const 1)))
                  (br $next)))
              (memory.fill (i32.const 1048576) (i32.const 120) (local.get $total))
              (i32.store (i32.const 2048) (i32.const 2064))
              (i32.store (i32.const 2052) (i32.const 2))
              (i32.store8 (i32.const 2064) (i32.const 1))
              (i32.store (i32.const 2068) (i32.const 8192))
              (i32.store (i32.const 2072) (local.get $ended))
              (i32.store8 (i32.const 2100) (i32.const 3))
              (i32.store (i32.const 2104) (i32.const 1048576))
              (i32.store (i32.const 2108) (local.get $total))
              (i32.store (i32.const 2112) (i32.const 20480))
              (i32.store (i32.const 2116) (local.get $ended))
              (global.set $free (i32.const 196608))
              i32.const 2048)
            (func (export "{interface}#finish"))"#
        )
    }
}

/// A meter with plugins.
struct Run {
    meter: Meter<PluginDispatcher, NoClassifier>,
    schema: flowloom_core::schema::Schema,
}

impl Run {
    fn new(plugins: &[Arc<Plugin>]) -> Self {
        let settings = Settings::default();
        let schema = settings.schema();
        let set = PluginSet::new(&schema, plugins);
        let dispatcher = PluginDispatcher::open(&set, 1 << 20).unwrap();
        let meter = Meter::with(&settings, dispatcher, None);
        Self { meter, schema }
    }

    /// Meters packets with these source ports, all at this second.
    fn push(&mut self, second: u64, ports: impl IntoIterator<Item = u16>) {
        let packets: Vec<_> = ports.into_iter().map(packet).collect();
        self.meter.push(packets.iter().map(|data| RawPacket {
            time: Time::from_ns(second * 1_000_000_000),
            link: LinkType(101),
            wire_len: 28,
            data,
        }));
    }

    /// Switches later flows to another generation.
    fn switch(&mut self, plugins: &[Arc<Plugin>]) -> bool {
        let ordinal = self.meter.next_ordinal();
        let set = PluginSet::new(&self.schema, plugins);
        let (dispatcher, _, ready) = self.meter.parts_mut();
        dispatcher.switch(&set, ordinal, ready)
    }

    /// Ends all flows. Returns source port, `packets` and length of `text` of each flow.
    fn finish(&mut self) -> Vec<(u16, Option<i64>, Option<usize>)> {
        self.meter.finish();
        std::iter::from_fn(|| self.meter.next_flow())
            .map(|flow| counted(&flow))
            .collect()
    }

    fn report(&self) -> PluginReport {
        self.meter.extension().reports().remove(0)
    }
}

/// Returns an IPv4 packet with a UDP header.
fn packet(src_port: u16) -> [u8; 28] {
    let mut packet = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 0, 0, 53, 0, 8, 0,
        0,
    ];
    packet[20..22].copy_from_slice(&src_port.to_be_bytes());
    packet
}

fn counted(flow: &Flow) -> (u16, Option<i64>, Option<usize>) {
    let number = |name| match flow.get(name) {
        Some(Value::Integer(number)) => Some(number),
        _ => None,
    };
    let text = match flow.get("udps.x.text") {
        Some(Value::Text(text)) => {
            assert!(text.bytes().all(|byte| byte == b'x'));
            Some(text.len())
        }
        _ => None,
    };
    let port = number("src_port").unwrap() as u16;
    (port, number("udps.x.packets"), text)
}

/// The values of a flow of which the plugin saw `n` packets.
fn seen(port: u16, n: usize) -> (u16, Option<i64>, Option<usize>) {
    (port, Some(n as i64), Some(n))
}

/// The values of a flow that the plugin did not see.
fn unseen(port: u16) -> (u16, Option<i64>, Option<usize>) {
    (port, None, None)
}

#[test]
fn every_event_is_delivered_once() {
    for calls in ALL {
        let mut run = Run::new(&[Counting::new(calls).load(0)]);
        run.push(0, [1, 2, 1, 3, 1, 2]);
        assert_eq!(run.meter.live_flows(), 3);
        run.meter.flush();
        assert_eq!(run.report().flows_held, 3);
        // The flows of port 1 and 3 end, and their slots are used again.
        run.push(10, [2]);
        run.push(16, [4, 2, 4, 4]);
        let values = run.finish();
        let expected = [seen(1, 3), seen(3, 1), seen(2, 4), seen(4, 3)];
        assert_eq!(values, expected, "{calls:?}");
        let report = run.report();
        assert_eq!(
            (report.name.as_str(), report.state),
            ("x", PluginState::Running)
        );
        assert_eq!(
            (report.events, report.flows_held),
            (6 + 5 + 4, 0),
            "{calls:?}"
        );
        if calls == Calls::PerEvent {
            assert_eq!(report.calls, 16, "each event, and finish");
        }
        assert_eq!((report.traps, report.generations), (0, 1));
        assert_eq!(report.version, "1.2");
        assert_eq!((report.bad_outputs, report.outputs_too_large), (0, 0));
        assert!(report.memory > 0 && report.image > 0);
    }
}

#[test]
fn more_events_than_a_call_has_are_delivered_in_several() {
    for calls in ALL {
        let mut run = Run::new(&[Counting::new(calls).load(0)]);
        run.push(0, (0..2_500).map(|n| 1 + n % 50));
        let values = run.finish();
        let expected: Vec<_> = (1..=50).map(|port| seen(port, 50)).collect();
        assert_eq!(values, expected, "{calls:?}");
        let report = run.report();
        assert_eq!(report.events, 2_550);
        if calls != Calls::PerEvent {
            // 1,024 events fit into a call. The last call is finish.
            assert_eq!(report.calls, 4, "{calls:?}");
        }
    }
}

#[test]
fn a_plugin_receives_as_many_packets_as_it_asks_for() {
    for calls in ALL {
        let plugin = Counting {
            packets_per_flow: Some(2),
            ..Counting::new(calls)
        };
        let mut run = Run::new(&[plugin.load(0)]);
        run.push(0, [1, 2, 1, 1, 1]);
        assert_eq!(run.finish(), [seen(1, 2), seen(2, 1)], "{calls:?}");
    }
}

#[test]
fn flows_beyond_the_limit_are_skipped() {
    for calls in ALL {
        let mut plugin = Counting::new(calls);
        plugin.limits.flows = 2;
        let mut run = Run::new(&[plugin.load(0)]);
        run.push(0, [1, 2, 3, 3]);
        run.push(10, [2, 3]);
        // The flow of port 1 has ended, and leaves room.
        run.push(16, [4]);
        let expected = [seen(1, 1), seen(2, 2), unseen(3), seen(4, 1)];
        assert_eq!(run.finish(), expected, "{calls:?}");
        let report = run.report();
        assert_eq!((report.flows_skipped, report.flows_lost), (1, 0));
    }
}

#[test]
fn values_beyond_the_limit_of_bytes_are_null() {
    for calls in ALL {
        let mut plugin = Counting::new(calls);
        plugin.limits.output = 2;
        let mut run = Run::new(&[plugin.load(0)]);
        run.push(0, [1, 2, 1, 1, 2]);
        assert_eq!(run.finish(), [(1, Some(3), None), seen(2, 2)], "{calls:?}");
        assert_eq!(run.report().outputs_too_large, 1);
    }
}

#[test]
fn a_trap_costs_the_flows_of_the_instance_and_a_back_off() {
    for calls in ALL {
        let mut run = Run::new(&[Counting::new(calls).load(0)]);
        run.push(0, [1]);
        run.meter.flush();
        run.push(0, [TRAPS]);
        run.meter.flush();
        let report = run.report();
        assert_eq!((report.traps, report.state), (1, PluginState::Restarting));
        assert_eq!((report.traps_of_time, report.traps_of_memory), (0, 0));
        assert!(report.last_trap.is_some());
        // The back-off has 1 s. Packets of earlier flows do not reach the new instance.
        run.push(0, [2, 1]);
        run.push(1, [3, 1, 2, 3, 4]);
        run.meter.flush();
        // A trial has one event per call, and ends with a flow after 10 s.
        let calls_before = run.report().calls;
        run.push(2, [3, 3, 3]);
        run.meter.flush();
        assert_eq!(run.report().calls - calls_before, 3, "{calls:?}");
        run.push(11, [5]);
        run.meter.flush();
        let calls_before = run.report().calls;
        run.push(12, [5, 5, 5]);
        run.meter.flush();
        let after_trial = if calls == Calls::PerEvent { 3 } else { 1 };
        assert_eq!(run.report().calls - calls_before, after_trial, "{calls:?}");
        let expected = [
            unseen(1),
            unseen(TRAPS),
            unseen(2),
            seen(3, 5),
            seen(4, 1),
            seen(5, 4),
        ];
        assert_eq!(run.finish(), expected, "{calls:?}");
        let report = run.report();
        assert_eq!((report.traps, report.flows_lost), (1, 3));
        assert_eq!(report.state, PluginState::Running);
    }
}

#[test]
fn traps_in_a_row_lead_to_quarantine_until_the_capture_ends() {
    for calls in ALL {
        let mut run = Run::new(&[Counting::new(calls).load(0)]);
        for n in 0..25 {
            run.push(100 * n, [TRAPS]);
            run.meter.flush();
        }
        let report = run.report();
        assert_eq!((report.traps, report.state), (20, PluginState::Quarantined));
        run.meter.end_at(Boundary::Capture);
        while run.meter.next_flow().is_some() {}
        assert_eq!(run.report().state, PluginState::Running);
        run.push(0, [1]);
        assert_eq!(run.finish(), [seen(1, 1)]);
        let report = run.report();
        assert_eq!((report.traps, report.flows_lost), (20, 25), "{calls:?}");
        assert_eq!(report.generations, 1);
    }
}

#[test]
fn a_plugin_can_cut_flows() {
    let plugin = Counting {
        cut_at: 2,
        ..Counting::new(Calls::PerEvent)
    };
    let mut run = Run::new(&[plugin.load(0)]);
    run.push(0, [1, 2, 1, 1]);
    let cut = run.meter.next_flow().expect("it was cut");
    assert_eq!(
        (counted(&cut), cut.expiration()),
        (seen(1, 2), Expiration::Cut)
    );
    assert_eq!(run.finish(), [seen(2, 1), seen(1, 1)]);
    assert_eq!(run.report().flows_cut, 1);
}

#[test]
fn flows_finish_with_the_generation_that_they_began_with() {
    for calls in ALL {
        let (first, second) = (Counting::new(calls), Counting::new(calls));
        let first = Counting {
            packets_per_flow: Some(1),
            ..first
        };
        let (first, second) = (first.load(1), second.load(2));
        let mut run = Run::new(&[first]);
        run.push(0, [1, 1, 2]);
        assert!(run.switch(std::slice::from_ref(&second)));
        // The same plugins again change nothing.
        assert!(run.switch(&[second]));
        run.push(0, [1, 3, 3, 2]);
        let expected = [seen(1, 1), seen(2, 1), seen(3, 2)];
        assert_eq!(run.finish(), expected, "{calls:?}");
        let report = run.report();
        assert_eq!((report.generations, report.flows_abandoned), (2, 0));
        assert_eq!((report.events, report.flows_held), (2 + 2 + 3, 0));
    }
}

#[test]
fn flows_of_a_replaced_generation_are_abandoned_after_a_minute() {
    for calls in ALL {
        let mut run = Run::new(&[Counting::new(calls).load(1)]);
        run.push(0, [1, 2]);
        assert!(run.switch(&[Counting::new(calls).load(2)]));
        for second in (10..=70).step_by(10) {
            // A flow ends by its timeout before the minute has passed.
            run.push(second, if second > 30 { vec![1] } else { vec![1, 2] });
            run.push(second, [3]);
        }
        run.push(71, [4]);
        let expected = [seen(2, 4), unseen(1), seen(3, 7), seen(4, 1)];
        let mut values = run.finish();
        values.sort_by_key(|(port, ..)| expected.iter().position(|(other, ..)| port == other));
        assert_eq!(values, expected, "{calls:?}");
        let report = run.report();
        assert_eq!((report.generations, report.flows_abandoned), (2, 1));
        assert_eq!(report.flows_lost, 0);
    }
}

#[test]
fn a_removed_plugin_leaves_a_run_without_plugins() {
    for calls in ALL {
        let mut run = Run::new(&[Counting::new(calls).load(1)]);
        run.push(0, [1, 1]);
        assert!(run.switch(&[]));
        run.push(1, [2, 1]);
        assert_eq!(run.finish(), [seen(1, 3), unseen(2)], "{calls:?}");
        // Its counters remain.
        let report = run.report();
        assert_eq!((report.events, report.memory, report.flows_held), (4, 0, 0));
    }
}

#[test]
fn a_plugin_has_at_most_four_generations_with_live_flows() {
    let load = |generation| Counting::new(Calls::InBatches).load(generation);
    let mut run = Run::new(&[load(1)]);
    for generation in 2..=4 {
        run.push(0, [generation as u16]);
        assert!(run.switch(&[load(generation)]), "{generation}");
    }
    run.push(0, [5]);
    assert!(!run.switch(&[load(5)]));
    run.push(0, [6]);
    let expected: Vec<_> = (2..=6).map(|port| seen(port, 1)).collect();
    assert_eq!(run.finish(), expected);
    assert_eq!(run.report().generations, 4);
}

#[test]
fn several_plugins_have_their_own_columns() {
    let named = |name, calls| {
        let plugin = Counting {
            name,
            ..Counting::new(calls)
        };
        plugin.load(0)
    };
    for calls in [
        [Calls::InBatches, Calls::PerEvent],
        [Calls::PerEvent, Calls::InBatches],
        [Calls::InBatches, Calls::Packed],
        [Calls::PerEvent, Calls::PerEvent],
    ] {
        let plugins = [named("a", calls[0]), named("b", calls[1])];
        let mut run = Run::new(&plugins);
        run.push(0, [1, 2, 1]);
        run.meter.finish();
        let mut flows = 0;
        while let Some(flow) = run.meter.next_flow() {
            let packets = flow.get("bidirectional_packets");
            assert_eq!(flow.get("udps.a.packets"), packets, "{calls:?}");
            assert_eq!(flow.get("udps.b.packets"), packets, "{calls:?}");
            assert_eq!(flow.get("udps.a.text"), flow.get("udps.b.text"));
            flows += 1;
        }
        assert_eq!(flows, 2);
        let names = run.meter.extension().reports();
        let names: Vec<_> = names.iter().map(|report| &report.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}

#[test]
fn a_plugin_with_both_interfaces_is_called_in_batches_unless_it_cuts() {
    for (calls, cut_at, by_event) in [
        (Calls::InBatches, 0, false),
        (Calls::Packed, 0, false),
        (Calls::PerEvent, 0, true),
        (Calls::InBatches, 9, true),
    ] {
        let plugin = Counting {
            is_dual: true,
            cut_at,
            ..Counting::new(calls)
        };
        let plugin = plugin.load(0);
        assert_eq!(plugin.by_event(), by_event, "{calls:?} {cut_at}");
        let mut run = Run::new(&[plugin]);
        run.push(0, [1, 2, 1]);
        assert_eq!(run.finish(), [seen(1, 2), seen(2, 1)]);
        // Five events, and finish.
        assert_eq!(run.report().calls, if by_event { 6 } else { 2 });
    }
    // There is only one way to call these.
    for calls in ALL {
        let by_event = Counting::new(calls).load(0).by_event();
        assert_eq!(by_event, calls == Calls::PerEvent);
    }
}

#[test]
fn waiting_values_have_at_most_two_answers_of_16_mib() {
    for calls in ALL {
        let plugin = Counting {
            text_len: 60_000,
            ..Counting::new(calls)
        };
        let mut run = Run::new(&[plugin.load(0)]);
        // Each time, 50 flows with 60,000 bytes end. Nobody takes them.
        for n in 0..13 {
            run.push(20 * n, (1..=50).map(|port| 100 * n as u16 + port));
            run.meter.flush();
        }
        let (_, _, ready) = run.meter.parts_mut();
        let mut lens = Vec::new();
        while let Some(flow) = ready.pop() {
            lens.push(counted(&flow).2);
        }
        // A plugin that is called in batches loses a whole batch.
        let fits = match calls {
            Calls::PerEvent => (32 << 20) / 60_000,
            Calls::InBatches | Calls::Packed => 550,
        };
        let expected = (0..600).map(|n| (n < fits).then_some(60_000));
        assert!(lens.into_iter().eq(expected), "{calls:?}");
        assert_eq!(run.report().flows_overflowed, 600 - fits as u64);
        // There is room again.
        let last = run.finish();
        assert!(last.len() == 50 && last.iter().all(|flow| flow.2 == Some(60_000)));
    }
}

#[test]
fn counters_of_removed_plugins_are_kept_by_name() {
    let named = |name, generation| {
        let plugin = Counting {
            name,
            ..Counting::new(Calls::InBatches)
        };
        plugin.load(generation)
    };
    let mut run = Run::new(&[named("a", 1), named("b", 2)]);
    run.push(0, [1, 1]);
    assert!(run.switch(&[named("b", 3)]));
    run.push(20, [2]);
    assert!(run.switch(&[]));
    run.push(40, [3]);
    assert!(run.switch(&[named("a", 4)]));
    run.push(60, [4]);
    run.finish();
    let events: Vec<_> = run
        .meter
        .extension()
        .reports()
        .iter()
        .map(|report| (report.name.clone(), report.events, report.generations))
        .collect();
    assert_eq!(
        events,
        [("a".to_owned(), 3 + 2, 2), ("b".to_owned(), 3 + 2, 2)]
    );
}

/// Returns a plugin with these functions `init` and `finish`, which may log and use memory.
fn plugin_with(init: &str, finish: &str, limits: Limits) -> Arc<Plugin> {
    let module = format!(
        r#"(module
        (import "flowloom:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
        (memory (export "memory") 4)
        (data (i32.const 100) "last words")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
        (func (export "flowloom:plugin/feature@0.1.0#open") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
          i32.const 1024)
        (func $begin (export "flowloom:plugin/feature@0.1.0#init")
          (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
          (local $n i32) {init} i32.const 0)
        (func (export "flowloom:plugin/feature@0.1.0#update")
          (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
        (func (export "flowloom:plugin/feature@0.1.0#expire") (param i64 i32 i32 i32) (result i32)
          i32.const 1024)
        (func (export "flowloom:plugin/feature@0.1.0#finish") {finish}))"#
    );
    load_module(&module, "plugin", 0, |spec| spec.limits = limits)
}

#[test]
fn the_reason_of_a_trap_is_reported() {
    let log = "(call $log (i32.const 0) (i32.const 100) (i32.const 10))";
    let limits = Limits {
        call: std::time::Duration::from_millis(20),
        memory: 1 << 20,
        ..Limits::default()
    };
    for (init, reason) in [
        (format!("{log} unreachable"), "last words"),
        (
            "unreachable".to_owned(),
            "wasm trap: wasm `unreachable` instruction executed in begin",
        ),
        (
            "(loop (br 0))".to_owned(),
            "it took more than 20 ms of CPU time in begin",
        ),
        // The allocation fails, and the plugin gives up.
        (
            "(drop (memory.grow (i32.const 100))) unreachable".to_owned(),
            "bytes of memory in begin; 1048576 are allowed",
        ),
        // It goes on after a failed allocation, so that something else is the reason.
        (
            format!("(drop (memory.grow (i32.const 100))) {log} unreachable"),
            "last words",
        ),
    ] {
        let mut run = Run::new(&[plugin_with(&init, "", limits)]);
        run.push(0, [1]);
        let report = run.report();
        let trap = report.last_trap.map(|trap| trap.to_string());
        let trap = trap.unwrap_or_default();
        assert!(trap.ends_with(reason), "{init}: {trap}");
        let counts = (
            u64::from(reason.contains("CPU time")),
            u64::from(reason.ends_with("allowed")),
        );
        assert_eq!((report.traps_of_time, report.traps_of_memory), counts);
    }
}

#[test]
fn log_lines_beyond_the_limit_are_counted_for_all_instances() {
    let lines = "(loop
        (call $log (i32.const 2) (i32.const 100) (i32.const 10))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 1100))))";
    let mut run = Run::new(&[plugin_with(lines, "", Limits::default())]);
    run.push(0, [1]);
    assert_eq!(run.report().lines_dropped, 100);
    let lines = format!("{lines} unreachable");
    let mut run = Run::new(&[plugin_with(&lines, "", Limits::default())]);
    run.push(0, [1]);
    assert_eq!(run.report().lines_dropped, 100);
    run.push(10, [2]);
    assert_eq!(run.report().lines_dropped, 200);
}

#[test]
fn finish_is_called_once_at_the_end_of_a_capture() {
    let mut run = Run::new(&[plugin_with("", "unreachable", Limits::default())]);
    run.push(0, [1]);
    assert_eq!(run.report().traps, 0);
    run.meter.end_at(Boundary::Capture);
    while run.meter.next_flow().is_some() {}
    // It is the last call, and does not concern the next capture.
    let report = run.report();
    assert_eq!((report.traps, report.calls, report.flows_lost), (1, 3, 0));
    assert_eq!(report.state, PluginState::Running);
    run.finish();
    assert_eq!(run.report().traps, 2);
}

#[test]
fn the_version_of_the_newest_generation_is_reported() {
    let load = |generation, version| {
        let plugin = Counting {
            version,
            ..Counting::new(Calls::InBatches)
        };
        plugin.load(generation)
    };
    let mut run = Run::new(&[load(1, "1.1")]);
    run.push(0, [1]);
    assert!(run.switch(&[load(2, "2.2")]));
    // Generation 1 ends, and generation 3 takes its place, while a flow of generation 2 is live.
    run.push(20, [2]);
    run.meter.flush();
    assert!(run.switch(&[load(3, "3.3")]));
    run.push(20, [3]);
    assert_eq!(run.report().version, "3.3");
    assert_eq!(run.finish(), [seen(1, 1), seen(2, 1), seen(3, 1)]);
}

#[test]
fn a_new_capture_has_only_the_current_generation() {
    for calls in ALL {
        let alone = Run::new(&[Counting::new(calls).load(0)]).report().memory;
        let mut run = Run::new(&[Counting::new(calls).load(1)]);
        run.push(0, [1]);
        assert!(run.switch(&[Counting::new(calls).load(2)]));
        run.push(0, [2, 1]);
        assert_eq!(run.report().memory, 2 * alone);
        run.meter.end_at(Boundary::Capture);
        let values: Vec<_> = std::iter::from_fn(|| run.meter.next_flow())
            .map(|flow| counted(&flow))
            .collect();
        assert_eq!(values, [seen(1, 2), seen(2, 1)]);
        let report = run.report();
        assert_eq!((report.memory, report.generations), (alone, 2), "{calls:?}");
        run.push(0, [3]);
        assert_eq!(run.finish(), [seen(3, 1)]);
        assert_eq!(run.report().events, 3 + 2 + 2);
    }
}

#[test]
fn flow_fields_are_those_after_the_packet_of_the_event() {
    for calls in ALL {
        let plugin = Counting {
            reads_flows: true,
            ..Counting::new(calls)
        };
        let mut run = Run::new(&[plugin.load(0)]);
        run.push(0, [1, 2, 1, 1, 2]);
        let expected = [seen(1, 1 + 2 + 3 + 3_000), seen(2, 1 + 2 + 2_000)];
        assert_eq!(run.finish(), expected, "{calls:?}");
    }
}

#[test]
fn abandoned_flows_are_those_of_the_replaced_plugin() {
    let named = |name, generation| {
        let plugin = Counting {
            name,
            ..Counting::new(Calls::InBatches)
        };
        plugin.load(generation)
    };
    let (a, b) = (named("a", 1), named("b", 2));
    let mut run = Run::new(&[a.clone(), b]);
    run.push(0, [1, 2]);
    assert!(run.switch(&[a, named("b", 3)]));
    for second in (0..=70).step_by(10) {
        run.push(second, [1, 2]);
    }
    run.push(71, [3]);
    let _ = run.finish();
    let reports = run.meter.extension().reports();
    let abandoned: Vec<_> = reports
        .iter()
        .map(|report| (&*report.name, report.flows_abandoned, report.generations))
        .collect();
    assert_eq!(abandoned, [("a", 0, 1), ("b", 2, 2)]);
}

#[test]
fn values_of_another_type_are_null_and_counted() {
    for calls in ALL {
        let plugin = Counting {
            declares_bytes: true,
            ..Counting::new(calls)
        };
        let mut run = Run::new(&[plugin.load(0)]);
        run.push(0, [1, 2, 1]);
        run.push(20, [3]);
        run.meter.flush();
        assert_eq!(run.report().bad_outputs, 2, "{calls:?}");
        let expected = [(1, Some(2), None), (2, Some(1), None), (3, Some(1), None)];
        assert_eq!(run.finish(), expected);
        assert_eq!(run.report().bad_outputs, 3, "{calls:?}");
    }
}
