//! The functions of the module, and those of them that do not depend on the program.

use flowloom_core::value::Type as FieldType;
use wasm_encoder::{BlockType, Function, ValType};

use super::code::{Code, at};
use super::layout::{Block, Layout, Part, Storage};
use super::memory::{Memory, width};
use super::program::Members;

// Indices of functions: first the import, then the others in the order of the code section.
pub(super) const LOG: u32 = 0;
pub(super) const REALLOC: u32 = 1;
pub(super) const OPEN: u32 = 2;
pub(super) const PROCESS: u32 = 3;
pub(super) const FINISH: u32 = 4;
pub(super) const RESET: u32 = 5;
pub(super) const FAIL: u32 = 6;
pub(super) const BEGIN: u32 = 7;
pub(super) const EXPIRE: u32 = 8;
pub(super) const EXPIRE_NULL: u32 = 9;
pub(super) const MULTIPLY: u32 = 10;
pub(super) const SPREAD: u32 = 11;
pub(super) const TO_FLOAT: u32 = 12;
pub(super) const LOGARITHM: u32 = 13;
pub(super) const EQUAL: u32 = 14;
pub(super) const CONTAINS: u32 = 15;
pub(super) const DISTINCT: u32 = 16;
pub(super) const SORT: u32 = 17;
pub(super) const ENTROPY: u32 = 18;
/// The first function of runs.
pub(super) const FIRST_RUN: u32 = 19;

// Indices of globals.
/// The first free byte of the arena.
pub(super) const FREE: u32 = 0;
/// The number of states in the memory.
pub(super) const CAPACITY: u32 = 1;
/// 1 after the memory could not grow. It then never grows again, so that a slot without a state remains so.
pub(super) const IS_FULL: u32 = 2;

/// Severities of log lines.
const ERROR: i32 = 0;
const WARN: i32 = 1;

/// Reads a value from the column whose address is on the stack. `row` is the local with its index.
pub(super) fn load_column(ty: FieldType, row: u32, code: &mut Code) {
    let bytes = width(ty);
    let ins = &mut code.ins();
    ins.local_get(row);
    if bytes > 1 {
        ins.i32_const(bytes.trailing_zeros() as i32).i32_shl();
    }
    ins.i32_add();
    match ty {
        FieldType::Boolean => ins.i32_load8_u(at(0, 1)),
        FieldType::U8 => ins.i64_load8_u(at(0, 1)),
        FieldType::U16 => ins.i64_load16_u(at(0, 2)),
        FieldType::U32 => ins.i64_load32_u(at(0, 4)),
        FieldType::Float => ins.f64_load(at(0, 8)),
        _ => ins.i64_load(at(0, 8)),
    };
}

/// `(old, old_size, align, size) -> address`: allocates from the arena.
pub(super) fn realloc(memory: &Memory) -> Function {
    let message = memory.arena_message;
    let [old, old_size, align, size] = [0, 1, 2, 3];
    let mut code = Code::new(4);
    let address = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.global_get(FREE).local_get(align).i32_add().i32_const(1);
    ins.i32_sub()
        .i32_const(0)
        .local_get(align)
        .i32_sub()
        .i32_and();
    ins.local_set(address);
    // The address may be behind the end by less than an alignment.
    ins.local_get(address)
        .i32_const(memory.arena_end as i32)
        .i32_gt_u();
    ins.i32_const(memory.arena_end as i32)
        .local_get(address)
        .i32_sub();
    ins.local_get(size).i32_lt_u().i32_or();
    ins.if_(BlockType::Empty);
    ins.i32_const(message[0] as i32)
        .i32_const(message[1] as i32);
    ins.call(FAIL).end();
    ins.local_get(address)
        .local_get(size)
        .i32_add()
        .global_set(FREE);
    ins.local_get(old_size).if_(BlockType::Empty);
    ins.local_get(address).local_get(old);
    ins.local_get(old_size).local_get(size);
    ins.local_get(old_size).local_get(size).i32_lt_u().select();
    ins.memory_copy(0, 0).end();
    ins.local_get(address);
    code.finish()
}

/// Opens the plugin: there is one answer for no options, and one for any options.
pub(super) fn open(memory: &Memory) -> Function {
    let options_len = 1;
    let mut code = Code::new(8);
    let ins = &mut code.ins();
    ins.i32_const(memory.no_options as i32)
        .i32_const(memory.manifest as i32);
    ins.local_get(options_len).select();
    code.finish()
}

