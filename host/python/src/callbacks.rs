//! Plugins that are Python classes, in this process.
//!
//! Python's lock is held while they run. An exception ends the calls, and the run raises it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowloom::fields::{Feature, Group, PacketField};
use flowloom::plugin::{Grants, checked_json};
use flowloom::{Flow as CoreFlow, FlowObserver, FlowPacket, FlowView, Type, UdpColumn, UdpValue};
use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::flow::Flow;
use crate::packet::{Fields, Packet};

/// The exception that a plugin raised, if one did.
#[derive(Clone, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    fn lock(&self) -> MutexGuard<'_, Option<PyErr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.lock().is_some()
    }

    /// Returns whether it is an error, and not the interruption of the run by Ctrl-C.
    pub(crate) fn is_error(&self, py: Python<'_>) -> bool {
        let raised = self.lock();
        let error = raised.as_ref();
        error.is_some_and(|error| !error.is_instance_of::<PyKeyboardInterrupt>(py))
    }

    /// Sets the exception, unless there is one already.
    pub(crate) fn set(&self, error: PyErr) {
        self.lock().get_or_insert(error);
    }

    pub(crate) fn take(&self) -> Option<PyErr> {
        self.lock().take()
    }
}

/// A plugin, from a dictionary that the package makes.
#[derive(FromPyObject)]
pub(crate) struct ClassArgument {
    #[pyo3(item)]
    name: String,
    /// The object with the methods.
    #[pyo3(item)]
    plugin: Py<PyAny>,
    /// Name, type and description of each output.
    #[pyo3(item)]
    outputs: Vec<(String, String, String)>,
    #[pyo3(item)]
    packet: Vec<String>,
    #[pyo3(item)]
    at_init: Vec<String>,
    #[pyo3(item)]
    at_update: Vec<String>,
    #[pyo3(item)]
    payload_bytes: usize,
    #[pyo3(item)]
    packet_bytes: usize,
    #[pyo3(item)]
    packets_per_flow: Option<u64>,
    #[pyo3(item)]
    cuts_flows: bool,
}

/// A plugin that is ready to run.
struct Class {
    name: String,
    init: Py<PyAny>,
    update: Py<PyAny>,
    expire: Py<PyAny>,
    finish: Py<PyAny>,
    /// The method that says whether a flow ends, if the plugin may end flows.
    cuts: Option<Py<PyAny>>,
    outputs: Vec<(String, Type)>,
    at_init: Vec<&'static Feature>,
    at_update: Vec<&'static Feature>,
    packets_per_flow: u64,
    /// The states of live flows, by their slots.
    states: Vec<Option<Py<PyAny>>>,
}

/// The plugins of a run.
pub(crate) struct Classes {
    classes: Vec<Class>,
    payload_bytes: usize,
    packet_bytes: usize,
    /// What a plugin gets that requests no fields of flows.
    no_fields: Py<Fields>,
    raised: Raised,
}

/// Returns the columns of plugins.
///
/// # Errors
///
/// The type of an output is unknown.
pub(crate) fn columns(classes: &[ClassArgument]) -> PyResult<Vec<UdpColumn>> {
    let mut columns = Vec::new();
    for class in classes {
        for (name, ty, description) in &class.outputs {
            columns.push(UdpColumn::new(
                &class.name,
                name,
                type_of(ty)?,
                description.clone(),
            ));
        }
    }
    Ok(columns)
}

/// Returns a type of the class `Output`.
fn type_of(name: &str) -> PyResult<Type> {
    Ok(match name {
        "bool" => Type::Boolean,
        "int" => Type::I64,
        "float" => Type::Float,
        "str" => Type::Text,
        "bytes" => Type::Bytes,
        "list[int]" => Type::Integers,
        "list[float]" => Type::Floats,
        "list[str]" => Type::Texts,
        "Json" => Type::Json,
        other => {
            return Err(PyTypeError::new_err(format!(
                "'{other}' is no type of outputs"
            )));
        }
    })
}

impl Classes {
    pub(crate) fn new(
        py: Python<'_>,
        arguments: &[ClassArgument],
        raised: Raised,
    ) -> PyResult<Self> {
        let most = |bytes: fn(&ClassArgument) -> usize| {
            let most = arguments.iter().map(bytes).max().unwrap_or_default();
            most.min(Grants::MAX_BYTES as usize)
        };
        let classes = arguments.iter().map(|argument| Class::new(py, argument));
        Ok(Self {
            classes: classes.collect::<PyResult<_>>()?,
            payload_bytes: most(|class| class.payload_bytes),
            packet_bytes: most(|class| class.packet_bytes),
            no_fields: Py::new(py, Fields::none())?,
            raised,
        })
    }

