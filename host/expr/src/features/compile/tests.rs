//! Tests of the compiler without a host. tests/features/compare.py runs components.

use flowloom_core::value::Type as FieldType;

use super::program::{
    Accumulator, Expr, Field, Keeps, Members, Operator, Output, Program, Scope, Selection,
    Statistic,
};
use super::*;
use crate::features::graph::AccumulatorId;
use crate::features::{Limits, Program as Checked};

fn accumulator(scope: Scope) -> Accumulator {
    Accumulator {
        value: Some(Expr::Packet(0)),
        bounds: (0, u32::MAX.into()),
        is_wide: false,
        origin: AccumulatorId(0),
        packets: Selection {
            of: Members::Packets,
            scope,
            condition: None,
        },
        limit: None,
        keeps: Keeps::Statistics,
    }
}

fn program(accumulators: Vec<Accumulator>, values: Vec<Expr>) -> Program {
    let output = |(n, value)| Output {
        name: format!("value_{n}"),
        description: "A value.".to_owned(),
        value,
        most: 0,
    };
    Program {
        version: "1".to_owned(),
        description: "A test.".to_owned(),
        language: 1,
        source: "a \"quoted\"\ttext\n".to_owned(),
        packet: vec![Field {
            name: "ip_size",
            ty: FieldType::U32,
        }],
        accumulators,
        outputs: values.into_iter().enumerate().map(output).collect(),
        ..Program::default()
    }
}

fn component_of(program: &Program) -> Result<Vec<u8>, CompileError> {
    let program = check::checked(program)?;
    component::component(&program, &module::module(&program, &Layout::new(&program)))
}

fn contains(bytes: &[u8], part: &str) -> bool {
    bytes
        .windows(part.len())
        .any(|window| window == part.as_bytes())
}

#[test]
fn the_same_program_gives_the_same_component() {
    let values = vec![Expr::Statistic(0, Statistic::Variance)];
    let program = program(vec![accumulator(Scope::Src2Dst)], values);
    let component = component_of(&program).unwrap();
    assert_eq!(component_of(&program).unwrap(), component);
    assert!(component.starts_with(b"\0asm\x0d\0\x01\0"));
    assert!(contains(&component, "flowloom:features"));
    let source = r#""source":"a \"quoted\"\u0009text\n"}"#;
    assert!(component.ends_with(source.as_bytes()));
    // The scope reads a field that the program does not name.
    assert!(contains(&component, "direction"));
}

#[test]
fn both_directions_share_a_block() {
    let all = |n| {
        [
            Statistic::Count,
            Statistic::Variance,
            Statistic::Min,
            Statistic::Max,
        ]
        .map(|statistic| Expr::Statistic(n, statistic))
    };
    let accumulators = vec![accumulator(Scope::Src2Dst), accumulator(Scope::Dst2Src)];
    let layout = Layout::new(&program(accumulators, [all(0), all(1)].concat()));
    assert_eq!(layout.blocks.len(), 1);
    assert!(layout.blocks[0].by_direction);
    let offsets = layout.places.iter().map(|place| place.offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [0, 32]);
    assert_eq!(layout.stride, 64);
}

#[test]
fn programs_that_do_not_fit_are_errors() {
    let check = |values: Vec<Expr>, message: &str| {
        let error = component_of(&program(vec![accumulator(Scope::Both)], values)).unwrap_err();
        assert_eq!(error.to_string(), message);
    };
    // A value of a packet in an output.
    check(
        vec![Expr::Packet(0)],
        "an expression does not fit: a packet field",
    );
    check(
        vec![Expr::Statistic(1, Statistic::Count)],
        "an expression does not fit: a statistic",
    );
    let sum = Expr::Statistic(0, Statistic::Sum);
    let and = Expr::Binary(Operator::And, sum.into(), Expr::Bool(true).into());
    check(vec![and], "an expression does not fit: operands");
    check(
        vec![Expr::Int(0); 129],
        "an expression does not fit: the number of outputs",
    );
    check(
        vec![Expr::Float(f64::NAN)],
        "an expression does not fit: a float is not finite",
    );
}

