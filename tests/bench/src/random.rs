//! Pseudorandom numbers, which are the same in every run.

/// SplitMix64 (Steele, Lea, Flood 2014), which is a counter and a mixing function.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// Creates a generator from a seed.
    pub fn new(seed: u64) -> Self {
        Random(mix(seed ^ STEP))
    }

    /// Creates a generator for one item of a seed, for example for the flow with this number.
    pub fn of(seed: u64, number: u64) -> Self {
        Random(mix(mix(seed ^ STEP).wrapping_add(number.wrapping_mul(STEP))))
    }

    /// Returns the next number.
    #[allow(clippy::should_implement_trait, reason = "the sequence is infinite")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Returns a number of at least 0 and less than 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Zipf's distribution: the probability of the k-th of `len` items is proportional to 1/k^exponent.
#[derive(Debug)]
pub struct Zipf {
    /// The cumulative weights.
    sums: Vec<f64>,
}

impl Zipf {
    /// Creates the distribution for `len` items, at least one.
    pub fn new(len: u64, exponent: f64) -> Self {
        let weights = (1..=len.max(1)).map(|k| (k as f64).powf(-exponent));
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Zipf {
            sums: sums.collect(),
        }
    }

    /// Returns the index of a random item.
    pub fn draw(&self, random: &mut Random) -> u64 {
        let at = random.unit() * self.sums[self.sums.len() - 1];
        self.sums.partition_point(|&sum| sum <= at) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next(), random.below(10)]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert_ne!(Random::of(1, 1).next(), Random::of(1, 2).next());
    }

    #[test]
    fn the_first_item_is_twice_as_frequent_as_the_second() {
        let (zipf, mut random) = (Zipf::new(1000, 1.0), Random::new(1));
        let mut counts = vec![0_u32; 1000];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut random) as usize] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[1]);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        assert!(counts[999] > 0);
    }
}
