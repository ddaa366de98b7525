//! The meter: packets in, flows out.
//!
//! It reads no clock, opens no file and starts no thread: time is the packets' time, so that a
//! capture read from a file and the same packets on a wire give the same flows.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::capture::RawPacket;
use crate::decode::{Decoder, Ignored, Packet, TunnelSet};
use crate::flow::features::Group;
use crate::flow::{Arrival, Direction, Expiration, Flow, FlowTable, FlowView, Schema, Timeouts};
use crate::plugin::{Plugin, PluginError, PluginReport, Station};
use crate::value::UdpValue;

/// Packets that are decoded, then looked up, together: the waits for memory overlap.
const CHUNK: usize = 16;

/// How packets become flows: NFStream's parameters, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A flow ends when it has seen no packet for so many seconds.
    pub idle_timeout: u64,
    /// A packet that comes so many seconds after a flow's first one begins a new flow.
    pub active_timeout: u64,
    /// Which bytes of a packet count.
    pub accounting_mode: AccountingMode,
    /// Tunnels whose content is metered in place of the packets that carry it.
    pub decode_tunnels: TunnelSet,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: 15,
            active_timeout: 1800,
            accounting_mode: AccountingMode::default(),
            decode_tunnels: TunnelSet::default(),
        }
    }
}

impl Settings {
    /// The features that flows have under these settings.
    pub fn schema(&self) -> Schema {
        Schema::new(|group| self.has(group), Vec::new())
    }

    fn has(&self, group: Group) -> bool {
        match group {
            Group::Core => true,
            Group::Tunnel => self.decode_tunnels != TunnelSet::NONE,
        }
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_ms: self.idle_timeout.saturating_mul(1_000),
            active_ms: self.active_timeout.saturating_mul(1_000),
        }
    }
}

/// Which of a packet's sizes the byte counters add up, numbered as NFStream does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum AccountingMode {
    /// The whole frame on the wire.
    #[default]
    Raw = 0,
    /// The IP packet, by its own header.
    Ip = 1,
    /// Transport header and payload.
    Transport = 2,
    /// Transport payload.
    Payload = 3,
}

impl AccountingMode {
    #[inline]
    fn size(self, packet: &Packet) -> u32 {
        match self {
            Self::Raw => packet.raw_size,
            Self::Ip => packet.ip_size,
            Self::Transport => packet.transport_size,
            Self::Payload => packet.payload_size,
        }
    }
}

/// What became of the packets that a meter was given: each was metered or ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Packets given.
    pub packets: u64,
    /// Packets that are part of a flow.
    pub metered: u64,
    /// Packets that are not, by [`Ignored::index`].
    pub ignored: [u64; Ignored::ALL.len()],
    /// Metered packets that came with a time before an earlier one's, and were given that.
    pub clamped: u64,
    /// Flows that ended.
    pub flows: u64,
}

impl Accounts {
    /// The reasons for which packets were ignored, and how many each.
    pub fn ignored(&self) -> impl Iterator<Item = (Ignored, u64)> {
        Ignored::ALL
            .into_iter()
            .zip(self.ignored)
            .filter(|(_, count)| *count > 0)
    }
}

/// Meters packets into flows.
///
/// ```
/// use flowloom::capture::{LinkType, RawPacket};
/// use flowloom::{Meter, Settings};
///
/// # fn main() -> Result<(), flowloom::plugin::PluginError> {
/// let mut meter = Meter::new(Settings::default(), &[])?;
/// // An IPv4 packet without anything in it, protocol 255.
/// let data = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
/// meter.push([RawPacket { time_ns: 0, link: LinkType(101), wire_len: 20, data }]);
/// meter.finish();
/// let flow = meter.next_flow().expect("a flow");
/// assert_eq!(flow.id(), 0);
/// # Ok(())
/// # }
/// ```
pub struct Meter {
    settings: Settings,
    decoder: Decoder,
    table: FlowTable,
    station: Station,
    schema: Arc<Schema>,
    /// The largest time of any packet so far: no later packet is given less.
    clock_ns: u64,
    accounts: Accounts,
    ready: VecDeque<Flow>,
}

impl Meter {
    /// A meter with its own instance of each plugin.
    ///
    /// # Errors
    ///
    /// A plugin cannot be opened.
    pub fn new(settings: Settings, plugins: &[Arc<Plugin>]) -> Result<Self, PluginError> {
        let udps = plugins
            .iter()
            .flat_map(|plugin| plugin.manifest().outputs.iter().cloned())
            .collect();
        let schema = Schema::new(|group| settings.has(group), udps);
        Ok(Self {
            settings,
            decoder: Decoder::new(settings.decode_tunnels),
            table: FlowTable::new(settings.timeouts()),
            station: Station::open(plugins, &schema)?,
            schema: Arc::new(schema),
            clock_ns: 0,
            accounts: Accounts::default(),
            ready: VecDeque::new(),
        })
    }