/// Frees what the host allocated for a call.
pub(super) fn reset(memory: &Memory) -> Function {
    let mut code = Code::new(1);
    code.ins().i32_const(memory.arena as i32).global_set(FREE);
    code.finish()
}

/// `(text, len)`: writes an error to the log, and traps.
pub(super) fn fail() -> Function {
    let mut code = Code::new(2);
    let ins = &mut code.ins();
    ins.i32_const(ERROR).local_get(0).local_get(1).call(LOG);
    ins.unreachable();
    code.finish()
}

/// `(slot)`: makes the state of a new flow. The slot has none if the memory cannot grow.
pub(super) fn begin(layout: &Layout, memory: &Memory) -> Function {
    let message = memory.full_message;
    let slot = 0;
    let mut code = Code::new(1);
    let [pages, state] = [(); 2].map(|()| code.local(ValType::I32));
    let stride = i64::from(layout.stride);
    let ins = &mut code.ins();
    ins.local_get(slot).global_get(CAPACITY).i32_ge_u();
    ins.if_(BlockType::Empty);
    ins.global_get(IS_FULL)
        .if_(BlockType::Empty)
        .return_()
        .end();
    // The pages that are missing.
    ins.local_get(slot)
        .i64_extend_i32_u()
        .i64_const(1)
        .i64_add();
    ins.i64_const(stride)
        .i64_mul()
        .i64_const(i64::from(memory.states) + 0xffff);
    ins.i64_add().i64_const(16).i64_shr_u().i32_wrap_i64();
    ins.memory_size(0).i32_sub().local_set(pages);
    // Half of the memory more, so that it grows seldom; otherwise only what is missing.
    ins.local_get(pages)
        .memory_size(0)
        .i32_const(1)
        .i32_shr_u()
        .i32_add();
    ins.memory_grow(0)
        .i32_const(-1)
        .i32_eq()
        .if_(BlockType::Empty);
    ins.local_get(pages)
        .memory_grow(0)
        .i32_const(-1)
        .i32_eq()
        .if_(BlockType::Empty);
    ins.i32_const(1).global_set(IS_FULL);
    ins.i32_const(WARN)
        .i32_const(message[0] as i32)
        .i32_const(message[1] as i32)
        .call(LOG);
    ins.return_().end().end();
    ins.memory_size(0)
        .i64_extend_i32_u()
        .i64_const(16)
        .i64_shl();
    ins.i64_const(memory.states.into()).i64_sub();
    ins.i64_const(stride)
        .i64_div_u()
        .i32_wrap_i64()
        .global_set(CAPACITY);
    ins.end();
    ins.local_get(slot)
        .i32_const(layout.stride as i32)
        .i32_mul();
    ins.i32_const(memory.states as i32)
        .i32_add()
        .local_set(state);
    for offset in (0..layout.stride).step_by(16) {
        ins.local_get(state)
            .v128_const(0)
            .v128_store(at(offset, 16));
    }
    initialize(layout, |_| true, state, &mut code);
    code.finish()
}

/// Writes the parts of a new state that are not 0, for accumulators that see certain members.
pub(super) fn initialize(
    layout: &Layout,
    wanted: impl Fn(Members) -> bool,
    state: u32,
    code: &mut Code,
) {
    let is_wanted = |block: &&Block| wanted(block.accumulator.packets.of);
    for block in layout.blocks.iter().filter(is_wanted) {
        let directions = if block.by_direction { 2 } else { 1 };
        for direction in 0..directions {
            for (part, offset) in &block.parts {
                let address = block.offset + direction * block.size + offset;
                let is_min = match part {
                    Part::Min => true,
                    Part::Max => false,
                    _ => continue,
                };
                let ins = &mut code.ins();
                ins.local_get(state);
                match (block.storage, is_min) {
                    (Storage::U32, _) => {
                        ins.i32_const(if is_min { -1 } else { 0 })
                            .i32_store(at(address, 4));
                    }
                    (Storage::F64, _) => {
                        let limit = if is_min {
                            f64::INFINITY
                        } else {
                            f64::NEG_INFINITY
                        };
                        ins.f64_const(limit.into()).f64_store(at(address, 8));
                    }
                    // Integers; bytes have neither minimum nor maximum.
                    _ => {
                        ins.i64_const(if is_min { i64::MAX } else { i64::MIN })
                            .i64_store(at(address, 8));
                    }
                }
            }
        }
    }
}
