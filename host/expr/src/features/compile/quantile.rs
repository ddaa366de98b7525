//! Quantiles: lists that are sorted, and the instructions that read them.
//!
//! Values become keys: integers of 64 bits without a sign that have the order of the values.

use wasm_encoder::{BlockType, Function, ValType};

use super::code::{Code, at};
use super::element::Element;
use super::functions::SORT;
use super::lists::List;
use super::memory::Scratch;

/// The number of keys up to which they are sorted by insertion.
const FEW: i32 = 32;

/// Returns the function `(n) -> address` that sorts the first keys of the scratch memory. The result is the address of
/// the smallest one. The time is linear in the number of keys.
pub(super) fn sort(scratch: Option<Scratch>) -> Function {
    let n = 0;
    let mut code = Code::new(1);
    let Some(Scratch {
        first,
        second,
        counts,
    }) = scratch
    else {
        code.ins().i32_const(0);
        return code.finish();
    };
    let [from, to, end, next, place] = [(); 5].map(|()| code.local(ValType::I32));
    let [key, shift, difference] = [(); 3].map(|()| code.local(ValType::I64));
    let [sum, count] = [(); 2].map(|()| code.local(ValType::I32));
    let ins = &mut code.ins();
    ins.local_get(n).i32_const(FEW).i32_le_u();
    ins.if_(BlockType::Empty);
    insertion(first, [n, next, place, end, key], &mut code);
    let ins = &mut code.ins();
    ins.i32_const(first as i32).return_().end();
    ins.i32_const(first as i32).local_set(from);
    ins.i32_const(second as i32).local_set(to);
    // The bits in which keys differ.
    let each = |code: &mut Code, body: &dyn Fn(&mut Code)| {
        let ins = &mut code.ins();
        ins.local_get(from).local_tee(next);
        ins.local_get(n).i32_const(3).i32_shl().i32_add();
        ins.local_set(end).loop_(BlockType::Empty);
        ins.local_get(next).i64_load(at(0, 8)).local_set(key);
        body(code);
        let ins = &mut code.ins();
        ins.local_get(next).i32_const(8).i32_add().local_tee(next);
        ins.local_get(end).i32_lt_u().br_if(0).end();
    };
    each(&mut code, &|code| {
        let ins = &mut code.ins();
        ins.local_get(difference).local_get(key);
        ins.local_get(from).i64_load(at(0, 8));
        ins.i64_xor().i64_or().local_set(difference);
    });
    // The address of the count of the keys with the same byte at `shift`.
    let counted = |code: &mut Code| {
        let ins = &mut code.ins();
        ins.local_get(key).local_get(shift).i64_shr_u();
        ins.i32_wrap_i64().i32_const(0xff).i32_and();
        ins.i32_const(2).i32_shl().local_tee(place);
    };
    // One pass for each byte in which keys differ, from the lowest one on.
    let ins = &mut code.ins();
    ins.block(BlockType::Empty).loop_(BlockType::Empty);
    ins.local_get(difference).local_get(shift).i64_shr_u();
    ins.i64_const(0xff).i64_and().i64_const(0).i64_ne();
    ins.if_(BlockType::Empty);
    ins.i32_const(counts as i32).i32_const(0).i32_const(1024);
    ins.memory_fill(0);
    each(&mut code, &|code| {
        counted(code);
        let ins = &mut code.ins();
        ins.local_get(place).i32_load(at(counts, 4));
        ins.i32_const(1).i32_add().i32_store(at(counts, 4));
    });
    // The counts become the places of the first keys.
    let ins = &mut code.ins();
    ins.i32_const(0).local_set(sum);
    ins.i32_const(0).local_set(place).loop_(BlockType::Empty);
    ins.local_get(place)
        .i32_load(at(counts, 4))
        .local_set(count);
    ins.local_get(place).local_get(sum).i32_store(at(counts, 4));
    ins.local_get(sum).local_get(count).i32_add().local_set(sum);
    ins.local_get(place).i32_const(4).i32_add().local_tee(place);
    ins.i32_const(1024).i32_lt_u().br_if(0).end();
    each(&mut code, &|code| {
        counted(code);
        let ins = &mut code.ins();
        ins.local_get(place)
            .i32_load(at(counts, 4))
            .local_tee(count);
        ins.i32_const(1).i32_add().i32_store(at(counts, 4));
        ins.local_get(count).i32_const(3).i32_shl();
        ins.local_get(to).i32_add();
        ins.local_get(key).i64_store(at(0, 8));
    });
    let ins = &mut code.ins();
    ins.local_get(from)
        .local_get(to)
        .local_set(from)
        .local_set(to);
    ins.end();
    ins.local_get(shift).i64_const(8).i64_add().local_tee(shift);
    ins.i64_const(64).i64_ge_u().br_if(1).br(0).end().end();
    ins.local_get(from);
    code.finish()
}