#[test]
fn accumulators_of_both_directions_replace_those_of_all_packets() {
    let layout = |text: &str| {
        let checked = Checked::parse("test", text, &Limits::default()).unwrap();
        Layout::new(&lower::lower(&checked).unwrap())
    };
    let merged = |layout: &Layout| layout.places.iter().filter(|it| it.is_merged).count();
    let sums = layout("a = sum(ttl)\nb = max(ttl, src2dst)\nc = stddev(ttl, dst2src)");
    assert_eq!((sums.blocks.len(), merged(&sums)), (1, 1));
    // The first value of a flow is not known from those of the directions, nor is the sum of the first three.
    let first = layout("a = first(ttl)\nb = max(ttl, src2dst)\nc = max(ttl, dst2src)");
    assert_eq!((first.blocks.len(), merged(&first)), (2, 0));
    let limited = layout(
        "a = sum(ttl first 3)\nb = sum(ttl first 3, src2dst)\nc = sum(ttl first 3, dst2src)",
    );
    assert_eq!((limited.blocks.len(), merged(&limited)), (2, 0));
    // Each direction has its previous packet.
    let text = "a = mean(delta(ttl), src2dst)\nb = max(delta(ttl), dst2src)\nc = max(delta(ttl))";
    let gaps = layout(text);
    assert_eq!((gaps.blocks.len(), merged(&gaps)), (2, 0));
    assert_eq!(gaps.previous.len(), 2);
}

#[test]
fn runs_have_their_part_of_the_state() {
    let text = "runs talk = break when changed(direction)\n\
                a = mean(sum(ip_size) per talk where count() > 1)\nb = max(delta(count()) per talk)";
    let checked = Checked::parse("test", text, &Limits::default()).unwrap();
    let program = lower::lower(&checked).unwrap();
    let layout = Layout::new(&program);
    let place = layout.runs[0];
    for (accumulator, place_of) in program.accumulators.iter().zip(&layout.places) {
        let is_inside = (place.start..place.end).contains(&place_of.offset);
        assert_eq!(
            is_inside,
            matches!(accumulator.packets.of, Members::RunPackets(0))
        );
    }
    assert!(checked.compile().unwrap().starts_with(b"\0asm\x0d\0\x01\0"));
}

/// Compiles a text if the checker accepts it. Returns whether it does.
#[track_caller]
fn is_accepted(text: &str) -> bool {
    let Ok(checked) = Checked::parse("test", text, &Limits::default()) else {
        return false;
    };
    if let Err(error) = checked.compile() {
        panic!("{text}: {error}");
    }
    true
}

#[test]
fn all_fields_that_are_accepted_compile() {
    use flowloom_core::fields::{FEATURES, PACKET_FIELDS};
    for field in PACKET_FIELDS {
        let name = field.name;
        let is_usable = field.ty.is_number() && !matches!(field.unit, "ns" | "us" | "ms");
        assert_eq!(
            is_accepted(&format!("f = last({name})")),
            is_usable,
            "{name}"
        );
    }
    assert!(is_accepted("f = last(time) - first(time) in ms"));
    for field in FEATURES {
        let name = field.name;
        let is_usable = field.ty.is_number() && !field.group.follows_end();
        assert_eq!(is_accepted(&format!("f = {name}")), is_usable, "{name}");
    }
}

#[test]
fn all_units_and_nulls_that_are_accepted_compile() {
    let times = ["max(iat)", "mean(iat)", "duration()", "prev(iat)"];
    let others = [
        "max(ip_size where syn)",
        "mean(ip_size where syn)",
        "first(syn where ack)",
        "count()",
    ];
    let units = ["ns", "us", "ms", "s", "min", "h"];
    let units = units.map(|unit| format!(" in {unit}"));
    for nulls in ["", "nulls 0\n", "nulls -7\n", "nulls 0.5\n", "nulls 2.0\n"] {
        let mut accepted = 0;
        for value in times.iter().chain(&others) {
            accepted += u32::from(is_accepted(&format!("{nulls}f = {value}\n")));
            for unit in &units {
                accepted += u32::from(is_accepted(&format!("{nulls}f = {value}{unit}\n")));
            }
        }
        // Each time in each unit, and the others. A float does not replace the null of an integer.
        let is_float = nulls.contains('.');
        assert_eq!(accepted, 3 * 6 + 4 - u32::from(is_float), "{nulls}");
    }
}
