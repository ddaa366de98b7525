//! Measures how long a meter waits when a plugin is replaced during a run.
//!
//! Usage: `cargo run --release -p flowloom --example switching -- CAPTURE PLUGIN`
//!
//! The example reads the capture repeatedly and replaces the plugin by itself 200 times. It prints the median
//! and the maximum time of a switch to the new generation, and the median time to meter a block of packets. All
//! times are in µs. The time to compile the plugin is not included.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use flowloom::capture::Files;
use flowloom::plugin::{PluginSpec, Registry, RunContext};
use flowloom::{Meter, Settings};

/// The number of switches to measure.
const SWITCHES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(capture), Some(plugin)) = (args.next(), args.next()) else {
        return Err("usage: switching CAPTURE PLUGIN".into());
    };
    let mut settings = Settings::default();
    settings.n_dissections = 0;
    // Short, so that flows of earlier generations end. At most four generations can have live flows.
    settings.idle_timeout = 1;
    settings.active_timeout = 1;
    let registry = Registry::new(settings.schema())?;
    let spec = PluginSpec::new(plugin);
    registry.load(spec.clone())?;
    registry.begin(RunContext::default())?;
    let (mut switches, mut batches) = (Vec::new(), Vec::new());
    // The set of plugins that the meter has yet to switch to.
    let mut next = None;
    while switches.len() < SWITCHES {
        // Packet time starts again with the capture, so each pass needs a new meter.
        let mut meter = Meter::new(settings, registry.set().plugins())?;
        let mut files = Files::open([&capture])?;
        while let Some(packets) = files.read()? {
            if next.is_none() && switches.len() < SWITCHES {
                registry.replace(spec.clone())?;
                next = Some(registry.set());
            }
            let start = Instant::now();
            let is_done = next.as_ref().is_some_and(|set| meter.set_plugins(set));
            let waited = start.elapsed();
            meter.push(packets.iter());
            batches.push(start.elapsed().saturating_sub(waited));
            if is_done {
                switches.push(waited);
                next = None;
            }
            while meter.next_flow().is_some() {}
        }
    }
    switches.sort_unstable();
    batches.sort_unstable();
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    println!("switches {}", switches.len());
    println!("median_us {:.1}", us(switches[switches.len() / 2]));
    println!("longest_us {:.1}", us(switches[switches.len() - 1]));
    println!("batch_us {:.1}", us(batches[batches.len() / 2]));
    Ok(())
}
