//! Values of ended flows.

use std::sync::Arc;

use super::{Expiration, Flow, FlowIdentity, Outputs, Replacement, Statistics};
use crate::meter::Settings;
use crate::meter::testing::{flows, metered, udp};
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

#[test]
fn the_debug_form_and_json_have_all_columns() {
    let mut flow = flow();
    let columns = [("dns", "a"), ("dns", "b"), ("tls", "c")]
        .map(|(plugin, name)| UdpColumn::new(plugin, name, Type::I64, String::new()));
    flow.schema = Arc::new(flow.schema.with_udps(columns.into()));
    flow.outputs.clear();
    flow.outputs.put(3, 0, [1, 2, 3].map(UdpValue::Integer), 0);
    assert_eq!(flow.udps().plugins().collect::<Vec<_>>(), ["dns", "tls"]);
    assert_eq!(flow.udps().get("tls", "c"), Some(Value::Integer(3)));
    let text = format!("{flow:?}");
    assert!(text.starts_with("{\"id\": Integer(1), "), "{text}");
    assert!(text.contains("\"udps.tls.c\": Integer(3)"), "{text}");
    let json = serde_json::to_string(&flow).unwrap();
    assert!(json.starts_with("{\"id\":1,"), "{json}");
    let udps = ",\"udps\":{\"dns\":{\"a\":1,\"b\":2},\"tls\":{\"c\":3}}}";
    assert!(json.ends_with(udps), "{json}");
    let without = serde_json::to_string(&flows(1)[0]).unwrap();
    assert!(!without.contains("udps"), "{without}");
}

#[test]
fn texts_replace_the_values_of_anonymised_columns() {
    let mut flow = flow();
    let (port, output) = (
        flow.schema.position("src_port").unwrap(),
        flow.schema.position("udps.dns.count").unwrap(),
    );
    flow.replaced = Some(
        [(port, "p"), (output, "o")]
            .map(|(at, text)| Replacement {
                at,
                text: text.into(),
            })
            .into(),
    );
    for (name, text) in [("src_port", "p"), ("udps.dns.count", "o")] {
        let expected = Some(Value::Text(text));
        assert_eq!(flow.get(name), expected);
        let listed = flow.iter().find(|(column, _)| *column == name);
        assert_eq!(listed.map(|(_, value)| value), expected);
    }
    assert_eq!(flow.get("dst_port"), Some(Value::Integer(53)));
    assert_eq!(flow.get("udps.dns.query"), Some(Value::Integer(7)));
    assert_eq!(flow.udps().get("dns", "count"), Some(Value::Text("o")));
    assert_eq!(flow.replacement(port + 1), None);
}

#[test]
fn the_size_of_a_flow_includes_all_its_parts() {
    let packets: Vec<_> = (0..5).map(|_| udp(1)).collect();
    let sizes = [(false, 0), (true, 0), (false, 5), (true, 5)].map(|(statistical, splt)| {
        let settings = Settings {
            statistical_analysis: statistical,
            splt_analysis: splt,
            ..Settings::default()
        };
        metered(settings, &packets)[0].bytes()
    });
    let [plain, statistics, splt, both] = sizes.map(|size| size - size_of::<Flow>());
    assert_eq!((plain, statistics), (0, size_of::<Statistics>()));
    // Of the five packets with 12 bytes each, three fit into the flow itself.
    assert!((60..1_000).contains(&splt), "{splt}");
    assert_eq!(both, statistics + splt);
    let mut flow = flow();
    flow.outputs.put(2, 0, [UdpValue::Null], 100);
    assert_eq!(flow.bytes(), size_of::<Flow>() + 100);
    flow.identity = Some(Box::default());
    let identity = size_of::<FlowIdentity>();
    assert_eq!(flow.bytes(), size_of::<Flow>() + 100 + identity);
}

#[test]
fn a_flow_knows_its_end_and_its_capture() {
    let mut flow = flow();
    assert_eq!((flow.capture(), flow.expiration()), (0, Expiration::Idle));
    flow.capture = 3;
    flow.expiration = Expiration::Evicted;
    assert_eq!(
        (flow.capture(), flow.expiration()),
        (3, Expiration::Evicted)
    );
    assert_eq!(flow.get("expiration_id"), Some(Value::Integer(3)));
}
