//! Flows as NFStream's plugins and programs see them.

use std::sync::{Arc, LazyLock};

use flowloom::fields::Feature;
use flowloom::{Expiration, Flow as CoreFlow, FlowSnapshot, FlowView, Value};
use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::flow::{Udps, object};

/// A flow with NFStream's attributes. They can be written.
///
/// A plugin sees a live flow, whose attributes change with its packets. ``flow.udps`` takes any attribute.
#[pyclass(module = "flowloom.nfstream", weakref)]
pub(crate) struct NFlow {
    layout: Arc<Layout>,
    id: u64,
    state: State,
    /// Attributes that were written, by their indices.
    written: Vec<(usize, Py<PyAny>)>,
    /// The namespace of plugins. A run without plugins has none.
    udps: Option<Py<PyAny>>,
    /// Whether a plugin can see the flow.
    is_with_plugins: bool,
}

/// Where the values are that were not written.
enum State {
    Live(Box<FlowSnapshot>),
    Ended(Box<CoreFlow>),
    /// All values were written.
    Values,
}

/// Which attributes the flows of a run have.
pub(crate) struct Layout {
    is_present: [bool; NAMES.len()],
    /// The number of packets in SPLT lists.
    splt: u64,
}

/// The identity of a flow while plugins see it: ``flow._C``. It can be a key of a dictionary, and so can its text.
#[pyclass(frozen, eq, hash, module = "flowloom.nfstream")]
#[derive(PartialEq, Eq, Hash)]
struct Handle(u64);

#[pymethods]
impl Handle {
    fn __repr__(&self) -> String {
        format!("<flow {}>", self.0)
    }
}

impl Layout {
    /// Returns the layout with the attributes of these names.
    pub(crate) fn new(names: &[String], splt: u64) -> Self {
        let mut is_present = [false; NAMES.len()];
        for name in names {
            if let Some(index) = NAMES.iter().position(|known| known == name) {
                is_present[index] = true;
            }
        }
        Self { is_present, splt }
    }
}

impl NFlow {
    /// Returns a flow that begins.
    pub(crate) fn live(layout: Arc<Layout>, id: u64, udps: Option<Py<PyAny>>) -> Self {
        Self {
            layout,
            id,
            state: State::Live(Box::default()),
            written: Vec::new(),
            udps,
            is_with_plugins: true,
        }
    }

    /// Returns a flow that has ended.
    pub(crate) fn ended(
        layout: Arc<Layout>,
        id: u64,
        udps: Option<Py<PyAny>>,
        flow: CoreFlow,
    ) -> Self {
        Self {
            layout,
            id,
            state: State::Ended(Box::new(flow)),
            written: Vec::new(),
            udps,
            is_with_plugins: false,
        }
    }

    /// Sets the attributes after a packet of the flow. Written attributes that change with packets are lost.
    pub(crate) fn update(&mut self, view: &FlowView<'_>, copies_application: bool) {
        let State::Live(snapshot) = &mut self.state else {
            return;
        };
        if self.written.is_empty() {
            snapshot.update(view, copies_application);
            return;
        }
        let before = snapshot.clone();
        snapshot.update(view, copies_application);
        self.keep_written(&before.view(), view);
    }

    /// Sets the attributes of a flow that has ended.
    pub(crate) fn end(&mut self, flow: &CoreFlow) {
        if !self.written.is_empty()
            && let State::Live(before) = &self.state
        {
            let before = before.clone();
            self.keep_written(&before.view(), &flow.view());
            // Another reason of the end replaces the number that a plugin wrote.
            if flow.expiration() != Expiration::Idle && flow.expiration() != Expiration::Cut {
                self.written
                    .retain(|&(index, _)| index != Index::expiration_id as usize);
            }
        }
        self.state = State::Ended(Box::new(flow.clone()));
    }

    /// Adds to an ended flow what is known at its output: its process, and the values of components.
    pub(crate) fn complete(
        slf: &Bound<'_, Self>,
        flow: CoreFlow,
        has_components: bool,
    ) -> PyResult<()> {
        if has_components && let Some(udps) = &slf.borrow().udps {
            let shared = Arc::new(flow.clone());
            for plugin in flow.udps().plugins() {
                let values = Udps::of_plugin(shared.clone(), plugin);
                udps.setattr(slf.py(), plugin, Bound::new(slf.py(), values)?)?;
            }
        }
        slf.borrow_mut().state = State::Ended(Box::new(flow));
        Ok(())
    }

    /// Returns the number of the flow in the order of first packets, from 0.
    pub(crate) fn number(&self) -> u64 {
        self.id
    }

    /// Records that plugins have seen the end of the flow.
    pub(crate) fn leave_plugins(&mut self) {
        self.is_with_plugins = false;
    }

