//! State of the host for one instance.

use flowloom_core::time::Time;

use super::deadline::Deadline;
use super::log::Log;
use super::memory_limiter::MemoryLimiter;

/// State of the host for one instance.
pub(crate) struct HostState {
    pub(crate) deadline: Deadline,
    pub(crate) memory: MemoryLimiter,
    pub(crate) log: Log,
    pub(crate) wasi: WasiState,
}

/// State of an instance's WASI functions.
#[derive(Default)]
pub(crate) struct WasiState {
    /// Packet time.
    pub(crate) now: Time,
    /// The number of random numbers that were drawn.
    drawn: u64,
    /// Standard output and standard error: the last line of each, which has no line feed yet.
    pub(crate) lines: [PartialLine; 2],
}

/// The beginning of a line without a line feed yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PartialLine {
    /// At most `MAX_LINE` bytes.
    pub(crate) text: String,
    /// The number of further bytes, which are not kept.
    pub(crate) cut: u64,
}

impl PartialLine {
    /// Bytes of a line that are kept: as many as a plugin is told that it may write at once. The log shows fewer.
    pub(crate) const MAX_LINE: usize = 4_096;

    /// Adds a part of the line. Bytes beyond the limit are counted only, so that an unfinished line needs bounded
    /// memory however much a plugin writes.
    pub(crate) fn push(&mut self, part: &str) {
        // After a cut, later parts do not belong directly behind the text.
        let room = match self.cut {
            0 => Self::MAX_LINE - self.text.len(),
            _ => 0,
        };
        let kept = part.floor_char_boundary(room);
        self.text.push_str(&part[..kept]);
        self.cut += (part.len() - kept) as u64;
    }
}

impl WasiState {
    /// Returns the next random number: SplitMix64 (Steele, Lea, Flood 2014) of a counter, so that the numbers are the
    /// same in every run.
    pub(crate) fn random(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut z = self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl HostState {
    /// Returns the log, which plugins may import.
    pub(crate) fn log(&mut self) -> &mut Log {
        // A plugin that still logs has survived a failed allocation. If the call fails later, its last error line
        // explains more than the memory limit.
        self.memory.refused = None;
        &mut self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_those_of_splitmix64() {
        // The first numbers for the seed 0, from the reference implementation.
        let mut state = WasiState::default();
        let numbers = [0; 3].map(|_| state.random());
        let expected = [
            0xe220_a839_7b1d_cdaf,
            0x6e78_9e6a_a1b9_65f4,
            0x06c4_5d18_8009_454f,
        ];
        assert_eq!(numbers, expected);
    }
}
