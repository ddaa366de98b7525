//! Instructions of expressions of bytes.
//!
//! A value is an `i64`: the address in the lower half, and the length in the upper one.

use wasm_encoder::{InstructionSink, ValType};

use super::code::{Code, at};
use super::data::Data;
use super::functions::{CONTAINS, DISTINCT, ENTROPY, EQUAL};
use super::program::{Function, Operator};

/// Leaves on the stack the bytes at an address, with a length. Both are locals.
pub(super) fn pair(address: u32, len: u32, ins: &mut InstructionSink<'_>) {
    ins.local_get(address).i64_extend_i32_u();
    ins.local_get(len).i64_extend_i32_u();
    ins.i64_const(32).i64_shl().i64_or();
}

/// Leaves a literal on the stack.
pub(super) fn literal(offset: u32, len: u32, code: &mut Code) {
    let address = Data::BASE + offset;
    let value = i64::from(len) << 32 | i64::from(address);
    code.ins().i64_const(value);
}

/// Moves the bytes on the stack to two new locals, the address and the length.
pub(super) fn split(code: &mut Code) -> [u32; 2] {
    let value = code.local(ValType::I64);
    let [address, len] = [(); 2].map(|()| code.local(ValType::I32));
    let ins = &mut code.ins();
    ins.local_tee(value).i32_wrap_i64().local_set(address);
    ins.local_get(value).i64_const(32).i64_shr_u();
    ins.i32_wrap_i64().local_set(len);
    [address, len]
}

/// Replaces the bytes on the stack by a part of them, which is empty where they end before it. Returns the local that
/// says whether it is not empty.
pub(super) fn part(from: u32, to: u32, code: &mut Code) -> u32 {
    let [address, len] = split(code);
    let exists = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.local_get(len).i32_const(to as i32);
    ins.local_get(len).i32_const(to as i32).i32_lt_u().select();
    ins.local_tee(len).i32_const(from as i32).i32_gt_u();
    ins.local_set(exists);
    ins.local_get(address).i32_const(from as i32).i32_add();
    ins.local_set(address);
    ins.local_get(len).i32_const(from as i32).i32_sub();
    ins.local_set(len);
    pair(address, len, ins);
    ins.i64_const(0).local_get(exists).select();
    exists
}

/// Replaces the bytes on the stack by one of them. Returns the local that says whether it exists.
pub(super) fn element(offset: u32, code: &mut Code) -> u32 {
    let [address, len] = split(code);
    let exists = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.local_get(address).i32_const(0);
    ins.local_get(len).i32_const(offset as i32).i32_gt_u();
    ins.local_tee(exists).select();
    ins.i64_load8_u(at(offset, 1));
    exists
}

/// Replaces the bytes on the stack by a number.
pub(super) fn unary(function: Function, code: &mut Code) {
    let ins = &mut code.ins();
    match function {
        Function::Distinct => ins.call(DISTINCT),
        _ => ins.i64_const(32).i64_shr_u(),
    };
}

/// Replaces the bytes on the stack by their entropy. Returns the local that says whether it exists.
pub(super) fn entropy(code: &mut Code) -> u32 {
    let value = code.local(ValType::I64);
    let exists = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.local_tee(value).i64_const(32).i64_shr_u();
    ins.i64_const(0).i64_ne().local_set(exists);
    ins.local_get(value).call(ENTROPY);
    exists
}

/// Replaces two values of bytes on the stack by a boolean.
pub(super) fn binary(operator: Operator, code: &mut Code) {
    let ins = &mut code.ins();
    match operator {
        Operator::Contains => ins.call(CONTAINS),
        Operator::Ne => ins.call(EQUAL).i32_eqz(),
        _ => ins.call(EQUAL),
    };
}

/// Copies bytes to the state: two bytes with the length, and the bytes. `value` is a local.
pub(super) fn store(base: u32, value: u32, offset: u32, most: u32, code: &mut Code) {
    code.ins().local_get(value);
    let [address, len] = split(code);
    let ins = &mut code.ins();
    // The types say that it is not longer. No other state may change if they are wrong.
    ins.local_get(len).i32_const(most as i32);
    ins.local_get(len).i32_const(most as i32);
    ins.i32_lt_u().select().local_set(len);
    ins.local_get(base).local_get(len);
    ins.i32_store16(at(offset, 1));
    ins.local_get(base).i32_const(offset as i32 + 2).i32_add();
    ins.local_get(address).local_get(len).memory_copy(0, 0);
}

/// Leaves on the stack the bytes that [`store`] or [`append`] left in the state.
pub(super) fn load(base: u32, offset: u32, code: &mut Code) {
    let ins = &mut code.ins();
    ins.local_get(base).i64_load16_u(at(offset, 1));
    ins.i64_const(!IS_CLOSED & 0xffff).i64_and();
    ins.i64_const(32).i64_shl();
    ins.local_get(base).i32_const(offset as i32 + 2).i32_add();
    ins.i64_extend_i32_u().i64_or();
}

/// The bit of the length that says that bytes were missing, so that no more are appended. The state of a flow is far
/// below 32 KiB.
const IS_CLOSED: i64 = 0x8000;

/// Appends the payload on the stack to the bytes in the state. `size` is the local with the size of the payload.
/// Nothing is appended behind bytes that were not captured.
pub(super) fn append(base: u32, size: u32, offset: u32, most: u32, code: &mut Code) {
    let [address, read] = split(code);
    let [len, wanted] = [(); 2].map(|()| code.local(ValType::I32));
    let ins = &mut code.ins();
    ins.local_get(base).i32_load16_u(at(offset, 1));
    ins.local_tee(len).i32_const(IS_CLOSED as i32).i32_lt_u();
    ins.if_(wasm_encoder::BlockType::Empty);
    ins.i32_const(most as i32).local_get(len).i32_sub();
    ins.local_set(wanted);
    ins.local_get(read).local_get(wanted);
    ins.local_get(read).local_get(wanted).i32_lt_u().select();
    ins.local_set(read);
    ins.local_get(base).i32_const(offset as i32 + 2).i32_add();
    ins.local_get(len).i32_add();
    ins.local_get(address).local_get(read).memory_copy(0, 0);
    ins.local_get(base);
    ins.local_get(len).local_get(read).i32_add();
    ins.local_get(read).local_get(wanted).i32_lt_u();
    ins.local_get(read).i64_extend_i32_u();
    ins.local_get(size).i64_lt_s().i32_and();
    ins.i32_const(15).i32_shl().i32_or();
    ins.i32_store16(at(offset, 1)).end();
}
