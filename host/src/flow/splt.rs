//! The sequence of packet lengths and times of a flow's first packets.

use std::iter;
use std::sync::OnceLock;

use super::record::Direction;

/// How many packets there is room for at first.
const FEW: usize = 4;
/// How many more there is room for then, at most.
const MANY: usize = 32;

/// Direction, size and inter-arrival time of each of a flow's first packets.
///
/// Most flows are short: kept is what was there, and the lists of full length are made only when
/// somebody looks at them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Splt {
    steps: Vec<Step>,
    lists: OnceLock<Lists>,
    /// Of how many packets.
    len: u16,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    gap_ms: u64,
    size: u32,
    direction: Direction,
}

/// What is kept of a packet. The numbers are the lists' places.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// 0 as the flow's first packet, 1 against it.
    Direction = 0,
    /// As the accounting mode measures.
    Size = 1,
    /// ms since the packet before.
    Gap = 2,
}

impl Step {
    fn get(&self, part: Part) -> i64 {
        match part {
            Part::Direction => self.direction as i64,
            Part::Size => self.size.into(),
            Part::Gap => i64::try_from(self.gap_ms).unwrap_or(i64::MAX),
        }
    }
}

/// Three lists of one length, one behind the other, -1 where there was no packet.
#[derive(Clone, Debug)]
struct Lists(Box<[i64]>);

impl Splt {
    /// For the first `len` packets.
    pub(crate) fn new(len: u16) -> Self {
        Self {
            len,
            ..Self::default()
        }
    }

    /// Whether it has all packets that it is to have.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.steps.len() >= usize::from(self.len)
    }

    /// Adds the next packet of the flow; those beyond the first ones are passed over.
    #[inline]
    pub(crate) fn add(&mut self, direction: Direction, size: u32, gap_ms: u64) {
        if !self.is_full() {
            // Most flows are short; of the others many are long.
            if self.steps.len() == FEW {
                self.steps.reserve_exact(usize::from(self.len).min(MANY));
            }
            self.steps.push(Step {
                gap_ms,
                size,
                direction,
            });
            // A plugin may have looked at the flow before this packet.
            self.lists.take();
        }
    }

    /// This part of the packets that there were.
    pub(crate) fn steps(&self, part: Part) -> impl Iterator<Item = i64> {
        self.steps.iter().map(move |step| step.get(part))
    }

    /// How many packets there were not.
    pub(crate) fn missing(&self) -> usize {
        usize::from(self.len) - self.steps.len()
    }

    /// This part of each packet, and -1 where there was none.
    pub(crate) fn list(&self, part: Part) -> &[i64] {
        let len = usize::from(self.len);
        let Lists(lists) = self.lists.get_or_init(|| {
            let parts = [Part::Direction, Part::Size, Part::Gap];
            let list = |part| self.steps(part).chain(iter::repeat_n(-1, self.missing()));
            Lists(parts.into_iter().flat_map(list).collect())
        });
        &lists[part as usize * len..][..len]
    }
}
