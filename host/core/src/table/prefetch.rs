//! Memory prefetching. On processors other than x86-64, these functions do nothing.

/// Prefetches the first cache line of a value.
#[inline]
pub(super) fn prefetch<T>(value: &T) {
    line(value, 0);
}

/// Prefetches all cache lines of a value.
///
/// If the value is not aligned to a cache line, its last line may be missing.
#[inline]
pub fn prefetch_all<T>(value: &T) {
    for offset in (0..size_of::<T>()).step_by(64) {
        line(value, offset);
    }
}

/// Prefetches the cache line at `offset` bytes from the start of the value.
#[inline(always)]
fn line<T>(value: &T, offset: usize) {
    let address = std::ptr::from_ref(value).cast::<i8>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch does not change the state of the program. It never faults, even for an invalid
    // address.
    #[allow(unsafe_code, reason = "the prefetch intrinsic is unsafe")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.wrapping_byte_add(offset));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, offset);
}
