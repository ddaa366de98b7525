//! The readers, which decode every packet once and distribute packets to the meters in batches.
//!
//! Each reader handles one block of the source at a time:
//!
//! 1. It waits for its turn at the source, takes a block and finds the packets in it.
//! 2. It decodes the packets while other readers have their turns.
//! 3. It waits for its turn at the output, completes the times, and sends the batch to the meters.
//! 4. It reads the bytes of its next block, if it is known where they will begin.
//!
//! The readers have their turns in a fixed order, so that batches and packets stay in the order of the source. One reader
//! alone has every turn.

use flowloom_core::meter::BlockIngress;
use flowloom_core::record::{DecodedChunk, DecodedPacket};

use super::batch::WorkItem;
use super::frame_window::FrameWindow;
use super::output_turn::{DecodedBatch, OutputTurn};
use super::ring::Ring;
use super::source_turn::{BatchHead, Read, SourceTurn};
use crate::capture::{PacketBlock, Packets};

/// The maximum number of packets of a batch of a single reader, per meter. This is several full batches of plugin
/// events, so that the cost per packet of waking threads is low.
const BATCH_PACKETS: usize = if cfg!(any(fuzzing, shuttle)) {
    4
} else {
    4_096
};
/// The maximum number of packet bytes of a batch of a single reader, per meter. A block of packets may exceed it.
const BATCH_BYTES: usize = 1 << 20;

/// One of the readers of a source.
pub(super) struct Reader {
    number: usize,
    /// The number of readers.
    readers: usize,
    source: Ring<Box<SourceTurn>>,
    output: Ring<Box<OutputTurn>>,
    block: PacketBlock,
    decoder: BatchDecoder,
}

/// Decodes the packets of a batch and distributes them to the items of the meters.
struct BatchDecoder {
    ingress: BlockIngress,
    items: Vec<WorkItem>,
    /// Each new time of the packets of all meters in ms, with the ordinal of its first packet.
    times: Vec<(u64, u64)>,
    packets: usize,
    /// The number of bytes that were copied.
    bytes: usize,
}

impl Reader {
    /// Creates the readers of `meters` meters, as many as `source` has places for.
    pub(super) fn all(
        meters: usize,
        source: SourceTurn,
        output: OutputTurn,
        ingress: impl Fn() -> BlockIngress,
    ) -> Vec<Self> {
        let readers = source.readers;
        let sources = Ring::new(readers, Box::new(source));
        let outputs = Ring::new(readers, Box::new(output));
        let places = sources.into_iter().zip(outputs).enumerate();
        places
            .map(|(number, (source, output))| Self {
                number,
                readers,
                source,
                output,
                block: PacketBlock::new(),
                decoder: BatchDecoder {
                    ingress: ingress(),
                    items: (0..meters).map(|_| WorkItem::default()).collect(),
                    times: Vec::new(),
                    packets: 0,
                    bytes: 0,
                },
            })
            .collect()
    }

    /// Reads batches until the source ends, the run is stopped, or another thread is gone.
    pub(super) fn run(mut self) {
        while let Some(head) = self.fill() {
            let Some(mut output) = self.output.take() else {
                return;
            };
            let last = head.last;
            let is_sent = output.send(self.number, self.decoder.batch(head));
            if !is_sent || last || !self.output.pass(output) {
                return;
            }
            self.block.prepare();
        }
    }

    /// Fills the items of a batch. Returns `None` if another thread is gone.
    fn fill(&mut self) -> Option<BatchHead> {
        let (decoder, block) = (&mut self.decoder, &mut self.block);
        let mut source = self.source.take()?;
        let mut head = source.begin();
        decoder.begin(head.first);
        let window = head.window;
        loop {
            let read = source.read(&mut head, block, |packets| decoder.decode(packets, window));
            // The other readers end if the source is dropped.
            if !head.last && !self.source.pass(source) {
                return None;
            }
            match read {
                Read::Packets => decoder.decode(block.packets(), window),
                Read::Decoded => {}
                Read::Ended => return Some(head),
            }
            // Without other readers, the next block belongs to the batch too.
            if self.readers > 1 || decoder.is_full() {
                return Some(head);
            }
            block.prepare();
            source = self.source.take()?;
        }
    }
}

impl BatchDecoder {
    /// Begins a batch whose first packet has this ordinal.
    fn begin(&mut self, ordinal: u64) {
        self.ingress.begin(ordinal);
        self.times.clear();
        (self.packets, self.bytes) = (0, 0);
    }

    fn is_full(&self) -> bool {
        let meters = self.items.len();
        self.packets >= BATCH_PACKETS * meters || self.bytes >= BATCH_BYTES * meters
    }

    /// Decodes the next packets of the batch.
    fn decode(&mut self, packets: Packets<'_>, window: FrameWindow) {
        let (mut packets, mut chunk) = (packets.iter(), DecodedChunk::default());
        let mut has_more = true;
        while has_more {
            has_more = self.ingress.fill(&mut chunk, &mut packets);
            for (decoded, frame) in chunk.iter() {
                self.packets += 1;
                self.bytes += distribute(&mut self.items, &mut self.times, window, decoded, frame);
            }
        }
    }

    /// Returns the batch with all packets since its begin.
    fn batch(&mut self, head: BatchHead) -> DecodedBatch<'_> {
        DecodedBatch {
            head,
            ingress: &self.ingress,
            items: &mut self.items,
            times: &mut self.times,
        }
    }
}

/// Adds a packet to the item of its meter, and its time to the times of the batch. Returns the number of bytes that were
/// copied.
#[inline]
fn distribute(
    items: &mut [WorkItem],
    times: &mut Vec<(u64, u64)>,
    window: FrameWindow,
    decoded: &DecodedPacket,
    frame: &[u8],
) -> usize {
    let time_ms = decoded.time_ms();
    if times.last().is_none_or(|(last, _)| *last != time_ms) {
        times.push((time_ms, decoded.ordinal));
    }
    // Uses the upper bits of the product. Each meter uses the bits of the hash itself within its flow table.
    let spread = decoded.hash.wrapping_mul(0x9E37_79B1);
    let meter = ((u64::from(spread) * items.len() as u64) >> 32) as usize;
    let bytes = window.of_frame(&decoded.packet, frame);
    items[meter].add(decoded, bytes);
    bytes.len()
}
