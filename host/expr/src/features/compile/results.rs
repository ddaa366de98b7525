//! Statistics of a run or of a flow, and values that are computed from them.

use std::collections::BTreeMap;

use wasm_encoder::{BlockType, ValType};

use super::bytes;
use super::code::{Code, at};
use super::element::Element;
use super::expression::{Expressions, Leaves, Valid};
use super::functions::{MULTIPLY, SPREAD, TO_FLOAT};
use super::layout::{Block, Layout, Part, Storage};
use super::lists::{self, List};
use super::memory::{Memory, Scratch};
use super::merge;
use super::moments;
use super::previous;
use super::program::{self, Expr, Keeps, Level, Program, Statistic};
use super::quantile;

/// Where the statistics of a run or of a flow come from.
pub(super) struct Results<'a> {
    program: &'a Program,
    layout: &'a Layout,
    /// Where lists are sorted.
    scratch: Option<Scratch>,
    /// The local with the address of the flow's state.
    state: u32,
    /// The local with the address of the merged accumulators.
    merged: u32,
    /// The locals that hold flow fields, by their index in the program.
    pub(super) fields: Vec<u32>,
    /// The values of earlier runs; `None` for all others.
    previous: Vec<Option<(u32, Valid)>>,
    /// The shared values; `None` for those of another level.
    shared: Vec<Option<(u32, Valid)>>,
    /// The quantiles of lists, by the accumulator, the part and the bits of the quantile.
    quantiles: BTreeMap<(usize, program::Part, u64), (u32, Valid)>,
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
    /// Merges the accumulators of a level for which there are only those of both directions. `state` is the local with
    /// the address of the flow's state.
    pub(super) fn new(
        (program, layout, memory): (&'a Program, &'a Layout, &Memory),
        level: Level,
        state: u32,
        code: &mut Code,
    ) -> Self {
        let merged = code.local(ValType::I32);
        code.ins().i32_const(memory.merged as i32).local_set(merged);
        merge::write(program, layout, level, [state, merged], code);
        Self {
            program,
            layout,
            scratch: memory.sorting,
            state,
            merged,
            fields: Vec::new(),
            previous: vec![None; program.previous.len()],
            shared: vec![None; program.shared.len()],
            quantiles: BTreeMap::new(),
        }
    }

    /// Evaluates the quantiles and the shared values of a level.
    pub(super) fn share(&mut self, level: Level, code: &mut Code) {
        self.sort(level, code);
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

    /// Evaluates the quantiles of a level. A list is sorted once for all of them.
    fn sort(&mut self, level: Level, code: &mut Code) {
        let Some(scratch) = self.scratch else {
            return;
        };
        self.program.visit_results(&mut |expr| {
            if let Expr::Statistic(n, Statistic::Quantile(part, quantile)) = expr
                && self.program.accumulators[*n].packets.of.result() == level
            {
                self.quantiles.insert((*n, *part, *quantile), (0, None));
            }
        });
        let mut sorted = None;
        let mut all = std::mem::take(&mut self.quantiles);
        for ((accumulator, part, quantile), result) in &mut all {
            let (list, keys) = match sorted {
                Some((known, list, keys)) if known == (*accumulator, *part) => (list, keys),
                _ => {
                    let list = self.list(*accumulator, *part, code);
                    (list, quantile::sorted(list, scratch, code))
                }
            };
            sorted = Some(((*accumulator, *part), list, keys));
            let [is_some, value] = [code.local(ValType::I32), code.local(ValType::F64)];
            let ins = &mut code.ins();
            ins.local_get(list.len).i32_const(0).i32_ne();
            ins.local_set(is_some);
            quantile::write(list, keys, f64::from_bits(*quantile), code);
            let valid = finite(Some(is_some), code);
            code.ins().local_set(value);
            *result = (value, valid);
        }
        self.quantiles = all;
    }

    /// Finds a part of a list.
    pub(super) fn list(&self, accumulator: usize, part: program::Part, code: &mut Code) -> List {
        let place = self.layout.places[accumulator];
        let (block, offset) = (&self.layout.blocks[place.block], place.offset);
        let element = Element::new(self.program, &self.program.accumulators[accumulator]);
        let [address, len] = [(); 2].map(|()| code.local(ValType::I32));
        let first = offset + block.list().unwrap_or_default() + element.bytes * part.from;
        let ins = &mut code.ins();
        ins.local_get(self.state).i32_const(first as i32).i32_add();
        ins.local_set(address);
        let most = (part.to - part.from) as i32;
        match block.part(Part::Count) {
            Some(count) if block.accumulator.keeps == Keeps::Values => {
                // The number of values behind the first index, at most `most`.
                let ins = &mut code.ins();
                ins.local_get(self.state).i32_load(at(offset + count, 4));
                ins.i32_const(part.from as i32).i32_sub();
                ins.local_tee(len).i32_const(0);
                ins.local_get(len).i32_const(0).i32_gt_s();
                ins.select().local_tee(len);
                ins.i32_const(most).local_get(len).i32_const(most);
                ins.i32_lt_s().select().local_set(len);
            }
            _ => {
                code.ins().i32_const(most).local_set(len);
            }
        }
        List {
            element,
            address,
            len,
        }
    }

    /// Writes a statistic of a list.
    fn of_list(&self, accumulator: usize, statistic: Statistic, code: &mut Code) -> Valid {
        let place = self.layout.places[accumulator];
        let (block, offset) = (&self.layout.blocks[place.block], place.offset);
        let element = Element::new(self.program, &block.accumulator);
        let first = offset + block.list().unwrap_or_default();
        match statistic {
            Statistic::Distinct => {
                let Keeps::Distinct(most) = block.accumulator.keeps else {
                    unreachable!("statistics are checked");
                };
                lists::count_distinct(element, most, self.state, first, code);
                None
            }
            Statistic::Element(at) => {
                let part = program::Part {
                    from: at,
                    to: at + 1,
                };
                let list = self.list(accumulator, part, code);
                code.ins().local_get(list.address);
                element.load(0, code);
                match block.accumulator.keeps {
                    Keeps::Values => Some(list.len),
                    _ => None,
                }
            }
            Statistic::Len(part) => {
                let list = self.list(accumulator, part, code);
                code.ins().local_get(list.len).i64_extend_i32_u();
                None
            }
            Statistic::Entropy(part) => Some(self.list(accumulator, part, code).entropy(code)),
            Statistic::Quantile(part, quantile) => {
                let known = self.quantiles.get(&(accumulator, part, quantile));
                let (value, valid) = known.expect("all quantiles are evaluated");
                code.ins().local_get(*value);
                *valid
            }
            _ => unreachable!("statistics are checked"),
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
            Statistic::Distinct
            | Statistic::Element(_)
            | Statistic::Len(_)
            | Statistic::Entropy(_)
            | Statistic::Quantile(..) => return self.of_list(accumulator, statistic, code),
            Statistic::Count => {
                ins.local_get(state);
                ins.i64_load32_u(at(place(Part::Count), 4));
                return None;
            }
            Statistic::Head => {
                bytes::load(state, place(Part::Head), code);
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
                moments::correlation(state, place(Part::Comoments), code);
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
        if matches!(storage, Storage::Bytes(_)) {
            bytes::load(state, place(part), code);
            return Some(valid);
        }
        ins.local_get(state);
        match storage {
            Storage::U32 => ins.i64_load32_u(at(place(part), 4)),
            Storage::F64 => ins.f64_load(at(place(part), 8)),
            _ => ins.i64_load(at(place(part), 8)),
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
        Storage::F64 => ins.f64_load(address),
        _ => ins.i64_load(address).f64_convert_i64_s(),
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
