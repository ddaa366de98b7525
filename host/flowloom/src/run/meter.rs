//! A meter with plugins and dissection.

use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::link_type::{LinkType, RawPacket};
use flowloom_core::meter::{
    self as core, Boundary, Counters, Extension as _, MeterWorker, OverloadLevel, Part, Settings,
};
use flowloom_core::record::KeyHasher;
use flowloom_core::schema::Schema;
use flowloom_core::time::Time;
use flowloom_plugin::{Plugin, PluginDispatcher, PluginError, PluginReport, PluginSet};

use super::observer::{FlowExtension, FlowObserver};
use crate::dissect::{DissectError, Dissector, Ndpi, NdpiConfig};

/// The worker of a meter with plugins and dissection.
pub(crate) type Worker = MeterWorker<PluginDispatcher, Dissector>;

/// The reason why a meter cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeterError {
    /// An instance of a plugin cannot be opened.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Flows cannot be dissected.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// The system refuses to start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// Assigns packets to flows, with plugins and dissection.
///
/// A meter is for packets that a program already has. A [`Streamer`](crate::Streamer) also reads captures.
/// The meter reads no clock: time is the time of packets. A packet with an earlier time than its predecessor
/// gets the time of that predecessor.
///
/// # Examples
///
/// ```
/// use flowloom::capture::{LinkType, RawPacket};
/// use flowloom::{Meter, Settings, Time};
///
/// # fn main() -> Result<(), flowloom::MeterError> {
/// let mut meter = Meter::new(Settings::default(), &[])?;
/// // An IPv4 packet without payload, protocol 255. Link type 101 is raw IP.
/// let data = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
/// meter.push([RawPacket { time: Time::EPOCH, link: LinkType(101), wire_len: 20, data }]);
/// let mut flows = meter.finish();
/// let flow = flows.next().expect("the packet belongs to a flow");
/// assert_eq!(flow.id(), 0);
/// assert_eq!(flows.counters().metered, 1);
/// # Ok(())
/// # }
/// ```
pub struct Meter(core::Meter<FlowExtension, Dissector>);

/// Opens the plugin instances and the dissector of one of `meters` meters.
fn open(
    settings: &Settings,
    meters: usize,
    plugins: &PluginSet,
    ndpi: Option<&Ndpi>,
) -> Result<(PluginDispatcher, Option<Dissector>), MeterError> {
    let shows_live = plugins.show_live_application();
    let dissector = match ndpi {
        Some(ndpi) => Dissector::new(ndpi, settings.n_dissections, shows_live)?,
        None => None,
    };
    let dispatcher = PluginDispatcher::open(plugins, settings.flow_bytes(meters))?;
    Ok((dispatcher, dissector))
}

/// Creates the worker of one of `meters` meters. All of them must have the same `hasher`.
pub(crate) fn worker(
    settings: &Settings,
    hasher: KeyHasher,
    meters: usize,
    plugins: &PluginSet,
    ndpi: Option<&Ndpi>,
) -> Result<Worker, MeterError> {
    let (dispatcher, dissector) = open(settings, meters, plugins, ndpi)?;
    Ok(MeterWorker::new(
        settings, hasher, meters, dispatcher, dissector,
    ))
}

/// Switches to another set of plugins, for flows that begin with the packet `ordinal` or later.
///
/// Returns whether the switch was done. It is not done if a plugin has too many generations with live flows;
/// the caller then tries again later.
pub(crate) fn switch(worker: &mut Worker, plugins: &PluginSet, ordinal: u64) -> bool {
    let (dispatcher, dissector, ready) = worker.parts_mut();
    let done = dispatcher.switch(plugins, ordinal, ready);
    if done && let Some(dissector) = dissector {
        dissector.show(plugins.show_live_application());
    }
    done
}

impl Meter {
    /// Creates a meter with its own instance of each plugin.
    ///
    /// # Errors
    ///
    /// Fails if an instance of a plugin cannot be opened, or if flows cannot be dissected: without nDPI,
    /// [`n_dissections`](Settings::n_dissections) must be 0.
    pub fn new(settings: Settings, plugins: &[Arc<Plugin>]) -> Result<Self, MeterError> {
        let ndpi = match settings.n_dissections {
            0 => None,
            _ => Some(Ndpi::load(&NdpiConfig::default())?),
        };
        let set = PluginSet::new(&settings.schema(), plugins);
        Self::with_set(settings, &set, ndpi.as_ref())
    }

    /// Creates a meter whose dissector uses this nDPI.
    ///
    /// # Errors
    ///
    /// Fails for the reasons of [`new`](Self::new).
    pub fn with_ndpi(
        settings: Settings,
        plugins: &[Arc<Plugin>],
        ndpi: &Ndpi,
    ) -> Result<Self, MeterError> {
        let set = PluginSet::new(&settings.schema(), plugins);
        Self::with_set(settings, &set, Some(ndpi))
    }

    pub(crate) fn with_set(
        settings: Settings,
        plugins: &PluginSet,
        ndpi: Option<&Ndpi>,
    ) -> Result<Self, MeterError> {
        let (dispatcher, dissector) = open(&settings, 1, plugins, ndpi)?;
        let extension = FlowExtension::from(dispatcher);
        Ok(Self(core::Meter::with(&settings, extension, dissector)))
    }

