//! Packets as NFStream's plugins see them.

use std::sync::LazyLock;

use flowloom::fields::PacketField;
use flowloom::{FlowPacket, Type};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::packet::Packet;

/// A packet of a flow, with the fields and names of NFStream. It stays valid after the call.
#[pyclass(frozen, module = "flowloom.nfstream")]
pub(crate) struct NFPacket(Packet);

impl NFPacket {
    pub(crate) fn of(packet: &FlowPacket<'_>) -> Self {
        Self(Packet::of(packet, 0, usize::MAX))
    }

    fn value<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let Some(field) = FIELDS[index] else {
            return Ok(PyBytes::new(py, self.0.ip_bytes()).into_any());
        };
        let value = self.0.value(py, field)?;
        match field.ty {
            // NFStream's flags are numbers.
            Type::Boolean => Ok((value.is_truthy()? as u8).into_pyobject(py)?.into_any()),
            _ => Ok(value),
        }
    }

    fn all<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        (0..NAMES.len())
            .map(|index| self.value(py, index))
            .collect()
    }
}

/// Defines the attributes of a packet, each with the packet field that it is. `ip_packet` is none.
macro_rules! attributes {
    ($($name:ident $(= $field:ident)?,)*) => {
        /// The names of the attributes, in NFStream's order.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// The packet fields of the attributes.
        static FIELDS: LazyLock<Vec<Option<&'static PacketField>>> = LazyLock::new(|| {
            vec![$(PacketField::by_name(attributes!(@ $name $($field)?))),*]
        });

        /// The indices of the attributes.
        #[allow(non_camel_case_types, reason = "the names are those of the fields")]
        enum Index { $($name),* }

        #[pymethods]
        impl NFPacket {
            $(
                #[getter]
                fn $name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    self.value(py, Index::$name as usize)
                }
            )*

            #[classattr]
            fn _fields(py: Python<'_>) -> PyResult<Py<PyTuple>> {
                Ok(PyTuple::new(py, NAMES)?.unbind())
            }

            /// Return a dictionary of all fields.
            fn _asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let fields = PyDict::new(py);
                for (name, value) in NAMES.iter().zip(self.all(py)?) {
                    fields.set_item(name, value)?;
                }
                Ok(fields)
            }

            fn __len__(&self) -> usize {
                NAMES.len()
            }

            fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyAny>> {
                let from_end = if index < 0 { NAMES.len() as isize } else { 0 };
                let index = usize::try_from(index + from_end).ok();
                match index.filter(|&index| index < NAMES.len()) {
                    Some(index) => self.value(py, index),
                    None => Err(PyIndexError::new_err("a packet has 28 fields")),
                }
            }

            fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                Ok(PyList::new(py, self.all(py)?)?.try_iter()?.into_any())
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                let mut text = String::from("NFPacket(");
                for (index, (name, value)) in NAMES.iter().zip(self.all(py)?).enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    text.push_str(&format!("{comma}{name}={}", value.repr()?));
                }
                Ok(text + ")")
            }

            /// A packet is pickled as a tuple that has names.
            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                let class = py.import("flowloom.nfstream.flow")?.getattr("nf_packet")?;
                let values = PyTuple::new(py, self.all(py)?)?;
                Ok((class, values).into_pyobject(py)?.into_any())
            }
        }
    };
    (@ $name:ident) => { stringify!($name) };
    (@ $name:ident $field:ident) => { stringify!($field) };
}

attributes! {
    time = time_ms, delta_time = delta_time_ms, direction, raw_size, ip_size, transport_size, payload_size,
    src_ip, src_mac, src_oui, dst_ip, dst_mac, dst_oui, src_port, dst_port, protocol, vlan_id, ip_version,
    ip_packet, syn, cwr, ece, urg, ack, psh, rst, fin, tunnel_id,
}
