//! Misspelt types and methods of a plugin.

use flowloom_sdk::{Options, Outputs, Plugin};

#[derive(Options)]
struct Opts {
    /// Packets to count.
    least: i64,
}

#[derive(Outputs)]
struct Out {
    /// Packets of the flow.
    packets: i64,
}

struct Count;

#[flowloom_sdk::plugin]
impl Plugin for Count {
    const DESCRIPTION: &'static str = "Counts packets.";
    type Optoins = Opts;
    type State = i64;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        let _ = options.least;
        Ok(Count)
    }

    fn init(&mut self, _: &(), _: &()) -> i64 {
        1
    }

    fn udpate(&mut self, packets: &mut i64, _: &(), _: &()) {
        *packets += 1;
    }

    fn expire(&mut self, packets: i64, _: &()) -> Out {
        Out { packets }
    }

    fn finsh(&mut self) {}
}

fn main() {}
