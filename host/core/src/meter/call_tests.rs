//! Tests of the calls that a worker makes to its extension, its classifier and its flow receiver.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::testing::udp;
use super::tests::at;
use super::{
    Boundary, Classifier, Counters, Extension, FlowReceiver, Ingress, Meter, MeterWorker,
    OverloadLevel, Settings,
};
use crate::decode::IgnoreReason;
use crate::fields::Group;
use crate::flow::{Flow, ReadyFlows};
use crate::link_type::{LinkType, RawPacket};
use crate::record::{
    Application, ApplicationText, DecodedChunk, Ended, Expiration, FlowPacket, FlowView, KeyHasher,
};
use crate::schema::{Schema, UdpColumn};
use crate::time::Time;
use crate::value::{Type, UdpValue, Value};

/// The calls so far, in order. The flows are named by their source ports.
#[derive(Clone, Default)]
struct Calls(Rc<RefCell<Vec<String>>>);

impl Calls {
    fn add(&self, call: impl Into<String>) {
        self.0.borrow_mut().push(call.into());
    }

    /// Removes and returns the calls whose first word is one of `words`. Forgets the others.
    fn take(&self, words: &[&str]) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.0.borrow_mut());
        calls.retain(|call| words.contains(&call.split(' ').next().unwrap_or_default()));
        calls
    }
}

/// An extension that records calls, and gives each flow a text of `text_len` bytes.
struct Recorder {
    calls: Calls,
    schema: Arc<Schema>,
    is_empty: bool,
    needs_each_packet: bool,
    /// The flow of this source port is cut at its second packet.
    cuts: u16,
    text_len: usize,
}

impl Recorder {
    fn new(calls: &Calls) -> Self {
        let column = UdpColumn::new("recorder", "text", Type::Text, String::new());
        Self {
            calls: calls.clone(),
            schema: Arc::new(Schema::new(|group| group == Group::Core, vec![column])),
            is_empty: false,
            needs_each_packet: true,
            cuts: 0,
            text_len: 0,
        }
    }
}

impl Extension for Recorder {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn schema_of(&self, _: u64) -> &Arc<Schema> {
        &self.schema
    }

    fn is_empty(&self) -> bool {
        self.is_empty
    }

    fn needs_each_packet(&self) -> bool {
        self.needs_each_packet
    }

    fn begin_flow(&mut self, packet: &FlowPacket<'_>) {
        self.calls.add(format!("begin {}", packet.packet.src_port));
    }

