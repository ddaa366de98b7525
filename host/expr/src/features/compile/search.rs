//! Functions of bytes. Their time is linear in the number of bytes.

use wasm_encoder::{BlockType, Function, ValType};

use super::bytes::split;
use super::code::{Code, at};
use super::logarithm;
use super::memory::{COUNTS, Memory};
use super::program::Function as Operation;

/// Returns the function `(bytes, bytes) -> whether they are equal`.
pub(super) fn equal() -> Function {
    let mut code = Code::new(2);
    code.ins().local_get(0);
    let [first, len] = split(&mut code);
    code.ins().local_get(1);
    let [second, other_len] = split(&mut code);
    let ins = &mut code.ins();
    ins.local_get(len).local_get(other_len).i32_ne();
    returns(0, ins);
    // Eight bytes at once, then one.
    for width in [8, 1] {
        ins.block(BlockType::Empty).loop_(BlockType::Empty);
        ins.local_get(len).i32_const(width).i32_lt_u().br_if(1);
        for address in [first, second] {
            ins.local_get(address);
            match width {
                8 => ins.i64_load(at(0, 1)),
                _ => ins.i64_load8_u(at(0, 1)),
            };
        }
        ins.i64_ne();
        returns(0, ins);
        for address in [first, second] {
            ins.local_get(address).i32_const(width).i32_add();
            ins.local_set(address);
        }
        ins.local_get(len).i32_const(width).i32_sub();
        ins.local_set(len).br(0).end().end();
    }
    ins.i32_const(1);
    code.finish()
}

/// Returns from a function if the stack says so.
fn returns(value: i32, ins: &mut wasm_encoder::InstructionSink<'_>) {
    ins.if_(BlockType::Empty).i32_const(value).return_().end();
}

/// Returns the function `(bytes, searched bytes) -> whether the first contain the second`. It is linear in both lengths:
/// the algorithm of Knuth, Morris and Pratt.
///
/// The scratch memory has for each length of a prefix of the searched bytes the length of its longest border: of the
/// longest shorter prefix with which it ends. It is at most 65,535.
pub(super) fn contains(memory: &Memory) -> Function {
    let borders = memory.scratch + COUNTS;
    let mut code = Code::new(2);
    code.ins().local_get(0);
    let [text, text_len] = split(&mut code);
    code.ins().local_get(1);
    let [word, word_len] = split(&mut code);
    // The place in the text, and the length of the prefix that matches there.
    let [place, matched, byte] = [(); 3].map(|()| code.local(ValType::I32));
    let ins = &mut code.ins();
    ins.local_get(word_len).i32_eqz();
    returns(1, ins);
    ins.local_get(word_len).local_get(text_len).i32_gt_u();
    returns(0, ins);
    // The border of a prefix of one byte is empty. The word is searched in itself from its second byte on.
    ins.i32_const(borders as i32)
        .i32_const(0)
        .i32_store16(at(2, 1));
    ins.i32_const(1).local_set(place);
    for (searched, len) in [(word, word_len), (text, text_len)] {
        let is_text = searched == text;
        ins.block(BlockType::Empty).loop_(BlockType::Empty);
        ins.local_get(place).local_get(len).i32_ge_u().br_if(1);
        ins.local_get(searched).local_get(place).i32_add();
        ins.i32_load8_u(at(0, 1)).local_set(byte);
        // The longest border of what matches that the byte continues.
        ins.block(BlockType::Empty).loop_(BlockType::Empty);
        ins.local_get(word).local_get(matched).i32_add();
        ins.i32_load8_u(at(0, 1)).local_get(byte).i32_eq();
        ins.if_(BlockType::Empty);
        ins.local_get(matched).i32_const(1).i32_add();
        ins.local_set(matched).br(2).end();
        ins.local_get(matched).i32_eqz().br_if(1);
        ins.local_get(matched).i32_const(1).i32_shl();
        ins.i32_load16_u(at(borders, 1));
        ins.local_set(matched).br(0).end().end();
        ins.local_get(place).i32_const(1).i32_add();
        ins.local_set(place);
        if is_text {
            ins.local_get(matched).local_get(word_len).i32_eq();
            returns(1, ins);
        } else {
            ins.local_get(place).i32_const(1).i32_shl();
            ins.local_get(matched).i32_store16(at(borders, 1));
        }
        ins.br(0).end().end();
        ins.i32_const(0).local_set(place);
        ins.i32_const(0).local_set(matched);
    }
    ins.i32_const(0);
    code.finish()
}

