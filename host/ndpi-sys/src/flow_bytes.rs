//! The memory of `struct ndpi_flow_struct`.

#![allow(unsafe_code, reason = "this is memory of a C library")]

use std::borrow::Cow;
use std::ffi::c_char;
use std::ops::Range;
use std::slice;

use crate::common::RawFlow;
use crate::handle::text;

/// The bytes of a flow.
#[derive(Clone, Copy)]
pub(crate) struct FlowBytes<'a>(&'a [u8]);

impl<'a> FlowBytes<'a> {
    /// Borrows the bytes of a flow.
    ///
    /// # Safety
    ///
    /// The flow has `size` bytes, has been filled with zeros at first, and neither it nor the texts
    /// that it points to change during `'a`.
    pub(crate) unsafe fn of(flow: *const RawFlow, size: usize) -> Self {
        // SAFETY: see above.
        Self(unsafe { slice::from_raw_parts(flow.cast(), size) })
    }

    pub(crate) fn byte(self, at: usize) -> u8 {
        self.0[at]
    }

    /// Returns the text in an array, up to its zero byte if it has one.
    pub(crate) fn array(self, range: Range<usize>) -> Cow<'a, str> {
        let bytes = &self.0[range];
        let len = bytes.iter().position(|&byte| byte == 0);
        String::from_utf8_lossy(&bytes[..len.unwrap_or(bytes.len())])
    }

    /// Returns the number in eight bytes.
    pub(crate) fn number(self, at: usize) -> u64 {
        let bytes = self.0[at..].first_chunk();
        u64::from_ne_bytes(bytes.copied().unwrap_or_default())
    }

    pub(crate) fn pointer(self, at: usize) -> usize {
        self.number(at) as usize
    }

    /// Returns the text that a pointer points to, at most `most` bytes.
    ///
    /// # Safety
    ///
    /// The pointer is null or points to a text that belongs to the flow.
    pub(crate) unsafe fn text(self, at: usize, most: usize) -> Cow<'a, str> {
        let pointer = self.pointer(at) as *const c_char;
        // SAFETY: see above.
        String::from_utf8_lossy(unsafe { text(pointer, most) })
    }
}
