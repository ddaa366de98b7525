//! What the compiler requires of a program.

use flowloom_core::value::Type as FieldType;

use super::program::{
    Accumulator, Expr, Field, Function, Keeps, Level, Members, Operator, Part, Program, Scope,
    Selection, Statistic, Type,
};

/// The maximum size of a flow's state.
pub(in crate::features) const MAX_STATE_BYTES: u32 = 4096;

/// The maximum number of outputs in the contract.
pub(in crate::features) const MAX_OUTPUTS: usize = 128;

/// The maximum number of operators and operands. The values of a checked program have fewer. A function of WebAssembly
/// has at most 50,000 locals.
const MAX_NODES: usize = 32 << 10;

/// The maximum number of payload bytes of a packet.
const MAX_PAYLOAD: u32 = 65_535;

/// The packet field that scopes read.
pub(super) const DIRECTION: Field = Field {
    name: "direction",
    ty: FieldType::U8,
};

/// The packet field that ages read.
pub(super) const TIME: Field = Field {
    name: "time_ns",
    ty: FieldType::U64,
};

/// The reason why a program cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// An expression is used where its value does not exist, or has operands of the wrong types.
    #[error("an expression does not fit: {0}")]
    Mismatch(&'static str),
    /// The component cannot be encoded.
    #[error("cannot encode the component: {0}")]
    Encoding(String),
}

/// Returns a program that has all fields that its accumulators read.
pub(super) fn checked(program: &Program) -> Result<Program, CompileError> {
    let mut program = program.clone();
    require(
        program.outputs.len() <= MAX_OUTPUTS,
        "the number of outputs",
    )?;
    let mut fields = program.packet.iter().chain(&program.expired);
    require(
        fields.all(|field| field.ty.is_number()),
        "the type of a field",
    )?;
    require(
        program.payload_bytes <= MAX_PAYLOAD,
        "the payload is too long",
    )?;
    let mut uses_age = false;
    program.visit_packets(&mut |expr| uses_age |= *expr == Expr::Age);
    for (is_used, field) in [(uses_scope(&program), DIRECTION), (uses_age, TIME)] {
        if is_used && !program.packet.contains(&field) {
            program.packet.push(field);
        }
    }
    let mut nodes = 0;
    for (n, shared) in program.shared.iter().enumerate() {
        let mut is_ordered = true;
        let mut look = |expr: &Expr| is_ordered &= !matches!(expr, Expr::Shared(m) if *m >= n);
        shared.value.visit(&mut look);
        require(is_ordered, "shared values")?;
        require(program.ty(&shared.value) == shared.ty, "shared values")?;
        check(&program, &shared.value, shared.level, &mut nodes)?;
    }
    for previous in &program.previous {
        require(
            program.ty(&previous.value) == previous.ty,
            "previous values",
        )?;
        let level = previous.packets.of.level();
        check(&program, &previous.value, level, &mut nodes)?;
        check_selection(&program, &previous.packets, &mut nodes)?;
    }
    for runs in &program.runs {
        require(runs.packets.of == Members::Packets, "packets of runs")?;
        check_selection(&program, &runs.packets, &mut nodes)?;
        check(&program, &runs.break_when, Level::Packet, &mut nodes)?;
        let is_condition = program.ty(&runs.break_when) == Type::Bool;
        require(is_condition, "a condition is no boolean")?;
    }
    for accumulator in &program.accumulators {
        check_selection(&program, &accumulator.packets, &mut nodes)?;
        if let Some(value) = &accumulator.value {
            check(&program, value, accumulator.packets.of.level(), &mut nodes)?;
        }
        match &accumulator.keeps {
            Keeps::Statistics => {}
            Keeps::Histogram(_) | Keeps::Values | Keeps::Distinct(_) => {
                let value = { accumulator.value.as_ref() }.map(|it| program.ty(it));
                require(value.is_some_and(is_number), "the values of a list")?;
            }
            Keeps::Pairs(second) => {
                check(&program, second, accumulator.packets.of.level(), &mut nodes)?;
                require(is_number(program.ty(second)), "the second of pairs")?;
            }
            Keeps::Head(most) => {
                let size = { accumulator.value.as_ref() }.map(|it| program.ty(it));
                let fits = size == Some(Type::Int) && *most <= program.payload_bytes;
                let is_of_packets = accumulator.packets.of.level() == Level::Packet;
                require(fits && is_of_packets, "the first bytes of payloads")?;
            }
        }
    }
    for output in &program.outputs {
        if let Expr::List(n, part, _) = &output.value {
            let accumulator = program.accumulators.get(*n);
            let fits = accumulator
                .is_some_and(|it| it.packets.of.result() == Level::Flow && has_part(it, *part));
            require(fits, "a list")?;
            continue;
        }
        check(&program, &output.value, Level::Flow, &mut nodes)?;
    }
    require(nodes <= MAX_NODES, "the number of operators")?;
    Ok(program)
}

