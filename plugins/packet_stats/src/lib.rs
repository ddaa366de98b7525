//! Count, mean, standard deviation, minimum and maximum of a flow's packet sizes, for each direction.

mod spread;

use flowloom_sdk::{Direction, Outputs, PacketFields, Plugin};

use crate::spread::Spread;

/// The plugin.
pub struct PacketStats;

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet {
    direction: Direction,
    ip_size: u32,
}

/// The state of a flow.
#[derive(Default)]
pub struct Sizes {
    /// By direction. Indexing is faster than a branch on the direction, which is hard to predict.
    directions: [Spread; 2],
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Packets from source to destination.
    src2dst_count: i64,
    /// Mean of their ip_size, bytes.
    src2dst_mean: Option<f64>,
    /// Sample standard deviation of their ip_size, bytes; 0 for one packet.
    src2dst_stddev: Option<f64>,
    /// Minimum of their ip_size, bytes.
    src2dst_min: Option<u32>,
    /// Maximum of their ip_size, bytes.
    src2dst_max: Option<u32>,
    /// Packets from destination to source.
    dst2src_count: i64,
    /// Mean of their ip_size, bytes.
    dst2src_mean: Option<f64>,
    /// Sample standard deviation of their ip_size, bytes; 0 for one packet.
    dst2src_stddev: Option<f64>,
    /// Minimum of their ip_size, bytes.
    dst2src_min: Option<u32>,
    /// Maximum of their ip_size, bytes.
    dst2src_max: Option<u32>,
}

#[flowloom_sdk::plugin]
impl Plugin for PacketStats {
    const DESCRIPTION: &'static str =
        "Count, mean, standard deviation, minimum and maximum of packet sizes, for each direction.";

    type Packet<'a> = Packet;
    type State = Sizes;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(PacketStats)
    }

    fn init(&mut self, packet: &Packet, flow: &()) -> Sizes {
        let mut sizes = Sizes::default();
        self.update(&mut sizes, packet, flow);
        sizes
    }

    fn update(&mut self, sizes: &mut Sizes, packet: &Packet, _: &()) {
        sizes.directions[packet.direction as usize].add(packet.ip_size);
    }

    fn expire(&mut self, sizes: Sizes, _: &()) -> Out {
        let [src2dst, dst2src] = sizes.directions;
        Out {
            src2dst_count: src2dst.count(),
            src2dst_mean: src2dst.mean(),
            src2dst_stddev: src2dst.stddev(),
            src2dst_min: src2dst.min(),
            src2dst_max: src2dst.max(),
            dst2src_count: dst2src.count(),
            dst2src_mean: dst2src.mean(),
            dst2src_stddev: dst2src.stddev(),
            dst2src_min: dst2src.min(),
            dst2src_max: dst2src.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(packets: &[(Direction, u32)]) -> Out {
        let mut plugin = PacketStats;
        let mut packets = packets
            .iter()
            .map(|&(direction, ip_size)| Packet { direction, ip_size });
        let first = packets.next().expect("a flow has a packet");
        let mut sizes = plugin.init(&first, &());
        for packet in packets {
            plugin.update(&mut sizes, &packet, &());
        }
        plugin.expire(sizes, &())
    }

    #[test]
    fn directions_are_counted_separately() {
        use Direction::{Dst2Src, Src2Dst};
        let out = run(&[
            (Src2Dst, 40),
            (Dst2Src, 1500),
            (Src2Dst, 60),
            (Dst2Src, 1500),
            (Src2Dst, 20),
        ]);
        assert_eq!(
            out,
            Out {
                src2dst_count: 3,
                src2dst_mean: Some(40.0),
                src2dst_stddev: Some(20.0),
                src2dst_min: Some(20),
                src2dst_max: Some(60),
                dst2src_count: 2,
                dst2src_mean: Some(1500.0),
                dst2src_stddev: Some(0.0),
                dst2src_min: Some(1500),
                dst2src_max: Some(1500),
            }
        );
    }

    #[test]
    fn one_packet_has_deviation_zero_and_no_packet_has_nulls() {
        let out = run(&[(Direction::Src2Dst, 52)]);
        assert_eq!((out.src2dst_count, out.src2dst_stddev), (1, Some(0.0)));
        assert_eq!((out.src2dst_min, out.src2dst_max), (Some(52), Some(52)));
        assert_eq!(
            (out.dst2src_count, out.dst2src_mean, out.dst2src_stddev),
            (0, None, None)
        );
        assert_eq!((out.dst2src_min, out.dst2src_max), (None, None));
    }

    #[test]
    fn large_sizes_do_not_cancel_out() {
        // The largest size that an IP header can declare.
        let base = 65_575 - 2;
        let out = run(&[
            (Direction::Src2Dst, base),
            (Direction::Src2Dst, base + 1),
            (Direction::Src2Dst, base + 2),
        ]);
        assert_eq!(out.src2dst_mean, Some(f64::from(base) + 1.0));
        assert_eq!(out.src2dst_stddev, Some(1.0));
    }
}
