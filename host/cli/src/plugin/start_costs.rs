//! What a plugin costs before its first event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flowloom::plugin::Plugin;
use flowloom::{Meter, Settings};

use super::super::exit::Failure;

/// The costs of a plugin before its first event.
pub(super) struct StartCosts {
    /// Size of the component, bytes.
    file: usize,
    /// Time to compile the plugin and to open the first instance.
    load: Duration,
    /// Time to open a further instance, as each metering thread does.
    open: Duration,
    /// Memory of an open instance, bytes.
    memory: usize,
}

impl StartCosts {
    pub(super) fn measure(
        plugin: &Arc<Plugin>,
        load: Duration,
        settings: Settings,
    ) -> Result<Self, Failure> {
        // nDPI takes longest to start. It is not needed, because there are no packets.
        let mut settings = settings;
        settings.n_dissections = 0;
        let meter = |plugins: &[Arc<Plugin>]| {
            let start = Instant::now();
            let meter = Meter::new(settings, plugins).map_err(Failure::failed)?;
            Ok((start.elapsed(), meter))
        };
        // The first meter uses the instance that loading has opened.
        let (_, first) = meter(std::slice::from_ref(plugin))?;
        let memory = first.plugins().first().map_or(0, |report| report.memory);
        // Subtracts the time that the rest of a meter takes.
        let (mut without, mut with) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            without = without.min(meter(&[])?.0);
            with = with.min(meter(std::slice::from_ref(plugin))?.0);
        }
        Ok(Self {
            file: plugin.component_bytes(),
            load,
            open: with.saturating_sub(without),
            memory,
        })
    }
}

impl std::fmt::Display for StartCosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes; loaded in {:.1?}; further instance in {:.1?}; {} KiB of memory",
            self.file,
            self.load,
            self.open,
            self.memory / 1024
        )
    }
}
