//! Both worlds must give the same values for the same events.

mod host;

use flowloom_sdk::__private::batch_feature::{Column, Values};
use flowloom_sdk::__private::feature::{self, Value, Verdict};
use flowloom_sdk::__private::manifest::OptionType;
use flowloom_sdk::__private::{EventValues, Instance};
use flowloom_sdk::{
    Available, Bytes, Chosen, Direction, FlowFields, Json, Options, Outputs, PacketFields, Plugin,
};
use host::{Event, Fact, Facts};
use proptest::collection::vec;
use proptest::prelude::*;

/// All packet fields that the SDK knows, except the pseudonyms.
#[derive(Debug, PacketFields)]
#[allow(dead_code, reason = "all are read through Debug")]
struct Packet<'a> {
    dst_oui: &'a str,
    time_ns: u64,
    time_ms: u64,
    time_us: u64,
    delta_time_ms: u64,
    direction: Direction,
    raw_size: u32,
    ip_size: u64,
    transport_size: i64,
    payload_size: f64,
    src_ip: &'a str,
    #[payload]
    payload: &'a [u8],
    src_mac: &'a str,
    src_oui: String,
    dst_ip: String,
    dst_mac: &'a str,
    src_port: u16,
    dst_port: u32,
    protocol: u8,
    ip_version: u64,
    vlan_id: u16,
    tunnel_id: u32,
    tcp_flags: u8,
    syn: bool,
    cwr: bool,
    ece: bool,
    urg: bool,
    ack: bool,
    psh: bool,
    rst: bool,
    fin: bool,
    #[bytes(5)]
    bytes: &'a [u8],
    ttl: u8,
    ip_id: u16,
    tcp_window: u16,
    tcp_seq: u32,
    tcp_ack: u32,
    icmp_type: u8,
    icmp_code: u8,
}

#[derive(Debug, FlowFields)]
#[allow(dead_code, reason = "all are read through Debug")]
struct AtInit {
    src_port: u16,
    src_ip_is_private: bool,
}

#[derive(Debug, FlowFields)]
#[allow(dead_code, reason = "all are read through Debug")]
struct AtUpdate<'a> {
    #[newer]
    mood: &'a str,
    bidirectional_packets: u64,
}

#[derive(Debug, FlowFields)]
#[allow(dead_code, reason = "all are read through Debug")]
struct AtExpire<'a> {
    expiration_id: i64,
    requested_server_name: &'a str,
    protocol: u8,
    src2dst_mean_ps: f64,
    splt_ps: &'a [i64],
    splt_direction: Vec<i64>,
    dst2src_max_ps: u64,
}

#[derive(Options)]
struct Opts {
    /// Bytes of payload.
    n: u32,
}

/// Every type of output, with and without nulls.
#[derive(Outputs)]
struct Out {
    /// All that was seen.
    seen: String,
    /// A truth.
    truth: bool,
    /// A truth, perhaps.
    truth_or: Option<bool>,
    /// An integer.
    integer: i32,
    /// An integer, perhaps.
    integer_or: Option<u16>,
    /// A float.
    float: f64,
    /// A float, perhaps.
    float_or: Option<f32>,
    /// A text, perhaps.
    text_or: Option<String>,
    /// Bytes.
    bytes: Bytes,
    /// Bytes, perhaps.
    bytes_or: Option<Bytes>,
    /// Integers.
    integers: Vec<i64>,
    /// Integers, perhaps.
    integers_or: Option<Vec<i64>>,
    /// Floats.
    floats: Vec<f64>,
    /// Floats, perhaps.
    floats_or: Option<Vec<f64>>,
    /// Texts.
    texts: Vec<String>,
    /// Texts, perhaps.
    texts_or: Option<Vec<String>>,
    /// JSON.
    json: Json,
    /// JSON, perhaps.
    json_or: Option<Json>,
}

/// Records everything that it receives.
struct Scribe {
    payload: u32,
}

