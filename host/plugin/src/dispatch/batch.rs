//! The events of a batch, in columns.

use flowloom_core::fields::{ColumnBuffer, Feature, PacketField, Picked};
use flowloom_core::record::{CHUNK, FlowPacket, FlowView};
use flowloom_core::value::Type;

use super::column::lower;
use crate::contract::batch_feature as wit;
use crate::load::manifest::Manifest;
use crate::sandbox::pseudonyms::Pseudonyms;

/// Events a call carries at most.
pub(crate) const MOST_EVENTS: usize = 1_024;
/// Bytes of packets a call carries at most.
pub(crate) const MOST_BYTES: usize = 1 << 20;

/// IANA protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Init = 0,
    Update = 1,
    Expire = 2,
}

/// Packets of a chunk that a plugin is to be shown.
#[derive(Default)]
pub(crate) struct Shown {
    len: usize,
    places: [u8; CHUNK],
    kinds: [u8; CHUNK],
    slots: [u32; CHUNK],
}

impl Shown {
    #[inline]
    pub(crate) fn push(&mut self, place: usize, kind: Kind, slot: u32) {
        let at = self.len;
        self.places[at] = place as u8;
        self.kinds[at] = kind as u8;
        self.slots[at] = slot;
        self.len = at + 1;
    }

    /// Where they are in the chunk, and of which kind.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, Kind)> {
        let all = self.places.iter().zip(self.kinds).take(self.len);
        all.map(|(&place, kind)| {
            let kind = match kind == Kind::Init as u8 {
                true => Kind::Init,
                false => Kind::Update,
            };
            (place.into(), kind)
        })
    }
}

