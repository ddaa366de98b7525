//! Calls of NFStream's plugins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowloom::{Flow as CoreFlow, FlowObserver, FlowPacket, FlowView, UdpValue};
use pyo3::prelude::*;

use super::flow::{Layout, NFlow};
use super::packet::NFPacket;
use crate::callbacks::{Raised, located};

/// What a run with NFStream's interface needs, from a dictionary that the package makes.
#[derive(FromPyObject)]
pub(crate) struct Argument {
    #[pyo3(item)]
    plugins: Vec<PluginArgument>,
    /// The class of `flow.udps`.
    #[pyo3(item)]
    udps: Py<PyAny>,
    /// The names of the attributes of flows.
    #[pyo3(item)]
    columns: Vec<String>,
    /// The number of packets that are dissected.
    #[pyo3(item)]
    n_dissections: u64,
    #[pyo3(item)]
    splt_analysis: u64,
    /// Whether components run too. `on_expire` then sees their values.
    #[pyo3(item)]
    has_components: bool,
}

/// The methods of a plugin. A method that the class does not define is `None`.
#[derive(FromPyObject)]
pub(crate) struct PluginArgument {
    #[pyo3(item)]
    name: String,
    #[pyo3(item)]
    on_init: Option<Py<PyAny>>,
    #[pyo3(item)]
    on_update: Option<Py<PyAny>>,
    #[pyo3(item)]
    on_expire: Option<Py<PyAny>>,
}

impl Argument {
    /// Returns whether Python code runs while packets are metered.
    pub(crate) fn has_plugins(&self) -> bool {
        !self.plugins.is_empty()
    }
}

/// The plugins of a run while packets are metered.
pub(crate) struct Plugins {
    run: Arc<EndedFlows>,
    /// The live flows by their slots; empty without plugins.
    live: Vec<Option<Py<NFlow>>>,
    /// The number of flows that began.
    begun: u64,
    sees_updates: bool,
}

/// The plugins of a run, and its flows between their end and their output.
pub(crate) struct EndedFlows {
    plugins: Vec<PluginArgument>,
    layout: Arc<Layout>,
    udps: Py<PyAny>,
    n_dissections: u64,
    has_components: bool,
    raised: Raised,
    flows: Mutex<HashMap<u64, Waiting>>,
}

/// What is known of a flow that is not output yet.
enum Waiting {
    /// Its number.
    Number(u64),
    Flow(Py<NFlow>),
}

impl EndedFlows {
    pub(crate) fn new(argument: Argument, raised: Raised) -> Arc<Self> {
        let layout = Layout::new(&argument.columns, argument.splt_analysis);
        Arc::new(Self {
            plugins: argument.plugins,
            layout: Arc::new(layout),
            udps: argument.udps,
            n_dissections: argument.n_dissections,
            has_components: argument.has_components,
            raised,
            flows: Mutex::default(),
        })
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the flow for output. `on_expire` runs now if it must see the values of components.
    pub(crate) fn output(&self, py: Python<'_>, flow: CoreFlow) -> PyResult<Py<NFlow>> {
        // The guard is released before plugins run.
        let waiting = self.flows().remove(&flow.id());
        match waiting {
            Some(Waiting::Flow(ended)) => {
                let ended = ended.into_bound(py);
                NFlow::complete(&ended, flow, self.has_components)?;
                if self.has_components {
                    self.expire(py, &ended)?;
                }
                Ok(ended.unbind())
            }
            Some(Waiting::Number(number)) => self.without_plugins(py, number, flow),
            // Every flow began with a packet that the observer saw.
            None => self.without_plugins(py, flow.id(), flow),
        }
    }

    fn without_plugins(&self, py: Python<'_>, number: u64, flow: CoreFlow) -> PyResult<Py<NFlow>> {
        if !self.has_components {
            return Py::new(py, NFlow::ended(self.layout.clone(), number, None, flow));
        }
        let udps = Some(self.udps.call0(py)?);
        let ended = NFlow::ended(self.layout.clone(), number, udps, flow.clone());
        let ended = Bound::new(py, ended)?;
        NFlow::complete(&ended, flow, true)?;
        Ok(ended.unbind())
    }

    fn expire(&self, py: Python<'_>, flow: &Bound<'_, NFlow>) -> PyResult<()> {
        for plugin in &self.plugins {
            if let Some(on_expire) = &plugin.on_expire {
                on_expire.call1(py, (flow,)).map_err(|error| {
                    let number = flow.borrow().number();
                    located(py, error, &plugin.name, "on_expire", number, None)
                })?;
            }
        }
        flow.borrow_mut().leave_plugins();
        Ok(())
    }
}

impl Plugins {
    pub(crate) fn new(run: Arc<EndedFlows>) -> Self {
        Self {
            sees_updates: run.plugins.iter().any(|plugin| plugin.on_update.is_some()),
            run,
            live: Vec::new(),
            begun: 0,
        }
    }

