//! The first turn of a reader: reads a block and finds its packets. Only one reader at a time can do this.

use std::sync::Arc;
use std::time::Duration;

use flowloom_core::meter::{Boundary, OverloadLevel, Settings};
use flowloom_core::time::Time;
use flowloom_plugin::{PluginSet, thread_time};

use super::frame_window::FrameWindow;
use crate::capture::{BlockEvent, CaptureError, PacketBlock, PacketSource, Packets, SourceEvent};
use crate::concurrency::sync::atomic::{AtomicBool, Ordering};
use crate::run::plugin_updates::PluginUpdates;
use crate::run::status::Progress;

/// The source, and what follows from the order of reads alone.
pub(super) struct SourceTurn {
    pub(super) origin: PacketSource,
    /// The number of readers.
    pub(super) readers: usize,
    pub(super) settings: Settings,
    pub(super) plugins: PluginUpdates,
    /// The part of each frame that is copied for the meters.
    pub(super) window: FrameWindow,
    /// The ordinal of the next packet.
    pub(super) next_ordinal: u64,
    pub(super) stop: Arc<AtomicBool>,
}

/// What is known of a batch before its packets are decoded.
pub(super) struct BatchHead {
    /// The ordinal of the first packet, and that of the packet after the last.
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) plugins: Option<Arc<PluginSet>>,
    pub(super) window: FrameWindow,
    pub(super) overload: OverloadLevel,
    /// The time of the pause that ends the batch.
    pub(super) pause: Option<Time>,
    /// The boundary after the batch.
    pub(super) boundary: Option<Boundary>,
    pub(super) last: bool,
    /// The errors of this batch.
    pub(super) problems: Vec<CaptureError>,
    pub(super) progress: Progress,
    /// The processor time of the turns of the batch.
    pub(super) turn_time: Duration,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// The block has packets, which are not decoded yet.
    Packets,
    /// The packets were decoded in the turn.
    Decoded,
    /// The batch ends without further packets.
    Ended,
}

impl SourceTurn {
    /// Begins a batch.
    pub(super) fn begin(&mut self) -> BatchHead {
        let changed = self.plugins.changed();
        if let Some(set) = &changed {
            // Plugins of earlier sets receive their bytes until their flows end, so the window never shrinks.
            self.window
                .widen(FrameWindow::of(set.plugins(), &self.settings));
        }
        BatchHead {
            first: self.next_ordinal,
            end: self.next_ordinal,
            plugins: changed,
            window: self.window,
            overload: OverloadLevel::Normal,
            pause: None,
            boundary: None,
            last: false,
            problems: Vec::new(),
            progress: Progress::default(),
            turn_time: Duration::ZERO,
        }
    }

    /// Reads until there are packets, or the batch ends. Packets that must stay with the source are given to `decode`.
    pub(super) fn read(
        &mut self,
        head: &mut BatchHead,
        block: &mut PacketBlock,
        decode: impl FnMut(Packets<'_>),
    ) -> Read {
        let start = thread_time();
        let read = self.read_packets(head, block, decode);
        head.end = self.next_ordinal;
        if head.boundary == Some(Boundary::Capture) {
            self.next_ordinal = 0;
        }
        head.overload = self.origin.overload();
        head.progress = Progress::of(&self.origin);
        head.turn_time += thread_time().saturating_sub(start);
        read
    }

    fn read_packets(
        &mut self,
        head: &mut BatchHead,
        block: &mut PacketBlock,
        mut decode: impl FnMut(Packets<'_>),
    ) -> Read {
        loop {
            if self.stop.load(Ordering::Relaxed) {
                head.last = true;
                return Read::Ended;
            }
            let event = match self.origin.read_block(block, self.readers - 1) {
                Ok(BlockEvent::Moved) => {
                    self.next_ordinal += block.packets().len() as u64;
                    return Read::Packets;
                }
                Ok(BlockEvent::Here(event)) => event,
                Err(error) => {
                    tracing::warn!("{error}");
                    head.problems.push(error);
                    continue;
                }
            };
            match event {
                SourceEvent::Packets(packets) => {
                    self.next_ordinal += packets.len() as u64;
                    decode(packets);
                    return Read::Decoded;
                }
                // The meters deliver waiting events at the end of a batch, so a pause ends the batch.
                SourceEvent::Pause(now) => head.pause = now,
                SourceEvent::Boundary(boundary) => head.boundary = Some(boundary),
                SourceEvent::End => head.last = true,
            }
            return Read::Ended;
        }
    }
}
