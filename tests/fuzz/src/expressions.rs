use std::sync::LazyLock;

use flowloom::capture::{LinkType, RawPacket};
use flowloom::{Filter, Flow, Meter, Settings, Time, Type, UdpValue};
use flowloom_core::schema::UdpColumn;

/// Parses any text as a condition, and evaluates an accepted condition for a flow. The input is the text.
pub fn expressions(data: &[u8]) {
    static FLOW: LazyLock<Flow> = LazyLock::new(flow);
    let text = String::from_utf8_lossy(data);
    match Filter::parse(&text, FLOW.schema()) {
        Ok(filter) => {
            let columns: Vec<_> = filter.columns().collect();
            assert!(columns.iter().all(|name| FLOW.get(name).is_some()));
            let is_true = filter.matches(&FLOW);
            // The negation can have too many bytes or levels.
            if let Ok(negation) = Filter::parse(&format!("not ({text})"), FLOW.schema()) {
                assert!(negation.columns().eq(columns.iter().copied()));
                assert!(!(is_true && negation.matches(&FLOW)));
            }
        }
        Err(error) => {
            assert!(!error.diagnostics().is_empty());
            for diagnostic in error.diagnostics() {
                assert!(text.get(diagnostic.span.clone()).is_some());
            }
            assert!(error.to_string().starts_with("error: "));
        }
    }
}

/// Returns a flow with statistics, SPLT, and a plugin value of each type.
fn flow() -> Flow {
    let mut settings = Settings::default();
    settings.statistical_analysis = true;
    settings.splt_analysis = 3;
    let mut meter = Meter::new(settings, &[]).expect("there are no plugins to fail");
    // An IPv4 packet without a payload, protocol 255. Link type 101 is raw IP.
    let data = &[
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    meter.push([RawPacket {
        time: Time::from_ns(1_000_000_000),
        link: LinkType(101),
        wire_len: 20,
        data,
    }]);
    let mut flow = meter.finish().next().expect("the packet has a flow");
    let outputs = [
        ("none", Type::I64, UdpValue::Null),
        ("boolean", Type::Boolean, UdpValue::Boolean(true)),
        ("integer", Type::I64, UdpValue::Integer(i64::MIN)),
        ("float", Type::Float, UdpValue::Float(f64::NAN)),
        ("text", Type::Text, UdpValue::Text("aaa.bbb".into())),
        ("bytes", Type::Bytes, UdpValue::Bytes([0x16, 3].into())),
        ("list", Type::Integers, UdpValue::Integers([1].into())),
        ("floats", Type::Floats, UdpValue::Floats([0.5].into())),
        ("texts", Type::Texts, UdpValue::Texts(["a".into()].into())),
        ("json", Type::Json, UdpValue::Json("{}".into())),
    ];
    let columns = outputs
        .iter()
        .map(|(name, ty, _)| UdpColumn::new("p", name, *ty, String::new()));
    flow.schema = flow.schema().with_udps(columns.collect()).into();
    let count = outputs.len();
    flow.outputs
        .put(count, 0, outputs.map(|(_, _, value)| value), 0);
    flow
}
