//! Regularity of the times at which the source of a flow sends.

use flowloom_sdk::{Direction, Options, Outputs, PacketFields, Plugin};

const TCP: u8 = 6;

/// The minimum number of intervals for a score. Quartiles of fewer intervals are not meaningful.
const LEAST: usize = 3;

/// The maximum of the option `most`.
const MOST: u32 = 100_000;

/// The plugin.
pub struct Beacon {
    /// The option `quiet_ms` in nanoseconds.
    quiet: u64,
    most: u32,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Milliseconds without a packet from the source after which its next packet begins a burst.
    #[option(default = 500)]
    quiet_ms: u32,
    /// Number of intervals per flow to use, 1 to 100000. Later intervals are ignored.
    #[option(default = 1000)]
    most: u32,
}

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet {
    time_ns: u64,
    direction: Direction,
    payload_size: u32,
    protocol: u8,
}

/// The state of a flow.
#[derive(Default)]
pub struct State {
    /// The current burst: the times of its first and its last packet, ns.
    burst: Option<(u64, u64)>,
    bursts: i64,
    /// The times between the beginnings of successive bursts, ms.
    intervals: Vec<f64>,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Number of bursts that the source sent.
    bursts: i64,
    /// Mean time between the beginnings of successive bursts, ms; null for fewer than two bursts.
    mean_ms: Option<f64>,
    /// Median of these times, ms.
    median_ms: Option<f64>,
    /// Coefficient of variation of these times: population standard deviation divided by mean.
    variation: Option<f64>,
    /// Median absolute deviation of these times from their median, ms.
    mad_ms: Option<f64>,
    /// Bowley's skewness of these times, -1 to 1; null for fewer than three times.
    skewness: Option<f64>,
    /// Regularity of these times, 0 to 1; null for fewer than three times.
    score: Option<f64>,
}

#[flowloom_sdk::plugin]
impl Plugin for Beacon {
    const DESCRIPTION: &'static str =
        "Regularity of the times at which the source of a flow sends.";

    type Options = Opts;
    type Packet<'a> = Packet;
    type State = State;
    type Outputs = Out;

    fn open(Opts { quiet_ms, most }: Opts) -> Result<Self, String> {
        if most == 0 || most > MOST {
            return Err(format!(
                "option `most` must be from 1 to {MOST}, not {most}"
            ));
        }
        Ok(Beacon {
            quiet: u64::from(quiet_ms) * 1_000_000,
            most,
        })
    }

