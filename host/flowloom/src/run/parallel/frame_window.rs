//! How much of a packet goes from the reader to the meters.

use std::sync::Arc;

use flowloom_core::decode::Packet;
use flowloom_core::meter::Settings;
use flowloom_plugin::{Grants, Plugin};

/// Bytes of a TCP header without options, the longest transport header that fields are read from.
const TCP_HEADER: usize = 20;

/// How much of a frame the meters look at.
#[derive(Clone, Copy)]
pub(super) struct FrameWindow {
    nothing: bool,
    payload: usize,
    bytes: usize,
}

impl FrameWindow {
    pub(super) fn widen(&mut self, other: Self) {
        *self = Self {
            nothing: self.nothing && other.nothing,
            payload: self.payload.max(other.payload),
            bytes: self.bytes.max(other.bytes),
        };
    }

    /// The plugins' share, and what the meters themselves read.
    pub(super) fn of(plugins: &[Arc<Plugin>], settings: &Settings) -> Self {
        let most = |bytes: fn(&Plugin) -> u32| {
            plugins
                .iter()
                .map(|plugin| bytes(plugin))
                .max()
                .unwrap_or(0) as usize
        };
        Self {
            nothing: plugins.is_empty() && !settings.end_on_fin && settings.n_dissections == 0,
            payload: most(|plugin| plugin.manifest().payload_bytes),
            bytes: match settings.n_dissections {
                0 => most(|plugin| plugin.manifest().packet_bytes),
                _ => Grants::MOST_BYTES as usize,
            },
        }
    }

    /// The headers, which packet fields are read from, and as many bytes as are asked for.
    pub(super) fn of_frame<'a>(&self, packet: &Packet, frame: &'a [u8]) -> &'a [u8] {
        if self.nothing {
            return &[];
        }
        // A TCP header may say that it is shorter than what is read of it.
        let end = (packet.transport_at as usize + TCP_HEADER)
            .max(packet.payload_at as usize + self.payload)
            .max(packet.ip_at as usize + self.bytes);
        &frame[..end.min(packet.ip_end as usize)]
    }
}
