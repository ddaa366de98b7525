//! A plugin with a mistake, as its authors make them: it panics in the function that `at` names, at
//! the n-th packet or flow that gets there.

use flowloom_sdk::{Options, Outputs, Plugin};

/// The plugin.
pub struct Panics {
    at: String,
    left: u64,
}

/// What the operator may set.
#[derive(Options)]
pub struct Opts {
    /// Where: open, init, update, expire or finish.
    at: String,
    /// How many get there unharmed.
    #[option(default = 0)]
    unharmed: u64,
}

/// What it adds to a flow.
#[derive(Outputs)]
pub struct Out {
    /// Packets of the flow.
    packets: i64,
}

impl Panics {
    fn reach(&mut self, place: &str) {
        if self.at == place {
            self.left = self.left.checked_sub(1).expect("one more than expected");
        }
    }
}

impl Plugin for Panics {
    const DESCRIPTION: &'static str = "Panics.";

    type Options = Opts;
    type Packet<'a> = ();
    type AtInit<'a> = ();
    type AtUpdate<'a> = ();
    type AtExpire<'a> = ();
    type State = i64;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        let mut plugin = Panics {
            at: options.at,
            left: options.unharmed,
        };
        plugin.reach("open");
        Ok(plugin)
    }

    fn init(&mut self, _: &(), _: &()) -> i64 {
        self.reach("init");
        1
    }

    fn update(&mut self, packets: &mut i64, _: &(), _: &()) {
        self.reach("update");
        *packets += 1;
    }

    fn expire(&mut self, packets: i64, _: &()) -> Out {
        self.reach("expire");
        Out { packets }
    }

    fn finish(&mut self) {
        self.reach("finish");
    }
}

flowloom_sdk::export!(Panics);