/// Returns whether an accumulator keeps what a statistic needs.
fn is_kept(program: &Program, accumulator: &Accumulator, statistic: Statistic) -> bool {
    let ty = accumulator.value.as_ref().map(|value| program.ty(value));
    match (&accumulator.keeps, statistic) {
        (Keeps::Statistics, Statistic::Count) => true,
        (Keeps::Statistics, Statistic::First | Statistic::Last) => {
            ty.is_some_and(|ty| ty != Type::Bool)
        }
        (Keeps::Statistics, Statistic::Nth) => {
            accumulator.limit.is_some() && ty.is_some_and(|ty| ty != Type::Bool)
        }
        (
            Keeps::Statistics,
            Statistic::Sum
            | Statistic::FloatSum
            | Statistic::Min
            | Statistic::Max
            | Statistic::Variance
            | Statistic::VariancePop
            | Statistic::Skewness
            | Statistic::Kurtosis,
        ) => ty.is_some_and(is_number),
        (Keeps::Head(_), Statistic::Head) => true,
        (Keeps::Pairs(_), Statistic::Correlation) => ty.is_some_and(is_number),
        (Keeps::Distinct(_), Statistic::Distinct) => ty == Some(Type::Int),
        (_, Statistic::Element(n)) => has_part(accumulator, Part { from: n, to: n + 1 }),
        (_, Statistic::Len(part) | Statistic::Quantile(part, _)) => has_part(accumulator, part),
        (Keeps::Histogram(_), Statistic::Entropy(part)) => has_part(accumulator, part),
        (_, Statistic::Entropy(part)) => ty == Some(Type::Int) && has_part(accumulator, part),
        _ => false,
    }
}

/// Returns whether an accumulator has a list with a part.
fn has_part(accumulator: &Accumulator, part: Part) -> bool {
    let most = match &accumulator.keeps {
        Keeps::Histogram(edges) => edges.len() + 1,
        Keeps::Values => accumulator.limit.unwrap_or(0) as usize,
        _ => return false,
    };
    part.from <= part.to && part.to as usize <= most
}

fn uses_scope(program: &Program) -> bool {
    let is_scoped = |packets: &Selection| packets.scope != Scope::Both;
    let mut is_used = program.accumulators.iter().any(|it| is_scoped(&it.packets))
        || program.runs.iter().any(|it| is_scoped(&it.packets))
        || { program.previous.iter() }.any(|it| it.by_direction || is_scoped(&it.packets));
    program.visit_packets(&mut |expr| {
        is_used |= matches!(expr, Expr::Within(_, packets) if is_scoped(packets));
    });
    is_used
}

fn check_selection(
    program: &Program,
    packets: &Selection,
    nodes: &mut usize,
) -> Result<(), CompileError> {
    let is_known = match packets.of {
        Members::Packets => true,
        Members::RunPackets(run) => run < program.runs.len(),
        Members::Runs(run) => run < program.runs.len() && packets.scope == Scope::Both,
    };
    require(is_known, "the members of a selection")?;
    let Some(condition) = &packets.condition else {
        return Ok(());
    };
    check(program, condition, packets.of.level(), nodes)?;
    require(
        program.ty(condition) == Type::Bool,
        "a condition is no boolean",
    )
}

fn is_number(ty: Type) -> bool {
    matches!(ty, Type::Int | Type::Float)
}

fn require(holds: bool, message: &'static str) -> Result<(), CompileError> {
    match holds {
        true => Ok(()),
        false => Err(CompileError::Mismatch(message)),
    }
}

