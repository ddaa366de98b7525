//! Instructions that write the outputs of a flow that ends.

use flowloom_core::value::Type as FieldType;
use wasm_encoder::{BlockType, Function, ValType};

use super::code::{Code, at};
use super::expression::{Expressions, Leaves, Valid};
use super::functions::{MULTIPLY, SPREAD, TO_FLOAT, load_column};
use super::layout::{Block, Layout, Part, Storage};
use super::memory::{Memory, OutputPlace, RECORD_VALID_LEN};
use super::merge;
use super::moments;
use super::previous;
use super::program::{Expr, Level, Program, Statistic, Type};

/// Where the statistics of a run or of a flow come from.
pub(super) struct Results<'a> {
    program: &'a Program,
    layout: &'a Layout,
    /// The local with the address of the flow's state.
    state: u32,
    /// The local with the address of the merged accumulators.
    merged: u32,
    /// The locals that hold flow fields, by their index in the program.
    fields: Vec<u32>,
    /// The values of earlier runs; `None` for all others.
    previous: Vec<Option<(u32, Valid)>>,
    /// The shared values; `None` for those of another level.
    shared: Vec<Option<(u32, Valid)>>,
}

/// Returns the function `(state, row, columns of flow fields)` that writes a row of the outputs.
pub(super) fn expire(program: &Program, layout: &Layout, memory: &Memory) -> Function {
    let [state, row, columns] = [0, 1, 2];
    let mut code = Code::new(3);
    let mut fields = Vec::new();
    for (n, field) in program.expired.iter().enumerate() {
        let ty = match field.ty {
            FieldType::Boolean => ValType::I32,
            FieldType::Float => ValType::F64,
            _ => ValType::I64,
        };
        let local = code.local(ty);
        code.ins()
            .local_get(columns)
            .i32_load(at(20 * n as u32 + 4, 4));
        load_column(field.ty, row, &mut code);
        code.ins().local_set(local);
        fields.push(local);
    }
    let source = (Level::Flow, memory.scratch);
    let mut flow = Results::new(program, layout, source, state, &mut code);
    flow.fields = fields;
    flow.share(Level::Flow, &mut code);
    for (output, place) in program.outputs.iter().zip(&memory.outputs) {
        write_output(&flow, &output.value, place, row, &mut code);
    }
    code.finish()
}

fn write_output(flow: &Results<'_>, value: &Expr, place: &OutputPlace, row: u32, code: &mut Code) {
    let ty = flow.program.ty(value);
    // The address of the value.
    code.ins().local_get(row);
    if ty != Type::Bool {
        code.ins().i32_const(3).i32_shl();
    }
    let valid = Expressions {
        program: flow.program,
        leaves: flow,
        code,
    }
    .write(value);
    let ins = &mut code.ins();
    match ty {
        Type::Bool => ins.i32_store8(at(place.values, 1)),
        Type::Int => ins.i64_store(at(place.values, 8)),
        Type::Float => ins.f64_store(at(place.values, 8)),
    };
    match valid {
        Some(valid) => {
            ins.local_get(row).local_get(valid);
            ins.i32_store8(at(place.valid, 1));
            // The record says whether a value of the batch is null.
            let flag = at(place.record + RECORD_VALID_LEN, 4);
            ins.i32_const(0).i32_const(0).i32_load(flag);
            ins.local_get(valid).i32_eqz().i32_or().i32_store(flag);
        }
        None => {
            ins.local_get(row).i32_const(1);
            ins.i32_store8(at(place.valid, 1));
        }
    }
}

/// Returns the function `(row)` that writes a row of nulls.
pub(super) fn expire_null(memory: &Memory) -> Function {
    let mut code = Code::new(1);
    let ins = &mut code.ins();
    for place in &memory.outputs {
        let flag = at(place.record + RECORD_VALID_LEN, 4);
        ins.local_get(0).i32_const(0).i32_store8(at(place.valid, 1));
        ins.i32_const(0).i32_const(1).i32_store(flag);
    }
    code.finish()
}

impl Leaves for Results<'_> {
    fn leaf(&self, code: &mut Code, expr: &Expr) -> Valid {
        match expr {
            Expr::Statistic(n, statistic) => self.statistic(*n, *statistic, code),
            Expr::Flow(n) => {
                code.ins().local_get(self.fields[*n]);
                None
            }
            Expr::Shared(n) => {
                let (local, valid) = self.shared[*n].expect("shared values are checked");
                code.ins().local_get(local);
                valid
            }
            Expr::Previous(n) => {
                let (local, valid) = self.previous[*n].expect("previous values are checked");
                code.ins().local_get(local);
                valid
            }
            _ => unreachable!("expressions in outputs are checked"),
        }
    }

    fn direction(&self) -> Option<u32> {
        None
    }

    fn in_run(&self, _: usize) -> Valid {
        None
    }
}

impl previous::Loaded for Results<'_> {
    fn set_previous(&mut self, n: usize, value: (u32, Valid)) {
        self.previous[n] = Some(value);
    }
}

