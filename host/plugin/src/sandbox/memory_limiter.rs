//! The memory limit of one instance.

use wasmtime::ResourceLimiter;

/// Counts the memories and tables of one store, and rejects growth beyond the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    max: usize,
    /// Bytes in use.
    pub(crate) used: usize,
    /// The bytes that a rejected request would have led to, for the error.
    pub(crate) refused: Option<usize>,
}

impl MemoryLimiter {
    /// Creates a limiter for `max` bytes, of which `used` are already in use.
    pub(crate) fn new(max: usize, used: usize) -> Self {
        Self {
            max,
            used,
            refused: None,
        }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let fits = used <= self.max;
        if fits {
            self.used = used;
        } else {
            self.refused = Some(used);
        }
        fits
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(current, desired))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        /// Bytes of the host for an element.
        const ELEMENT: usize = 16;
        Ok(self.grow(
            current.saturating_mul(ELEMENT),
            desired.saturating_mul(ELEMENT),
        ))
    }

    /// Returns the maximum number of core instances. Compilers usually produce one or two. Each takes address
    /// space of the host.
    fn instances(&self) -> usize {
        32
    }

    fn tables(&self) -> usize {
        32
    }

    fn memories(&self) -> usize {
        4
    }
}
