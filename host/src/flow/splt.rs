//! The sequence of packet lengths and times of a flow's first packets.

use std::sync::OnceLock;

use super::record::Direction;

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
            self.steps.push(Step {
                gap_ms,
                size,
                direction,
            });
            // A plugin may have looked at the flow before this packet.
            self.lists.take();
        }
    }

    /// 0 as the flow's first packet, 1 against it.
    pub(crate) fn directions(&self) -> &[i64] {
        self.list(0)
    }

    pub(crate) fn sizes(&self) -> &[i64] {
        self.list(1)
    }

    pub(crate) fn gaps(&self) -> &[i64] {
        self.list(2)
    }

    fn list(&self, n: usize) -> &[i64] {
        let len = usize::from(self.len);
        let Lists(lists) = self.lists.get_or_init(|| {
            let mut lists = vec![-1; 3 * len];
            for (at, step) in self.steps.iter().enumerate() {
                lists[at] = step.direction as i64;
                lists[len + at] = step.size.into();
                lists[2 * len + at] = i64::try_from(step.gap_ms).unwrap_or(i64::MAX);
            }
            Lists(lists.into())
        });
        &lists[n * len..][..len]
    }
}
