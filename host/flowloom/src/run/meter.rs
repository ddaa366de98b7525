//! A meter with plugins and dissection.

use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::link_type::{LinkType, RawPacket};
use flowloom_core::meter::{
    self as core, Boundary, Counters, Extension as _, MeterWorker, OverloadLevel, Settings,
};
use flowloom_core::record::KeyHasher;
use flowloom_core::schema::Schema;
use flowloom_core::time::Time;
use flowloom_plugin::{Plugin, PluginDispatcher, PluginError, PluginReport, PluginSet};

use crate::dissect::{DissectError, Dissector, NdpiFiles};

/// The worker of a meter with plugins and dissection.
pub(crate) type Worker = MeterWorker<PluginDispatcher, Dissector>;

/// Why there is no meter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeterError {
    /// A plugin cannot be opened.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Flows cannot be dissected.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// The system does not start a thread.
    #[error("the system does not start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// Meters packets into flows.
///
/// ```
/// use flowloom::capture::{LinkType, RawPacket};
/// use flowloom::{Meter, Settings, Time};
///
/// # fn main() -> Result<(), flowloom::MeterError> {
/// let mut meter = Meter::new(Settings::default(), &[])?;
/// // An IPv4 packet without anything in it, protocol 255.
/// let data = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
/// meter.push([RawPacket { time: Time::EPOCH, link: LinkType(101), wire_len: 20, data }]);
/// let mut flows = meter.finish();
/// let flow = flows.next().expect("a flow");
/// assert_eq!(flow.id(), 0);
/// assert_eq!(flows.counters().metered, 1);
/// # Ok(())
/// # }
/// ```
pub struct Meter(core::Meter<PluginDispatcher, Dissector>);

/// Opens the instances of plugins and the dissector of one of `meters` meters.
fn open(
    settings: &Settings,
    meters: usize,
    plugins: &PluginSet,
    files: &NdpiFiles,
) -> Result<(PluginDispatcher, Option<Dissector>), MeterError> {
    let dissector = Dissector::new(
        settings.n_dissections,
        files,
        plugins.show_live_application(),
    )?;
    let dispatcher = PluginDispatcher::open(plugins, settings.flow_bytes(meters))?;
    Ok((dispatcher, dissector))
}

/// Makes one of `meters` workers.
pub(crate) fn worker(
    settings: &Settings,
    hasher: KeyHasher,
    meters: usize,
    plugins: &PluginSet,
    files: &NdpiFiles,
) -> Result<Worker, MeterError> {
    let (dispatcher, dissector) = open(settings, meters, plugins, files)?;
    Ok(MeterWorker::new(
        settings, hasher, meters, dispatcher, dissector,
    ))
}

/// Shows flows that begin with the packet of this ordinal, or later, to these plugins. Returns whether that
/// was done; if not, ask again later.
pub(crate) fn switch(worker: &mut Worker, plugins: &PluginSet, ordinal: u64) -> bool {
    let (dispatcher, dissector, ready) = worker.parts();
    let done = dispatcher.switch(plugins, ordinal, ready);
    if done && let Some(dissector) = dissector {
        dissector.show(plugins.show_live_application());
    }
    done
}

impl Meter {
    /// Makes a meter with its own instance of each plugin.
    ///
    /// # Errors
    ///
    /// A plugin cannot be opened, or flows cannot be dissected.
    pub fn new(settings: Settings, plugins: &[Arc<Plugin>]) -> Result<Self, MeterError> {
        Self::with_ndpi_files(settings, plugins, &NdpiFiles::default())
    }