    /// Returns whether a plugin has ended the flow.
    pub(crate) fn is_cut(&self, py: Python<'_>) -> bool {
        let written = self.written(Index::expiration_id as usize);
        written.is_some_and(|value| value.bind(py).eq(-1).unwrap_or(false))
    }

    /// Removes the written attributes that the meter has changed since.
    fn keep_written(&mut self, before: &FlowView<'_>, now: &FlowView<'_>) {
        let splt = self.layout.splt;
        self.written.retain(|&(index, _)| match KINDS[index] {
            Kind::Identity => true,
            Kind::Counter => false,
            Kind::Splt => packets(now) > splt,
            Kind::Application => match FEATURES[index] {
                Some(feature) => feature.value(before) == feature.value(now),
                None => true,
            },
        });
    }

    fn written(&self, index: usize) -> Option<&Py<PyAny>> {
        let mut written = self.written.iter();
        written.find_map(|(known, value)| (*known == index).then_some(value))
    }

    fn has(&self, index: usize) -> bool {
        self.layout.is_present[index] || self.written(index).is_some()
    }

    fn get<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        if let Some(value) = self.written(index) {
            return Ok(value.bind(py).clone());
        }
        if !self.layout.is_present[index] {
            return Err(PyAttributeError::new_err(NAMES[index]));
        }
        if index == Index::id as usize {
            return Ok(self.id.into_pyobject(py)?.into_any());
        }
        let value = match (FEATURES[index], &self.state) {
            (None, _) | (_, State::Values) => Value::Null,
            (Some(feature), State::Live(snapshot)) => feature.value(&snapshot.view()),
            (Some(feature), State::Ended(flow)) => feature.value(&flow.view()),
        };
        match value {
            // NFStream has no booleans, and -1 or an empty text for what is unknown.
            Value::Boolean(value) => Ok(u8::from(value).into_pyobject(py)?.into_any()),
            Value::Null if index == Index::system_process_pid as usize => {
                Ok((-1_i64).into_pyobject(py)?.into_any())
            }
            Value::Null => Ok("".into_pyobject(py)?.into_any()),
            value => object(py, value),
        }
    }

    fn set(&mut self, index: usize, value: Py<PyAny>) {
        match self.written.iter_mut().find(|(known, _)| *known == index) {
            Some((_, written)) => *written = value,
            None => self.written.push((index, value)),
        }
    }

    /// Returns the names and values of all attributes in NFStream's order. Those of plugins are ``udps.NAME``.
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let mut all = Vec::with_capacity(NAMES.len());
        let system = Index::system_process_pid as usize;
        for index in (0..system).filter(|&index| self.has(index)) {
            all.push((NAMES[index].to_owned(), self.get(py, index)?));
        }
        if self.is_with_plugins {
            all.push(("_C".to_owned(), self.handle(py)?));
        }
        if let Some(udps) = &self.udps {
            let values = udps.bind(py).getattr("__dict__")?;
            for (name, value) in values.cast::<PyDict>()?.iter() {
                let name = name.str()?;
                match value.cast::<Udps>() {
                    Ok(outputs) => {
                        for (output, value) in outputs.get().outputs() {
                            all.push((format!("udps.{name}.{output}"), object(py, value)?));
                        }
                    }
                    Err(_) => all.push((format!("udps.{name}"), value)),
                }
            }
        }
        for index in (system..NAMES.len()).filter(|&index| self.has(index)) {
            all.push((NAMES[index].to_owned(), self.get(py, index)?));
        }
        Ok(all)
    }

    fn handle<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.is_with_plugins {
            true => Ok(Bound::new(py, Handle(self.id))?.into_any()),
            false => Err(PyAttributeError::new_err("_C")),
        }
    }
}