/// Sorts the keys from an address on.
fn insertion(first: u32, [n, next, place, end, key]: [u32; 5], code: &mut Code) {
    let ins = &mut code.ins();
    ins.i32_const(first as i32).local_tee(next);
    ins.local_get(n).i32_const(3).i32_shl().i32_add();
    ins.local_set(end);
    ins.block(BlockType::Empty).loop_(BlockType::Empty);
    ins.local_get(next).local_get(end).i32_ge_u().br_if(1);
    ins.local_get(next).local_tee(place);
    ins.i64_load(at(0, 8)).local_set(key);
    // Larger keys move up.
    ins.block(BlockType::Empty).loop_(BlockType::Empty);
    ins.local_get(place).i32_const(first as i32).i32_le_u();
    ins.br_if(1);
    ins.local_get(place).i32_const(8).i32_sub();
    ins.i64_load(at(0, 8)).local_get(key).i64_le_u().br_if(1);
    ins.local_get(place);
    ins.local_get(place).i32_const(8).i32_sub();
    ins.i64_load(at(0, 8)).i64_store(at(0, 8));
    ins.local_get(place).i32_const(8).i32_sub().local_set(place);
    ins.br(0).end().end();
    ins.local_get(place).local_get(key).i64_store(at(0, 8));
    ins.local_get(next).i32_const(8).i32_add().local_set(next);
    ins.br(0).end().end();
}

/// Sorts the values of a list, and returns the local with the address of the key of the smallest one.
pub(super) fn sorted(list: List, scratch: Scratch, code: &mut Code) -> u32 {
    let place = code.local(ValType::I32);
    code.ins().i32_const(scratch.first as i32).local_set(place);
    list.for_each(code, |value, code| {
        let ins = &mut code.ins();
        ins.local_get(place).local_get(value);
        match list.element.is_float {
            true => {
                // All bits of negative numbers are inverted, and the sign of others.
                ins.i64_reinterpret_f64();
                ins.local_get(value).i64_reinterpret_f64();
                ins.i64_const(63).i64_shr_s().i64_const(i64::MIN).i64_or()
            }
            false => ins.i64_const(i64::MIN),
        };
        ins.i64_xor().i64_store(at(0, 8));
        ins.local_get(place).i32_const(8).i32_add().local_set(place);
    });
    let address = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.local_get(list.len).call(SORT).local_set(address);
    address
}

/// Leaves a quantile on the stack, with linear interpolation between the two nearest keys. It has no meaning if there
/// are none.
pub(super) fn write(list: List, keys: u32, quantile: f64, code: &mut Code) {
    let [place, below, low] = [(); 3].map(|()| code.local(ValType::F64));
    let [last, index] = [(); 2].map(|()| code.local(ValType::I32));
    let ins = &mut code.ins();
    // The index of the last key; 0 if there is none.
    ins.local_get(list.len).i32_const(1).i32_sub().i32_const(0);
    ins.local_get(list.len).select().local_set(last);
    ins.f64_const(quantile.into());
    ins.local_get(last).f64_convert_i32_u().f64_mul();
    ins.local_tee(place).f64_floor().local_tee(below);
    ins.i32_trunc_sat_f64_u().local_set(index);
    value(list.element, keys, index, code);
    let ins = &mut code.ins();
    ins.local_tee(low);
    // The next key, unless this is the last one.
    ins.local_get(index);
    ins.local_get(index).local_get(last).i32_lt_u().i32_add();
    ins.local_set(index);
    value(list.element, keys, index, code);
    let ins = &mut code.ins();
    ins.local_get(low).f64_sub();
    ins.local_get(place).local_get(below).f64_sub();
    ins.f64_mul().f64_add();
}

/// Leaves the value of the key with an index on the stack, as a float.
fn value(element: Element, keys: u32, index: u32, code: &mut Code) {
    let key = code.local(ValType::I64);
    let ins = &mut code.ins();
    ins.local_get(index).i32_const(3).i32_shl();
    ins.local_get(keys).i32_add().i64_load(at(0, 8));
    ins.local_tee(key);
    match element.is_float {
        true => {
            ins.local_get(key).i64_const(63).i64_shr_s();
            ins.i64_const(-1).i64_xor().i64_const(i64::MIN).i64_or();
            ins.i64_xor().f64_reinterpret_i64()
        }
        false => ins.i64_const(i64::MIN).i64_xor().f64_convert_i64_s(),
    };
}
