//! Writes components of programs for tests/features/compare.py.
//!
//!     feature_components DIR
//!
//! Prints the size of each component, and the time that its compilation took.

use std::path::Path;
use std::time::Instant;

use flowloom_core::value::Type;
use flowloom_expr::features::compile::compile;
use flowloom_expr::features::compile::program::{
    Accumulator, Expr, Field, Operator, Output, Previous, Program, Scope, Selection, Shared,
    Statistic,
};

const IP_SIZE: Field = Field {
    name: "ip_size",
    ty: Type::U32,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("usage: feature_components DIR")?;
    for (name, program) in [
        ("one", one()),
        ("sizes", sizes()),
        ("stats", stats()),
        ("times", times()),
    ] {
        let start = Instant::now();
        let component = compile(&program)?;
        let time = start.elapsed();
        println!("{name}: {} bytes, compiled in {time:.1?}", component.len());
        if compile(&program)? != component {
            return Err(format!("{name}: the bytes differ from those of the first time").into());
        }
        std::fs::write(Path::new(&folder).join(format!("{name}.wasm")), component)?;
    }
    Ok(())
}

fn program(packet: &[Field], accumulators: Vec<Accumulator>, outputs: Vec<Output>) -> Program {
    Program {
        version: "1".to_owned(),
        description: "A program of a test.".to_owned(),
        language: 1,
        source: "# a \"test\"\n".to_owned(),
        packet: packet.to_vec(),
        payload_bytes: 0,
        expired: Vec::new(),
        shared: Vec::new(),
        previous: Vec::new(),
        accumulators,
        outputs,
    }
}

fn output(name: &str, value: Expr) -> Output {
    Output {
        name: name.to_owned(),
        description: format!("The value {name} of a test."),
        value,
    }
}

fn accumulator(value: Option<Expr>, scope: Scope, condition: Option<Expr>) -> Accumulator {
    let bounds = match value {
        // The size of the IP packet is the first field of each program.
        Some(Expr::Packet(0)) => (0, u32::MAX.into()),
        _ => (i64::MIN + 1, i64::MAX),
    };
    Accumulator {
        value,
        bounds,
        packets: Selection { scope, condition },
        limit: None,
    }
}

fn big() -> Accumulator {
    let (size, limit) = (Expr::Packet(0), Expr::Int(1000));
    let condition = Expr::Binary(Operator::Gt, size.into(), limit.into());
    accumulator(None, Scope::Both, Some(condition))
}

/// `big = count(where ip_size > 1000)`
fn one() -> Program {
    let big_count = Expr::Statistic(0, Statistic::Count);
    program(&[IP_SIZE], vec![big()], vec![output("big", big_count)])
}

/// The outputs of the plugin packet_stats.
fn stats() -> Program {
    let mut outputs = Vec::new();
    let mut accumulators = Vec::new();
    for (n, (scope, direction)) in [(Scope::Src2Dst, "src2dst"), (Scope::Dst2Src, "dst2src")]
        .into_iter()
        .enumerate()
    {
        accumulators.push(accumulator(Some(Expr::Packet(0)), scope, None));
        for (statistic, name) in [
            (Statistic::Count, "count"),
            (Statistic::Mean, "mean"),
            (Statistic::Stddev, "stddev"),
            (Statistic::Min, "min"),
            (Statistic::Max, "max"),
        ] {
            let name = format!("{direction}_{name}");
            outputs.push(output(&name, Expr::Statistic(n, statistic)));
        }
    }
    program(&[IP_SIZE], accumulators, outputs)
}

