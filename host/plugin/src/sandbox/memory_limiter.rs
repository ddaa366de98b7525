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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_up_to_the_limit_is_accepted_and_counted() {
        let mut limiter = MemoryLimiter::new(1_000, 100);
        assert!(limiter.memory_growing(0, 500, None).unwrap());
        assert!(limiter.memory_growing(500, 600, None).unwrap());
        assert_eq!((limiter.used, limiter.refused), (700, None));
        // An element of a table takes 16 bytes of the host.
        assert!(!limiter.table_growing(0, 19, None).unwrap());
        assert_eq!((limiter.used, limiter.refused), (700, Some(1_004)));
        assert!(limiter.table_growing(2, 20, None).unwrap());
        assert_eq!(limiter.used, 988);
        assert!(!limiter.memory_growing(0, usize::MAX, None).unwrap());
        assert_eq!(limiter.refused, Some(usize::MAX));
        assert!(limiter.memory_growing(0, 12, None).unwrap());
        assert!(!limiter.memory_growing(12, 13, None).unwrap());
    }

    #[test]
    fn an_instance_has_few_parts() {
        let limiter = MemoryLimiter::new(0, 0);
        let parts = (limiter.instances(), limiter.tables(), limiter.memories());
        assert_eq!(parts, (32, 32, 4));
    }
}
