use flowloom_core::value::{Type, UdpValue};
use flowloom_expr::features::{Limits, Packet, Program};

/// Parses any text as features, interprets an accepted program for a flow, and compiles it. The input is the text.
pub fn features(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let limits = Limits::default();
    match Program::parse("fuzz", &text, &limits) {
        Ok(program) => {
            assert!(program.state_bytes() <= limits.state_bytes);
            assert!(program.outputs().len() <= limits.features);
            let packets = packets(&program);
            let values = program.interpret(&packets, &[]);
            for (value, output) in values.iter().zip(program.outputs()) {
                assert!(
                    has_type(value, output.ty),
                    "{value:?} is not {:?}",
                    output.ty
                );
            }
            let again = Program::parse("fuzz", &program.source(), &limits)
                .expect("the printed form is a program");
            assert_eq!(again.interpret(&packets, &[]), values);
            compile(&program, &limits);
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

/// Compiles a program, and the source that its component contains. Both give the same bytes. The compiler validates
/// them.
fn compile(program: &Program, limits: &Limits) {
    let component = program.compile();
    let component = component.unwrap_or_else(|error| panic!("{error}: {}", program.source()));
    assert_eq!(program.compile().ok().as_ref(), Some(&component));
    let source = source(&component);
    let again = Program::parse("component", &source, limits).expect("the source is a program");
    assert_eq!(again.compile().ok().as_ref(), Some(&component), "{source}");
}

/// Returns the text in the last section of a component.
fn source(component: &[u8]) -> String {
    // Quotation marks inside of the source are escaped.
    const START: &[u8] = b"flowloom:features{\"language\":";
    let mut places = component.windows(START.len());
    let place = places.rposition(|part| part == START);
    let section = &component[place.expect("the section exists")..];
    let json = &section[b"flowloom:features".len()..];
    let section: serde_json::Value = serde_json::from_slice(json).expect("it contains JSON");
    section["source"].as_str().expect("the source").to_owned()
}

/// Returns packets with small, equal and extreme values.
fn packets(program: &Program) -> Vec<Packet> {
    let count = program.packet_fields().len();
    let packet = |(index, number): (usize, u64)| {
        // The times do not decrease, and directions change.
        let fields = (0..count as u64).map(|field| match field {
            0 => number,
            _ => number.rotate_left(7 * field as u32) ^ index as u64 & 1,
        });
        Packet::new(fields.collect(), vec![index as u8; 9 * index])
    };
    let numbers = [0, 1, 1, 500, 1_000_000_000, 70_000_000_000, u64::MAX];
    numbers.into_iter().enumerate().map(packet).collect()
}

fn has_type(value: &UdpValue, ty: Type) -> bool {
    match value {
        UdpValue::Null => true,
        UdpValue::Boolean(_) => ty == Type::Boolean,
        UdpValue::Integer(_) => ty == Type::I64,
        UdpValue::Float(value) => ty == Type::Float && value.is_finite(),
        UdpValue::Bytes(_) => ty == Type::Bytes,
        UdpValue::Integers(_) => ty == Type::Integers,
        UdpValue::Floats(values) => {
            ty == Type::Floats && values.iter().all(|value| value.is_finite())
        }
        UdpValue::Text(_) | UdpValue::Texts(_) | UdpValue::Json(_) => false,
    }
}
