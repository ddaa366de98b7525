//! The sizes of the blocks that captures are read in.

/// The bytes that one read requests.
///
/// It is large enough that the cost of the system call per packet is negligible. It is small enough
/// that the packets are still in the CPU cache when the meter processes them.
pub(crate) const SIZE: usize = if cfg!(fuzzing) { 64 } else { 512 << 10 };

/// The bytes before the data of a block that was read before its turn. The rest of the previous
/// block, a part of a record, is copied there.
pub(crate) const HEADROOM: usize = if cfg!(fuzzing) { 16 } else { 64 << 10 };