/// Checks an expression of a level.
fn check(
    program: &Program,
    expr: &Expr,
    level: Level,
    nodes: &mut usize,
) -> Result<(), CompileError> {
    *nodes += 1;
    let is_of_packet = level == Level::Packet;
    let mut operand = |expr: &Expr| check(program, expr, level, nodes);
    match expr {
        Expr::Int(_) | Expr::Bool(_) => Ok(()),
        Expr::Float(x) => require(x.is_finite(), "a float is not finite"),
        Expr::Packet(n) => require(is_of_packet && *n < program.packet.len(), "a packet field"),
        Expr::PayloadNumber { at, bytes } => {
            let fits =
                matches!(bytes, 1 | 2 | 4) && at.saturating_add(*bytes) <= program.payload_bytes;
            require(is_of_packet && fits, "a number in the payload")
        }
        Expr::PayloadStarts(bytes) => {
            let fits = bytes.len() <= program.payload_bytes as usize;
            require(is_of_packet && fits, "the start of the payload")
        }
        Expr::PayloadPart(from, to) => {
            let fits = from < to && *to <= program.payload_bytes;
            require(is_of_packet && fits, "a part of the payload")
        }
        Expr::Literal(at, len) => {
            let end = u64::from(*at) + u64::from(*len);
            require(end <= program.literals.len() as u64, "a literal")
        }
        Expr::Part(of, from, to) => {
            operand(of)?;
            let is_bytes = program.ty(of) == Type::Bytes;
            require(is_bytes && from < to && *to <= MAX_PAYLOAD, "a part")
        }
        Expr::Byte(of, at) => {
            operand(of)?;
            let is_bytes = program.ty(of) == Type::Bytes;
            require(is_bytes && *at <= MAX_PAYLOAD, "a byte")
        }
        Expr::Index | Expr::Age => require(is_of_packet, "the index or age of a packet"),
        Expr::Previous(n) => {
            let previous = program.previous.get(*n);
            let fits = previous.is_some_and(|it| it.packets.of.level() == level);
            require(fits, "a previous value")
        }
        Expr::Shared(n) => {
            let shared = program.shared.get(*n);
            let fits = shared.is_some_and(|it| [level, Level::Constant].contains(&it.level));
            require(fits, "a shared value")
        }
        Expr::Within(value, packets) => {
            require(is_of_packet, "a value of some packets")?;
            operand(value)?;
            check_selection(program, packets, nodes)
        }
        Expr::Flow(n) => {
            let is_known = level == Level::Flow && *n < program.expired.len();
            require(is_known, "a flow field")
        }
        Expr::Statistic(n, statistic) => {
            let accumulator =
                { program.accumulators.get(*n) }.filter(|it| it.packets.of.result() == level);
            let fits = accumulator.is_some_and(|it| is_kept(program, it, *statistic));
            require(fits, "a statistic")
        }
        Expr::List(..) => require(false, "a list"),
        Expr::Unary(function, a) => {
            operand(a)?;
            let fits = match (function, program.ty(a)) {
                (Function::Not, ty) => ty == Type::Bool,
                (Function::Length | Function::Distinct | Function::Entropy, ty) => {
                    ty == Type::Bytes
                }
                (_, ty) => is_number(ty),
            };
            require(fits, "an operand")
        }
        Expr::Binary(operator, a, b) => {
            operand(a)?;
            operand(b)?;
            let types = [program.ty(a), program.ty(b)];
            let fits = match operator {
                Operator::And | Operator::Or => types == [Type::Bool; 2],
                Operator::Add
                | Operator::Sub
                | Operator::Mul
                | Operator::Div
                | Operator::Least
                | Operator::Greatest
                | Operator::FloorTo => types.into_iter().all(is_number),
                Operator::SaturatingAdd
                | Operator::SaturatingSub
                | Operator::SaturatingMul
                | Operator::FloorDiv
                | Operator::Modulo
                | Operator::BitAnd
                | Operator::BitOr => types == [Type::Int; 2],
                Operator::Contains => types == [Type::Bytes; 2],
                Operator::Eq | Operator::Ne if types == [Type::Bytes; 2] => true,
                _ => types == [Type::Bool; 2] || types.into_iter().all(is_number),
            };
            require(fits, "operands")
        }
        Expr::Coalesce(a, b) => {
            operand(a)?;
            operand(b)?;
            require(program.ty(a) == program.ty(b), "operands of ??")
        }
        Expr::If(condition, a, b) => {
            operand(condition)?;
            operand(a)?;
            operand(b)?;
            let is_bool = program.ty(condition) == Type::Bool;
            require(is_bool && program.ty(a) == program.ty(b), "operands of if")
        }
    }
}