impl Plugin for Scribe {
    const DESCRIPTION: &'static str = "Writes down all that it sees.";
    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type AtInit<'a> = AtInit;
    type AtUpdate<'a> = AtUpdate<'a>;
    type AtExpire<'a> = AtExpire<'a>;
    type State = Vec<String>;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        Ok(Scribe { payload: options.n })
    }

    fn payload_bytes(&self) -> u32 {
        self.payload
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &AtInit) -> Vec<String> {
        vec![format!("{packet:?} {flow:?}")]
    }

    fn update(&mut self, seen: &mut Vec<String>, packet: &Packet<'_>, flow: &AtUpdate<'_>) {
        seen.push(format!("{packet:?} {flow:?}"));
    }

    fn expire(&mut self, mut seen: Vec<String>, flow: &AtExpire<'_>) -> Out {
        seen.push(format!("{flow:?}"));
        let seen = seen.join("\n");
        // The bits differ between flows, so that some flows have nulls and others have values.
        let dice = seen
            .bytes()
            .fold(7_u32, |dice, byte| dice.wrapping_mul(31) ^ u32::from(byte));
        let some = |bit: u32| dice >> bit & 1 == 1;
        let integers: Vec<i64> = (0..i64::from(dice % 5)).collect();
        let floats: Vec<f64> = integers.iter().map(|&n| n as f64 / 2.0).collect();
        let bytes = Bytes(vec![255; dice as usize % 3]);
        let texts: Vec<_> = integers.iter().map(|n| "ü".repeat(*n as usize)).collect();
        let json = Json(format!("[{dice}]"));
        Out {
            truth: some(0),
            truth_or: some(1).then_some(some(2)),
            integer: dice as i32,
            integer_or: some(3).then_some(dice as u16),
            float: f64::from(dice) / 3.0,
            float_or: some(4).then_some(dice as f32),
            text_or: some(5).then(|| format!("{dice:x}")),
            bytes_or: some(6).then(|| bytes.clone()),
            bytes,
            integers_or: some(7).then(|| integers.clone()),
            integers,
            floats_or: some(8).then(|| floats.clone()),
            floats,
            texts_or: some(10).then(|| texts.clone()),
            texts,
            json_or: some(9).then(|| json.clone()),
            json,
            seen,
        }
    }
}

/// Creates a packet whose values all differ, as far as their types allow.
fn packet(n: u64) -> Facts {
    use Fact::{Bool, Text, U8, U16, U32, U64};
    let flags = n as u8;
    let bit = |bit: u8| Bool(flags >> bit & 1 == 1);
    let size = |k: u32| U32((n as u32).wrapping_mul(11).wrapping_add(k));
    let port = |k: u16| U16((n as u16).wrapping_mul(7).wrapping_add(k));
    let byte = |k: u8| U8((n as u8).wrapping_mul(5).wrapping_add(k));
    vec![
        ("time_ns", U64(n * 1_500_000)),
        ("time_ms", U64(n * 1_500_000 / 1_000_000)),
        ("time_us", U64(n * 1_500_000 / 1_000)),
        ("delta_time_ms", U64(n / 3)),
        ("direction", U8((n % 2) as u8)),
        ("raw_size", size(1)),
        ("ip_size", size(2)),
        ("transport_size", size(3)),
        ("payload_size", size(4)),
        ("src_ip", Text(format!("10.0.0.{n}"))),
        ("src_mac", Text(format!("aa:bb:cc:00:00:{n:02x}"))),
        ("src_oui", Text("aa:bb:cc".into())),
        ("dst_ip", Text(format!("2001:db8::{n:x}"))),
        ("dst_mac", Text(format!("dd:ee:ff:00:00:{n:02x}"))),
        ("dst_oui", Text("dd:ee:ff".into())),
        ("src_port", port(1)),
        ("dst_port", port(2)),
        ("protocol", byte(1)),
        ("ip_version", byte(2)),
        ("vlan_id", port(3)),
        ("tunnel_id", size(5)),
        ("tcp_flags", U8(flags)),
        ("fin", bit(0)),
        ("syn", bit(1)),
        ("rst", bit(2)),
        ("psh", bit(3)),
        ("ack", bit(4)),
        ("urg", bit(5)),
        ("ece", bit(6)),
        ("cwr", bit(7)),
        ("ttl", byte(3)),
        ("ip_id", port(4)),
        ("tcp_window", port(5)),
        ("tcp_seq", size(6)),
        ("tcp_ack", size(7)),
        ("icmp_type", byte(4)),
        ("icmp_code", byte(5)),
    ]
}