    /// Makes a meter that also knows the protocols and categories of these files.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_ndpi_files(
        settings: Settings,
        plugins: &[Arc<Plugin>],
        files: &NdpiFiles,
    ) -> Result<Self, MeterError> {
        let set = PluginSet::new(&settings.schema(), plugins);
        Self::with_set(settings, &set, files)
    }

    pub(crate) fn with_set(
        settings: Settings,
        plugins: &PluginSet,
        files: &NdpiFiles,
    ) -> Result<Self, MeterError> {
        let (dispatcher, dissector) = open(&settings, 1, plugins, files)?;
        Ok(Self(core::Meter::with(&settings, dispatcher, dissector)))
    }

    /// Gives packets the ordinals `first`, `first + step` and so on.
    pub(crate) fn count_from(&mut self, first: u64, step: u64) {
        self.0.count_from(first, step);
    }

    /// Shows flows that begin from now on to another set of plugins, for example that of a
    /// [`Registry`](crate::plugin::Registry). Flows that have begun keep their plugins. After 60 s of packet
    /// time, plugins that were replaced are stopped, and their values are null.
    ///
    /// Returns `false` and does nothing where four generations of a plugin have live flows: ask again later.
    pub fn set_plugins(&mut self, plugins: &PluginSet) -> bool {
        let ordinal = self.0.next_ordinal();
        let (dispatcher, dissector, ready) = self.0.parts();
        let done = dispatcher.switch(plugins, ordinal, ready);
        if done && let Some(dissector) = dissector {
            dissector.show(plugins.show_live_application());
        }
        done
    }

    /// Returns the columns of flows that begin now.
    pub fn schema(&self) -> &Arc<Schema> {
        self.0.extension().schema()
    }

    /// Meters some packets, in this order.
    pub fn push<'a>(&mut self, packets: impl IntoIterator<Item = RawPacket<'a>>) {
        self.0.push(packets);
    }

    /// Lets time pass without packets: flows that are idle by then end, and plugins get the events that wait.
    /// Later packets may have earlier times.
    pub fn advance(&mut self, now: Time) {
        self.0.advance(now);
    }

    /// Gives plugins the events that wait: call it when no packet may come for a while.
    pub fn flush(&mut self) {
        self.0.flush();
    }

    /// Sets the overload level, for a source that loses packets when they are not metered quickly enough.
    pub fn set_overload(&mut self, level: OverloadLevel) {
        self.0.set_overload(level);
    }

    /// Returns how many flows were not dissected because of overload.
    pub fn undissected(&self) -> u64 {
        self.0.undissected()
    }

    /// Ends all flows, and returns those that were not taken yet.
    pub fn finish(mut self) -> FinishedMeter {
        self.end();
        FinishedMeter(self)
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then returns. No packet may come afterwards.
    pub(crate) fn end(&mut self) {
        self.0.finish();
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then returns. Once it has returned the last one,
    /// state begins anew as the boundary says. Until then nothing may be pushed.
    pub(crate) fn cross(&mut self, boundary: Boundary) {
        self.0.cross(boundary);
    }

    /// Returns the next flow that has ended.
    ///
    /// Flows come in the order of the packets that ended them. Of those that one packet ended, the flows that
    /// it does not belong to come first, in the order of their ids.
    pub fn next_flow(&mut self) -> Option<Flow> {
        self.0.next_flow()
    }

    /// Returns the counters of packets and flows so far.
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }

    /// Returns the link types of packets that were ignored because of their link type.
    pub fn unknown_links(&self) -> &[LinkType] {
        self.0.unknown_links()
    }

    /// Returns the reports of the plugins so far.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.0.extension().reports()
    }

    /// Returns how many flows are live.
    pub fn live_flows(&self) -> usize {
        self.0.live_flows()
    }

    /// Returns the bytes that the flow table and the dissector hold for live flows.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}

/// A meter that gets no more packets: the flows that are left.
///
/// [`counters`](Self::counters) and [`plugins`](Self::plugins) are complete when the last flow was taken.
pub struct FinishedMeter(Meter);

impl FinishedMeter {
    /// Returns the counters of packets and flows.
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }

    /// Returns the reports of the plugins.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.0.plugins()
    }
}

/// The flows come in the order of [`Meter::next_flow`].
impl Iterator for FinishedMeter {
    type Item = Flow;

    fn next(&mut self) -> Option<Flow> {
        self.0.next_flow()
    }
}
