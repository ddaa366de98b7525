//! Values of ended flows.

use std::sync::Arc;

use super::{Flow, Outputs};
use crate::meter::testing::flows;
use crate::schema::UdpColumn;
use crate::value::{Type, UdpValue, Value};

/// The second of two flows, with two outputs of a plugin.
fn flow() -> Flow {
    let mut flow = flows(2).remove(1);
    let columns =
        ["query", "count"].map(|name| UdpColumn::new("dns", name, Type::I64, String::new()));
    flow.schema = Arc::new(flow.schema.with_udps(columns.into()));
    flow.outputs = Outputs::default();
    let values = vec![UdpValue::Integer(7), UdpValue::Null];
    flow.outputs.put(2, 0, values, 0);
    flow
}

#[test]
fn values_are_found_by_index_and_by_name() {
    let flow = flow();
    assert_eq!(flow.id(), 1);
    let schema = flow.schema().clone();
    for (index, (name, value)) in flow.iter().enumerate() {
        assert_eq!(schema.column(index).map(|column| column.name), Some(name));
        assert_eq!(flow.value(index), Some(value), "{name}");
        assert_eq!(flow.get(name), Some(value), "{name}");
    }
    assert_eq!(flow.iter().count(), schema.len());
    assert_eq!(flow.value(schema.len()), None);
    assert_eq!(flow.get("udps.dns.query"), Some(Value::Integer(7)));
}

#[test]
fn outputs_are_found_by_plugin_and_name() {
    let flow = flow();
    let udps = flow.udps();
    assert!(!udps.is_empty());
    assert_eq!(udps.plugins().collect::<Vec<_>>(), ["dns"]);
    assert_eq!(udps.get("dns", "query"), Some(Value::Integer(7)));
    assert_eq!(udps.get("dns", "count"), Some(Value::Null));
    assert_eq!(udps.get("ja4", "query"), None);
    assert!(flows(1)[0].udps().is_empty());
}