    /// Sets the observer of all flows, whose columns the schema has.
    pub(crate) fn set_observer(&mut self, observer: Box<dyn FlowObserver>) {
        let (extension, dissector, _) = self.0.parts_mut();
        if let Some(dissector) = dissector {
            dissector.show(observer.reads_live_applications());
        }
        extension.observer = Some(observer);
    }

    /// Restricts the run to a part of a larger one. No packet may have been pushed.
    pub(crate) fn set_part(&mut self, part: Part) {
        self.0.set_part(part);
    }

    /// Sets the ordinals of packets to `first`, `first + step`, and so on.
    pub(crate) fn set_ordinals(&mut self, first: u64, step: u64) {
        self.0.set_ordinals(first, step);
    }

    /// Switches to another set of plugins, for example that of a [`Registry`](crate::plugin::Registry).
    ///
    /// Flows that begin after the switch use the new set. Live flows keep their plugins. After 60 s of packet
    /// time, replaced plugins are stopped, and their values are null.
    ///
    /// Returns whether the switch was done. If four generations of a plugin have live flows, nothing changes;
    /// the caller can try again later.
    pub fn set_plugins(&mut self, plugins: &PluginSet) -> bool {
        let ordinal = self.0.next_ordinal();
        let (extension, dissector, ready) = self.0.parts_mut();
        let done = extension.plugins.switch(plugins, ordinal, ready);
        if done && let Some(dissector) = dissector {
            dissector.show(plugins.show_live_application());
        }
        done
    }

    /// Returns the columns of flows that begin from now on.
    pub fn schema(&self) -> &Arc<Schema> {
        self.0.extension().schema()
    }

    /// Meters packets, in this order.
    pub fn push<'a>(&mut self, packets: impl IntoIterator<Item = RawPacket<'a>>) {
        self.0.push(packets);
    }

    /// Advances to the time `now` without a packet. Ends the flows that are idle by then, and delivers
    /// waiting events to plugins.
    ///
    /// Later packets may have earlier times.
    pub fn advance(&mut self, now: Time) {
        self.0.advance(now);
    }

    /// Delivers waiting events to plugins. Call this if no packet is expected for a while.
    pub fn flush(&mut self) {
        self.0.flush();
    }

    /// Sets the overload level, for a source that loses packets if they are not metered quickly enough.
    ///
    /// The level is [`Normal`](OverloadLevel::Normal) by default.
    pub fn set_overload(&mut self, level: OverloadLevel) {
        self.0.set_overload(level);
    }

    /// Returns the number of flows that were not dissected because of overload.
    pub fn undissected(&self) -> u64 {
        self.0.undissected()
    }

    /// Ends all flows. Returns an iterator over the flows that were not yet taken.
    pub fn finish(mut self) -> FinishedMeter {
        self.end();
        FinishedMeter(self)
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then returns. No packet may be pushed afterwards.
    pub(crate) fn end(&mut self) {
        self.0.finish();
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then returns. After the last one, state is reset as
    /// the boundary defines. No packet may be pushed before that.
    pub(crate) fn end_at(&mut self, boundary: Boundary) {
        self.0.end_at(boundary);
    }

    /// Returns the next flow that has ended, or `None` if no ended flow is ready.
    ///
    /// Flows have the order of the packets that ended them. If one packet ended several flows, the flows
    /// that it does not belong to are first, in the order of their ids.
    pub fn next_flow(&mut self) -> Option<Flow> {
        self.0.next_flow()
    }

    /// Moves flows that have ended to the end of `to`: at most `most`, in the order of [`next_flow`](Self::next_flow).
    /// It moves none if no flow is ready.
    pub fn take_flows(&mut self, most: usize, to: &mut Vec<Flow>) {
        self.0.take_flows(most, to);
    }

    /// Returns the counters of packets and flows so far.
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }

    /// Returns the link types of packets that were ignored because of an unknown link type, each once.
    pub fn unknown_links(&self) -> &[LinkType] {
        self.0.unknown_links()
    }

    /// Returns a report of each plugin so far.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.0.extension().plugins.reports()
    }

    /// Returns the number of live flows.
    pub fn live_flows(&self) -> usize {
        self.0.live_flows()
    }

    /// Returns the memory of the flow table and the dissector for live flows, in bytes.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}

/// Iterates over the remaining flows of a meter that receives no more packets.
///
/// [`Meter::finish`] returns it. [`counters`](Self::counters) and [`plugins`](Self::plugins) are complete once
/// the iterator has returned `None`.
///
/// # Examples
///
/// ```
/// use flowloom::capture::Files;
/// use flowloom::{Meter, Settings};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let mut meter = Meter::new(Settings::default(), &[])?;
/// let mut files = Files::open([capture])?;
/// while let Some(packets) = files.read()? {
///     meter.push(packets.iter());
/// }
/// let mut flows = meter.finish();
/// let count = flows.by_ref().count() as u64;
/// assert_eq!(flows.counters().flows, count);
/// # Ok(())
/// # }
/// ```
pub struct FinishedMeter(Meter);

impl FinishedMeter {
    /// Returns the counters of packets and flows.
    pub fn counters(&self) -> Counters {
        self.0.counters()
    }

    /// Returns a report of each plugin.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.0.plugins()
    }
}

/// Flows have the order of [`Meter::next_flow`].
impl Iterator for FinishedMeter {
    type Item = Flow;

    fn next(&mut self) -> Option<Flow> {
        self.0.next_flow()
    }
}
