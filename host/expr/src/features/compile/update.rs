//! Instructions that add a packet or a run to accumulators.

use wasm_encoder::{BlockType, ValType};

use super::bytes;
use super::code::{Code, at};
use super::expression::{Expressions, Leaves, Valid};
use super::layout::{Block, Layout, Part, Storage, is_narrow};
use super::lists;
use super::moments;
use super::program::{Expr, Keeps, Members, Operator, Program, Type};
use super::saturating;

/// Writes the update of all blocks that see certain members. `state` is the local with the address of the flow's state.
pub(super) fn blocks(
    program: &Program,
    layout: &Layout,
    wanted: impl Fn(Members) -> bool,
    (leaves, state): (&dyn Leaves, u32),
    code: &mut Code,
) {
    for block in &layout.blocks {
        if wanted(block.accumulator.packets.of) {
            let base = match block.by_direction {
                true => base(block.size, leaves, state, code),
                false => state,
            };
            let update = Update {
                program,
                block,
                leaves,
                base,
            };
            update.write(code);
        }
    }
}

/// Returns the local with the address to which an offset is added that depends on the direction.
pub(super) fn base(step: u32, leaves: &dyn Leaves, state: u32, code: &mut Code) -> u32 {
    let Some(direction) = leaves.direction() else {
        return state;
    };
    let base = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.local_get(state).local_get(direction).i32_wrap_i64();
    ins.i32_const(step as i32).i32_mul().i32_add();
    ins.local_set(base);
    base
}

struct Update<'a> {
    program: &'a Program,
    block: &'a Block,
    leaves: &'a dyn Leaves,
    base: u32,
}

