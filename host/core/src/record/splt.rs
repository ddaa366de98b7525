//! The sequence of packet lengths and times of a flow's first packets.

use std::iter;

use once_cell::race::OnceBox;
use smallvec::SmallVec;

use super::flow_record::Direction;

/// How many packets there is room for beside the flow's other parts.
const FEW: usize = 3;
/// How many more there is room for then, at most, before the room grows by itself.
const MANY: usize = 32;

/// Direction, size and inter-arrival time of each of a flow's first packets, in one cache line while
/// they are few.
///
/// Most flows are short: kept is what was there, and the lists of full length are made only when
/// somebody looks at them.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub struct Splt {
    steps: SmallVec<[Step; FEW]>,
    lists: OnceBox<Lists>,
    /// Of how many packets.
    len: u16,
}

const _: () = assert!(size_of::<Splt>() == 64);

/// A packet, without padding.
#[derive(Clone, Copy, Debug)]
struct Step {
    size: u32,
    /// Twice the ms since the packet before, and 1 against the flow: the lower half, and the upper one.
    gap_and_direction: [u32; 2],
}

/// What is kept of a packet. The numbers are the places of the lists.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// 0 as the flow's first packet, 1 against it.
    Direction = 0,
    /// As the accounting mode measures.
    Size = 1,
    /// ms since the packet before.
    Gap = 2,
}

impl Step {
    fn new(direction: Direction, size: u32, gap_ms: u64) -> Self {
        let both = gap_ms << 1 | direction as u64;
        Self {
            size,
            gap_and_direction: [both as u32, (both >> 32) as u32],
        }
    }

    fn get(&self, part: Part) -> i64 {
        let [low, high] = self.gap_and_direction;
        match part {
            Part::Direction => (low & 1).into(),
            Part::Size => self.size.into(),
            Part::Gap => ((u64::from(high) << 32 | u64::from(low)) >> 1).cast_signed(),
        }
    }
}

/// Three lists of one length, one behind the other, -1 where there was no packet.
#[derive(Clone, Debug)]
struct Lists(Box<[i64]>);

impl Splt {
    /// For the first `len` packets.
    pub fn new(len: u16) -> Self {
        Self {
            len,
            ..Self::default()
        }
    }

    /// Whether it has all packets that it is to have.
    #[inline]
    fn is_full(&self) -> bool {
        self.steps.len() >= usize::from(self.len)
    }

    /// Bytes that it has beside itself, but for lists.
    #[inline]
    pub fn beside(&self) -> usize {
        match self.steps.spilled() {
            true => self.steps.capacity() * size_of::<Step>(),
            false => 0,
        }
    }

    /// Adds the next packet of the flow; those beyond the first ones are passed over.
    #[inline]
    pub fn add(&mut self, direction: Direction, size: u32, gap_ms: u64) {
        if !self.is_full() {
            // Most flows are short; of the others many are long.
            if self.steps.len() == FEW {
                self.steps.reserve_exact(usize::from(self.len).min(MANY));
            }
            self.steps.push(Step::new(direction, size, gap_ms));
            // A plugin may have looked at the flow before this packet.
            if self.lists.get().is_some() {
                self.lists = OnceBox::new();
            }
        }
    }

    /// This part of the packets that there were.
    pub fn steps(&self, part: Part) -> impl Iterator<Item = i64> {
        self.steps.iter().map(move |step| step.get(part))
    }

    /// How many packets there were not.
    pub fn missing(&self) -> usize {
        usize::from(self.len) - self.steps.len()
    }

    /// This part of each packet, and -1 where there was none.
    pub fn list(&self, part: Part) -> &[i64] {
        let len = usize::from(self.len);
        let Lists(lists) = self.lists.get_or_init(|| {
            let parts = [Part::Direction, Part::Size, Part::Gap];
            let list = |part| self.steps(part).chain(iter::repeat_n(-1, self.missing()));
            Box::new(Lists(parts.into_iter().flat_map(list).collect()))
        });
        &lists[part as usize * len..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_kept_exactly_whatever_their_number_and_gaps() {
        const LEN: u16 = 50;
        let mut splt = Splt::new(LEN);
        let mut expected = [const { Vec::new() }; 3];
        for n in 0..i64::from(LEN) + 5 {
            let (direction, way) = match n % 3 {
                0 => (Direction::DstToSrc, 1),
                _ => (Direction::SrcToDst, 0),
            };
            let (size, gap_ms) = (u32::MAX - n as u32, n << 50);
            splt.add(direction, size, gap_ms as u64);
            for (list, value) in expected.iter_mut().zip([way, size.into(), gap_ms]) {
                list.push(value);
                list.truncate(LEN.into());
            }
            assert_eq!(splt.beside() > 0, n >= FEW as i64);
            for part in [Part::Direction, Part::Size, Part::Gap] {
                let list = &expected[part as usize];
                assert_eq!(&splt.steps(part).collect::<Vec<_>>(), list);
                let (there, missing) = splt.list(part).split_at(list.len());
                assert_eq!(there, list);
                assert_eq!(missing.len(), splt.missing());
                assert!(missing.iter().all(|&value| value == -1));
            }
        }
        assert!(splt.is_full());
    }
}