fn facts(n: u64) -> Facts {
    use Fact::{Bool, F64, I64, List, Text, U8, U16, U32, U64};
    vec![
        ("src_port", U16(n as u16)),
        ("src_ip_is_private", Bool(n.is_multiple_of(2))),
        ("mood", Text("é".repeat(n as usize % 4))),
        ("bidirectional_packets", U64(n * 3)),
        ("expiration_id", I64(n as i64 % 3 - 1)),
        ("requested_server_name", Text("x".repeat(n as usize % 7))),
        ("protocol", U8(n as u8)),
        ("src2dst_mean_ps", F64(n as f64 / 7.0)),
        ("splt_ps", List((0..n as i64 % 6).collect())),
        ("splt_direction", List(vec![-1; n as usize % 3])),
        ("dst2src_max_ps", U32(n as u32)),
    ]
}

fn event(kind: u8, flow: u64, slot: u32, n: u64) -> Event {
    Event {
        kind,
        flow,
        slot,
        facts: facts(n),
        packet: packet(n),
        bytes: (0..n as u8 % 9).collect(),
        payload: (100..100 + n as u8 % 40).collect(),
    }
}

/// Converts arbitrary numbers into a valid sequence of events. Slots are dense and reused, as in a
/// real run; ids are neither.
fn events(steps: &[(u32, u8, u64)]) -> Vec<Event> {
    let mut live = [None; 6];
    let mut events = Vec::new();
    for (next, &(slot, dice, n)) in (1_u64 << 33..).zip(steps) {
        let flow = &mut live[slot as usize];
        match *flow {
            None => {
                *flow = Some(next);
                events.push(event(0, next, slot, n));
            }
            Some(id) if dice == 0 => {
                *flow = None;
                events.push(event(2, id, slot, n));
            }
            Some(id) => events.push(event(1, id, slot, n)),
        }
    }
    for (slot, flow) in (0..).zip(live) {
        if let Some(id) = flow {
            events.push(event(2, id, slot, u64::from(slot)));
        }
    }
    events
}

fn options(n: u32) -> Vec<(String, String)> {
    vec![("n".to_owned(), n.to_string())]
}

proptest! {
    #[test]
    fn both_worlds_agree(
        steps in vec((0..6_u32, 0..5_u8, 0..250_u64), 1..200),
        sizes in vec(1..70_usize, 1..5),
        payload in 1..50_u32,
    ) {
        let (options, events) = (options(payload), events(&steps));
        let one_by_one = host::one_by_one::<Scribe>(&options, &events);
        prop_assert_eq!(one_by_one.len(), events.iter().filter(|event| event.kind == 2).count());
        prop_assert_eq!(one_by_one, host::in_batches::<Scribe>(&options, &events, &sizes));
    }
}

#[test]
fn every_field_has_its_own_value() {
    let rows = host::one_by_one::<Scribe>(&options(3), &[event(0, 9, 0, 6), event(2, 9, 0, 5)]);
    let Value::Text(seen) = &rows[0][0] else {
        panic!("the first output is a text")
    };
    assert_eq!(
        seen,
        "Packet { dst_oui: \"dd:ee:ff\", time_ns: 9000000, time_ms: 9, time_us: 9000, delta_time_ms: 2, \
         direction: Src2Dst, raw_size: 67, ip_size: 68, transport_size: 69, payload_size: 70.0, \
         src_ip: \"10.0.0.6\", payload: [100, 101, 102], src_mac: \"aa:bb:cc:00:00:06\", \
         src_oui: \"aa:bb:cc\", dst_ip: \"2001:db8::6\", dst_mac: \"dd:ee:ff:00:00:06\", \
         src_port: 43, dst_port: 44, protocol: 31, ip_version: 32, vlan_id: 45, tunnel_id: 71, \
         tcp_flags: 6, syn: true, cwr: false, ece: false, urg: false, ack: false, psh: false, \
         rst: true, fin: false, bytes: [0, 1, 2, 3, 4], ttl: 33, ip_id: 46, tcp_window: 47, \
         tcp_seq: 72, tcp_ack: 73, icmp_type: 34, icmp_code: 35 } \
         AtInit { src_port: 6, src_ip_is_private: true }\n\
         AtExpire { expiration_id: 1, requested_server_name: \"xxxxx\", protocol: 5, \
         src2dst_mean_ps: 0.7142857142857143, splt_ps: [0, 1, 2, 3, 4], splt_direction: [-1, -1], \
         dst2src_max_ps: 5 }"
    );
}

