//! Decoding: from the bytes of a frame to the addresses, ports and sizes of the packet in it.
//!
//! The layers call each other downwards: `link` finds the network layer, `ip` reads it,
//! `transport` the ports and sizes, and `tunnel` starts again within a payload. Nothing is
//! allocated or copied on the way, and a packet that cannot be metered comes back as the reason why.

mod fields;
mod ignore_reason;
mod ip;
mod link;
mod packet;
mod ppp;
mod transport;
mod tunnel;
mod tunnel_headers;
mod tunnel_set;
mod wifi;

pub use ignore_reason::IgnoreReason;
pub use packet::{Addr, Packet, Tunnel};
pub use tunnel_set::{TunnelSet, UnknownTunnel};

use crate::link_type::LinkType;

/// How many IP headers may stand one in another, the outermost included.
const MAX_IP_HEADERS: u8 = 8;

/// Turns frames into packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    tunnels: TunnelSet,
}

impl Decoder {
    /// A decoder that looks into these tunnels.
    pub fn new(tunnels: TunnelSet) -> Self {
        Self { tunnels }
    }

    /// Decodes one frame as captured, of which the wire carried `wire_len` bytes.
    ///
    /// The sizes are those that the IP header states, whether or not all of the packet was captured;
    /// the offsets stay within `frame`.
    ///
    /// # Errors
    ///
    /// The reason why this packet is not metered. It is meant to be counted; the next frame may be
    /// as good as any.
    pub fn decode(
        &self,
        link: LinkType,
        frame: &[u8],
        wire_len: u32,
    ) -> Result<Packet, IgnoreReason> {
        let mut packet = Packet::default();
        self.decode_into(&mut packet, link, frame, wire_len)?;
        Ok(packet)
    }

    /// As [`decode`](Decoder::decode), but writes the packet where it is to stay, which spares a
    /// copy that costs as much as the decoding. After an error `packet` holds nothing of use.
    ///
    /// # Errors
    ///
    /// As [`decode`](Decoder::decode).
    #[inline]
    pub fn decode_into(
        &self,
        packet: &mut Packet,
        link: LinkType,
        frame: &[u8],
        wire_len: u32,
    ) -> Result<(), IgnoreReason> {
        *packet = Packet {
            raw_size: wire_len,
            ..Packet::default()
        };
        let mut walk = Walk {
            frame,
            tunnels: self.tunnels,
            ip_headers: 0,
            tags: 0,
            follow: true,
            packet,
        };
        walk.link(
            link,
            Span {
                at: 0,
                captured: frame.len(),
                wire: frame.len().max(wire_len as usize),
            },
        )
    }
}

/// One frame on its way from the link layer to the transport.
struct Walk<'a> {
    frame: &'a [u8],
    tunnels: TunnelSet,
    /// IP headers seen so far.
    ip_headers: u8,
    /// VLAN tags, LLC headers and the like seen so far in this frame, tunnels aside.
    tags: u8,
    /// Whether IP in IP and tunnels are still unwrapped.
    follow: bool,
    packet: &'a mut Packet,
}

impl<'a> Walk<'a> {
    /// The captured bytes of a layer.
    #[inline]
    fn bytes(&self, span: Span) -> &'a [u8] {
        self.frame.get(span.at..span.captured).unwrap_or_default()
    }
}

/// Where a layer stands in the frame. `at <= captured <= wire`, and `captured` is within the frame.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Where its first byte is.
    at: usize,
    /// Where its captured bytes end.
    captured: usize,
    /// Where its bytes on the wire end, by what encloses it.
    wire: usize,
}

impl Span {
    /// What is left after `len` bytes; nothing if there are fewer.
    #[inline]
    fn skip(self, len: usize) -> Span {
        let at = (self.at + len).min(self.captured);
        Span { at, ..self }
    }

    /// The first `len` bytes on the wire, which may be more than what encloses them has: headers
    /// are believed.
    #[inline]
    fn take(self, len: usize) -> Span {
        let wire = self.at + len;
        Span {
            captured: self.captured.min(wire),
            wire,
            ..self
        }
    }

    /// Bytes on the wire.
    #[inline]
    fn wire_len(self) -> usize {
        self.wire - self.at
    }

    /// Why `len` bytes are not there: they were `cut` from a capture or the packet is `malformed`.
    #[cold]
    fn short(self, len: usize, cut: IgnoreReason, malformed: IgnoreReason) -> IgnoreReason {
        if len > self.wire_len() {
            malformed
        } else {
            cut
        }
    }
}

/// The two bytes at `at`, in network order.
#[inline]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)
        .map(|b| u16::from_be_bytes([b[0], b[1]]))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
