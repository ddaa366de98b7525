//! SPLT: the sequence of packet lengths and times of a flow's first packets.

use std::iter;

use once_cell::race::OnceBox;
use smallvec::SmallVec;

use super::flow_record::Direction;

/// The number of packets that are stored without a heap allocation.
const INLINE_PACKETS: usize = 3;
/// The heap capacity that the first allocation adds, at most. Beyond it, the capacity doubles as needed.
const FIRST_HEAP_PACKETS: usize = 32;

/// The direction, size and inter-arrival time of each of a flow's first packets.
///
/// Up to three packets fit into one cache line. Most flows are short, so only existing packets are stored. The
/// padded lists are built on first access.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub struct Splt {
    steps: SmallVec<[PacketEntry; INLINE_PACKETS]>,
    lists: OnceBox<PaddedLists>,
    /// The number of packets to store; the length of the padded lists.
    len: u16,
}

const _: () = assert!(size_of::<Splt>() == 64);

/// The data of one packet. Two 32-bit halves instead of a `u64` avoid padding.
#[derive(Clone, Copy, Debug)]
struct PacketEntry {
    size: u32,
    /// The inter-arrival time in ms, shifted left by one, with the direction in the lowest bit. The lower half
    /// comes first.
    gap_and_direction: [u32; 2],
}

/// A value that is stored of each packet. The numbers are the indices of the lists.
#[derive(Clone, Copy, Debug)]
pub enum SpltValue {
    /// 0 for the direction of the flow's first packet, 1 for the opposite direction.
    Direction = 0,
    /// The size in bytes, in the measure of the accounting mode.
    Size = 1,
    /// The time since the previous packet of either direction in ms; 0 for the first packet.
    Gap = 2,
}

impl PacketEntry {
    fn new(direction: Direction, size: u32, gap_ms: u64) -> Self {
        let both = gap_ms << 1 | direction as u64;
        Self {
            size,
            gap_and_direction: [both as u32, (both >> 32) as u32],
        }
    }

    fn get(&self, part: SpltValue) -> i64 {
        let [low, high] = self.gap_and_direction;
        match part {
            SpltValue::Direction => (low & 1).into(),
            SpltValue::Size => self.size.into(),
            SpltValue::Gap => ((u64::from(high) << 32 | u64::from(low)) >> 1).cast_signed(),
        }
    }
}

/// Three lists of equal length, concatenated in the order of [`SpltValue`]. -1 stands for a missing packet.
#[derive(Clone, Debug)]
struct PaddedLists(Box<[i64]>);

impl Splt {
    /// Creates an empty sequence for the first `len` packets.
    pub(crate) fn new(len: u16) -> Self {
        Self {
            len,
            ..Self::default()
        }
    }

    /// Returns whether all `len` packets are stored.
    #[inline]
    fn is_full(&self) -> bool {
        self.steps.len() >= usize::from(self.len)
    }

    /// Returns the heap memory in bytes, without the padded lists.
    #[inline]
    pub(crate) fn heap_bytes(&self) -> usize {
        match self.steps.spilled() {
            true => self.steps.capacity() * size_of::<PacketEntry>(),
            false => 0,
        }
    }

    /// Adds the next packet of the flow. Packets beyond the first `len` are ignored.
    #[inline]
    pub(crate) fn add(&mut self, direction: Direction, size: u32, gap_ms: u64) {
        if !self.is_full() {
            // Most flows fit inline. Many of the others are long, so one allocation makes room for them.
            if self.steps.len() == INLINE_PACKETS {
                self.steps
                    .reserve_exact(usize::from(self.len).min(FIRST_HEAP_PACKETS));
            }
            self.steps.push(PacketEntry::new(direction, size, gap_ms));
            // A plugin may have read the lists before this packet: discard them.
            if self.lists.get().is_some() {
                self.lists = OnceBox::new();
            }
        }
    }

    /// Returns one value of each stored packet.
    pub fn steps(&self, part: SpltValue) -> impl ExactSizeIterator<Item = i64> {
        self.steps.iter().map(move |step| step.get(part))
    }

    /// Returns the number of missing packets: `len` minus the number of stored packets.
    pub fn missing(&self) -> usize {
        usize::from(self.len) - self.steps.len()
    }

    /// Returns one value of each packet as a list of `len` values, with -1 for missing packets.
    pub(crate) fn list(&self, part: SpltValue) -> &[i64] {
        let len = usize::from(self.len);
        let PaddedLists(lists) = self.lists.get_or_init(|| {
            let parts = [SpltValue::Direction, SpltValue::Size, SpltValue::Gap];
            let list = |part| self.steps(part).chain(iter::repeat_n(-1, self.missing()));
            Box::new(PaddedLists(parts.into_iter().flat_map(list).collect()))
        });
        &lists[part as usize * len..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_stored_exactly_for_any_number_and_gap() {
        const LEN: u16 = 50;
        let mut splt = Splt::new(LEN);
        let mut expected = [const { Vec::new() }; 3];
        for n in 0..i64::from(LEN) + 5 {
            let (direction, direction_value) = match n % 3 {
                0 => (Direction::DstToSrc, 1),
                _ => (Direction::SrcToDst, 0),
            };
            let (size, gap_ms) = (u32::MAX - n as u32, n << 50);
            splt.add(direction, size, gap_ms as u64);
            for (list, value) in expected
                .iter_mut()
                .zip([direction_value, size.into(), gap_ms])
            {
                list.push(value);
                list.truncate(LEN.into());
            }
            // Each packet has 12 bytes.
            let heap = splt.heap_bytes() as i64;
            assert_eq!(heap > 0, n >= INLINE_PACKETS as i64);
            assert!(
                heap == 0 || (12 * splt.steps.len() as i64..=12 * 64).contains(&heap),
                "{heap}"
            );
            for part in [SpltValue::Direction, SpltValue::Size, SpltValue::Gap] {
                let list = &expected[part as usize];
                assert_eq!(&splt.steps(part).collect::<Vec<_>>(), list);
                let (stored, missing) = splt.list(part).split_at(list.len());
                assert_eq!(stored, list);
                assert_eq!(missing.len(), splt.missing());
                assert!(missing.iter().all(|&value| value == -1));
            }
        }
        assert!(splt.is_full());
    }
}
