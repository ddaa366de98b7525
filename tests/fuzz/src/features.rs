use flowloom_core::value::{Type, UdpValue};
use flowloom_expr::features::{Limits, Packet, Program};

/// Parses any text as features, and interprets an accepted program for a flow. The input is the text.
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