#[test]
fn the_manifest_matches_the_structs() {
    let (_, manifest) =
        Instance::<Scribe>::open("scribe", "1.2.3", &options(3), &host::NOTHING).expect("it opens");
    assert_eq!(manifest.version, "1.2.3");
    assert_eq!(manifest.packet[..3], ["dst_oui", "time_ns", "time_ms"]);
    assert!(
        !manifest
            .packet
            .iter()
            .any(|name| name == "payload" || name == "bytes")
    );
    assert_eq!((manifest.payload_bytes, manifest.packet_bytes), (3, 5));
    assert_eq!(manifest.at_init, ["src_port", "src_ip_is_private"]);
    assert_eq!(manifest.at_update, ["mood", "bidirectional_packets"]);
    assert_eq!(manifest.outputs[0].name, "seen");
    assert_eq!(manifest.outputs[0].description, "All that was seen.");
    assert!(!manifest.cuts_flows && !manifest.packed);
    let [option] = &manifest.options[..] else {
        panic!("one option: {:?}", manifest.options)
    };
    assert_eq!((&*option.name, option.kind), ("n", OptionType::Integer));
    assert_eq!(option.accepts, "an integer from 0 to 4294967295");
    assert_eq!(option.description, "Bytes of payload.");
    assert_eq!(option.default, None);
    // A text of 24 bytes, whose capacity can mark an entry without a flow.
    assert_eq!(manifest.flow_bytes as usize, size_of::<String>());
}

/// Requests a flow field only if it is available.
struct Adaptive {
    fields: Vec<String>,
}

impl Plugin for Adaptive {
    const DESCRIPTION: &'static str = "Requests what is available.";
    type Options = ();
    type Packet<'a> = ();
    type AtInit<'a> = ();
    type AtUpdate<'a> = ();
    type AtExpire<'a> = Chosen<'a>;
    type State = ();
    type Outputs = ();

    fn open((): ()) -> Result<Self, String> {
        Ok(Adaptive { fields: Vec::new() })
    }

    fn adapt(&mut self, available: &Available) -> Result<(), String> {
        self.fields.clone_from(&available.flow);
        match available.payload_bytes {
            0 => Ok(()),
            _ => Err("it must not see payload".to_owned()),
        }
    }

    fn at_expire(&self) -> Vec<String> {
        self.fields.clone()
    }

    fn init(&mut self, (): &(), (): &()) {}

    fn update(&mut self, (): &mut (), (): &(), (): &()) {}