    fn packet<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        view: &dyn Fn() -> FlowView<'f>,
        _: &mut ReadyFlows,
    ) -> bool {
        let (packet, view) = (chunk.last().expect("the packet"), view());
        let port = packet.packet.src_port;
        assert_eq!(view.record.id, packet.flow_id);
        assert_eq!(view.record.packets(), packet.nth);
        let application = &view.application().name;
        self.calls
            .add(format!("packet {port} #{} {application}", packet.nth));
        port == self.cuts && packet.nth == 2
    }

    fn take(&mut self, chunk: &[FlowPacket<'_>], _: &mut ReadyFlows) {
        self.calls.add(format!("take {}", chunk.len()));
    }

    fn expire(&mut self, _: u32, mut flow: Flow, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        let (port, why) = (flow.record.src_port, flow.expiration().name());
        self.calls
            .add(format!("expire {port} {why} after {}", chunk.len()));
        let text = UdpValue::Text("x".repeat(self.text_len).into());
        flow.outputs.put(1, 0, [text], self.text_len as u32);
        ready.push(flow);
    }

    fn flush(&mut self, _: &[FlowPacket<'_>], _: &mut ReadyFlows) {
        self.calls.add("flush");
    }

    fn finish(&mut self, _: &mut ReadyFlows) {
        self.calls.add("finish");
    }

    fn restart(&mut self) {
        self.calls.add("restart extension");
    }

    fn set_overload(&mut self, is_overloaded: bool) {
        self.calls.add(format!("overload {is_overloaded}"));
    }
}

/// A classifier that records calls. The name of an application is the source port of its flow.
struct Namer {
    calls: Calls,
    applications: HashMap<u32, Application>,
}

impl Namer {
    fn new(calls: &Calls) -> Self {
        Self {
            calls: calls.clone(),
            applications: HashMap::new(),
        }
    }
}

impl Classifier for Namer {
    fn see(&mut self, slot: u32, n: u64, packet: &FlowPacket<'_>) {
        let port = packet.packet.src_port;
        self.calls.add(format!("see {port} #{n}"));
        let name = port.to_string();
        let application = Application::new(
            name.into(),
            "".into(),
            false,
            0,
            [""; ApplicationText::COUNT],
        );
        self.applications.insert(slot, application);
    }

    fn skip(&mut self, _: u32) {
        self.calls.add("skip");
    }

    fn application(&self, slot: u32) -> Option<&Application> {
        self.applications.get(&slot)
    }

    fn take(&mut self, slot: u32) -> Option<Box<Application>> {
        self.applications.remove(&slot).map(Box::new)
    }

    fn restart(&mut self) {
        self.calls.add("restart classifier");
    }

    fn memory(&self) -> usize {
        1_000
    }
}

type Recorded = Meter<Recorder, Namer>;

fn meter(settings: &Settings, change: impl FnOnce(&mut Recorder)) -> (Recorded, Calls) {
    let calls = Calls::default();
    let mut recorder = Recorder::new(&calls);
    change(&mut recorder);
    let meter = Meter::with(settings, recorder, Some(Namer::new(&calls)));
    (meter, calls)
}

fn drain(meter: &mut Recorded) -> Vec<Flow> {
    std::iter::from_fn(|| meter.next_flow()).collect()
}

/// The calls that concern packets and flows.
const OF_FLOWS: &[&str] = &["begin", "see", "skip", "packet", "take", "expire"];
/// The calls that concern the state of the extension and the classifier.
const OF_STATE: &[&str] = &["expire", "flush", "finish", "restart", "overload"];

#[test]
fn each_packet_is_dissected_and_then_processed_by_the_extension() {
    let (mut meter, calls) = meter(&Settings::default(), |_| ());
    let (a, b) = (udp(1), udp(2));
    meter.push([at(0, &a), at(0, &b), at(1, &a)]);
    let expected = [
        "begin 1",
        "see 1 #1",
        "packet 1 #1 1",
        "begin 2",
        "see 2 #1",
        "packet 2 #1 2",
        "see 1 #2",
        "packet 1 #2 1",
        "take 3",
    ];
    assert_eq!(calls.take(OF_FLOWS), expected);
    meter.finish();
    let flows = drain(&mut meter);
    let expected = ["expire 1 idle after 0", "expire 2 idle after 0", "finish"];
    assert_eq!(calls.take(OF_STATE), expected);
    let names: Vec<_> = flows
        .iter()
        .map(|flow| &*flow.application.as_ref().expect("dissected").name)
        .collect();
    assert_eq!(names, ["1", "2"]);
}

#[test]
fn an_empty_extension_receives_no_packets() {
    let (mut meter, calls) = meter(&Settings::default(), |recorder| recorder.is_empty = true);
    let packet = udp(1);
    meter.push([at(0, &packet)]);
    let expected = ["begin 1", "see 1 #1", "take 1"];
    assert_eq!(calls.take(OF_FLOWS), expected);
}

#[test]
fn an_extension_can_receive_packets_in_chunks_only() {
    let (mut meter, calls) = meter(&Settings::default(), |recorder| {
        recorder.needs_each_packet = false;
    });
    let packet = udp(1);
    meter.push([at(0, &packet), at(0, &packet)]);
    let expected = ["begin 1", "see 1 #1", "see 1 #2", "take 2"];
    assert_eq!(calls.take(OF_FLOWS), expected);
}

#[test]
fn a_cut_flow_ends_with_its_packet() {
    let (mut meter, calls) = meter(&Settings::default(), |recorder| recorder.cuts = 1);
    let packet = udp(1);
    meter.push([at(0, &packet), at(1, &packet), at(2, &packet)]);
    let expected = [
        "begin 1",
        "packet 1 #1 1",
        "packet 1 #2 1",
        "expire 1 cut after 2",
        "begin 1",
        "packet 1 #1 1",
    ];
    assert_eq!(calls.take(&["begin", "packet", "expire"]), expected);
    let flow = meter.next_flow().expect("the cut flow");
    assert_eq!(flow.expiration(), Expiration::Cut);
    assert_eq!(flow.ended, Ended::by_its_packet(1));
    assert_eq!(meter.live_flows(), 1);
    assert_eq!(meter.counters().flows, 1);
}

#[test]
fn a_timeout_ends_a_flow_before_the_next_packet_begins_another() {
    let settings = Settings {
        active_timeout: 20,
        ..Settings::default()
    };
    let packet = udp(1);
    let at_ms = |ms: u64| RawPacket {
        time: Time::from_ns(ms * 1_000_000),
        ..at(0, &packet)
    };
    // The table looks for idle flows every 10 ms. A packet in between finds its own flow idle.
    for (times_ms, ends) in [
        ([3, 10_000, 20_003], ("active", Ended::by_its_packet(2))),
        ([3, 3, 15_005], ("idle", Ended::by_its_packet(2))),
        ([0, 10_000, 25_000], ("idle", Ended::by_another(2))),
    ] {
        let (mut meter, calls) = meter(&settings, |_| ());
        meter.push(times_ms.map(at_ms));
        let (why, ended) = ends;
        let expected = [
            "begin 1".into(),
            "packet 1 #1 1".into(),
            "packet 1 #2 1".into(),
            format!("expire 1 {why} after 2"),
            "begin 1".into(),
            "packet 1 #1 1".into(),
        ];
        assert_eq!(calls.take(&["begin", "packet", "expire"]), expected);
        assert_eq!(meter.next_flow().expect("one ended").ended, ended);
        meter.finish();
        let rest = meter.next_flow().expect("the other one");
        assert_eq!((rest.id(), rest.record.packets()), (2, 1));
    }
}

#[test]
fn overload_reduces_the_work_for_new_flows() {
    let (mut meter, calls) = meter(&Settings::default(), |_| ());
    let packets: Vec<_> = (1..=4).map(udp).collect();
    let words = &["overload", "see", "skip"];
    for (level, packet, expected) in [
        (OverloadLevel::High, 0, ["overload true", "see 1 #1"]),
        (OverloadLevel::Highest, 1, ["overload true", "skip"]),
        (OverloadLevel::Highest, 2, ["overload true", "skip"]),
        // A flow that is dissected already.
        (OverloadLevel::Highest, 0, ["overload true", "see 1 #2"]),
        (OverloadLevel::Normal, 3, ["overload false", "see 4 #1"]),
    ] {
        meter.set_overload(level);
        meter.push([at(0, &packets[packet])]);
        assert_eq!(calls.take(words), expected, "{level:?}");
    }
    assert_eq!(meter.undissected(), 2);
    meter.finish();
    let are_dissected: Vec<_> = drain(&mut meter)
        .iter()
        .map(|flow| flow.application.is_some())
        .collect();
    assert_eq!(are_dissected, [true, false, false, true]);
}

#[test]
fn the_end_of_a_capture_resets_everything() {
    let (mut meter, calls) = meter(&Settings::default(), |_| ());
    let packet = udp(1);
    for capture in 0..2 {
        // The times of a capture can be earlier than those of the one before it.
        meter.push([at(100 - 50 * u64::from(capture), &packet)]);
        meter.end_at(Boundary::Capture);
        let flows = drain(&mut meter);
        assert_eq!((flows[0].id(), flows[0].capture()), (0, capture));
        let expected = [
            "expire 1 idle after 0",
            "finish",
            "restart extension",
            "restart classifier",
        ];
        assert_eq!(calls.take(OF_STATE), expected);
    }
    assert_eq!(meter.counters().clamped, 0);
    assert_eq!(meter.next_ordinal(), 0);
}

#[test]
fn a_clock_step_resets_only_the_clock() {
    let (mut meter, calls) = meter(&Settings::default(), |_| ());
    let packet = udp(1);
    for id in 0..2 {
        meter.push([at(100 - 50 * id, &packet)]);
        meter.end_at(Boundary::ClockStep);
        let flows = drain(&mut meter);
        assert_eq!((flows[0].id(), flows[0].capture()), (id, 0));
        let first_seen = Some(Value::Integer(100_000 - 50_000 * id as i64));
        assert_eq!(flows[0].get("bidirectional_first_seen_ms"), first_seen);
        assert_eq!(calls.take(OF_STATE), ["expire 1 idle after 0", "flush"]);
    }
}

#[test]
fn all_flows_end_once_even_if_the_run_is_stopped_at_a_boundary() {
    let (mut meter, calls) = meter(&Settings::default(), |_| ());
    let packets: Vec<_> = (1..=600).map(udp).collect();
    meter.push(packets.iter().map(|packet| at(0, packet)));
    meter.end_at(Boundary::Capture);
    let first = meter.next_flow().expect("the first flow");
    assert_eq!(
        calls.take(OF_STATE).last().map(String::as_str),
        Some("expire 256 idle after 0")
    );
    meter.finish();
    let rest = drain(&mut meter);
    let ids: Vec<_> = [&first].into_iter().chain(&rest).map(Flow::id).collect();
    assert_eq!(ids, (0..600).collect::<Vec<_>>());
    assert_eq!(calls.take(&["finish", "restart"]), ["finish"]);
}

#[test]
fn the_passing_of_time_ends_idle_flows_and_delivers_events() {
    let (mut meter, calls) = meter(&Settings::default(), |_| ());
    let packet = udp(1);
    meter.push([at(0, &packet)]);
    meter.advance(Time::from_ns(14_999_000_000));
    assert_eq!(calls.take(OF_STATE), ["flush"]);
    meter.advance(Time::from_ns(15_000_000_000));
    assert_eq!(calls.take(OF_STATE), ["expire 1 idle after 0", "flush"]);
    assert_eq!(meter.next_flow().expect("idle").ended, Ended::by_another(1));
    // A packet may be older.
    meter.push([at(14, &packet)]);
    assert_eq!(meter.counters().clamped, 0);
    assert_eq!(meter.live_flows(), 1);
}

#[test]
fn packets_and_flows_are_counted() {
    let settings = Settings {
        max_flows: 2,
        ..Settings::default()
    };
    let (mut meter, _) = meter(&settings, |_| ());
    let packets: Vec<_> = (1..=3).map(udp).collect();
    let unknown = RawPacket {
        link: LinkType(147),
        ..at(5, &packets[0])
    };
    meter.set_ordinals(10, 2);
    let (a, b) = (&packets[0], &packets[1]);
    meter.push([at(3, a), at(5, b), at(4, b), at(5, &[0x50])]);
    meter.push([unknown, unknown, at(6, &packets[2])]);
    assert_eq!(meter.next_ordinal(), 24);
    assert_eq!(meter.live_flows(), 2);
    assert_eq!(meter.unknown_links(), [LinkType(147)]);
    let counters = meter.counters();
    let Counters {
        packets,
        metered,
        clamped,
        ..
    } = counters;
    assert_eq!((packets, metered, clamped), (7, 4, 1));
    assert_eq!((counters.flows, counters.evicted), (1, 1));
    let ignored: Vec<_> = counters.ignored().collect();
    let (link, ip) = (IgnoreReason::UnknownLinkType, IgnoreReason::NotIp);
    assert_eq!(ignored, [(link, 2), (ip, 1)]);
    meter.finish();
    let ids: Vec<_> = drain(&mut meter).iter().map(Flow::id).collect();
    assert_eq!(ids, [10, 12, 22]);
    assert_eq!(meter.counters().flows, 3);
    let sum = counters.and(&Counters {
        packets: 100,
        clamped: 4,
        ..counters
    });
    let expected = Counters {
        packets: 107,
        metered: 8,
        other_shards: 0,
        ignored: counters.ignored.map(|count| 2 * count),
        clamped: 5,
        flows: 2,
        evicted: 2,
    };
    assert_eq!(sum, expected);
}

/// A worker without a classifier, and an ingress for it.
fn worker(text_len: usize) -> (MeterWorker<Recorder, Namer>, Ingress, Calls) {
    let (calls, settings, hasher) = (Calls::default(), Settings::default(), KeyHasher::new());
    let mut recorder = Recorder::new(&calls);
    recorder.text_len = text_len;
    let worker = MeterWorker::new(&settings, hasher, 1, recorder, None);
    (worker, Ingress::new(&settings, hasher), calls)
}

#[test]
fn the_flow_receiver_takes_flows_if_their_values_have_too_many_bytes() {
    // With 16 bytes each, the first 16 flows have exactly the maximum.
    let (mut worker, mut ingress, _) = worker(16);
    let packets: Vec<_> = (1..=20).map(udp).collect();
    let mut packets = packets.iter().map(|packet| at(0, packet));
    let mut chunk = DecodedChunk::default();
    while !chunk.is_empty() || ingress.next == 0 {
        ingress.fill(&mut chunk, &mut packets);
        worker.push(&mut chunk.flow_packets()[..chunk.len()]);
    }
    let taken = Arc::new(Mutex::new(Vec::new()));
    let into = taken.clone();
    worker.set_flow_receiver(FlowReceiver {
        max_bytes: 256,
        take: Box::new(move |ready| {
            into.lock().unwrap().push(ready.len());
            while ready.pop().is_some() {}
        }),
    });
    worker.end_all(None);
    while worker.end_more() {}
    assert_eq!(*taken.lock().unwrap(), [20]);
    assert_eq!((worker.flows(), worker.ready().len()), (20, 0));
}

#[test]
fn flows_end_at_the_times_of_packets_of_other_meters() {
    let (mut worker, mut ingress, calls) = worker(0);
    ingress.set_ordinals(1, 4);
    let (a, b) = (udp(1), udp(2));
    let mut packets = [at(0, &a), at(16, &b)].into_iter();
    let mut chunk = DecodedChunk::default();
    ingress.fill(&mut chunk, &mut packets);
    let mut passes = [(15_000, 3), (40_000, 7)].into_iter().peekable();
    worker.push_between(&mut chunk.flow_packets()[..chunk.len()], &mut passes);
    let expected = ["begin 1", "expire 1 idle after 1", "begin 2"];
    assert_eq!(calls.take(&["begin", "expire"]), expected);
    assert_eq!(
        worker.ready().pop().expect("idle").ended,
        Ended::by_another(3)
    );
    assert_eq!(passes.next(), Some((40_000, 7)));
}

#[test]
fn the_memory_of_a_meter_includes_that_of_the_classifier() {
    let (calls, settings) = (Calls::default(), Settings::default());
    let with = Meter::with(&settings, Recorder::new(&calls), Some(Namer::new(&calls)));
    let without: Recorded = Meter::with(&settings, Recorder::new(&calls), None);
    assert_eq!(with.memory(), without.memory() + 1_000);
}

#[test]
fn several_meters_share_the_limit_of_live_flows() {
    let (settings, calls) = (
        Settings {
            max_flows: 5,
            ..Settings::default()
        },
        Calls::default(),
    );
    let hasher = KeyHasher::new();
    let mut worker: MeterWorker<_, Namer> =
        MeterWorker::new(&settings, hasher, 2, Recorder::new(&calls), None);
    let packets: Vec<_> = (1..=6).map(udp).collect();
    let mut ingress = Ingress::new(&settings, hasher);
    let mut chunk = DecodedChunk::default();
    ingress.fill(&mut chunk, &mut packets.iter().map(|packet| at(0, packet)));
    worker.push(&mut chunk.flow_packets()[..chunk.len()]);
    assert_eq!((worker.live_flows(), worker.evicted()), (3, 3));
}

#[test]
fn the_extension_and_the_classifier_are_reachable() {
    let (mut meter, calls) = meter(&Settings::default(), |_| ());
    assert_eq!(
        meter.schema().position("udps.recorder.text"),
        Some(meter.schema().len() - 1)
    );
    let (extension, classifier, ready) = meter.parts_mut();
    extension.set_overload(true);
    classifier.expect("it has one").restart();
    assert!(ready.is_empty());
    assert_eq!(
        calls.take(OF_STATE),
        ["overload true", "restart classifier"]
    );
    assert!(!meter.extension().is_empty);
}
