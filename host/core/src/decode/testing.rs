//! Frames for the tests of this module.

use etherparse::PacketBuilder;

use super::{Decoder, IgnoreReason, Packet, Tunnel, TunnelSet};
use crate::link_type::LinkType;

pub(super) const ETHERNET: u16 = 1;
pub(super) const RAW: u16 = 101;

/// Addresses and source port of all test frames. The tests choose the destination port.
pub(super) const SRC: [u8; 4] = [10, 0, 0, 1];
pub(super) const DST: [u8; 4] = [10, 0, 0, 2];
pub(super) const SRC6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(super) const DST6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
pub(super) const SRC_PORT: u16 = 40000;
pub(super) const SRC_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(super) const DST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Decodes a frame that was captured completely. All tunnels are unwrapped.
pub(super) fn decode(link: u16, frame: &[u8]) -> Result<Packet, IgnoreReason> {
    decoder().decode(LinkType(link), frame, frame.len() as u32)
}

/// Decodes the first `len` bytes of a frame.
pub(super) fn decode_cut(link: u16, frame: &[u8], len: usize) -> Result<Packet, IgnoreReason> {
    decoder().decode(LinkType(link), &frame[..len], frame.len() as u32)
}

pub(super) fn decoder() -> Decoder {
    Decoder::new(TunnelSet::from_iter(Tunnel::ALL))
}

pub(super) fn ipv4_udp(dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(SRC, DST, 64).udp(SRC_PORT, dst_port);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).expect("it fits");
    packet
}

pub(super) fn ipv6_udp(dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv6(SRC6, DST6, 64).udp(SRC_PORT, dst_port);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).expect("it fits");
    packet
}

pub(super) fn ipv4_tcp(dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(SRC, DST, 64)
        .tcp(SRC_PORT, dst_port, 0x0102_0304, 512)
        .ack(0x0506_0708)
        .psh();
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).expect("it fits");
    packet
}

/// Returns an IPv4 packet with the given protocol.
pub(super) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0xab, 0xcd, 0, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet.extend([SRC, DST].concat());
    packet.extend(payload);
    packet
}

/// Returns an IPv6 packet with the given next header.
pub(super) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, len[0], len[1], next_header, 64];
    packet.extend([SRC6, DST6].concat());
    packet.extend(payload);
    packet
}

pub(super) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&DST_MAC[..], &SRC_MAC, &ethertype.to_be_bytes(), payload].concat()
}

/// Returns an 802.11 data frame to the access point that carries IPv4. `control` is the first byte of the
/// frame control field.
pub(super) fn wifi(control: u8, after_header: &[u8], packet: &[u8]) -> Vec<u8> {
    let bss = [2, 0, 0, 0, 0, 9];
    [
        &[control, 0x01, 0, 0][..],
        &bss,
        &SRC_MAC,
        &DST_MAC,
        &[0, 0],
        after_header,
        &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
        packet,
    ]
    .concat()
}
