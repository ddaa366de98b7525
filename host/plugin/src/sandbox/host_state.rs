//! What the host keeps beside an instance.

use flowloom_core::time::Time;

use super::deadline::Deadline;
use super::log::Log;
use super::memory_limiter::MemoryLimiter;

/// What the host keeps beside an instance.
pub(crate) struct HostState {
    pub(crate) deadline: Deadline,
    pub(crate) memory: MemoryLimiter,
    pub(crate) log: Log,
    pub(crate) wasi: WasiState,
}

/// What there is to a plugin's WASI.
#[derive(Default)]
pub(crate) struct WasiState {
    /// Packet time.
    pub(crate) now: Time,
    /// How many random numbers were drawn.
    drawn: u64,
    /// Of standard output and standard error, what does not end in a line feed yet.
    pub(crate) lines: [String; 2],
}

impl WasiState {
    /// SplitMix64 (Steele, Lea, Flood 2014) of how many there were: the same numbers in every run.
    pub(crate) fn random(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let mut z = self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl HostState {
    /// What plugins may import.
    pub(crate) fn log(&mut self) -> &mut Log {
        // Who is refused memory and still has something to say goes on, or says why not.
        self.memory.refused = None;
        &mut self.log
    }
}