    fn has_raised(&self) -> bool {
        self.raised.is_set()
    }

    fn raise(&self, error: PyErr) {
        self.raised.set(error);
    }
}

impl Class {
    fn new(py: Python<'_>, argument: &ClassArgument) -> PyResult<Self> {
        let method = |name: &str| argument.plugin.getattr(py, name);
        let features = |names: &[String]| -> PyResult<Vec<_>> {
            let feature = |name: &String| {
                Feature::by_name(name).ok_or_else(|| {
                    let plugin = &argument.name;
                    PyTypeError::new_err(format!(
                        "plugin '{plugin}': there is no flow field '{name}'"
                    ))
                })
            };
            names.iter().map(feature).collect()
        };
        check_packet_fields(&argument.packet)?;
        let outputs = argument.outputs.iter();
        let outputs = outputs.map(|(name, ty, _)| Ok((name.clone(), type_of(ty)?)));
        Ok(Self {
            name: argument.name.clone(),
            init: method("init")?,
            update: method("update")?,
            expire: method("expire")?,
            finish: method("finish")?,
            cuts: argument.cuts_flows.then(|| method("cuts")).transpose()?,
            outputs: outputs.collect::<PyResult<_>>()?,
            at_init: features(&argument.at_init)?,
            at_update: features(&argument.at_update)?,
            packets_per_flow: argument.packets_per_flow.unwrap_or(u64::MAX),
            states: Vec::new(),
        })
    }

    /// Calls `init` or `update`, and returns whether the flow ends.
    fn see(
        &mut self,
        py: Python<'_>,
        packet: &FlowPacket<'_>,
        seen: &Py<Packet>,
        fields: Py<Fields>,
    ) -> PyResult<bool> {
        let slot = packet.slot as usize;
        if self.states.len() <= slot {
            self.states.resize_with(slot + 1, || None);
        }
        let state = match packet.nth {
            1 => {
                let state = self.init.call1(py, (seen, fields))?;
                self.states[slot].insert(state)
            }
            nth => match &self.states[slot] {
                Some(state) if nth <= self.packets_per_flow => {
                    self.update.call1(py, (state, seen, fields))?;
                    state
                }
                _ => return Ok(false),
            },
        };
        match &self.cuts {
            Some(cuts) => cuts.call1(py, (state,))?.is_truthy(py),
            None => Ok(false),
        }
    }

    /// Calls `expire`, and returns the values of the outputs.
    fn end(&mut self, py: Python<'_>, slot: u32, flow: &Py<Flow>) -> PyResult<Vec<UdpValue>> {
        let state = self.states.get_mut(slot as usize).and_then(Option::take);
        let Some(state) = state else {
            return Ok(vec![UdpValue::Null; self.outputs.len()]);
        };
        let answer = self.expire.call1(py, (state, flow))?;
        let answer = answer.bind(py);
        let Ok(values) = answer.cast::<PyDict>() else {
            if answer.is_none() && self.outputs.is_empty() {
                return Ok(Vec::new());
            }
            let kind = answer.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "expire must return a dictionary of outputs, not {kind}"
            )));
        };
        for name in values.keys() {
            let name: String = name.extract()?;
            if !self.outputs.iter().any(|(output, _)| *output == name) {
                return Err(PyTypeError::new_err(format!(
                    "expire returned '{name}', which is none of the outputs"
                )));
            }
        }
        let outputs = self.outputs.iter();
        outputs
            .map(|(name, ty)| match values.get_item(name)? {
                None => Ok(UdpValue::Null),
                Some(value) => converted(&value, *ty).map_err(|_| {
                    let kind = value.get_type().name();
                    let kind = kind.map_or_else(|_| String::new(), |name| name.to_string());
                    PyTypeError::new_err(format!(
                        "output '{name}' must be {}, not {kind}",
                        ty.name()
                    ))
                }),
            })
            .collect()
    }
}