fn packets(flow: &FlowView<'_>) -> u64 {
    let feature = FEATURES[Index::bidirectional_packets as usize];
    match feature.map(|feature| feature.value(flow)) {
        Some(Value::Integer(packets)) => packets.try_into().unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

/// How an attribute changes while packets arrive.
#[derive(Clone, Copy)]
enum Kind {
    Identity,
    Counter,
    Application,
    Splt,
}

/// Defines the attributes of a flow: one for each column of NFStream, in its order.
macro_rules! attributes {
    ($($kind:ident { $($name:ident = $set:ident)* })*) => {
        /// The names of the attributes.
        pub(crate) const NAMES: &[&str] = &[$($(stringify!($name)),*),*];

        /// How the attributes change.
        const KINDS: &[Kind] = &[$($(attributes!(@ $kind $name)),*),*];

        /// The features of the attributes.
        static FEATURES: LazyLock<Vec<Option<&'static Feature>>> =
            LazyLock::new(|| NAMES.iter().map(|name| Feature::by_name(name)).collect());

        /// The indices of the attributes.
        #[allow(non_camel_case_types, reason = "the names are those of the columns")]
        enum Index { $($($name),*),* }

        #[pymethods]
        impl NFlow {
            $($(
                #[getter]
                fn $name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    self.get(py, Index::$name as usize)
                }

                #[setter]
                fn $set(&mut self, value: Py<PyAny>) {
                    self.set(Index::$name as usize, value);
                }
            )*)*

            /// The values of plugins: ``flow.udps.NAME``.
            #[getter]
            fn udps(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                match &self.udps {
                    Some(udps) => Ok(udps.clone_ref(py)),
                    None => Err(PyAttributeError::new_err("udps")),
                }
            }

            #[setter]
            fn set_udps(&mut self, value: Py<PyAny>) {
                self.udps = Some(value);
            }

            /// The identity of the flow while plugins see it.
            #[getter(_C)]
            fn identity<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.handle(py)
            }

            /// Return the names of all attributes. Those of plugins are ``udps.NAME``.
            fn keys(&self, py: Python<'_>) -> PyResult<Vec<String>> {
                Ok(self.all(py)?.into_iter().map(|(name, _)| name).collect())
            }

            /// Return the values of all attributes.
            fn values<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
                Ok(self.all(py)?.into_iter().map(|(_, value)| value).collect())
            }

            /// Return a named tuple of all attributes, with ``_`` for dots in names.
            fn to_namedtuple<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let (names, values): (Vec<_>, Vec<_>) = self.all(py)?.into_iter().unzip();
                let names: Vec<_> = names.iter().map(|name| name.replace('.', "_")).collect();
                let class = py.import("collections")?.call_method1("namedtuple", ("NFlow", names))?;
                class.call1(PyTuple::new(py, values)?)
            }

            fn __str__(&self, py: Python<'_>) -> PyResult<String> {
                let mut text = String::from("NFlow(");
                for (name, value) in self.all(py)?.into_iter().filter(|(name, _)| name != "_C") {
                    let comma = if text.ends_with('(') { "" } else { ",\n      " };
                    text.push_str(&format!("{comma}{name}={}", value.str()?));
                }
                Ok(text + ")")
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.__str__(py)
            }

            fn __dir__(&self, py: Python<'_>) -> PyResult<Vec<String>> {
                let names = self.keys(py)?.into_iter().filter(|name| !name.contains('.'));
                let others = ["keys", "values", "to_namedtuple"].map(str::to_owned);
                let udps = self.udps.as_ref().map(|_| "udps".to_owned());
                Ok(names.chain(udps).chain(others).collect())
            }

            /// Return what ``pickle`` and ``copy`` make the flow from: its values.
            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let present = (0..NAMES.len()).filter(|&index| self.has(index));
                let values = present.map(|index| Ok((NAMES[index], self.get(py, index)?)));
                let values = PyList::new(py, values.collect::<PyResult<Vec<_>>>()?)?;
                let udps = self.udps.as_ref().map(|udps| udps.clone_ref(py));
                let rebuild = py.get_type::<Self>().getattr("_of")?;
                Ok((rebuild, (values, udps)).into_pyobject(py)?.into_any())
            }

            /// Return a flow with these values.
            #[staticmethod]
            fn _of(values: Vec<(String, Py<PyAny>)>, udps: Option<Py<PyAny>>) -> Self {
                let index = |name: &str| NAMES.iter().position(|known| *known == name);
                let written = values.into_iter();
                Self {
                    layout: Arc::new(Layout::new(&[], 0)),
                    id: 0,
                    state: State::Values,
                    written: written
                        .filter_map(|(name, value)| Some((index(&name)?, value)))
                        .collect(),
                    udps,
                    is_with_plugins: false,
                }
            }

            fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
                for (_, value) in &self.written {
                    visit.call(value)?;
                }
                visit.call(&self.udps)
            }

            fn __clear__(&mut self) {
                self.written.clear();
                self.udps = None;
            }
        }
    };
    (@ $kind:ident $name:ident) => { Kind::$kind };
}

