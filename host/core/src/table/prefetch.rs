//! Memory that is wanted soon. On processors other than x86-64 nothing is asked for ahead of time.

/// Has the first cache line of a value brought near, without waiting for it.
#[inline]
pub fn prefetch<T>(value: &T) {
    line(value, 0);
}

/// Has the cache lines of a value brought near, without waiting for them: of one that does not begin
/// with a line at least all but the last.
#[inline]
pub fn prefetch_all<T>(value: &T) {
    for at in (0..size_of::<T>()).step_by(64) {
        line(value, at);
    }
}

#[inline(always)]
fn line<T>(value: &T, at: usize) {
    let address = std::ptr::from_ref(value).cast::<i8>();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that a program could see, and never faults.
    #[allow(unsafe_code, reason = "there is no safe way to ask for it")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.wrapping_byte_add(at));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, at);
}