    fn init(&mut self, packet: &Packet, flow: &()) -> State {
        let mut state = State::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet, _: &()) {
        // Pure acknowledgements are ignored: the times of the other side determine them.
        let is_acknowledgement = packet.protocol == TCP && packet.payload_size == 0;
        if packet.direction == Direction::Dst2Src || is_acknowledgement {
            return;
        }
        let now = packet.time_ns;
        match &mut state.burst {
            Some((_, last)) if now.saturating_sub(*last) < self.quiet => *last = now,
            burst => {
                state.bursts += 1;
                if let Some((begin, _)) = burst
                    && state.intervals.len() < self.most as usize
                {
                    state.intervals.push((now - *begin) as f64 / 1e6);
                }
                *burst = Some((now, now));
            }
        }
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        let mut times = state.intervals;
        times.sort_unstable_by(f64::total_cmp);
        let mean = mean(times.iter().copied());
        let median = quantile(&times, 0.5);
        let mad = median.and_then(|median| {
            let mut off: Vec<_> = times.iter().map(|time| (time - median).abs()).collect();
            off.sort_unstable_by(f64::total_cmp);
            quantile(&off, 0.5)
        });
        let skewness = (times.len() >= LEAST).then(|| skewness(&times)).flatten();
        Out {
            bursts: state.bursts,
            mean_ms: mean,
            median_ms: median,
            variation: mean.filter(|mean| *mean > 0.0).and_then(|mean| {
                let squares = times.iter().map(|time| (time - mean).powi(2));
                Some(self::mean(squares)?.sqrt() / mean)
            }),
            mad_ms: mad,
            skewness,
            score: skewness
                .zip(mad)
                .zip(median)
                .map(|((skewness, mad), median)| {
                    let steadiness = if median > 0.0 {
                        (1.0 - mad / median).max(0.0)
                    } else {
                        0.0
                    };
                    (1.0 - skewness.abs() + steadiness) / 2.0
                }),
        }
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

/// Returns a quantile of sorted values, by linear interpolation between neighbours. `None` without values.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// Returns Bowley's skewness, -1 to 1. It is 0 if both quartiles are equal.
fn skewness(sorted: &[f64]) -> Option<f64> {
    let (low, median, high) = (
        quantile(sorted, 0.25)?,
        quantile(sorted, 0.5)?,
        quantile(sorted, 0.75)?,
    );
    Some(match high - low {
        0.0 => 0.0,
        width => (low + high - 2.0 * median) / width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Dst2Src, Src2Dst};

    /// Runs the plugin for TCP packets, given by time in ms, direction and payload size.
    fn run(most: u32, packets: &[(u64, Direction, u32)]) -> Out {
        let opts = Opts {
            quiet_ms: 500,
            most,
        };
        let mut plugin = Beacon::open(opts).expect("most is in range");
        let mut packets = packets.iter().map(|&(ms, direction, payload_size)| Packet {
            time_ns: ms * 1_000_000,
            direction,
            payload_size,
            protocol: TCP,
        });
        let first = packets.next().expect("a flow has a packet");
        let mut state = plugin.init(&first, &());
        for packet in packets {
            plugin.update(&mut state, &packet, &());
        }
        plugin.expire(state, &())
    }

    #[test]
    fn regular_bursts_have_score_one() {
        // A SYN, then every ten seconds a request of two packets, a response, and an acknowledgement.
        let mut packets = vec![(0, Src2Dst, 0)];
        for n in 1..=6 {
            let begin = n * 10_000;
            packets.extend([
                (begin, Src2Dst, 40),
                (begin + 400, Src2Dst, 40),
                (begin + 600, Dst2Src, 900),
                (begin + 5_000, Src2Dst, 0),
            ]);
        }
        let out = run(1000, &packets);
        assert_eq!(
            (out.bursts, out.mean_ms, out.median_ms),
            (6, Some(10_000.0), Some(10_000.0))
        );
        assert_eq!((out.variation, out.mad_ms), (Some(0.0), Some(0.0)));
        assert_eq!((out.skewness, out.score), (Some(0.0), Some(1.0)));
        assert_eq!(run(2, &packets).score, None);
    }

    #[test]
    fn values_match_the_definitions() {
        // Intervals of 1, 2, 3 and 10 seconds.
        let packets = [0, 1_000, 3_000, 6_000, 16_000].map(|ms| (ms, Src2Dst, 1));
        let out = run(1000, &packets);
        assert_eq!((out.mean_ms, out.median_ms), (Some(4_000.0), Some(2_500.0)));
        // Quartiles 1.75 and 4.75 s; deviations 0.5, 0.5, 1.5 and 7.5 s.
        assert_eq!((out.skewness, out.mad_ms), (Some(0.5), Some(1_000.0)));
        assert_eq!(out.score, Some((0.5 + 0.6) / 2.0));
        assert_eq!(out.variation, Some((12.5_f64 * 1e6).sqrt() / 4_000.0));
    }

    #[test]
    fn one_burst_has_no_intervals() {
        let out = run(
            1000,
            &[(0, Src2Dst, 1), (499, Src2Dst, 1), (998, Src2Dst, 1)],
        );
        assert_eq!((out.bursts, out.mean_ms, out.score), (1, None, None));
        assert_eq!(run(1000, &[(0, Src2Dst, 0)]).bursts, 0);
        let out = run(1000, &[(0, Src2Dst, 1), (500, Src2Dst, 1)]);
        assert_eq!(
            (out.bursts, out.mean_ms, out.skewness),
            (2, Some(500.0), None)
        );
    }
}