/// Returns a value of a type.
fn converted(value: &Bound<'_, PyAny>, ty: Type) -> PyResult<UdpValue> {
    if value.is_none() {
        return Ok(UdpValue::Null);
    }
    Ok(match ty {
        Type::Boolean => UdpValue::Boolean(value.extract()?),
        Type::I64 => UdpValue::Integer(value.extract()?),
        Type::Float => UdpValue::Float(value.extract()?),
        Type::Text => UdpValue::Text(value.extract::<String>()?.into()),
        Type::Bytes => UdpValue::Bytes(value.extract::<Vec<u8>>()?.into()),
        Type::Integers => UdpValue::Integers(value.extract::<Vec<i64>>()?.into()),
        Type::Floats => UdpValue::Floats(value.extract::<Vec<f64>>()?.into()),
        Type::Texts => {
            let texts = value.extract::<Vec<String>>()?;
            UdpValue::Texts(texts.into_iter().map(Arc::from).collect())
        }
        _ => {
            let text: String = value.extract()?;
            let checked = checked_json(&text);
            UdpValue::Json(checked.ok_or_else(|| PyTypeError::new_err("it is not JSON"))?)
        }
    })
}

/// Returns the values of fields of a flow.
fn fields_of<'f>(
    py: Python<'_>,
    features: &[&'static Feature],
    none: &Py<Fields>,
    view: &dyn Fn() -> FlowView<'f>,
) -> PyResult<Py<Fields>> {
    match features {
        [] => Ok(none.clone_ref(py)),
        _ => Py::new(py, Fields::of(py, features, &view())?),
    }
}

/// Adds the place of an exception to it.
pub(crate) fn located(
    py: Python<'_>,
    error: PyErr,
    class: &str,
    method: &str,
    flow: u64,
    nth: Option<u64>,
) -> PyErr {
    let packet = nth.map_or_else(String::new, |nth| format!(", packet {nth} of the flow"));
    let note = format!("in {method} of plugin '{class}', flow {flow}{packet}");
    // Python 3.10 has no notes.
    let value = error.value(py);
    let added = match value.hasattr(intern!(py, "add_note")) {
        Ok(true) => value
            .call_method1(intern!(py, "add_note"), (note,))
            .map(|_| ()),
        _ => PyList::new(py, [note]).and_then(|notes| value.setattr("__notes__", notes)),
    };
    // Some classes of exceptions take no attributes. The exception itself counts.
    drop(added);
    error
}

impl FlowObserver for Classes {
    fn reads_live_applications(&self) -> bool {
        let classes = self.classes.iter();
        let mut fields = classes.flat_map(|class| class.at_init.iter().chain(&class.at_update));
        fields.any(|field| field.group == Group::Application)
    }

    fn packet<'f>(&mut self, packet: &FlowPacket<'_>, flow: &dyn Fn() -> FlowView<'f>) -> bool {
        if self.has_raised() {
            return false;
        }
        Python::attach(|py| {
            let seen = Packet::of(packet, self.payload_bytes, self.packet_bytes);
            let mut ends = false;
            let result = Py::new(py, seen).and_then(|seen| {
                for class in &mut self.classes {
                    let (method, features) = match packet.nth {
                        1 => ("init", &class.at_init),
                        _ => ("update", &class.at_update),
                    };
                    let fields = fields_of(py, features, &self.no_fields, flow)?;
                    ends |= class.see(py, packet, &seen, fields).map_err(|error| {
                        let nth = Some(packet.nth);
                        located(py, error, &class.name, method, packet.flow_id, nth)
                    })?;
                }
                Ok(())
            });
            if let Err(error) = result {
                self.raise(error);
            }
            ends
        })
    }

    fn expire(&mut self, slot: u32, flow: &CoreFlow) -> Vec<UdpValue> {
        if self.has_raised() {
            return Vec::new();
        }
        Python::attach(|py| {
            let mut all = Vec::new();
            let result = Py::new(py, Flow::new(flow.clone())).and_then(|shown| {
                for class in &mut self.classes {
                    let values = class.end(py, slot, &shown);
                    all.extend(values.map_err(|error| {
                        located(py, error, &class.name, "expire", flow.id(), None)
                    })?);
                }
                Ok(())
            });
            if let Err(error) = result {
                self.raise(error);
            }
            all
        })
    }

    fn finish(&mut self) {
        if self.has_raised() {
            return;
        }
        Python::attach(|py| {
            for class in &self.classes {
                if let Err(error) = class.finish.call0(py) {
                    self.raise(error);
                    return;
                }
            }
        });
    }
}

/// Checks the names of packet fields.
fn check_packet_fields(names: &[String]) -> PyResult<()> {
    let unknown = names
        .iter()
        .find(|name| PacketField::by_name(name).is_none());
    match unknown {
        Some(name) => Err(PyTypeError::new_err(format!(
            "there is no packet field '{name}'"
        ))),
        None => Ok(()),
    }
}