impl<'a> Results<'a> {
    /// Merges the accumulators of a level for which there are only those of both directions.
    pub(super) fn new(
        program: &'a Program,
        layout: &'a Layout,
        (level, scratch): (Level, u32),
        state: u32,
        code: &mut Code,
    ) -> Self {
        let merged = code.local(ValType::I32);
        code.ins().i32_const(scratch as i32).local_set(merged);
        merge::write(program, layout, level, [state, merged], code);
        Self {
            program,
            layout,
            state,
            merged,
            fields: Vec::new(),
            previous: vec![None; program.previous.len()],
            shared: vec![None; program.shared.len()],
        }
    }

    /// Evaluates the shared values of a level.
    pub(super) fn share(&mut self, level: Level, code: &mut Code) {
        for (n, shared) in self.program.shared.iter().enumerate() {
            if [level, Level::Constant].contains(&shared.level) {
                let mut expressions = Expressions {
                    program: self.program,
                    leaves: self,
                    code: &mut *code,
                };
                self.shared[n] = Some(expressions.evaluate(&shared.value));
            }
        }
    }

    fn statistic(&self, accumulator: usize, statistic: Statistic, code: &mut Code) -> Valid {
        let place = self.layout.places[accumulator];
        let block = &self.layout.blocks[place.block];
        let state = if place.is_merged {
            self.merged
        } else {
            self.state
        };
        let place = |part| place.offset + block.part(part).unwrap_or_default();
        let storage = block.storage;
        let is_float = storage == Storage::F64;
        let ins = &mut code.ins();
        match statistic {
            Statistic::Count => {
                ins.local_get(state);
                ins.i64_load32_u(at(place(Part::Count), 4));
                return None;
            }
            Statistic::Sum if is_float => {
                ins.local_get(state).f64_load(at(place(Part::Sum), 8));
                return finite(None, code);
            }
            Statistic::Sum if block.part(Part::Sum).is_none() => {
                limited_sum(state, place(Part::WideSum), code);
                return None;
            }
            Statistic::Sum => {
                ins.local_get(state).i64_load(at(place(Part::Sum), 8));
                return None;
            }
            Statistic::FloatSum => {
                float_sum(block, state, &place, code);
                return if is_float { finite(None, code) } else { None };
            }
            _ => {}
        }
        let count = code.local(ValType::I64);
        let valid = code.local(ValType::I32);
        let ins = &mut code.ins();
        ins.local_get(state);
        ins.i64_load32_u(at(place(Part::Count), 4)).local_tee(count);
        ins.i64_const(0).i64_ne().local_set(valid);
        let part = match statistic {
            Statistic::Min => Part::Min,
            Statistic::Max => Part::Max,
            Statistic::First => Part::First,
            Statistic::Last => Part::Last,
            Statistic::Nth => {
                let limit = self.program.accumulators[accumulator].limit.unwrap_or(0);
                ins.local_get(count).i64_const(limit.into()).i64_eq();
                ins.local_set(valid);
                Part::Last
            }
            Statistic::Skewness | Statistic::Kurtosis => {
                let is_skewness = statistic == Statistic::Skewness;
                moments::shape(is_skewness, state, count, place(Part::Moments), code);
                return finite(Some(valid), code);
            }
            Statistic::Correlation => {
                moments::correlation(self.state, place(Part::Comoments), code);
                return finite(Some(valid), code);
            }
            _ => {
                spread(block, state, &place, count, code);
                let is_population = statistic == Statistic::VariancePop;
                quotient(storage, is_population, count, code);
                return if is_float {
                    finite(Some(valid), code)
                } else {
                    Some(valid)
                };
            }
        };
        ins.local_get(state);
        match storage {
            Storage::U32 => ins.i64_load32_u(at(place(part), 4)),
            Storage::I64 => ins.i64_load(at(place(part), 8)),
            Storage::F64 => ins.f64_load(at(place(part), 8)),
        };
        Some(valid)
    }
}

/// Leaves a sum of 128 bits on the stack that stops at ±(2^63 - 1).
fn limited_sum(state: u32, offset: u32, code: &mut Code) {
    let [low, high] = [(); 2].map(|()| code.local(ValType::I64));
    let ins = &mut code.ins();
    ins.local_get(state).i64_load(at(offset, 8)).local_set(low);
    ins.local_get(state).i64_load(at(offset + 8, 8));
    ins.local_tee(high).i64_const(63).i64_shr_s();
    ins.i64_const(i64::MAX).i64_xor().i64_const(1).i64_or();
    ins.local_get(low);
    ins.local_get(high).local_get(low);
    ins.i64_const(63).i64_shr_s().i64_ne();
    ins.local_get(low).i64_const(i64::MIN).i64_eq().i32_or();
    // select keeps the first operand if the sum needs more than 64 bits.
    ins.select();
}

