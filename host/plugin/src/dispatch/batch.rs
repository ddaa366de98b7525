//! The events of one call, collected in columns.

use std::ops::Range;

use flowloom_core::fields::{ColumnBuffer, Feature, PacketField, PacketSubset};
use flowloom_core::record::{CHUNK, FlowPacket, FlowView};
use flowloom_core::value::Type;

use super::column::lower;
use crate::contract::batch_feature as wit;
use crate::load::manifest::Manifest;
use crate::sandbox::pseudonyms::Pseudonyms;

/// The maximum number of events of a call.
pub(crate) const MAX_EVENTS: usize = 1_024;
/// The maximum number of packet bytes of a call.
pub(crate) const MAX_PACKET_BYTES: usize = 1 << 20;

/// IANA protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The kind of an event. The values are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Init = 0,
    Update = 1,
    Expire = 2,
}

impl EventKind {
    /// Returns the kind of the event of a packet.
    #[inline]
    pub(crate) fn of(flow_packet: &FlowPacket<'_>) -> Self {
        match flow_packet.nth {
            1 => Self::Init,
            _ => Self::Update,
        }
    }
}

/// The events that a plugin has not received yet.
///
/// The first `len` entries of `kinds` and `slots` are those of the events. The other columns have one entry for each
/// event of their kind.
pub(crate) struct Batch {
    len: usize,
    /// Values of [`EventKind`].
    kinds: Box<[u8; MAX_EVENTS]>,
    /// The slots of the flows.
    slots: Box<[u32; MAX_EVENTS]>,
    /// Indices of packets of the current chunk whose fields are not in `packets` yet. `read_fields` copies them
    /// later, column by column, which is faster than packet by packet.
    unread: [u8; CHUNK],
    /// The number of these packets.
    unread_len: usize,
    /// The requested packet fields and their values.
    packets: Vec<(&'static PacketField, ColumnBuffer)>,
    bytes: Option<ColumnBuffer>,
    payload: Option<ColumnBuffer>,
    /// Flow fields of `init` events.
    at_init: Vec<ColumnBuffer>,
    /// Flow fields of `update` events.
    at_update: Vec<ColumnBuffer>,
    /// Flow fields of `expire` events.
    at_expire: Vec<ColumnBuffer>,
    /// For each `expire` event, the index of its flow among the waiting flows.
    waiting: Vec<u32>,
    /// The number of bytes in `bytes` and `payload`.
    size: usize,
    /// The maximum number of bytes that one packet adds to `size`.
    max_packet_size: usize,
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
            len: 0,
            kinds: Box::new([0; MAX_EVENTS]),
            slots: Box::new([0; MAX_EVENTS]),
            unread: [0; CHUNK],
            unread_len: 0,
            packets: manifest
                .packet
                .iter()
                .map(|&field| (field, ColumnBuffer::new(field.ty)))
                .collect(),
            bytes: (manifest.packet_bytes > 0).then(|| ColumnBuffer::new(Type::Bytes)),
            payload: (manifest.payload_bytes > 0).then(|| ColumnBuffer::new(Type::Bytes)),
            at_init: flow(&manifest.at_init),
            at_update: flow(&manifest.at_update),
            at_expire: flow(&manifest.at_expire),
            waiting: Vec::new(),
            size: 0,
            max_packet_size: (manifest.packet_bytes + manifest.payload_bytes) as usize,
            pseudonyms,
        }
    }

    /// Returns the number of events.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns, for each flow that ends in this batch, its index among the waiting flows.
    pub(crate) fn ended(&self) -> &[u32] {
        &self.waiting
    }

    /// Returns how many more events in a row fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        let events = MAX_EVENTS - self.len();
        let bytes = MAX_PACKET_BYTES.saturating_sub(self.size);
        match bytes.checked_div(self.max_packet_size) {
            None => events,
            // An empty batch takes one packet of any size.
            Some(0) if self.size == 0 => events.min(1),
            Some(packets) => events.min(packets),
        }
    }

    /// Adds some packets of a chunk: those at `packets` for which `is_selected`. The caller has checked that there is
    /// `room` for all of them.
    ///
    /// `flow` returns the flow of the only packet. It is given if the plugin requests flow fields at `init` or
    /// `update`.
    #[inline]
    pub(crate) fn push_packets<'f>(
        &mut self,
        packets: Range<usize>,
        is_selected: impl Fn(&FlowPacket<'_>) -> bool,
        manifest: &Manifest,
        chunk: &[FlowPacket<'_>],
        flow: Option<&dyn Fn() -> FlowView<'f>>,
    ) {
        let (first, first_unread) = (self.len, self.unread_len);
        for (index, flow_packet) in packets.clone().zip(&chunk[packets]) {
            // Each packet is written, and the next one replaces it if it was not selected: there is no branch to
            // predict.
            self.kinds[self.len] = EventKind::of(flow_packet) as u8;
            self.slots[self.len] = flow_packet.slot;
            self.unread[self.unread_len] = index as u8;
            let selected = usize::from(is_selected(flow_packet));
            self.len += selected;
            self.unread_len += selected;
        }
        let picked = PacketSubset {
            chunk,
            places: &self.unread[first_unread..self.unread_len],
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
        for kind in &self.kinds[first..self.len] {
            let (fields, columns) = match *kind == EventKind::Init as u8 {
                true => (&manifest.at_init, &mut self.at_init),
                false => (&manifest.at_update, &mut self.at_update),
            };
            if !columns.is_empty() {
                push_flow(fields, columns, &flow());
            }
        }
    }

    /// Copies the fields of the packets that were added from this chunk. Must be called before packets of
    /// another chunk are added, and before `lower`.
    #[inline]
    pub(crate) fn read_fields(&mut self, chunk: &[FlowPacket<'_>]) {
        if self.unread_len == 0 {
            return;
        }
        let places = &self.unread[..self.unread_len];
        let pseudonym = |address| self.pseudonyms.of(address);
        for (field, column) in &mut self.packets {
            field.extend(PacketSubset { chunk, places }, &pseudonym, column);
        }
        self.unread_len = 0;
    }

    /// Adds the end of a flow. `waiting` is its index among the waiting flows.
    pub(crate) fn push_expire(
        &mut self,
        slot: u32,
        manifest: &Manifest,
        flow: &FlowView<'_>,
        waiting: u32,
    ) {
        self.kinds[self.len] = EventKind::Expire as u8;
        self.slots[self.len] = slot;
        self.len += 1;
        push_flow(&manifest.at_expire, &mut self.at_expire, flow);
        self.waiting.push(waiting);
    }

    /// Passes the events to `call` as types of the contract.
    pub(crate) fn lower<T>(&self, packed: bool, call: impl FnOnce(wit::Batch<'_>) -> T) -> T {
        let packets: Vec<_> = self
            .packets
            .iter()
            .map(|(_, column)| lower(column, packed))
            .collect();
        let [opened, updated, expired] =
            [&self.at_init, &self.at_update, &self.at_expire].map(|columns| {
                columns
                    .iter()
                    .map(|column| lower(column, packed))
                    .collect::<Vec<_>>()
            });
        let slots = &self.slots[..self.len];
        let slots = match packed {
            true => wit::Column::Packed(bytemuck::cast_slice(slots)),
            false => wit::Column::U32s(slots),
        };
        call(wit::Batch {
            kinds: &self.kinds[..self.len],
            slots,
            packets: &packets,
            bytes: self.bytes.as_ref().map(|column| lower(column, packed)),
            payload: self.payload.as_ref().map(|column| lower(column, packed)),
            opened: &opened,
            updated: &updated,
            expired: &expired,
        })
    }

    /// Removes the events. Keeps the allocated memory.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        for (_, column) in &mut self.packets {
            column.clear();
        }
        let columns = [&mut self.at_init, &mut self.at_update, &mut self.at_expire];
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

/// Returns the bytes of a packet that the plugin receives, from the IP header on.
#[inline]
pub(crate) fn ip_bytes<'a>(manifest: &Manifest, flow_packet: &FlowPacket<'a>) -> &'a [u8] {
    first(
        flow_packet.packet.ip_bytes(flow_packet.frame),
        manifest.packet_bytes,
    )
}

/// Returns the bytes of a packet's payload that the plugin receives.
///
/// With pseudonyms in place of addresses, these are bytes of TCP and UDP only. ICMP errors contain the header
/// of another packet, tunnels contain packets, and routing protocols contain addresses.
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

fn first(bytes: &[u8], max_len: u32) -> &[u8] {
    &bytes[..bytes.len().min(max_len as usize)]
}

fn push_flow(fields: &[&Feature], columns: &mut [ColumnBuffer], flow: &FlowView<'_>) {
    for (field, column) in fields.iter().zip(columns) {
        column.push_value(field.value(flow));
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::decode::{Decoder, TunnelSet};
    use flowloom_core::link_type::LinkType;
    use flowloom_core::record::DecodedPacket;

    use super::*;
    use crate::config::anonymization_key::AnonymizationKey;
    use crate::load::plugin::tests::load;

    /// The manifest of a plugin that receives this many bytes of payload and of packets.
    fn manifest(payload_bytes: u32, packet_bytes: u32) -> Manifest {
        Manifest {
            payload_bytes,
            packet_bytes,
            ..load().manifest().clone()
        }
    }

    fn batch(manifest: &Manifest) -> Batch {
        Batch::new(manifest, Pseudonyms::new(&AnonymizationKey::from([7; 64])))
    }

    /// Returns an IPv4 packet of this protocol, with 8 bytes of header and `len` bytes of payload.
    fn frame(protocol: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        frame.extend([192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 53, 0, 0, 0, 0]);
        frame.resize(28 + len, b'x');
        let size = (frame.len() as u16).to_be_bytes();
        frame[2..4].copy_from_slice(&size);
        frame
    }

    fn decoded(frame: &[u8]) -> DecodedPacket {
        let decoder = Decoder::new(TunnelSet::NONE);
        DecodedPacket {
            packet: decoder
                .decode(LinkType(101), frame, frame.len() as u32)
                .unwrap(),
            ..DecodedPacket::default()
        }
    }

    #[test]
    fn a_batch_has_room_for_1024_events_and_1_mib_of_packets() {
        // Each packet has 28 + 20,000 bytes.
        let frame = frame(17, 20_000);
        let decoded = decoded(&frame);
        let chunk = [FlowPacket::new(&decoded, &frame)];
        for (payload, packet, rooms) in [
            (0, 0, [1_024, 1_023, 1_022]),
            (1_000, 0, [1_024, 1_023, 1_022]),
            // The second and third numbers are limited by 1,048,576 bytes.
            (10_000, 0, [104, 103, 102]),
            (0, 30_000, [34, 34, 33]),
            (20_000, 20_000, [26, 25, 24]),
            // A packet may have more bytes than a batch, but the actual size counts.
            (0, 2_000_000, [1, 0, 0]),
        ] {
            let manifest = manifest(payload, packet);
            let mut batch = batch(&manifest);
            for (n, room) in rooms.into_iter().enumerate() {
                assert_eq!((batch.room(), batch.len()), (room, n), "{payload} {packet}");
                batch.push_packets(0..1, |_| true, &manifest, &chunk, None);
                batch.read_fields(&chunk);
            }
            batch.clear();
            assert_eq!((batch.room(), batch.len()), (rooms[0], 0));
        }
    }

    #[test]
    fn only_selected_packets_are_added() {
        let frame = frame(17, 3);
        let decoded = decoded(&frame);
        let packet = |nth, slot| {
            let mut packet = FlowPacket::new(&decoded, &frame);
            (packet.nth, packet.slot) = (nth, slot);
            packet
        };
        let chunk = [
            packet(1, 0),
            packet(1, 7),
            packet(2, 8),
            packet(2, 0),
            packet(3, 9),
        ];
        let manifest = manifest(2, 0);
        let mut batch = batch(&manifest);
        for packets in [0..2, 2..5] {
            batch.push_packets(packets, |packet| packet.slot > 0, &manifest, &chunk, None);
        }
        assert_eq!(
            (batch.len(), &batch.unread[..batch.unread_len]),
            (3, &[1, 2, 4][..])
        );
        assert_eq!(
            (&batch.kinds[..3], &batch.slots[..3]),
            (&[0, 1, 1][..], &[7, 8, 9][..])
        );
        assert_eq!(batch.size, 6);
        batch.read_fields(&chunk);
        batch.clear();
        assert_eq!((batch.len(), batch.size), (0, 0));
    }

    #[test]
    fn bytes_are_cut_to_what_the_manifest_requests() {
        let frame = frame(17, 10);
        let decoded = decoded(&frame);
        let packet = FlowPacket::new(&decoded, &frame);
        for (payload_bytes, packet_bytes, lens) in
            [(0, 0, (0, 0)), (4, 21, (4, 21)), (100, 100, (10, 38))]
        {
            let manifest = manifest(payload_bytes, packet_bytes);
            let (payload, bytes) = (payload(&manifest, &packet), ip_bytes(&manifest, &packet));
            assert_eq!((payload.len(), bytes.len()), lens);
            assert_eq!((payload, bytes), (&frame[28..][..lens.0], &frame[..lens.1]));
        }
    }

    #[test]
    fn with_pseudonyms_only_tcp_and_udp_have_a_payload() {
        for (protocol, hides_addresses, is_shown) in [
            (17, true, true),
            (6, true, true),
            (1, true, false),
            (47, true, false),
            (1, false, true),
        ] {
            let frame = frame(protocol, 40);
            let decoded = decoded(&frame);
            let packet = FlowPacket::new(&decoded, &frame);
            let manifest = Manifest {
                hides_addresses,
                ..manifest(9, 0)
            };
            let is_empty = payload(&manifest, &packet).is_empty();
            assert_eq!(is_empty, !is_shown, "{protocol}");
        }
    }
}