/// Inter-arrival times, ages, first values, and numbers of more than 64 bits.
fn times() -> Program {
    let time_ms = Field {
        name: "time_ms",
        ty: Type::U64,
    };
    let time_ns = Field {
        name: "time_ns",
        ty: Type::U64,
    };
    let directions = [
        (Scope::Both, "bidirectional"),
        (Scope::Src2Dst, "src2dst"),
        (Scope::Dst2Src, "dst2src"),
    ];
    let mut program = program(&[IP_SIZE, time_ms, time_ns], Vec::new(), Vec::new());
    for (n, (scope, name)) in directions.into_iter().enumerate() {
        let packets = Selection {
            scope,
            condition: None,
        };
        program.previous.push(Previous {
            value: Expr::Packet(1),
            packets: packets.clone(),
        });
        let gap = Expr::Binary(
            Operator::SaturatingSub,
            Expr::Packet(1).into(),
            Expr::Previous(n).into(),
        );
        program.shared.push(Shared {
            value: Expr::Within(gap.into(), packets.clone().into()),
            is_of_packet: true,
        });
        let accumulator = accumulator(Some(Expr::Shared(n)), scope, None);
        program.accumulators.push(accumulator);
        for (statistic, suffix) in [
            (Statistic::Mean, "mean"),
            (Statistic::Stddev, "stddev"),
            (Statistic::Min, "min"),
            (Statistic::Max, "max"),
        ] {
            let value = Expr::Statistic(n, statistic);
            program
                .outputs
                .push(output(&format!("{name}_{suffix}"), value));
        }
    }
    let mut add = |name: &str, accumulator: Accumulator, statistic| {
        let value = Expr::Statistic(program.accumulators.len(), statistic);
        program.accumulators.push(accumulator);
        program.outputs.push(output(name, value.clone()));
        value
    };
    let all = |value| accumulator(Some(value), Scope::Both, None);
    add("age", all(Expr::Age), Statistic::Last);
    let first = add("first_ns", all(Expr::Packet(2)), Statistic::First);
    let last = add("last_ns", all(Expr::Packet(2)), Statistic::Last);
    let large = Expr::Binary(
        Operator::Mul,
        Expr::Packet(0).into(),
        Expr::Int((1 << 40) - 1).into(),
    );
    add("large_mean", all(large.clone()), Statistic::Mean);
    add("large_sum", all(large.clone()), Statistic::Sum);
    add("large_variance", all(large), Statistic::Variance);
    let huge = Expr::Binary(
        Operator::Mul,
        Expr::Packet(0).into(),
        Expr::Int(1 << 46).into(),
    );
    add("huge_mean", all(huge.clone()), Statistic::Mean);
    add("huge_variance", all(huge), Statistic::Variance);
    let mut limited = accumulator(Some(Expr::Packet(0)), Scope::Dst2Src, None);
    limited.limit = Some(3);
    add("third", limited.clone(), Statistic::Nth);
    add("sum_of_three", limited, Statistic::Sum);
    for (name, time) in [("first_ms", first), ("last_ms", last)] {
        let value = Expr::Binary(Operator::FloorDiv, time.into(), Expr::Int(1_000_000).into());
        program.outputs.push(output(name, value));
    }
    for (name, operator, a, b) in [
        ("add", Operator::SaturatingAdd, i64::MAX, 5),
        ("add_negative", Operator::SaturatingAdd, -i64::MAX, -1),
        ("add_small", Operator::SaturatingAdd, -7, 5),
        ("sub", Operator::SaturatingSub, -i64::MAX, 5),
        ("sub_small", Operator::SaturatingSub, 3, 5),
        ("mul", Operator::SaturatingMul, 1 << 40, -(1 << 23)),
        ("mul_half", Operator::SaturatingMul, 1 << 32, 1 << 31),
        ("mul_small", Operator::SaturatingMul, -3, 1 << 40),
        ("least", Operator::Least, -3, 4),
        ("greatest", Operator::Greatest, -3, 4),
        ("floor_by_minus_one", Operator::FloorDiv, i64::MAX, -1),
        ("modulo_negative", Operator::Modulo, 7, -3),
        ("floor_by_zero", Operator::FloorDiv, 7, 0),
    ] {
        let value = Expr::Binary(operator, Expr::Int(a).into(), Expr::Int(b).into());
        program.outputs.push(output(name, value));
    }
    let null = || {
        let quotient = Expr::Binary(Operator::Div, Expr::Int(1).into(), Expr::Int(0).into());
        Expr::Binary(Operator::Gt, quotient.into(), Expr::Int(0).into())
    };
    for (name, operator, a, b) in [
        ("null_and_false", Operator::And, null(), Expr::Bool(false)),
        ("true_and_null", Operator::And, Expr::Bool(true), null()),
        ("true_or_null", Operator::Or, Expr::Bool(true), null()),
        ("null_or_true", Operator::Or, null(), Expr::Bool(true)),
        ("null_or_null", Operator::Or, null(), null()),
        ("null_and_null", Operator::And, null(), null()),
    ] {
        let value = Expr::Binary(operator, a.into(), b.into());
        program.outputs.push(output(name, value));
    }
    program
}

/// Statistics of all packets, of one direction alone, and expressions over them.
fn sizes() -> Program {
    let mut outputs = Vec::new();
    let size = || Some(Expr::Packet(0));
    let negative = Expr::Binary(Operator::Sub, Expr::Int(-5).into(), Expr::Packet(0).into());
    let float = Expr::Binary(
        Operator::Mul,
        Expr::Float(0.5).into(),
        Expr::Packet(0).into(),
    );
    let early = Expr::Binary(Operator::Le, Expr::Index.into(), Expr::Int(3).into());
    let accumulators = vec![
        accumulator(size(), Scope::Both, None),
        accumulator(size(), Scope::Dst2Src, None),
        accumulator(Some(negative), Scope::Both, None),
        accumulator(Some(float), Scope::Both, None),
        accumulator(size(), Scope::Both, Some(early)),
        big(),
    ];
    let names = ["all", "down", "negative", "float", "early"];
    for (n, name) in names.into_iter().enumerate() {
        for (statistic, suffix) in [
            (Statistic::Count, "count"),
            (Statistic::Sum, "sum"),
            (Statistic::Mean, "mean"),
            (Statistic::Stddev, "stddev"),
            (Statistic::VariancePop, "variance_pop"),
            (Statistic::Min, "min"),
            (Statistic::Max, "max"),
            (Statistic::First, "first"),
            (Statistic::Last, "last"),
        ] {
            let name = format!("{name}_{suffix}");
            outputs.push(output(&name, Expr::Statistic(n, statistic)));
        }
    }
    let count = |n| Box::new(Expr::Statistic(n, Statistic::Count));
    let sum = |n| Box::new(Expr::Statistic(n, Statistic::Sum));
    let ratio = Expr::Binary(Operator::Div, sum(1), sum(0));
    let per_down = Expr::Binary(Operator::Div, count(0), count(1));
    let floor = Expr::Binary(Operator::FloorDiv, sum(2), count(1));
    let modulo = Expr::Binary(Operator::Modulo, sum(2), count(1));
    outputs.push(output("big", *count(5)));
    outputs.push(output("down_share", ratio));
    outputs.push(output("per_down", per_down.clone()));
    outputs.push(output(
        "per_down_or_7",
        Expr::Coalesce(per_down.into(), Expr::Float(7.0).into()),
    ));
    outputs.push(output("floor", floor));
    outputs.push(output("modulo", modulo));
    outputs.push(output(
        "has_down",
        Expr::Binary(Operator::Gt, count(1), Expr::Int(0).into()),
    ));
    program(&[IP_SIZE], accumulators, outputs)
}
