//! Statistics over the packets of a flow: sizes, inter-arrival times, TCP flags.

use super::record::{Direction, Record};

/// What the statistics are over. The numbers are places in arrays.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over {
    Bidirectional = 0,
    Src2Dst = 1,
    Dst2Src = 2,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// By [`Over`].
    sizes: [Spread; 3],
    gaps: [Spread; 3],
    /// By direction, then by the flag's bit in the TCP header.
    flags: [[u64; 8]; 2],
}

/// Least, greatest, mean and standard deviation of some numbers, by Welford's method.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) mean: f64,
    /// Sum of the squared differences from the mean.
    squares: f64,
}

impl Spread {
    /// Adds the `n`-th number, from 1 on.
    #[inline]
    fn add(&mut self, number: u64, n: u64) {
        let x = number as f64;
        if n == 1 {
            *self = Self {
                min: number,
                max: number,
                mean: x,
                squares: 0.0,
            };
            return;
        }
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        let off = x - self.mean;
        self.mean += off / n as f64;
        self.squares += off * (x - self.mean);
    }

    /// Of a sample of `n` numbers; 0 for fewer than two.
    fn stddev(&self, n: u64) -> f64 {
        match n {
            0 | 1 => 0.0,
            n => (self.squares / (n - 1) as f64).sqrt(),
        }
    }
}

impl Statistics {
    /// Adds a packet of the flow, which `record` has not counted yet.
    #[inline]
    pub(crate) fn add(
        &mut self,
        record: &Record,
        direction: Direction,
        time_ms: u64,
        size: u32,
        tcp_flags: u8,
    ) {
        let counters = &record.directions[direction as usize];
        for (over, packets, last_seen_ms) in [
            (
                Over::Bidirectional as usize,
                record.packets(),
                record.last_seen_ms(),
            ),
            (
                1 + direction as usize,
                counters.packets,
                counters.last_seen_ms,
            ),
        ] {
            self.sizes[over].add(size.into(), packets + 1);
            if packets > 0 {
                self.gaps[over].add(time_ms - last_seen_ms, packets);
            }
        }
        // Most packets have one flag or two of the eight.
        let mut rest = tcp_flags;
        while rest != 0 {
            self.flags[direction as usize][rest.trailing_zeros() as usize % 8] += 1;
            rest &= rest - 1;
        }
    }

    /// Reads of every cache line something, so that they are there when the packet is added.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let [sizes, gaps] = [self.sizes, self.gaps].map(|[both, _, back]| both.min ^ back.min);
        sizes ^ gaps ^ self.flags[0][0]
    }

    pub(crate) fn sizes(&self, over: Over) -> &Spread {
        &self.sizes[over as usize]
    }

    pub(crate) fn gaps(&self, over: Over) -> &Spread {
        &self.gaps[over as usize]
    }

    pub(crate) fn size_stddev(&self, record: &Record, over: Over) -> f64 {
        self.sizes(over).stddev(packets(record, over))
    }

    /// There is one gap less than there are packets.
    pub(crate) fn gap_stddev(&self, record: &Record, over: Over) -> f64 {
        self.gaps(over)
            .stddev(packets(record, over).saturating_sub(1))
    }

    /// How many packets had the flag that is this bit of a TCP header.
    pub(crate) fn flag(&self, over: Over, bit: usize) -> u64 {
        let [there, back] = self.flags.map(|flags| flags[bit]);
        match over {
            Over::Bidirectional => there + back,
            Over::Src2Dst => there,
            Over::Dst2Src => back,
        }
    }
}

fn packets(record: &Record, over: Over) -> u64 {
    match over {
        Over::Bidirectional => record.packets(),
        Over::Src2Dst => record.directions[0].packets,
        Over::Dst2Src => record.directions[1].packets,
    }
}