attributes! {
    Identity {
        id = set_id
        expiration_id = set_expiration_id
        src_ip = set_src_ip
        src_mac = set_src_mac
        src_oui = set_src_oui
        src_port = set_src_port
        dst_ip = set_dst_ip
        dst_mac = set_dst_mac
        dst_oui = set_dst_oui
        dst_port = set_dst_port
        protocol = set_protocol
        ip_version = set_ip_version
        vlan_id = set_vlan_id
        tunnel_id = set_tunnel_id
        bidirectional_first_seen_ms = set_bidirectional_first_seen_ms
    }
    Counter {
        bidirectional_last_seen_ms = set_bidirectional_last_seen_ms
        bidirectional_duration_ms = set_bidirectional_duration_ms
        bidirectional_packets = set_bidirectional_packets
        bidirectional_bytes = set_bidirectional_bytes
    }
    Identity {
        src2dst_first_seen_ms = set_src2dst_first_seen_ms
    }
    Counter {
        src2dst_last_seen_ms = set_src2dst_last_seen_ms
        src2dst_duration_ms = set_src2dst_duration_ms
        src2dst_packets = set_src2dst_packets
        src2dst_bytes = set_src2dst_bytes
        dst2src_first_seen_ms = set_dst2src_first_seen_ms
        dst2src_last_seen_ms = set_dst2src_last_seen_ms
        dst2src_duration_ms = set_dst2src_duration_ms
        dst2src_packets = set_dst2src_packets
        dst2src_bytes = set_dst2src_bytes
        bidirectional_min_ps = set_bidirectional_min_ps
        bidirectional_mean_ps = set_bidirectional_mean_ps
        bidirectional_stddev_ps = set_bidirectional_stddev_ps
        bidirectional_max_ps = set_bidirectional_max_ps
        src2dst_min_ps = set_src2dst_min_ps
        src2dst_mean_ps = set_src2dst_mean_ps
        src2dst_stddev_ps = set_src2dst_stddev_ps
        src2dst_max_ps = set_src2dst_max_ps
        dst2src_min_ps = set_dst2src_min_ps
        dst2src_mean_ps = set_dst2src_mean_ps
        dst2src_stddev_ps = set_dst2src_stddev_ps
        dst2src_max_ps = set_dst2src_max_ps
        bidirectional_min_piat_ms = set_bidirectional_min_piat_ms
        bidirectional_mean_piat_ms = set_bidirectional_mean_piat_ms
        bidirectional_stddev_piat_ms = set_bidirectional_stddev_piat_ms
        bidirectional_max_piat_ms = set_bidirectional_max_piat_ms
        src2dst_min_piat_ms = set_src2dst_min_piat_ms
        src2dst_mean_piat_ms = set_src2dst_mean_piat_ms
        src2dst_stddev_piat_ms = set_src2dst_stddev_piat_ms
        src2dst_max_piat_ms = set_src2dst_max_piat_ms
        dst2src_min_piat_ms = set_dst2src_min_piat_ms
        dst2src_mean_piat_ms = set_dst2src_mean_piat_ms
        dst2src_stddev_piat_ms = set_dst2src_stddev_piat_ms
        dst2src_max_piat_ms = set_dst2src_max_piat_ms
        bidirectional_syn_packets = set_bidirectional_syn_packets
        bidirectional_cwr_packets = set_bidirectional_cwr_packets
        bidirectional_ece_packets = set_bidirectional_ece_packets
        bidirectional_urg_packets = set_bidirectional_urg_packets
        bidirectional_ack_packets = set_bidirectional_ack_packets
        bidirectional_psh_packets = set_bidirectional_psh_packets
        bidirectional_rst_packets = set_bidirectional_rst_packets
        bidirectional_fin_packets = set_bidirectional_fin_packets
        src2dst_syn_packets = set_src2dst_syn_packets
        src2dst_cwr_packets = set_src2dst_cwr_packets
        src2dst_ece_packets = set_src2dst_ece_packets
        src2dst_urg_packets = set_src2dst_urg_packets
        src2dst_ack_packets = set_src2dst_ack_packets
        src2dst_psh_packets = set_src2dst_psh_packets
        src2dst_rst_packets = set_src2dst_rst_packets
        src2dst_fin_packets = set_src2dst_fin_packets
        dst2src_syn_packets = set_dst2src_syn_packets
        dst2src_cwr_packets = set_dst2src_cwr_packets
        dst2src_ece_packets = set_dst2src_ece_packets
        dst2src_urg_packets = set_dst2src_urg_packets
        dst2src_ack_packets = set_dst2src_ack_packets
        dst2src_psh_packets = set_dst2src_psh_packets
        dst2src_rst_packets = set_dst2src_rst_packets
        dst2src_fin_packets = set_dst2src_fin_packets
    }
    Splt {
        splt_direction = set_splt_direction
        splt_ps = set_splt_ps
        splt_piat_ms = set_splt_piat_ms
    }
    Application {
        application_name = set_application_name
        application_category_name = set_application_category_name
        application_is_guessed = set_application_is_guessed
        application_confidence = set_application_confidence
        requested_server_name = set_requested_server_name
        client_fingerprint = set_client_fingerprint
        server_fingerprint = set_server_fingerprint
        user_agent = set_user_agent
        content_type = set_content_type
    }
    Identity {
        system_process_pid = set_system_process_pid
        system_process_name = set_system_process_name
    }
}
