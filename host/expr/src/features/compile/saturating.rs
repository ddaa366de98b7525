//! Arithmetic on integers that stops at ±(2^63 - 1).

use wasm_encoder::ValType;

use super::code::Code;
use super::functions::MULTIPLY;
use super::program::Operator;

/// Writes an operation on the two integers on the stack. Neither of them is -2^63.
pub(super) fn write(operator: Operator, code: &mut Code) {
    let [b, a, result] = [(); 3].map(|()| code.local(ValType::I64));
    code.ins().local_set(b).local_set(a);
    if operator == Operator::SaturatingMul {
        multiply(a, b, result, code);
        return;
    }
    let ins = &mut code.ins();
    if operator == Operator::SaturatingSub {
        ins.i64_const(0).local_get(b).i64_sub().local_set(b);
    }
    limit(a, code);
    let ins = &mut code.ins();
    ins.local_get(a).local_get(b).i64_add().local_tee(result);
    // The sum is outside 64 bits if its sign differs from the signs of both operands. -2^63 is outside, too.
    ins.local_get(a).local_get(result).i64_xor();
    ins.local_get(b).local_get(result).i64_xor();
    ins.i64_and().i64_const(0).i64_lt_s();
    ins.local_get(result).i64_const(i64::MIN).i64_eq().i32_or();
    ins.select();
}

/// Leaves the limit with the sign of a local on the stack.
fn limit(sign: u32, code: &mut Code) {
    let ins = &mut code.ins();
    ins.local_get(sign).i64_const(63).i64_shr_s();
    ins.i64_const(i64::MAX).i64_xor().i64_const(1).i64_or();
}

fn multiply(a: u32, b: u32, result: u32, code: &mut Code) {
    let [high, sign] = [(); 2].map(|()| code.local(ValType::I64));
    let ins = &mut code.ins();
    ins.local_get(a).local_get(b).i64_xor().local_set(sign);
    for local in [a, b] {
        ins.i64_const(0).local_get(local).i64_sub().local_get(local);
        ins.local_get(local).i64_const(0).i64_lt_s().select();
    }
    ins.call(MULTIPLY).local_set(high).local_set(result);
    limit(sign, code);
    let ins = &mut code.ins();
    // The product with its sign.
    ins.i64_const(0)
        .local_get(result)
        .i64_sub()
        .local_get(result);
    ins.local_get(sign).i64_const(0).i64_lt_s().select();
    // The absolute value needs more than 63 bits.
    ins.local_get(high).i64_const(0).i64_ne();
    ins.local_get(result).i64_const(0).i64_lt_s().i32_or();
    ins.select();
}
