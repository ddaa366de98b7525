//! The memory of one instance.

use wasmtime::ResourceLimiter;

/// Memory and tables of one store.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    most: usize,
    pub(crate) used: usize,
    /// What was asked for in vain, for the message.
    pub(crate) refused: Option<usize>,
}

impl MemoryLimiter {
    /// One for `most` bytes, of which so many are `used` already.
    pub(crate) fn new(most: usize, used: usize) -> Self {
        Self {
            most,
            used,
            refused: None,
        }
    }

    fn grow(&mut self, current: usize, desired: usize) -> bool {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let fits = used <= self.most;
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
        const ELEMENT: usize = 16;
        Ok(self.grow(
            current.saturating_mul(ELEMENT),
            desired.saturating_mul(ELEMENT),
        ))
    }

    /// A component of an ordinary language has one or two; each costs the host address space.
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
