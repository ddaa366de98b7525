//! Functions of the program that see the packets of a run, and add values to its flows.

use std::sync::Arc;

use flowloom_core::flow::{Flow, ReadyFlows};
use flowloom_core::meter::Extension;
use flowloom_core::record::{FlowPacket, FlowView};
use flowloom_core::schema::{Schema, UdpColumn};
use flowloom_core::value::UdpValue;
use flowloom_plugin::PluginDispatcher;

/// Sees the packets and flows of a run in the thread of the caller, and adds values to flows.
///
/// It is not in a sandbox: it has all rights of the program, and no limits. Use a plugin for code of others.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
///
/// use flowloom::{Flow, FlowObserver, FlowPacket, FlowView, Streamer, Type, UdpColumn, UdpValue, Value};
///
/// /// Finds the largest packet of each flow.
/// #[derive(Default)]
/// struct Largest(HashMap<u32, u32>);
///
/// impl FlowObserver for Largest {
///     fn packet<'f>(&mut self, packet: &FlowPacket<'_>, _: &dyn Fn() -> FlowView<'f>) -> bool {
///         let largest = self.0.entry(packet.slot).or_default();
///         *largest = packet.packet.ip_size.max(*largest);
///         false
///     }
///
///     fn expire(&mut self, slot: u32, _: &Flow) -> Vec<UdpValue> {
///         let largest = self.0.remove(&slot).unwrap_or_default();
///         vec![UdpValue::Integer(largest.into())]
///     }
///
///     fn finish(&mut self) {}
/// }
///
/// # fn main() -> Result<(), flowloom::StreamerError> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let column = UdpColumn::new("largest", "ip_size", Type::I64, "The largest packet, bytes.".to_owned());
/// let flows = Streamer::builder([capture]).observer(vec![column], || Box::<Largest>::default());
/// for flow in flows.build()? {
///     assert!(matches!(flow.get("udps.largest.ip_size"), Some(Value::Integer(20..))));
/// }
/// # Ok(())
/// # }
/// ```
pub trait FlowObserver: Send {
    /// Returns whether the observer reads the applications of live flows. Otherwise, they are known at the end of a flow only.
    fn reads_live_applications(&self) -> bool {
        true
    }

    /// Processes a packet of a live flow, which is already counted. `packet.nth` is 1 for the first packet of a flow, and
    /// `packet.slot` identifies the flow until it ends. Returns whether the flow ends with this packet.
    fn packet<'f>(&mut self, packet: &FlowPacket<'_>, flow: &dyn Fn() -> FlowView<'f>) -> bool;

    /// Processes the end of the flow in this slot. Returns a value for each column, in their order.
    fn expire(&mut self, slot: u32, flow: &Flow) -> Vec<UdpValue>;

    /// Processes the end of the run, or of a capture, whose flows have all ended.
    fn finish(&mut self);
}

/// An observer with its columns.
#[derive(Clone)]
pub(crate) struct ObserverSpec {
    pub(crate) columns: Vec<UdpColumn>,
    /// Creates the observer of a run.
    pub(crate) create: Arc<dyn Fn() -> Box<dyn FlowObserver> + Send + Sync>,
}

/// The plugins of a meter, and the observer of a run if there is one. The observer's columns are the first ones.
pub(crate) struct FlowExtension {
    pub(crate) plugins: PluginDispatcher,
    pub(crate) observer: Option<Box<dyn FlowObserver>>,
}

impl From<PluginDispatcher> for FlowExtension {
    fn from(plugins: PluginDispatcher) -> Self {
        Self {
            plugins,
            observer: None,
        }
    }
}

impl Extension for FlowExtension {
    fn schema(&self) -> &Arc<Schema> {
        self.plugins.schema()
    }

    fn schema_of(&self, flow: u64) -> &Arc<Schema> {
        self.plugins.schema_of(flow)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.plugins.is_empty() && self.observer.is_none()
    }

    #[inline]
    fn needs_each_packet(&self) -> bool {
        self.observer.is_some() || self.plugins.needs_each_packet()
    }

    #[inline]
    fn begin_flow(&mut self, packet: &FlowPacket<'_>) {
        self.plugins.begin_flow(packet);
    }

    #[inline]
    fn packet<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        view: &dyn Fn() -> FlowView<'f>,
        ready: &mut ReadyFlows,
    ) -> bool {
        let mut ends = self.plugins.needs_each_packet() && self.plugins.packet(chunk, view, ready);
        if let (Some(observer), Some(packet)) = (&mut self.observer, chunk.last()) {
            ends |= observer.packet(packet, view);
        }
        ends
    }

    #[inline]
    fn take(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        self.plugins.take(chunk, ready);
    }

    #[inline]
    fn expire(&mut self, slot: u32, flow: Flow, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        let Some(observer) = &mut self.observer else {
            // Flows are large. A flow that does not change is not copied.
            return self.plugins.expire(slot, flow, chunk, ready);
        };
        let mut flow = flow;
        let values = observer.expire(slot, &flow);
        let bytes = values.iter().map(UdpValue::heap_bytes).sum::<usize>();
        let columns = flow.schema.udps().len();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        flow.outputs.put(columns, 0, values, bytes);
        self.plugins.expire(slot, flow, chunk, ready);
    }

    fn flush(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        self.plugins.flush(chunk, ready);
    }

    fn finish(&mut self, ready: &mut ReadyFlows) {
        self.plugins.finish(ready);
        if let Some(observer) = &mut self.observer {
            observer.finish();
        }
    }

    fn restart(&mut self) {
        self.plugins.restart();
    }

    fn set_overload(&mut self, is_overloaded: bool) {
        self.plugins.set_overload(is_overloaded);
    }
}