    /// The columns of the flows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Meters some packets, in this order.
    pub fn push<'a>(&mut self, packets: impl IntoIterator<Item = RawPacket<'a>>) {
        let mut packets = packets.into_iter();
        let mut chunk: [Arrival<'a>; CHUNK] = Default::default();
        loop {
            let mut len = 0;
            let mut ended = false;
            while len < CHUNK {
                let Some(raw) = packets.next() else {
                    ended = true;
                    break;
                };
                len += usize::from(self.decode(&raw, &mut chunk[len]));
            }
            let chunk = &mut chunk[..len];
            self.table.touch(chunk);
            for arrival in chunk {
                self.meter(arrival);
            }
            if ended {
                return;
            }
        }
    }

    /// Lets time pass without packets: flows that are idle by then end, and what waits for plugins is
    /// delivered. Packets may still come with earlier times.
    pub fn advance(&mut self, now_ns: u64) {
        self.end_idle(now_ns / 1_000_000);
        self.station.flush(&mut self.ready);
    }

    /// Ends all flows. Nothing may be pushed afterwards.
    pub fn finish(&mut self) {
        let places = self.table.all();
        self.end_all(places);
        self.station.finish(&mut self.ready);
    }

    /// The next flow that has ended.
    ///
    /// They come in the order of the packets that ended them, those that one packet ended in the
    /// order of their ids.
    pub fn next_flow(&mut self) -> Option<Flow> {
        self.ready.pop_front()
    }

    /// What became of the packets so far.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// What the plugins did so far.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.station.reports()
    }

    /// How many flows are live.
    pub fn live_flows(&self) -> usize {
        self.table.len()
    }

    /// Bytes that the flow table holds.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Decodes a packet and stamps it; says whether it is to be metered.
    #[inline]
    fn decode<'a>(&mut self, raw: &RawPacket<'a>, arrival: &mut Arrival<'a>) -> bool {
        let ordinal = self.accounts.packets;
        self.accounts.packets += 1;
        match self
            .decoder
            .decode_into(&mut arrival.packet, raw.link, raw.data, raw.wire_len)
        {
            Ok(()) => {
                self.accounts.metered += 1;
                self.accounts.clamped += u64::from(raw.time_ns < self.clock_ns);
                self.clock_ns = self.clock_ns.max(raw.time_ns);
                arrival.frame = raw.data;
                arrival.time_ns = self.clock_ns;
                arrival.ordinal = ordinal;
                arrival.hash = self.table.hash(&arrival.packet);
                arrival.direction = Direction::SrcToDst;
                arrival.delta_ms = 0;
                true
            }
            Err(reason) => {
                self.accounts.ignored[reason.index()] += 1;
                false
            }
        }
    }

    #[inline]
    fn meter(&mut self, arrival: &mut Arrival<'_>) {
        let time_ms = arrival.time_ms();
        self.end_idle(time_ms);
        let place = match self.table.find(&arrival.packet, arrival.hash) {
            Some((place, direction)) => match self.table.expiration_at(place, time_ms) {
                None => {
                    arrival.direction = direction;
                    arrival.delta_ms = time_ms - self.table.record(place).last_seen_ms();
                    return self.update(place, arrival);
                }
                Some(expiration) => {
                    self.end(place, expiration);
                    self.table.reopen(place, arrival);
                    place
                }
            },
            None => self.table.open(arrival),
        };
        self.count(place, arrival);
        let view = FlowView {
            record: self.table.record(place),
            expiration: Expiration::Idle,
        };
        if self.station.init(place, arrival, view, &mut self.ready) {
            self.cut(place);
        }
    }

    #[inline]
    fn update(&mut self, place: u32, arrival: &Arrival<'_>) {
        self.count(place, arrival);
        let view = FlowView {
            record: self.table.record(place),
            expiration: Expiration::Idle,
        };
        if self.station.update(place, arrival, view, &mut self.ready) {
            self.cut(place);
        }
    }

    #[inline]
    fn count(&mut self, place: u32, arrival: &Arrival<'_>) {
        let bytes = self.settings.accounting_mode.size(&arrival.packet);
        self.table
            .record_mut(place)
            .count(arrival.direction, arrival.time_ms(), bytes);
    }

    #[inline]
    fn end_idle(&mut self, time_ms: u64) {
        if self.table.is_behind(time_ms) {
            let places = self.table.idle_at(time_ms);
            self.end_all(places);
        }
    }

    /// Ends flows that are out of the wheel.
    fn end_all(&mut self, places: Vec<u32>) {
        for &place in &places {
            self.end(place, Expiration::Idle);
            self.table.forget(place);
        }
        self.table.recycle(places);
    }

    fn cut(&mut self, place: u32) {
        self.end(place, Expiration::Cut);
        self.table.remove(place);
    }

    /// Hands on a flow that has ended; its place is still taken.
    fn end(&mut self, place: u32, expiration: Expiration) {
        self.accounts.flows += 1;
        let flow = Flow {
            record: self.table.record(place).clone(),
            expiration,
            udps: vec![UdpValue::Null; self.schema.udps().len()].into(),
            schema: self.schema.clone(),
            replaced: None,
        };
        self.station.expire(place, flow, &mut self.ready);
    }
}