/// The events that a plugin has not been shown yet.
pub(crate) struct Batch {
    kinds: Vec<u8>,
    slots: Vec<u32>,
    /// Packets of the chunk under way, of which `packets` does not know yet: column by column they take
    /// a part of the time.
    unread: Vec<u8>,
    /// Each asked field and its values.
    packets: Vec<(&'static PacketField, ColumnBuffer)>,
    bytes: Option<ColumnBuffer>,
    payload: Option<ColumnBuffer>,
    opened: Vec<ColumnBuffer>,
    updated: Vec<ColumnBuffer>,
    expired: Vec<ColumnBuffer>,
    /// For each expire, which of the waiting flows it is.
    waiting: Vec<u32>,
    /// How many bytes there are in `bytes` and `payload`.
    size: usize,
    /// How many a packet adds at most.
    packet_size: usize,
    pseudonyms: Pseudonyms,
}

impl Batch {
    pub(crate) fn new(manifest: &Manifest, pseudonyms: Pseudonyms) -> Self {
        let flow = |fields: &[&Feature]| {
            fields
                .iter()
                .map(|field| ColumnBuffer::new(field.ty))
                .collect()
        };
        Self {
            kinds: Vec::with_capacity(MOST_EVENTS),
            slots: Vec::with_capacity(MOST_EVENTS),
            unread: Vec::with_capacity(CHUNK),
            packets: manifest
                .packet
                .iter()
                .map(|&field| (field, ColumnBuffer::new(field.ty)))
                .collect(),
            bytes: (manifest.packet_bytes > 0).then(|| ColumnBuffer::new(Type::Bytes)),
            payload: (manifest.payload_bytes > 0).then(|| ColumnBuffer::new(Type::Bytes)),
            opened: flow(&manifest.at_init),
            updated: flow(&manifest.at_update),
            expired: flow(&manifest.at_expire),
            waiting: Vec::new(),
            size: 0,
            packet_size: (manifest.packet_bytes + manifest.payload_bytes) as usize,
            pseudonyms,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// For each flow whose end is in it, which of the waiting flows it is.
    pub(crate) fn ended(&self) -> &[u32] {
        &self.waiting
    }

    /// How many events in a row a call may carry beyond those that there are.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        let events = MOST_EVENTS - self.len();
        let bytes = MOST_BYTES.saturating_sub(self.size);
        match bytes.checked_div(self.packet_size) {
            None => events,
            // One packet fits, whatever its size is.
            Some(0) if self.size == 0 => events.min(1),
            Some(packets) => events.min(packets),
        }
    }

    /// Packets of a chunk, for which there is room. `flow` is that of the only one, if fields of flows are
    /// asked for.
    #[inline]
    pub(crate) fn packets<'f>(
        &mut self,
        shown: &Shown,
        manifest: &Manifest,
        chunk: &[FlowPacket<'_>],
        flow: Option<&dyn Fn() -> FlowView<'f>>,
    ) {
        self.kinds.extend_from_slice(&shown.kinds[..shown.len]);
        self.slots.extend_from_slice(&shown.slots[..shown.len]);
        self.unread.extend_from_slice(&shown.places[..shown.len]);
        let picked = Picked {
            chunk,
            places: &shown.places[..shown.len],
        };
        if let Some(column) = &mut self.bytes {
            let of = |packet| ip_bytes(manifest, packet);
            self.size += column.extend_bytes(picked.iter().map(of));
        }
        if let Some(column) = &mut self.payload {
            let of = |packet| payload(manifest, packet);
            self.size += column.extend_bytes(picked.iter().map(of));
        }
        let Some(flow) = flow else {
            return;
        };
        for (_, kind) in shown.iter() {
            let (fields, columns) = match kind {
                Kind::Init => (&manifest.at_init, &mut self.opened),
                _ => (&manifest.at_update, &mut self.updated),
            };
            if !columns.is_empty() {
                push_flow(fields, columns, &flow());
            }
        }
    }

    /// Reads what it was given of this chunk: before the next one, and before they are shown.
    #[inline]
    pub(crate) fn read(&mut self, chunk: &[FlowPacket<'_>]) {
        if self.unread.is_empty() {
            return;
        }
        let places = &self.unread;
        let pseudonym = |address| self.pseudonyms.of(address);
        for (field, column) in &mut self.packets {
            field.extend(Picked { chunk, places }, &pseudonym, column);
        }
        self.unread.clear();
    }

    /// The end of a flow, which is the `waiting`-th of those that wait for their values.
    pub(crate) fn expire(
        &mut self,
        slot: u32,
        manifest: &Manifest,
        flow: &FlowView<'_>,
        waiting: u32,
    ) {
        self.kinds.push(Kind::Expire as u8);
        self.slots.push(slot);
        push_flow(&manifest.at_expire, &mut self.expired, flow);
        self.waiting.push(waiting);
    }

    /// Shows the events as the contract has them.
    pub(crate) fn lower<T>(&self, packed: bool, call: impl FnOnce(wit::Batch<'_>) -> T) -> T {
        let packets: Vec<_> = self
            .packets
            .iter()
            .map(|(_, column)| lower(column, packed))
            .collect();
        let [opened, updated, expired] =
            [&self.opened, &self.updated, &self.expired].map(|columns| {
                columns
                    .iter()
                    .map(|column| lower(column, packed))
                    .collect::<Vec<_>>()
            });
        let slots = match packed {
            true => wit::Column::Packed(bytemuck::cast_slice(&self.slots)),
            false => wit::Column::U32s(&self.slots),
        };
        call(wit::Batch {
            kinds: &self.kinds,
            slots,
            packets: &packets,
            bytes: self.bytes.as_ref().map(|column| lower(column, packed)),
            payload: self.payload.as_ref().map(|column| lower(column, packed)),
            opened: &opened,
            updated: &updated,
            expired: &expired,
        })
    }

    /// Forgets the events and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.kinds.clear();
        self.slots.clear();
        for (_, column) in &mut self.packets {
            column.clear();
        }
        let columns = [&mut self.opened, &mut self.updated, &mut self.expired];
        columns
            .into_iter()
            .flatten()
            .chain(&mut self.bytes)
            .chain(&mut self.payload)
            .for_each(ColumnBuffer::clear);
        self.waiting.clear();
        self.size = 0;
    }
}

/// What the plugin is shown of a packet's bytes, from the IP header on.
#[inline]
pub(crate) fn ip_bytes<'a>(manifest: &Manifest, flow_packet: &FlowPacket<'a>) -> &'a [u8] {
    first(
        flow_packet.packet.ip_bytes(flow_packet.frame),
        manifest.packet_bytes,
    )
}

/// What the plugin is shown of a packet's payload. One that is shown pseudonyms in place of addresses is
/// shown that of TCP and UDP alone: ICMP errors hold the header of another packet, tunnels hold packets,
/// and routing protocols hold addresses.
#[inline]
pub(crate) fn payload<'a>(manifest: &Manifest, flow_packet: &FlowPacket<'a>) -> &'a [u8] {
    if manifest.hides_addresses && !matches!(flow_packet.packet.protocol, TCP | UDP) {
        return &[];
    }
    first(
        flow_packet.packet.payload(flow_packet.frame),
        manifest.payload_bytes,
    )
}

fn first(bytes: &[u8], most: u32) -> &[u8] {
    &bytes[..bytes.len().min(most as usize)]
}

fn push_flow(fields: &[&Feature], columns: &mut [ColumnBuffer], flow: &FlowView<'_>) {
    for (field, column) in fields.iter().zip(columns) {
        column.push_value(field.value(flow));
    }
}
