//! Ends a flow after a number of packets.

use std::num::NonZeroU64;

use flowloom_sdk::{Options, Outputs, Plugin};

/// The plugin.
pub struct Slicer {
    limit: u64,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Packets after which a flow ends.
    #[option(default = 20)]
    limit: NonZeroU64,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Packets of the flow.
    packets: i64,
    /// Whether the flow ended because it had `limit` packets.
    sliced: bool,
}

#[flowloom_sdk::plugin]
impl Plugin for Slicer {
    const DESCRIPTION: &'static str = "Ends a flow after a number of packets.";

    type Options = Opts;
    type State = u64;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        Ok(Slicer {
            limit: options.limit.get(),
        })
    }

    fn init(&mut self, _: &(), _: &()) -> u64 {
        1
    }

    fn update(&mut self, packets: &mut u64, _: &(), _: &()) {
        *packets += 1;
    }

    fn cuts_flows(&self) -> bool {
        true
    }

    fn cuts(&self, packets: &u64) -> bool {
        *packets >= self.limit
    }

    fn expire(&mut self, packets: u64, _: &()) -> Out {
        Out {
            packets: packets as i64,
            sliced: packets >= self.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(options: &[(&str, &str)]) -> Result<Slicer, String> {
        let options: Vec<_> = options
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Slicer::open(Opts::parse(&options)?)
    }

    /// Returns the number of packets after which the plugin cuts the flow.
    fn cut_after(plugin: &mut Slicer) -> u64 {
        let mut packets = plugin.init(&(), &());
        while !plugin.cuts(&packets) {
            plugin.update(&mut packets, &(), &());
        }
        packets
    }

    #[test]
    fn a_flow_ends_with_its_last_allowed_packet() {
        let mut plugin = open(&[("limit", "3")]).expect("3 is a limit");
        assert_eq!(cut_after(&mut plugin), 3);
        assert_eq!(
            plugin.expire(3, &()),
            Out {
                packets: 3,
                sliced: true
            }
        );
        assert_eq!(
            plugin.expire(2, &()),
            Out {
                packets: 2,
                sliced: false
            }
        );
    }

    #[test]
    fn a_limit_of_one_cuts_at_the_first_packet() {
        assert_eq!(
            cut_after(&mut open(&[("limit", "1")]).expect("1 is a limit")),
            1
        );
    }

    #[test]
    fn the_default_is_twenty_packets() {
        assert_eq!(
            cut_after(&mut open(&[]).expect("the limit has a default")),
            20
        );
    }

    #[test]
    fn a_limit_of_zero_is_an_error() {
        assert_eq!(
            open(&[("limit", "0")]).err().as_deref(),
            Some(
                "option `limit` must be an integer from 1 to 18446744073709551615, not \"0\"; this \
                 plugin accepts `limit` (an integer from 1 to 18446744073709551615, default 20): \
                 Packets after which a flow ends"
            )
        );
    }
}
