//! The part of each frame that the readers copy for the meters.

use std::sync::Arc;

use flowloom_core::decode::Packet;
use flowloom_core::meter::Settings;
use flowloom_plugin::{Grants, Plugin};

/// The length of a TCP header without options in bytes. Fields are read from no longer transport header.
const TCP_HEADER: usize = 20;

/// The size of the part of a frame that plugins, the dissector and the meters read.
#[derive(Clone, Copy)]
pub(super) struct FrameWindow {
    /// Whether no bytes are read.
    is_empty: bool,
    /// The maximum number of payload bytes that are read.
    payload_bytes: usize,
    /// The maximum number of bytes that are read from the start of the IP header.
    ip_bytes: usize,
}

impl FrameWindow {
    /// Extends this window so that it includes `other`.
    pub(super) fn widen(&mut self, other: Self) {
        *self = Self {
            is_empty: self.is_empty && other.is_empty,
            payload_bytes: self.payload_bytes.max(other.payload_bytes),
            ip_bytes: self.ip_bytes.max(other.ip_bytes),
        };
    }

    /// Returns the window that these plugins, the dissector and the meters need.
    pub(super) fn of(plugins: &[Arc<Plugin>], settings: &Settings) -> Self {
        let max_of = |bytes: fn(&Plugin) -> u32| {
            plugins
                .iter()
                .map(|plugin| bytes(plugin))
                .max()
                .unwrap_or(0) as usize
        };
        Self {
            is_empty: plugins.is_empty() && !settings.end_on_fin && settings.n_dissections == 0,
            payload_bytes: max_of(|plugin| plugin.manifest().payload_bytes),
            ip_bytes: match settings.n_dissections {
                0 => max_of(|plugin| plugin.manifest().packet_bytes),
                _ => Grants::MAX_BYTES as usize,
            },
        }
    }

    /// Returns the start of a frame: the headers, from which packet fields are read, and the requested bytes.
    pub(super) fn of_frame<'a>(&self, packet: &Packet, frame: &'a [u8]) -> &'a [u8] {
        if self.is_empty {
            return &[];
        }
        // The data offset of a TCP header can be less than the 20 bytes that are read.
        let end = (packet.transport_at as usize + TCP_HEADER)
            .max(packet.payload_at as usize + self.payload_bytes)
            .max(packet.ip_at as usize + self.ip_bytes);
        &frame[..end.min(packet.ip_end as usize)]
    }
}