/// Returns the function `(bytes) -> number of distinct bytes`. The scratch memory has a flag for each byte.
pub(super) fn distinct(memory: &Memory) -> Function {
    let mut code = Code::new(1);
    code.ins().local_get(0);
    let [address, len] = split(&mut code);
    let flag = code.local(ValType::I32);
    let count = code.local(ValType::I64);
    let ins = &mut code.ins();
    ins.i32_const(memory.scratch as i32).i32_const(0);
    ins.i32_const(256).memory_fill(0);
    ins.block(BlockType::Empty).loop_(BlockType::Empty);
    ins.local_get(len).i32_eqz().br_if(1);
    ins.local_get(address).i32_load8_u(at(0, 1));
    ins.local_tee(flag).i64_load8_u(at(memory.scratch, 1));
    ins.i64_eqz().i64_extend_i32_u();
    ins.local_get(count).i64_add().local_set(count);
    ins.local_get(flag).i32_const(1);
    ins.i32_store8(at(memory.scratch, 1));
    ins.local_get(address).i32_const(1).i32_add();
    ins.local_set(address);
    ins.local_get(len).i32_const(1).i32_sub();
    ins.local_set(len).br(0).end().end();
    ins.local_get(count);
    code.finish()
}

/// Returns the function `(bytes) -> entropy` in bits. The result has no meaning for no bytes. The scratch memory has the
/// count of each byte.
pub(super) fn entropy(memory: &Memory) -> Function {
    let mut code = Code::new(1);
    code.ins().local_get(0);
    let [address, len] = split(&mut code);
    let [end, count] = [(); 2].map(|()| code.local(ValType::I32));
    let [share, entropy] = [(); 2].map(|()| code.local(ValType::F64));
    let counts = at(memory.scratch, 4);
    let ins = &mut code.ins();
    ins.i32_const(memory.scratch as i32).i32_const(0);
    ins.i32_const(COUNTS as i32).memory_fill(0);
    ins.local_get(address).local_get(len).i32_add();
    ins.local_set(end);
    ins.block(BlockType::Empty).loop_(BlockType::Empty);
    ins.local_get(address).local_get(end).i32_ge_u().br_if(1);
    ins.local_get(address).i32_load8_u(at(0, 1));
    ins.i32_const(2).i32_shl().local_tee(count);
    ins.local_get(count).i32_load(counts);
    ins.i32_const(1).i32_add().i32_store(counts);
    ins.local_get(address).i32_const(1).i32_add();
    ins.local_set(address).br(0).end().end();
    // The bytes that occur, in their order.
    ins.i32_const(0).local_set(address);
    ins.loop_(BlockType::Empty);
    ins.local_get(address).i32_load(counts).local_tee(count);
    ins.if_(BlockType::Empty);
    ins.local_get(count).f64_convert_i32_u();
    ins.local_get(len).f64_convert_i32_u();
    ins.f64_div().local_set(share);
    ins.local_get(entropy).local_get(share).local_get(share);
    logarithm::write(Operation::Log2, &mut code);
    let ins = &mut code.ins();
    ins.f64_mul().f64_sub().local_set(entropy).end();
    ins.local_get(address).i32_const(4).i32_add();
    ins.local_tee(address).i32_const(COUNTS as i32).i32_lt_u();
    ins.br_if(0).end();
    ins.local_get(entropy);
    code.finish()
}