    /// Calls the plugins for a packet, and returns whether the flow ends.
    fn see<'f>(
        &mut self,
        py: Python<'_>,
        packet: &FlowPacket<'_>,
        flow: &dyn Fn() -> FlowView<'f>,
    ) -> PyResult<bool> {
        let run = &self.run;
        let slot = packet.slot as usize;
        if packet.nth == 1 {
            let udps = run.udps.call0(py)?;
            let begun = NFlow::live(run.layout.clone(), self.begun, Some(udps));
            self.begun += 1;
            if self.live.len() <= slot {
                self.live.resize_with(slot + 1, || None);
            }
            self.live[slot] = Some(Py::new(py, begun)?);
        } else if !self.sees_updates {
            return Ok(false);
        }
        let Some(live) = &self.live[slot] else {
            return Ok(false);
        };
        let live = live.bind(py);
        live.borrow_mut()
            .update(&flow(), packet.nth <= run.n_dissections);
        let is_first = packet.nth == 1;
        let method = if is_first { "on_init" } else { "on_update" };
        let mut seen = None;
        for plugin in &run.plugins {
            let call = match is_first {
                true => &plugin.on_init,
                false => &plugin.on_update,
            };
            let Some(call) = call else {
                continue;
            };
            let seen = match &mut seen {
                Some(seen) => seen,
                none => none.insert(Py::new(py, NFPacket::of(packet))?),
            };
            call.call1(py, (&*seen, live)).map_err(|error| {
                let number = live.borrow().number();
                located(py, error, &plugin.name, method, number, Some(packet.nth))
            })?;
        }
        Ok(live.borrow().is_cut(py))
    }

    fn end(&mut self, py: Python<'_>, slot: u32, flow: &CoreFlow) -> PyResult<()> {
        let live = self.live.get_mut(slot as usize).and_then(Option::take);
        let Some(live) = live else {
            return Ok(());
        };
        live.bind(py).borrow_mut().end(flow);
        let result = match self.run.has_components {
            true => Ok(()),
            false => self.run.expire(py, live.bind(py)),
        };
        let waiting = Waiting::Flow(live);
        self.run.flows().insert(flow.id(), waiting);
        result
    }
}

impl FlowObserver for Plugins {
    fn reads_live_applications(&self) -> bool {
        !self.run.plugins.is_empty()
    }

    fn packet<'f>(&mut self, packet: &FlowPacket<'_>, flow: &dyn Fn() -> FlowView<'f>) -> bool {
        if self.run.plugins.is_empty() {
            if packet.nth == 1 {
                let number = Waiting::Number(self.begun);
                self.begun += 1;
                self.run.flows().insert(packet.flow_id, number);
            }
            return false;
        }
        Python::attach(|py| {
            // Ctrl-C ends the reading, but the packets that were read reach the plugins.
            if self.run.raised.is_error(py) {
                return false;
            }
            self.see(py, packet, flow).unwrap_or_else(|error| {
                self.run.raised.set(error);
                false
            })
        })
    }

    fn expire(&mut self, slot: u32, flow: &CoreFlow) -> Vec<UdpValue> {
        if !self.run.plugins.is_empty() {
            Python::attach(|py| {
                if !self.run.raised.is_error(py)
                    && let Err(error) = self.end(py, slot, flow)
                {
                    self.run.raised.set(error);
                }
            });
        }
        Vec::new()
    }

    fn finish(&mut self) {}
}