    fn expire(&mut self, (): (), _: &Chosen<'_>) {}
}

#[test]
fn a_plugin_can_adapt_to_what_is_available() {
    let mut available = Available {
        flow: vec!["dst_port".to_owned()],
        ..host::NOTHING
    };
    let open = |available: &_| Instance::<Adaptive>::open("adaptive", "0", &[], available);
    let (_, manifest) = open(&available).expect("it opens");
    assert_eq!(manifest.at_expire, ["dst_port"]);
    available.payload_bytes = 1;
    assert_eq!(
        open(&available).err().as_deref(),
        Some("it must not see payload")
    );
}

#[test]
fn open_rejects_a_bytes_field_without_requested_bytes() {
    assert_eq!(
        Instance::<Scribe>::open("scribe", "0", &options(0), &host::NOTHING)
            .err()
            .as_deref(),
        Some("the packet struct has a #[payload] field, but payload_bytes requests 0 bytes")
    );
}

/// The operator granted no bytes.
#[test]
fn bytes_that_are_not_granted_are_empty() {
    let (mut scribe, manifest) =
        Instance::<Scribe>::open("scribe", "0", &options(3), &host::NOTHING).expect("it opens");
    let mut batch = host::batch(&manifest, &[event(0, 9, 0, 6), event(2, 9, 0, 5)]);
    (batch.bytes, batch.payload) = (None, None);
    let columns = scribe.process(batch);
    let Values::Texts(texts) = &columns[0].values else {
        panic!("the first output is a text")
    };
    let seen = String::from_utf8_lossy(&texts.bytes);
    assert!(
        seen.contains("payload: [],") && seen.contains("bytes: [],"),
        "{seen}"
    );
}

#[test]
#[should_panic(expected = "Flowloom gave the field `raw_size` as u64s, but this plugin reads u32s")]
fn a_wrong_column_type_panics_with_both_types() {
    let (mut scribe, manifest) =
        Instance::<Scribe>::open("scribe", "0", &options(3), &host::NOTHING).expect("it opens");
    let mut batch = host::batch(&manifest, &[event(0, 9, 0, 6)]);
    let index = manifest
        .packet
        .iter()
        .position(|name| name == "raw_size")
        .expect("the plugin requests it");
    batch.packets[index] = Column::U64s(vec![1]);
    scribe.process(batch);
}

#[test]
#[should_panic(
    expected = "Flowloom gave the field `src_port` as Value::Float(1.0), but this plugin reads u16s"
)]
fn a_wrong_value_type_panics_with_both_types() {
    let _ = <AtInit as FlowFields>::record(&mut EventValues::listed(&[Value::Float(1.0)]));
}

/// Columns have no nulls, so a null of a record is read as the value that columns have instead.
#[test]
fn a_null_is_read_as_zero_or_empty() {
    let nulls = vec![Value::Null; 7];
    assert_eq!(
        format!(
            "{:?}",
            <AtExpire<'_> as FlowFields>::record(&mut EventValues::listed(&nulls))
        ),
        "AtExpire { expiration_id: 0, requested_server_name: \"\", protocol: 0, \
         src2dst_mean_ps: 0.0, splt_ps: [], splt_direction: [], dst2src_max_ps: 0 }"
    );
}

#[test]
#[should_panic(expected = "an event of a flow without an init")]
fn an_update_without_an_init_panics() {
    let (mut scribe, manifest) =
        Instance::<Scribe>::open("scribe", "0", &options(3), &host::NOTHING).expect("it opens");
    scribe.process(host::batch(&manifest, &[event(1, 9, 3, 6)]));
}

/// Ends every flow at its second packet, if its manifest says that it cuts flows.
struct Cutter {
    says_so: bool,
}

impl Plugin for Cutter {
    const DESCRIPTION: &'static str = "Ends every flow at its second packet.";
    type Options = CutterOpts;
    type Packet<'a> = ();
    type AtInit<'a> = ();
    type AtUpdate<'a> = ();
    type AtExpire<'a> = ();
    type State = u32;
    type Outputs = ();

    fn open(options: CutterOpts) -> Result<Self, String> {
        Ok(Cutter {
            says_so: options.cut,
        })
    }

    fn init(&mut self, (): &(), (): &()) -> u32 {
        1
    }

    fn update(&mut self, packets: &mut u32, (): &(), (): &()) {
        *packets += 1;
    }

    fn expire(&mut self, _: u32, (): &()) {}

    fn cuts_flows(&self) -> bool {
        self.says_so
    }

    fn cuts(&self, packets: &u32) -> bool {
        *packets == 2
    }
}

#[derive(Options)]
struct CutterOpts {
    /// Whether the manifest sets `cuts-flows`.
    cut: bool,
}

#[test]
fn only_a_plugin_with_cuts_flows_can_cut() {
    for (says_so, last) in [("true", Verdict::Cut), ("false", Verdict::Keep)] {
        let options = [("cut".to_owned(), says_so.to_owned())];
        let (mut cutter, manifest) =
            Instance::<Cutter>::open("cutter", "0", &options, &host::NOTHING).expect("it opens");
        let event = event(0, 4, 0, 1);
        let (packet, values) = (host::packet(&event), host::values(&manifest, &event));
        assert_eq!(values, feature::Values::None);
        assert_eq!(cutter.init(4, &packet, &values), Verdict::Keep);
        assert_eq!(cutter.update(4, &packet, &values), last);
    }
}
