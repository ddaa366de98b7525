//! Functions on integers of 128 bits.

use wasm_encoder::{BlockType, Function, ValType};

use super::code::Code;

/// Returns the function `(a, b) -> (low, high)` that multiplies unsigned integers.
pub(super) fn multiply() -> Function {
    let mut code = Code::new(2);
    let [a1, b1, t, w] = [(); 4].map(|()| code.local(ValType::I64));
    let low = 0xffff_ffff;
    let ins = &mut code.ins();
    ins.local_get(0).i64_const(32).i64_shr_u().local_set(a1);
    ins.local_get(1).i64_const(32).i64_shr_u().local_set(b1);
    // The low 64 bits.
    ins.local_get(0).local_get(1).i64_mul();
    // t = a1 * b0 + (a0 * b0 >> 32)
    ins.local_get(a1).local_get(1).i64_const(low).i64_and();
    ins.i64_mul();
    ins.local_get(0).i64_const(low).i64_and();
    ins.local_get(1).i64_const(low).i64_and().i64_mul();
    ins.i64_const(32).i64_shr_u().i64_add().local_set(t);
    // w = a0 * b1 + (t & low)
    ins.local_get(0).i64_const(low).i64_and().local_get(b1);
    ins.i64_mul()
        .local_get(t)
        .i64_const(low)
        .i64_and()
        .i64_add();
    ins.local_set(w);
    // The high 64 bits: a1 * b1 + (t >> 32) + (w >> 32)
    ins.local_get(a1).local_get(b1).i64_mul();
    ins.local_get(t).i64_const(32).i64_shr_u().i64_add();
    ins.local_get(w).i64_const(32).i64_shr_u().i64_add();
    code.finish()
}

/// Returns the function `(count, sum, low, high) -> f64` that computes the count times the sum of squares (`low`
/// and `high`), minus the square of the sum, in 128 bits, and rounds it once. It is 0 if that is negative, which only
/// a sum of squares that stopped at its limit can cause. `sum` is an absolute value.
pub(super) fn spread(multiply: u32) -> Function {
    let mut code = Code::new(4);
    let [count, sum, low, high] = [0, 1, 2, 3];
    let [square_low, square_high, shift] = [(); 3].map(|()| code.local(ValType::I64));
    let ins = &mut code.ins();
    // Most flows need 64 bits only.
    ins.local_get(count)
        .local_get(sum)
        .i64_or()
        .local_get(low)
        .i64_or();
    ins.i64_const(32)
        .i64_shr_u()
        .local_get(high)
        .i64_or()
        .i64_eqz();
    ins.if_(BlockType::Empty);
    ins.local_get(count).local_get(low).i64_mul();
    ins.local_get(sum).local_get(sum).i64_mul().i64_sub();
    ins.f64_convert_i64_u().return_().end();
    // count * squares
    ins.local_get(high)
        .local_get(count)
        .i64_mul()
        .local_set(high);
    ins.local_get(count).local_get(low).call(multiply);
    ins.local_get(high).i64_add().local_set(high).local_set(low);
    // sum * sum
    ins.local_get(sum).local_get(sum).call(multiply);
    ins.local_set(square_high).local_set(square_low);
    // The difference.
    ins.local_get(high).local_get(square_high).i64_sub();
    ins.local_get(low)
        .local_get(square_low)
        .i64_lt_u()
        .i64_extend_i32_u();
    ins.i64_sub().local_set(high);
    ins.local_get(low)
        .local_get(square_low)
        .i64_sub()
        .local_set(low);
    ins.local_get(high)
        .i64_const(0)
        .i64_lt_s()
        .if_(BlockType::Empty);
    ins.f64_const(0.0.into()).return_().end();
    ins.local_get(high).i64_eqz().if_(BlockType::Empty);
    ins.local_get(low).f64_convert_i64_u().return_().end();
    float_of_large(high, low, shift, &mut code);
    code.finish()
}

/// Returns the function `(low, high) -> f64` that rounds a signed integer once.
pub(super) fn to_float() -> Function {
    let mut code = Code::new(2);
    let [low, high] = [0, 1];
    let [shift, sign] = [(); 2].map(|()| code.local(ValType::I64));
    let ins = &mut code.ins();
    // The absolute value.
    ins.local_get(high)
        .i64_const(63)
        .i64_shr_s()
        .local_set(sign);
    ins.local_get(low).local_get(sign).i64_xor().local_set(low);
    ins.local_get(high)
        .local_get(sign)
        .i64_xor()
        .local_set(high);
    ins.local_get(low).local_get(sign).i64_sub().local_set(low);
    // A carry into the high half: the negated low half is 0.
    ins.local_get(high);
    ins.local_get(sign)
        .i64_const(0)
        .i64_ne()
        .local_get(low)
        .i64_eqz();
    ins.i32_and().i64_extend_i32_u().i64_add().local_set(high);
    ins.local_get(high)
        .i64_eqz()
        .if_(BlockType::Result(ValType::F64));
    ins.local_get(low).f64_convert_i64_u().else_();
    float_of_large(high, low, shift, &mut code);
    let ins = &mut code.ins();
    ins.end();
    ins.local_get(sign)
        .f64_convert_i64_s()
        .f64_const(0.5.into())
        .f64_add();
    ins.f64_copysign();
    code.finish()
}

/// Leaves an integer on the stack whose high half is from 1 to 2^63 - 1, as a float.
fn float_of_large(high: u32, low: u32, shift: u32, code: &mut Code) {
    let ins = &mut code.ins();
    // The 64 bits from the highest set bit on. The lowest of them also stands for all bits below it: so the
    // conversion rounds as for all 128 bits. The high half is from 1 to 2^63 - 1: the shift is from 1 to 63.
    ins.local_get(high).i64_clz().local_set(shift);
    ins.local_get(high).local_get(shift).i64_shl();
    ins.local_get(low)
        .i64_const(64)
        .local_get(shift)
        .i64_sub()
        .i64_shr_u();
    ins.i64_or();
    ins.local_get(low)
        .local_get(shift)
        .i64_shl()
        .i64_const(0)
        .i64_ne();
    ins.i64_extend_i32_u().i64_or().f64_convert_i64_u();
    // 2^(64 - shift), from its exponent.
    ins.i64_const(1023 + 64).local_get(shift).i64_sub();
    ins.i64_const(52).i64_shl().f64_reinterpret_i64().f64_mul();
}
