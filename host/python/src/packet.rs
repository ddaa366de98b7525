//! The packets and live flows that plugins in Python see.

use std::sync::LazyLock;

use flowloom::fields::{Direction, Feature, PacketExtract, PacketField, TextWriter};
use flowloom::{DecodedPacket, FlowPacket, FlowView, Type};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::flow::object;

/// The bytes of a transport header that fields are read from: those of TCP without options.
const TRANSPORT_HEADER: usize = 20;

/// A packet of a flow. Its fields are attributes: ``packet.ip_size``. It stays valid after the call.
///
/// ``payload`` and ``bytes`` have as many bytes as the plugin requests with ``payload_bytes`` and ``packet_bytes``.
#[pyclass(frozen, module = "flowloom._flowloom")]
pub(crate) struct Packet {
    decoded: DecodedPacket,
    direction: Direction,
    delta_ms: u64,
    flow_id: u64,
    nth: u64,
    /// The frame up to the transport header, and as much of that as fields are read from.
    headers: Box<[u8]>,
    payload: Box<[u8]>,
    bytes: Box<[u8]>,
}

/// Fields of a live flow, which are attributes.
#[pyclass(frozen, module = "flowloom._flowloom")]
pub(crate) struct Fields {
    values: Vec<(&'static str, Py<PyAny>)>,
}

impl Packet {
    pub(crate) fn of(packet: &FlowPacket<'_>, payload_bytes: usize, packet_bytes: usize) -> Self {
        let first =
            |bytes: &[u8], most: usize| -> Box<[u8]> { bytes[..bytes.len().min(most)].into() };
        let headers_end = packet.packet.transport_at as usize + TRANSPORT_HEADER;
        let headers = first(packet.frame, headers_end);
        let mut decoded = (**packet).clone();
        // The copy ends where the headers end.
        decoded.packet.ip_end = decoded.packet.ip_end.min(headers.len() as u32);
        Self {
            decoded,
            direction: packet.direction,
            delta_ms: packet.delta_ms,
            flow_id: packet.flow_id,
            nth: packet.nth,
            headers,
            payload: match payload_bytes {
                0 => Box::default(),
                most => first(packet.packet.payload(packet.frame), most),
            },
            bytes: match packet_bytes {
                0 => Box::default(),
                most => first(packet.packet.ip_bytes(packet.frame), most),
            },
        }
    }

    /// Returns the bytes from the IP header on, as many as were requested.
    pub(crate) fn ip_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the value of a field.
    pub(crate) fn value<'py>(
        &self,
        py: Python<'py>,
        field: &PacketField,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut packet = FlowPacket::new(&self.decoded, &self.headers);
        packet.direction = self.direction;
        packet.delta_ms = self.delta_ms;
        packet.flow_id = self.flow_id;
        packet.nth = self.nth;
        Ok(match field.value {
            PacketExtract::Number { of, .. } if field.ty == Type::Boolean => {
                let value = of(&packet) != 0;
                value.into_pyobject(py)?.to_owned().into_any()
            }
            PacketExtract::Number { of, .. } => of(&packet).into_pyobject(py)?.into_any(),
            PacketExtract::Text(write) => {
                let mut text = Vec::new();
                write(&packet, &mut TextWriter(&mut text));
                String::from_utf8_lossy(&text).into_pyobject(py)?.into_any()
            }
            PacketExtract::Pseudonym(_) => {
                let message = format!(
                    "{} is for plugins in the sandbox; use the address",
                    field.name
                );
                return Err(PyAttributeError::new_err(message));
            }
        })
    }
}

/// Defines the attributes of a packet: one for each field of the table of packet fields.
macro_rules! attributes {
    ($($name:ident)*) => {
        /// The names of the attributes, in the order of their declaration.
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// The fields of the attributes.
        static FIELDS: LazyLock<Vec<Option<&'static PacketField>>> =
            LazyLock::new(|| NAMES.iter().map(|name| PacketField::by_name(name)).collect());

        /// The indices of the attributes.
        #[allow(non_camel_case_types, reason = "the names are those of the fields")]
        enum Index { $($name),* }

        #[pymethods]
        impl Packet {
            $(
                #[getter]
                fn $name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                    match FIELDS[Index::$name as usize] {
                        Some(field) => self.value(py, field),
                        None => Err(PyAttributeError::new_err(stringify!($name))),
                    }
                }
            )*

            /// The first bytes of the transport payload.
            #[getter]
            fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
                PyBytes::new(py, &self.payload)
            }

            /// The first bytes of the packet from its IP header on.
            #[getter]
            fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
                PyBytes::new(py, &self.bytes)
            }

            fn __repr__(&self) -> String {
                format!("<Packet {} of flow {}>", self.nth, self.flow_id)
            }
        }
    };
}

attributes! {
    time_ns time_ms time_us delta_time_ms direction raw_size ip_size transport_size payload_size
    src_ip src_mac src_oui dst_ip dst_mac dst_oui src_pseudonym dst_pseudonym
    src_port dst_port protocol ip_version vlan_id tunnel_id
    tcp_flags syn cwr ece urg ack psh rst fin
    ttl ip_id tcp_window tcp_seq tcp_ack icmp_type icmp_code
}

impl Fields {
    pub(crate) fn none() -> Self {
        Self { values: Vec::new() }
    }

    pub(crate) fn of(
        py: Python<'_>,
        features: &[&'static Feature],
        view: &FlowView<'_>,
    ) -> PyResult<Self> {
        let value = |feature: &&'static Feature| {
            Ok((feature.name, object(py, feature.value(view))?.unbind()))
        };
        let values = features.iter().map(value).collect::<PyResult<_>>()?;
        Ok(Self { values })
    }
}

#[pymethods]
impl Fields {
    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        match self.values.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(value.clone_ref(py)),
            None => Err(PyAttributeError::new_err(format!(
                "flow field '{}' was not requested; add it to at_init or at_update",
                name.escape_debug()
            ))),
        }
    }

    fn __dir__(&self) -> Vec<&str> {
        self.values.iter().map(|(name, _)| *name).collect()
    }
}
