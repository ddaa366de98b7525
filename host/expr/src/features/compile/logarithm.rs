//! Logarithms, by the algorithm of FreeBSD's libm and of the crate `libm`. The results have the same bits.

use wasm_encoder::{BlockType, Function, ValType};

use super::code::Code;
use super::functions::LOGARITHM;
use super::program::Function as Operation;

/// The coefficients of the polynomial, from that of the lowest power.
const POLYNOMIAL: [f64; 7] = [
    f64::from_bits(0x3fe5_5555_5555_5593),
    f64::from_bits(0x3fd9_9999_9997_fa04),
    f64::from_bits(0x3fd2_4924_9422_9359),
    f64::from_bits(0x3fcc_71c5_1d8e_78af),
    f64::from_bits(0x3fc7_4664_96cb_03de),
    f64::from_bits(0x3fc3_9a09_d078_c69f),
    f64::from_bits(0x3fc2_f112_df3e_5244),
];

/// The high word of the bits of 1, and of sqrt(2) / 2.
const ONE: i32 = 0x3ff0_0000;
const HALF_ROOT: i32 = 0x3fe6_a09e;

// Constants as the sum of a float with few bits, and a small one.
const LN_2: [f64; 2] = halves(0x3fe6_2e42_fee0_0000, 0x3dea_39ef_3579_3c76);
const LOG2_E: [f64; 2] = halves(0x3ff7_1547_6520_0000, 0x3de7_05fc_2eef_a200);
const LOG10_E: [f64; 2] = halves(0x3fdb_cb7b_1520_0000, 0x3dbb_9438_ca9a_add5);
const LOG10_2: [f64; 2] = halves(0x3fd3_4413_509f_6000, 0x3d59_fef3_11f1_2b36);

const fn halves(high: u64, low: u64) -> [f64; 2] {
    [f64::from_bits(high), f64::from_bits(low)]
}

/// Returns the function `(x) -> (k, f, h, p)` for positive numbers: x is 2^k (1 + f), h is f^2 / 2, and ln(1 + f)
/// is about f - h + p.
pub(super) fn parts() -> Function {
    let x = 0;
    let mut code = Code::new(1);
    let bits = code.local(ValType::I64);
    let [high, k] = [(); 2].map(|()| code.local(ValType::I32));
    let [f, half, s, z, w] = [(); 5].map(|()| code.local(ValType::F64));
    let ins = &mut code.ins();
    // Subnormal numbers become normal ones.
    ins.local_get(x).f64_const(f64::MIN_POSITIVE.into());
    ins.f64_lt().if_(BlockType::Empty);
    ins.i32_const(-54).local_set(k);
    ins.local_get(x).f64_const(2f64.powi(54).into()).f64_mul();
    ins.local_set(x).end();
    // x becomes 1 + f, from sqrt(2) / 2 to sqrt(2).
    ins.local_get(x).i64_reinterpret_f64().local_tee(bits);
    ins.i64_const(32).i64_shr_u().i32_wrap_i64();
    ins.i32_const(ONE - HALF_ROOT).i32_add().local_tee(high);
    ins.i32_const(20).i32_shr_u().i32_const(0x3ff).i32_sub();
    ins.local_get(k).i32_add().local_set(k);
    ins.local_get(high).i32_const(0x000f_ffff).i32_and();
    ins.i32_const(HALF_ROOT).i32_add().i64_extend_i32_u();
    ins.i64_const(32).i64_shl();
    ins.local_get(bits).i64_const(0xffff_ffff).i64_and();
    ins.i64_or().f64_reinterpret_i64();
    ins.f64_const(1.0.into()).f64_sub().local_set(f);
    // half = 0.5 * f * f; s = f / (2 + f); z = s * s; w = z * z
    ins.f64_const(0.5.into()).local_get(f).f64_mul();
    ins.local_get(f).f64_mul().local_set(half);
    ins.local_get(f).f64_const(2.0.into()).local_get(f);
    ins.f64_add().f64_div().local_tee(s);
    ins.local_get(s).f64_mul().local_tee(z);
    ins.local_get(z).f64_mul().local_set(w);
    ins.local_get(k).f64_convert_i32_s();
    ins.local_get(f).local_get(half);
    // p = s * (half + (z * (P0 + w * (P2 + …)) + w * (P1 + w * (P3 + …))))
    ins.local_get(s).local_get(half);
    for (factor, powers) in [(z, &[0, 2, 4, 6][..]), (w, &[1, 3, 5])] {
        ins.local_get(factor);
        for power in powers {
            ins.f64_const(POLYNOMIAL[*power].into());
            if Some(power) != powers.last() {
                ins.local_get(w);
            }
        }
        for _ in 1..powers.len() {
            ins.f64_mul().f64_add();
        }
        ins.f64_mul();
    }
    ins.f64_add().f64_add().f64_mul();
    code.finish()
}

/// Replaces the number on the stack by its logarithm. The result has no meaning for numbers that are not positive.
pub(super) fn write(operation: Operation, code: &mut Code) {
    let [k, f, half, p] = [(); 4].map(|()| code.local(ValType::F64));
    let ins = &mut code.ins();
    ins.call(LOGARITHM);
    ins.local_set(p).local_set(half).local_set(f).local_set(k);
    if operation == Operation::Ln {
        // p + k * low - half + f + k * high
        ins.local_get(p).local_get(k).f64_const(LN_2[1].into());
        ins.f64_mul().f64_add().local_get(half).f64_sub();
        ins.local_get(f).f64_add();
        ins.local_get(k).f64_const(LN_2[0].into()).f64_mul();
        ins.f64_add();
        return;
    }
    let is_log2 = operation == Operation::Log2;
    let unit = if is_log2 { LOG2_E } else { LOG10_E };
    let [high, low, y, w] = [(); 4].map(|()| code.local(ValType::F64));
    let ins = &mut code.ins();
    // high = f - half, without the low half of its bits; low = f - high - half + p
    ins.local_get(f).local_get(half).f64_sub();
    ins.i64_reinterpret_f64().i64_const(-1 << 32).i64_and();
    ins.f64_reinterpret_i64().local_set(high);
    ins.local_get(f).local_get(high).f64_sub();
    ins.local_get(half).f64_sub().local_get(p).f64_add();
    ins.local_set(low);
    // The small part of the result: first its summands.
    if is_log2 {
        ins.local_get(k).local_set(y);
    } else {
        ins.local_get(k).f64_const(LOG10_2[0].into()).f64_mul();
        ins.local_set(y);
        ins.local_get(k).f64_const(LOG10_2[1].into()).f64_mul();
    }
    ins.local_get(low).local_get(high).f64_add();
    ins.f64_const(unit[1].into()).f64_mul();
    if !is_log2 {
        ins.f64_add();
    }
    ins.local_get(low).f64_const(unit[0].into()).f64_mul();
    ins.f64_add();
    // high = high * unit; w = y + high; small + ((y - w) + high) + w
    ins.local_get(high).f64_const(unit[0].into()).f64_mul();
    ins.local_set(high);
    ins.local_get(y).local_get(high).f64_add().local_set(w);
    ins.local_get(y).local_get(w).f64_sub();
    ins.local_get(high).f64_add().f64_add();
    ins.local_get(w).f64_add();
}
