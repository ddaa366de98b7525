//! A plugin with a bug, as an author could make it. It panics in the function that `at` names, after `unharmed` calls
//! without a panic.

use flowloom_sdk::{Options, Outputs, Plugin};

/// The plugin.
pub struct Panics {
    at: String,
    left: u64,
}

/// The options.
#[derive(Options)]
pub struct Opts {
    /// The function that panics: open, init, update, expire or finish.
    at: String,
    /// The number of calls of this function before the panic.
    #[option(default = 0)]
    unharmed: u64,
}

/// The outputs.
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

#[flowloom_sdk::plugin]
impl Plugin for Panics {
    const DESCRIPTION: &'static str = "Panics.";

    type Options = Opts;
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
