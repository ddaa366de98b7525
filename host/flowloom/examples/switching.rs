//! How long a meter waits when a plugin is replaced while packets flow.
//!
//! `cargo run --release --example switching -- CAPTURE PLUGIN` reads the capture again and again while
//! the plugin is replaced by itself 200 times, and prints how long going over to the new version took:
//! the median and the longest, in µs; and how long a batch of packets takes besides, the median.
//! Compiling happens aside, and is not in it.

use std::env;
use std::error::Error;
use std::time::{Duration, Instant};

use flowloom::capture::Files;
use flowloom::plugin::{PluginSpec, Registry, RunContext};
use flowloom::{Meter, Settings};

const SWITCHES: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let (Some(capture), Some(plugin)) = (words.next(), words.next()) else {
        return Err("give CAPTURE and PLUGIN".into());
    };
    let settings = Settings {
        n_dissections: 0,
        // Short, so that flows of earlier versions end: of four at most there are flows.
        idle_timeout: 1,
        active_timeout: 1,
        ..Settings::default()
    };
    let registry = Registry::new(settings.schema())?;
    let spec = PluginSpec::new(plugin);
    registry.load(spec.clone())?;
    registry.begin(RunContext::default())?;
    let (mut switches, mut batches) = (Vec::new(), Vec::new());
    // The version that the meter is to go over to.
    let mut next = None;
    while switches.len() < SWITCHES {
        // Time begins again with the capture, and so do flows.
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
