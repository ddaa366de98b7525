//! Count, mean, standard deviation, minimum and maximum of sizes.

/// Statistics of the sizes added so far. The sums are integers, and therefore exact.
pub(crate) struct Spread {
    count: u64,
    sum: u64,
    /// The sum of the squares. 64 bits are enough for four billion packets of the largest size that an IP
    /// header can declare. A smaller state allows more flows, and more of them fit into the CPU cache.
    squares: u64,
    min: u32,
    max: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Spread {
            count: 0,
            sum: 0,
            squares: 0,
            min: u32::MAX,
            max: 0,
        }
    }
}

impl Spread {
    pub(crate) fn add(&mut self, size: u32) {
        self.count += 1;
        self.sum += u64::from(size);
        self.squares = self
            .squares
            .saturating_add(u64::from(size) * u64::from(size));
        self.min = self.min.min(size);
        self.max = self.max.max(size);
    }

    pub(crate) fn count(&self) -> i64 {
        self.count as i64
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    pub(crate) fn stddev(&self) -> Option<f64> {
        match self.count {
            0 => None,
            1 => Some(0.0),
            count => {
                // The variance multiplied by count * (count - 1). For most flows it fits into 64 bits, the
                // largest integers of WebAssembly.
                let spread = match (u32::try_from(self.squares), u32::try_from(self.sum)) {
                    (Ok(squares), Ok(sum)) if count < 1 << 32 => {
                        (count * u64::from(squares) - u64::from(sum) * u64::from(sum)) as f64
                    }
                    _ => {
                        let [count, sum, squares] = [count, self.sum, self.squares].map(u128::from);
                        (count * squares).saturating_sub(sum * sum) as f64
                    }
                };
                Some((spread / (count as f64 * (count - 1) as f64)).sqrt())
            }
        }
    }

    pub(crate) fn min(&self) -> Option<u32> {
        (self.count > 0).then_some(self.min)
    }

    pub(crate) fn max(&self) -> Option<u32> {
        (self.count > 0).then_some(self.max)
    }
}
