//! The reader: decodes every packet once and deals them out, in rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::Progress;
use super::round::{Portion, Round};
use super::shows::Shows;
use crate::capture::{Boundary, CaptureError, Origin, Read};
use crate::flow::{Stamped, StampedChunk};
use crate::front::Front;
use crate::meter::Settings;
use crate::running::Plugins;
use crate::time::thread_time;

/// Packets of a round for each meter: some full batches of events, so that waking threads up costs
/// little a packet.
const ROUND_PACKETS: usize = if cfg!(fuzzing) { 4 } else { 4_096 };
/// Bytes of a round for each meter, for plugins that want to see packets.
const ROUND_BYTES: usize = 1 << 20;

/// One meter's side of the reader.
pub(super) struct Table {
    pub(super) portion: Portion,
    pub(super) portions: SyncSender<Portion>,
    /// Portions that the meter is done with.
    pub(super) empty: Receiver<Portion>,
}

pub(super) struct Reader {
    pub(super) origin: Origin,
    pub(super) front: Front,
    pub(super) tables: Vec<Table>,
    pub(super) settings: Settings,
    pub(super) plugins: Plugins,
    /// What the meters are given of frames.
    pub(super) shows: Shows,
    /// The last time that was passed on to the meters, in ms.
    pub(super) passed_ms: Option<u64>,
    /// What begins anew behind this round.
    pub(super) boundary: Option<Boundary>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn run(mut self, announce: &SyncSender<Round>) {
        loop {
            let mut problems = Vec::new();
            let last = self.fill(&mut problems);
            let boundary = self.boundary.take();
            if let Some(boundary) = boundary {
                self.front.cross(boundary);
                self.passed_ms = None;
            }
            for table in &mut self.tables {
                let next = table.empty.try_recv().unwrap_or_default();
                let mut portion = std::mem::replace(&mut table.portion, next);
                portion.last = last;
                portion.boundary = boundary;
                portion.load = self.origin.load();
                if table.portions.send(portion).is_err() {
                    return;
                }
            }
            let (accounts, progress) = (self.front.accounts, Progress::of(&self.origin));
            if announce
                .send(Round {
                    accounts,
                    progress,
                    problems,
                    unknown_links: self.front.unknown_links.clone(),
                    busy: thread_time(),
                    last,
                })
                .is_err()
                || last
            {
                return;
            }
        }
    }

    /// Deals out the packets of a round; says whether it is the last.
    fn fill(&mut self, problems: &mut Vec<CaptureError>) -> bool {
        let meters = self.tables.len();
        let changed = self.plugins.changed();
        if let Some(set) = &changed {
            // Flows of the plugins before are shown theirs until they end.
            self.shows.widen(Shows::of(set.plugins(), &self.settings));
        }
        for table in &mut self.tables {
            table.portion.first = self.front.next;
            table.portion.plugins.clone_from(&changed);
        }
        let (mut packets, mut bytes) = (0, 0);
        while packets < ROUND_PACKETS * meters && bytes < ROUND_BYTES * meters {
            if self.stop.load(Ordering::Relaxed) {
                return true;
            }
            let found = match self.origin.read() {
                Ok(Read::Packets(found)) => found,
                // The meters deliver what waits at the end of a round.
                Ok(Read::Pause(now)) => {
                    if let Some(now) = now {
                        let pass = (now.ms(), self.front.next);
                        for table in &mut self.tables {
                            table.portion.passes.push(pass);
                        }
                    }
                    return false;
                }
                Ok(Read::Boundary(boundary)) => {
                    self.boundary = Some(boundary);
                    return false;
                }
                Ok(Read::End) => return true,
                Err(error) => {
                    tracing::warn!("{error}");
                    problems.push(error);
                    continue;
                }
            };
            let (mut found, mut chunk) = (found.iter(), StampedChunk::default());
            let mut has_more = true;
            while has_more {
                has_more = self.front.fill(&mut chunk, &mut found);
                for (stamped, frame) in chunk.iter() {
                    packets += 1;
                    bytes += deal(
                        &mut self.tables,
                        &mut self.passed_ms,
                        self.shows,
                        stamped,
                        frame,
                    );
                }
            }
        }
        false
    }
}

/// Gives a packet to its meter, and its time to all; returns how many of its bytes went with it.
#[inline]
fn deal(
    tables: &mut [Table],
    passed_ms: &mut Option<u64>,
    shows: Shows,
    stamped: &Stamped,
    frame: &[u8],
) -> usize {
    let time_ms = stamped.time_ms();
    if *passed_ms != Some(time_ms) {
        *passed_ms = Some(time_ms);
        for table in &mut *tables {
            table.portion.passes.push((time_ms, stamped.ordinal));
        }
    }
    // The upper bits of the product: those of the hash itself choose within the table.
    let spread = stamped.hash.wrapping_mul(0x9E37_79B1);
    let meter = ((u64::from(spread) * tables.len() as u64) >> 32) as usize;
    let shown = shows.of_frame(&stamped.packet, frame);
    tables[meter].portion.add(stamped, shown);
    shown.len()
}
