//! The values of one flow.

use std::sync::Arc;

use flowloom::{Flow as CoreFlow, Origin, Value};
use pyo3::exceptions::{PyAttributeError, PyKeyError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

/// An ended flow. Its columns are attributes: ``flow.src_ip``, ``flow.udps.dns.queries``.
///
/// ``flow["udps.dns.queries"]`` is the same as ``flow.udps.dns.queries``.
#[pyclass(frozen, module = "flowloom._flowloom")]
pub(crate) struct Flow(Arc<CoreFlow>);

/// The values of plugins for a flow: ``flow.udps.PLUGIN.OUTPUT``.
#[pyclass(frozen, module = "flowloom._flowloom")]
pub(crate) struct Udps {
    flow: Arc<CoreFlow>,
    /// The plugin whose outputs are the attributes; without one, plugins are.
    plugin: Option<String>,
}

impl Flow {
    pub(crate) fn new(flow: CoreFlow) -> Self {
        Self(Arc::new(flow))
    }

    /// Returns the names of all columns.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name)
    }
}

#[pymethods]
impl Flow {
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        if name == "udps" {
            let udps = Udps {
                flow: self.0.clone(),
                plugin: None,
            };
            return Ok(Bound::new(py, udps)?.into_any());
        }
        match self.0.get(name).filter(|_| !name.contains('.')) {
            Some(value) => object(py, value),
            None => Err(PyAttributeError::new_err(format!(
                "a flow has no column '{}'",
                name.escape_debug()
            ))),
        }
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.0.get(name) {
            Some(value) => object(py, value),
            None => Err(PyKeyError::new_err(name.to_owned())),
        }
    }

    fn __contains__(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    fn __len__(&self) -> usize {
        self.names().count()
    }

    fn __dir__(&self) -> Vec<String> {
        let columns = self.names().filter(|name| !name.contains('.'));
        let methods = ["keys", "values", "items", "to_dict", "udps"];
        columns.chain(methods).map(str::to_owned).collect()
    }

    fn __repr__(&self) -> String {
        let text = |name| {
            let mut text = String::new();
            if let Some(value) = self.0.get(name) {
                value.write_text(&mut text);
            }
            text
        };
        let number = |name| match self.0.get(name) {
            Some(Value::Integer(number)) => number,
            _ => 0,
        };
        // Addresses and numbers need no escapes.
        format!(
            "<Flow {} {}:{} - {}:{} protocol {}, {} packets>",
            self.0.id(),
            text("src_ip"),
            number("src_port"),
            text("dst_ip"),
            number("dst_port"),
            number("protocol"),
            number("bidirectional_packets"),
        )
    }

    /// Returns the names of all columns. Those of plugins are ``udps.PLUGIN.OUTPUT``.
    fn keys(&self) -> Vec<&str> {
        self.names().collect()
    }

    /// Returns the values of all columns.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.0.iter().map(|(_, value)| object(py, value)).collect()
    }

    /// Returns the names and values of all columns.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(&str, Bound<'py, PyAny>)>> {
        let items = self.0.iter();
        items
            .map(|(name, value)| Ok((name, object(py, value)?)))
            .collect()
    }

    /// Returns a dictionary of all columns.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dictionary = PyDict::new(py);
        for (name, value) in self.0.iter() {
            dictionary.set_item(name, object(py, value)?)?;
        }
        Ok(dictionary)
    }
}

impl Udps {
    /// Returns the values of one plugin.
    pub(crate) fn of_plugin(flow: Arc<CoreFlow>, plugin: &str) -> Self {
        Self {
            flow,
            plugin: Some(plugin.to_owned()),
        }
    }

    /// Returns the names and values of the outputs of the plugin; without one, none.
    pub(crate) fn outputs(&self) -> Vec<(&str, Value<'_>)> {
        let outputs = self.flow.udps();
        let named = outputs
            .iter()
            .filter_map(|(column, value)| match column.origin {
                Origin::Plugin { plugin, output } if self.plugin.as_deref() == Some(plugin) => {
                    Some((output, value))
                }
                _ => None,
            });
        named.collect()
    }

    /// Returns the names of the attributes.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (column, _) in self.flow.udps().iter() {
            let name = match (&self.plugin, column.origin) {
                (None, Origin::Plugin { plugin, .. }) => plugin,
                (Some(wanted), Origin::Plugin { plugin, output }) if plugin == wanted => output,
                _ => continue,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[pymethods]
impl Udps {
    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match &self.plugin {
            None if self.names().contains(&name) => {
                let outputs = Self {
                    flow: self.flow.clone(),
                    plugin: Some(name.to_owned()),
                };
                Ok(Bound::new(py, outputs)?.into_any())
            }
            None => Err(PyAttributeError::new_err(format!(
                "a flow has no values of a plugin '{}'",
                name.escape_debug()
            ))),
            Some(plugin) => match self.flow.udps().get(plugin, name) {
                Some(value) => object(py, value),
                None => Err(PyAttributeError::new_err(format!(
                    "plugin '{plugin}' has no output '{}'",
                    name.escape_debug()
                ))),
            },
        }
    }

    fn __dir__(&self) -> Vec<&str> {
        self.names()
    }

    fn __repr__(&self) -> String {
        let of = match &self.plugin {
            Some(plugin) => format!(" of {plugin}"),
            None => String::new(),
        };
        format!("<Udps{of}: {}>", self.names().join(", "))
    }
}

/// Returns a value as a Python object: addresses as text, bytes as ``bytes``, lists as ``list``, JSON as what it stands
/// for.
pub(crate) fn object<'py>(py: Python<'py>, value: Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Boolean(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::Text(text) => text.into_pyobject(py)?.into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Integers(values) => PyList::new(py, values)?.into_any(),
        Value::Floats(values) => PyList::new(py, values)?.into_any(),
        Value::Texts(texts) => PyList::new(py, texts.iter().map(|text| &**text))?.into_any(),
        Value::Json(text) => py.import("json")?.call_method1("loads", (text,))?,
        other => {
            let mut text = String::new();
            other.write_text(&mut text);
            text.into_pyobject(py)?.into_any()
        }
    })
}