/// Leaves the sum on the stack, as a float.
fn float_sum(block: &Block, state: u32, place: &dyn Fn(Part) -> u32, code: &mut Code) {
    let ins = &mut code.ins();
    ins.local_get(state);
    if block.part(Part::WideSum).is_some() {
        let sum = place(Part::WideSum);
        ins.i64_load(at(sum, 8)).local_get(state);
        ins.i64_load(at(sum + 8, 8)).call(TO_FLOAT);
        return;
    }
    let address = at(place(Part::Sum), 8);
    match block.storage {
        Storage::U32 => ins.i64_load(address).f64_convert_i64_u(),
        Storage::I64 => ins.i64_load(address).f64_convert_i64_s(),
        Storage::F64 => ins.f64_load(address),
    };
}

/// Leaves count * squares - sum * sum of integers on the stack, or the sum of squared deviations of floats.
fn spread(block: &Block, state: u32, place: &dyn Fn(Part) -> u32, count: u32, code: &mut Code) {
    let storage = block.storage;
    if storage == Storage::F64 {
        let ins = &mut code.ins();
        ins.local_get(state);
        ins.f64_load(at(place(Part::Deviations) + 8, 8));
        return;
    }
    if storage == Storage::U32 {
        let ins = &mut code.ins();
        ins.local_get(count);
        ins.local_get(state).i64_load(at(place(Part::Sum), 8));
        ins.local_get(state).i64_load(at(place(Part::Squares), 8));
        ins.i64_const(0).call(SPREAD);
        return;
    }
    let [sum, sum_high, squares, squares_high] = [(); 4].map(|()| code.local(ValType::I64));
    let [product, carry] = [(); 2].map(|()| code.local(ValType::I64));
    let is_large = code.local(ValType::I32);
    let float_sum = code.local(ValType::F64);
    let ins = &mut code.ins();
    ins.local_get(state);
    match block.part(Part::Squares) {
        Some(_) => ins.i64_load(at(place(Part::Squares), 8)).local_set(squares),
        None => {
            let address = place(Part::WideSquares);
            ins.i64_load(at(address, 8)).local_set(squares);
            ins.local_get(state);
            ins.i64_load(at(address + 8, 8)).local_set(squares_high)
        }
    };
    ins.local_get(state);
    match block.part(Part::WideSum).is_some() {
        true => {
            let address = place(Part::WideSum);
            ins.i64_load(at(address, 8)).local_set(sum);
            ins.local_get(state).i64_load(at(address + 8, 8));
        }
        false => {
            ins.i64_load(at(place(Part::Sum), 8)).local_tee(sum);
            ins.i64_const(63).i64_shr_s();
        }
    }
    ins.local_set(sum_high);
    // Whether the sum needs more than 64 bits, or the count times the squares more than 127.
    ins.local_get(sum).i64_const(63).i64_shr_s();
    ins.local_get(sum_high).i64_ne();
    ins.local_get(count).local_get(squares_high).call(MULTIPLY);
    ins.i64_eqz()
        .i32_eqz()
        .local_set(is_large)
        .local_set(product);
    // The low halves can have a carry.
    ins.local_get(count).local_get(squares).call(MULTIPLY);
    ins.local_set(carry).drop();
    ins.local_get(product).local_get(carry).i64_add();
    ins.local_get(product).i64_or().i64_const(0).i64_lt_s();
    ins.local_get(is_large).i32_or();
    ins.i32_or().if_(BlockType::Result(ValType::F64));
    // Floats instead; not below 0.
    ins.local_get(count).f64_convert_i64_u();
    ins.local_get(squares)
        .local_get(squares_high)
        .call(TO_FLOAT);
    ins.f64_mul();
    ins.local_get(sum).local_get(sum_high).call(TO_FLOAT);
    ins.local_tee(float_sum).local_get(float_sum).f64_mul();
    ins.f64_sub().f64_const(0.0.into()).f64_max().else_();
    // The absolute value of the sum.
    ins.local_get(count);
    ins.i64_const(0).local_get(sum).i64_sub().local_get(sum);
    ins.local_get(sum).i64_const(0).i64_lt_s().select();
    ins.local_get(squares).local_get(squares_high);
    ins.call(SPREAD).end();
}

/// Divides the spread on the stack. For one value it is 0, and so is the quotient.
fn quotient(storage: Storage, is_population: bool, count: u32, code: &mut Code) {
    let ins = &mut code.ins();
    if storage != Storage::F64 {
        ins.local_get(count).f64_convert_i64_u();
    }
    ins.local_get(count);
    if !is_population {
        ins.i64_const(1).i64_sub();
        // 1 instead of 0.
        ins.local_get(count).i64_const(1).i64_eq();
        ins.i64_extend_i32_u().i64_add();
    }
    ins.f64_convert_i64_u();
    if storage != Storage::F64 {
        ins.f64_mul();
    }
    ins.f64_div();
}

/// Adds to the validity of the float on the stack that it is neither infinite nor NaN.
fn finite(valid: Valid, code: &mut Code) -> Valid {
    let x = code.local(ValType::F64);
    let result = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.local_tee(x).f64_abs().f64_const(f64::INFINITY.into());
    ins.f64_lt();
    if let Some(valid) = valid {
        ins.local_get(valid).i32_and();
    }
    ins.local_set(result).local_get(x);
    Some(result)
}