impl Update<'_> {
    fn write(&self, code: &mut Code) {
        let accumulator = &self.block.accumulator;
        let mut expressions = Expressions {
            program: self.program,
            leaves: self.leaves,
            code: &mut *code,
        };
        let mut selected = expressions.selection(&accumulator.packets);
        let mut value = None;
        let is_predicated = self.is_predicated();
        if let Some(expr) = &accumulator.value {
            // Whether the value is null is part of the selection.
            let (local, valid) = expressions.evaluate(expr);
            value = Some(local);
            selected = expressions.both(selected, valid);
        }
        let mut second = None;
        if let Keeps::Pairs(expr) = &accumulator.keeps {
            let (local, valid) = expressions.evaluate(expr);
            second = Some((local, self.program.ty(expr) == Type::Float));
            selected = expressions.both(selected, valid);
        }
        if let (Some(limit), Some(count)) = (accumulator.limit, self.block.part(Part::Count)) {
            let is_below = code.local(ValType::I32);
            let ins = &mut code.ins();
            ins.local_get(self.base);
            ins.i32_load(at(self.block.offset + count, 4));
            ins.i32_const(limit as i32).i32_lt_u().local_set(is_below);
            selected = both(selected, Some(is_below), code);
        }
        match selected {
            None => self.add(value, second, None, code),
            Some(selected) if is_predicated => self.add(value, second, Some(selected), code),
            Some(selected) => {
                code.ins().local_get(selected).if_(BlockType::Empty);
                self.add(value, second, None, code);
                code.ins().end();
            }
        }
    }

    /// Counts and sums of integers are updated without a branch.
    fn is_predicated(&self) -> bool {
        self.block.storage != Storage::F64
            && self
                .block
                .parts
                .iter()
                .all(|(part, _)| matches!(part, Part::Count | Part::Sum))
    }

    /// Adds a value to each part. With `selected`, only counts and sums are there, and remain if it is 0. `second` is
    /// the second value of a pair, and whether it is a float.
    fn add(
        &self,
        value: Option<u32>,
        second: Option<(u32, bool)>,
        selected: Option<u32>,
        code: &mut Code,
    ) {
        let old_count = code.local(ValType::I32);
        if let Some(count) = self.block.part(Part::Count) {
            let address = at(self.block.offset + count, 4);
            let ins = &mut code.ins();
            ins.local_get(self.base)
                .local_get(self.base)
                .i32_load(address);
            ins.local_tee(old_count);
            // It stops at its maximum.
            ins.local_get(old_count).i32_const(-1).i32_ne();
            if let Some(selected) = selected {
                ins.local_get(selected).i32_and();
            }
            ins.i32_add().i32_store(address);
        }
        let Some(value) = value else {
            return;
        };
        for (part, offset) in &self.block.parts {
            let offset = self.block.offset + offset;
            match part {
                Part::Count => {}
                Part::Sum => self.add_sum(value, selected, offset, code),
                Part::WideSum => self.add_wide_sum(value, offset, code),
                Part::Squares => self.add_square(value, offset, code),
                Part::WideSquares => self.add_wide_square(value, offset, code),
                Part::Deviations => {
                    moments::add_deviation(self.base, value, old_count, offset, code);
                }
                Part::Moments => {
                    let is_float = self.block.storage == Storage::F64;
                    moments::add(self.base, (value, is_float), old_count, offset, code);
                }
                Part::Comoments => {
                    let is_float = self.block.storage == Storage::F64;
                    let pair = [(value, is_float), second.unwrap_or((value, is_float))];
                    moments::add_pair(self.base, pair, old_count, offset, code);
                }
                Part::List(_) => {
                    let locals = [self.base, value, old_count];
                    lists::add(self.program, &self.block.accumulator, locals, offset, code);
                }
                Part::Head => self.append(value, offset, code),
                Part::Min | Part::Max | Part::First | Part::Last => match self.block.storage {
                    Storage::Bytes(most) => {
                        self.replace_bytes(*part, value, old_count, (offset, most), code);
                    }
                    _ => self.replace(*part, value, old_count, offset, code),
                },
            }
        }
    }

    fn add_sum(&self, value: u32, selected: Option<u32>, offset: u32, code: &mut Code) {
        let ins = &mut code.ins();
        ins.local_get(self.base).local_get(self.base);
        if self.block.storage == Storage::F64 {
            ins.f64_load(at(offset, 8)).local_get(value).f64_add();
            ins.f64_store(at(offset, 8));
            return;
        }
        ins.i64_load(at(offset, 8)).local_get(value);
        if let Some(selected) = selected {
            ins.i64_const(0).local_get(selected).select();
        }
        match is_narrow(&self.block.accumulator) {
            true => {
                ins.i64_add();
            }
            false => saturating::write(Operator::SaturatingAdd, code),
        }
        code.ins().i64_store(at(offset, 8));
    }

    fn add_wide_sum(&self, value: u32, offset: u32, code: &mut Code) {
        let sum = code.local(ValType::I64);
        let ins = &mut code.ins();
        ins.local_get(self.base).local_get(self.base);
        ins.i64_load(at(offset, 8))
            .local_get(value)
            .i64_add()
            .local_tee(sum);
        ins.i64_store(at(offset, 8));
        ins.local_get(self.base).local_get(self.base);
        ins.i64_load(at(offset + 8, 8));
        ins.local_get(value).i64_const(63).i64_shr_s().i64_add();
        ins.local_get(sum).local_get(value).i64_lt_u();
        ins.i64_extend_i32_u().i64_add();
        ins.i64_store(at(offset + 8, 8));
    }

    fn add_square(&self, value: u32, offset: u32, code: &mut Code) {
        let square = code.local(ValType::I64);
        let sum = code.local(ValType::I64);
        let ins = &mut code.ins();
        ins.local_get(self.base);
        ins.local_get(value)
            .local_get(value)
            .i64_mul()
            .local_tee(square);
        ins.local_get(self.base)
            .i64_load(at(offset, 8))
            .i64_add()
            .local_tee(sum);
        // A sum that wraps is less than what was added.
        ins.i64_const(-1)
            .local_get(sum)
            .local_get(square)
            .i64_ge_u();
        // select keeps the first operand if the condition holds.
        ins.select();
        ins.i64_store(at(offset, 8));
    }

    fn add_wide_square(&self, value: u32, offset: u32, code: &mut Code) {
        let [low, high, sum] = [(); 3].map(|()| code.local(ValType::I64));
        let magnitude = code.local(ValType::I64);
        let ins = &mut code.ins();
        ins.i64_const(0).local_get(value).i64_sub().local_get(value);
        ins.local_get(value).i64_const(0).i64_lt_s().select();
        ins.local_tee(magnitude).local_get(magnitude).i64_mul();
        ins.local_set(low).i64_const(0).local_set(high);
        // Most squares have 64 bits: those of times of less than 4 s.
        ins.local_get(magnitude).i64_const(32).i64_shr_u();
        ins.i64_eqz().i32_eqz().if_(BlockType::Empty);
        ins.local_get(magnitude)
            .local_get(magnitude)
            .call(super::functions::MULTIPLY);
        ins.local_set(high).local_set(low).end();
        ins.local_get(self.base).i64_load(at(offset, 8));
        ins.local_get(low).i64_add().local_set(sum);
        ins.local_get(self.base).i64_load(at(offset + 8, 8));
        ins.local_get(high).i64_add();
        ins.local_get(sum).local_get(low).i64_lt_u();
        ins.i64_extend_i32_u().i64_add().local_set(high);
        // It stops at 2^127 - 1.
        ins.local_get(self.base).i64_const(-1).local_get(sum);
        ins.local_get(high).i64_const(0).i64_lt_s().select();
        ins.i64_store(at(offset, 8));
        ins.local_get(self.base).i64_const(i64::MAX).local_get(high);
        ins.local_get(high).i64_const(0).i64_lt_s().select();
        ins.i64_store(at(offset + 8, 8));
    }

    /// Appends the payload to the bytes in the state. `size` is its size.
    fn append(&self, size: u32, offset: u32, code: &mut Code) {
        if let Storage::Bytes(most) = self.block.storage {
            // It is empty instead of null.
            let _ = self.leaves.leaf(code, &Expr::PayloadPart(0, most));
            bytes::append(self.base, size, offset, most, code);
        }
    }

    /// Keeps the first or the last bytes.
    fn replace_bytes(
        &self,
        part: Part,
        value: u32,
        old_count: u32,
        (offset, most): (u32, u32),
        code: &mut Code,
    ) {
        if part == Part::First {
            code.ins().local_get(old_count).i32_eqz();
            code.ins().if_(BlockType::Empty);
        }
        bytes::store(self.base, value, offset, most, code);
        if part == Part::First {
            code.ins().end();
        }
    }

    /// Keeps the smaller, the larger, the first or the last value.
    fn replace(&self, part: Part, value: u32, old_count: u32, offset: u32, code: &mut Code) {
        let storage = self.block.storage;
        let ty = match storage {
            Storage::U32 => ValType::I32,
            Storage::F64 => ValType::F64,
            _ => ValType::I64,
        };
        let [new, old] = [(); 2].map(|()| code.local(ty));
        let ins = &mut code.ins();
        ins.local_get(value);
        if storage == Storage::U32 {
            ins.i32_wrap_i64();
        }
        ins.local_set(new).local_get(self.base).local_get(new);
        if part != Part::Last {
            ins.local_get(self.base);
            match storage {
                Storage::U32 => ins.i32_load(at(offset, 4)),
                Storage::F64 => ins.f64_load(at(offset, 8)),
                _ => ins.i64_load(at(offset, 8)),
            };
            ins.local_tee(old);
            match (part, storage) {
                (Part::First, _) => ins.local_get(old_count).i32_eqz(),
                (Part::Min, Storage::U32) => ins.local_get(new).local_get(old).i32_lt_u(),
                (_, Storage::U32) => ins.local_get(new).local_get(old).i32_gt_u(),
                (Part::Min, Storage::F64) => ins.local_get(new).local_get(old).f64_lt(),
                (_, Storage::F64) => ins.local_get(new).local_get(old).f64_gt(),
                (Part::Min, _) => ins.local_get(new).local_get(old).i64_lt_s(),
                _ => ins.local_get(new).local_get(old).i64_gt_s(),
            };
            ins.select();
        }
        match storage {
            Storage::U32 => ins.i32_store(at(offset, 4)),
            Storage::F64 => ins.f64_store(at(offset, 8)),
            _ => ins.i64_store(at(offset, 8)),
        };
    }
}

fn both(a: Valid, b: Valid, code: &mut Code) -> Valid {
    let (Some(first), Some(second)) = (a, b) else {
        return a.or(b);
    };
    let local = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.local_get(first).local_get(second).i32_and();
    ins.local_set(local);
    Some(local)
}
