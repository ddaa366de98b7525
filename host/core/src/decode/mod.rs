//! The decoder: from the bytes of a frame to the addresses, ports and sizes of its packet.
//!
//! Each layer calls the next one. `link` finds the network layer, `ip` reads it, and `transport` reads
//! ports and sizes. `tunnel` starts again within a payload. The decoder allocates and copies nothing. For
//! a packet that cannot be metered it returns the reason.

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

/// The maximum number of nested IP headers, including the outermost.
const MAX_IP_HEADERS: u8 = 8;

/// Decodes frames into packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    tunnels: TunnelSet,
}

impl Decoder {
    /// Creates a decoder that unwraps these tunnels.
    pub fn new(tunnels: TunnelSet) -> Self {
        Self { tunnels }
    }

    /// Decodes one captured frame, which had `wire_len` bytes on the wire.
    ///
    /// The sizes of the packet come from its IP header, even if only a part of it was captured. The
    /// offsets stay within `frame`.
    ///
    /// # Errors
    ///
    /// Returns the reason why the packet cannot be metered. The decoder keeps no state: an error does not
    /// affect later frames.
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

    /// Decodes one captured frame like [`decode`](Decoder::decode), but into an existing packet.
    ///
    /// This avoids a copy that costs as much as the decoding. After an error the content of `packet` is
    /// unspecified.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`decode`](Decoder::decode).
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
        let mut decoder = FrameDecoder {
            frame,
            tunnels: self.tunnels,
            ip_headers: 0,
            tags: 0,
            unwraps: true,
            packet,
        };
        decoder.link(
            link,
            Layer {
                start: 0,
                captured_end: frame.len(),
                wire_end: frame.len().max(wire_len as usize),
            },
        )
    }
}

/// The state of decoding one frame, from the link layer to the transport layer.
struct FrameDecoder<'a> {
    frame: &'a [u8],
    tunnels: TunnelSet,
    /// The number of IP headers so far.
    ip_headers: u8,
    /// The number of VLAN tags, LLC headers and similar headers so far. It starts again at 0 in a tunnel.
    tags: u8,
    /// Whether IP in IP and tunnels are unwrapped from here on.
    unwraps: bool,
    packet: &'a mut Packet,
}

impl<'a> FrameDecoder<'a> {
    /// Returns the captured bytes of a layer.
    #[inline]
    fn bytes(&self, layer: Layer) -> &'a [u8] {
        self.frame
            .get(layer.start..layer.captured_end)
            .unwrap_or_default()
    }
}

/// The position of a layer in the frame, as offsets from the start of the frame.
///
/// `start <= captured_end <= wire_end`, and `captured_end` is at most the length of the captured frame.
#[derive(Clone, Copy, Debug)]
struct Layer {
    /// The offset of the first byte.
    start: usize,
    /// The end of the captured bytes.
    captured_end: usize,
    /// The end of the bytes on the wire, as the enclosing layer states it.
    wire_end: usize,
}

impl Layer {
    /// Returns what remains after `len` bytes. The captured part is empty if fewer were captured.
    #[inline]
    fn skip(self, len: usize) -> Layer {
        let start = (self.start + len).min(self.captured_end);
        Layer { start, ..self }
    }

    /// Sets the length on the wire to `len` bytes, as a header states it.
    ///
    /// `len` may exceed the length of the enclosing layer: the header takes precedence.
    #[inline]
    fn with_wire_len(self, len: usize) -> Layer {
        let wire_end = self.start + len;
        Layer {
            captured_end: self.captured_end.min(wire_end),
            wire_end,
            ..self
        }
    }

    /// Returns the number of bytes on the wire.
    #[inline]
    fn wire_len(self) -> usize {
        self.wire_end - self.start
    }

    /// Returns the reason why `len` bytes are not available: `cut` if the capture has too few bytes,
    /// `malformed` if the layer is shorter than `len` on the wire.
    #[cold]
    fn too_short(self, len: usize, cut: IgnoreReason, malformed: IgnoreReason) -> IgnoreReason {
        if len > self.wire_len() {
            malformed
        } else {
            cut
        }
    }
}

/// Returns the big-endian number in the two bytes at `offset`.
#[inline]
fn be16(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes
        .get(offset..offset + 2)
        .map(|b| u16::from_be_bytes([b[0], b[1]]))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
