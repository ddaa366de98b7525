//! Numbers that look random and are the same in every run.

/// SplitMix64 (Steele, Lea, Flood 2014): a counter and a mixer, so that the n-th number of a seed
/// can also be had without those before it.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Random(mix(seed ^ STEP))
    }

    /// Numbers that belong to one thing of a seed: its flow of that number, say.
    pub fn of(seed: u64, number: u64) -> Self {
        Random(mix(mix(seed ^ STEP).wrapping_add(number.wrapping_mul(STEP))))
    }

    /// The next one.
    #[allow(clippy::should_implement_trait, reason = "there is no end to it")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// One below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// One from 0 to 1, 1 excluded.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Zipf's distribution: the k-th of `len` things comes up in proportion to 1/k^exponent.
#[derive(Debug)]
pub struct Zipf {
    /// Sums of the weights.
    sums: Vec<f64>,
}

impl Zipf {
    /// Over `len` things, at least one.
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

    /// The number of one of them, from 0 on.
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
    fn the_first_comes_up_twice_as_often_as_the_second() {
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
