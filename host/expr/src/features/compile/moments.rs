//! Running means and sums of powers of deviations.

use wasm_encoder::ValType;

use super::code::{Code, at};

/// Adds a float to the mean and the sum of squared deviations at an offset, by Welford's method.
pub(super) fn add_deviation(base: u32, value: u32, old_count: u32, offset: u32, code: &mut Code) {
    let [delta, mean] = [(); 2].map(|()| code.local(ValType::F64));
    let ins = &mut code.ins();
    ins.local_get(value);
    ins.local_get(base).f64_load(at(offset, 8)).local_tee(mean);
    ins.f64_sub().local_set(delta);
    ins.local_get(mean).local_get(delta);
    ins.local_get(old_count).f64_convert_i32_u();
    ins.f64_const(1.0.into()).f64_add();
    ins.f64_div().f64_add().local_set(mean);
    ins.local_get(base).local_get(mean).f64_store(at(offset, 8));
    ins.local_get(base).local_get(base);
    ins.f64_load(at(offset + 8, 8)).local_get(delta);
    ins.local_get(value).local_get(mean).f64_sub();
    ins.f64_mul().f64_add().f64_store(at(offset + 8, 8));
}

/// Adds a float or an integer to the mean and the sums of the second, third and fourth powers of deviations, by the
/// formulas of Terriberry for one more value.
pub(super) fn add(
    base: u32,
    (value, is_float): (u32, bool),
    old_count: u32,
    offset: u32,
    code: &mut Code,
) {
    let [n, delta, part, square, term] = [(); 5].map(|()| code.local(ValType::F64));
    let olds @ [mean, second, third, fourth] = [(); 4].map(|()| code.local(ValType::F64));
    let ins = &mut code.ins();
    for (place, old) in (0..).zip(olds) {
        ins.local_get(base).f64_load(at(offset + 8 * place, 8));
        ins.local_set(old);
    }
    ins.local_get(old_count).f64_convert_i32_u();
    ins.f64_const(1.0.into()).f64_add().local_set(n);
    ins.local_get(value);
    if !is_float {
        ins.f64_convert_i64_s();
    }
    ins.local_get(mean).f64_sub().local_tee(delta);
    ins.local_get(n).f64_div().local_tee(part);
    ins.local_get(part).f64_mul().local_set(square);
    // term = delta * part * (n - 1)
    ins.local_get(delta).local_get(part).f64_mul();
    ins.local_get(n).f64_const(1.0.into()).f64_sub();
    ins.f64_mul().local_set(term);
    // fourth += term * square * (n * n - 3 * n + 3) + 6 * square * second - 4 * part * third
    ins.local_get(base).local_get(fourth);
    ins.local_get(term).local_get(square).f64_mul();
    ins.local_get(n).local_get(n).f64_mul();
    ins.f64_const(3.0.into()).local_get(n).f64_mul().f64_sub();
    ins.f64_const(3.0.into()).f64_add().f64_mul();
    ins.f64_const(6.0.into()).local_get(square).f64_mul();
    ins.local_get(second).f64_mul().f64_add();
    ins.f64_const(4.0.into()).local_get(part).f64_mul();
    ins.local_get(third).f64_mul().f64_sub();
    ins.f64_add().f64_store(at(offset + 24, 8));
    // third += term * part * (n - 2) - 3 * part * second
    ins.local_get(base).local_get(third);
    ins.local_get(term).local_get(part).f64_mul();
    ins.local_get(n).f64_const(2.0.into()).f64_sub().f64_mul();
    ins.f64_const(3.0.into()).local_get(part).f64_mul();
    ins.local_get(second).f64_mul().f64_sub();
    ins.f64_add().f64_store(at(offset + 16, 8));
    // second += term
    ins.local_get(base).local_get(second).local_get(term);
    ins.f64_add().f64_store(at(offset + 8, 8));
    // mean += part
    ins.local_get(base).local_get(mean).local_get(part);
    ins.f64_add().f64_store(at(offset, 8));
}

/// Leaves the skewness or the excess kurtosis on the stack. It is not finite where all values are equal.
pub(super) fn shape(is_skewness: bool, state: u32, count: u32, offset: u32, code: &mut Code) {
    let second = code.local(ValType::F64);
    let ins = &mut code.ins();
    ins.local_get(state).f64_load(at(offset + 8, 8));
    ins.local_set(second);
    ins.local_get(count).f64_convert_i64_u();
    if is_skewness {
        // sqrt(n) * third / second^1.5
        ins.f64_sqrt().local_get(state);
        ins.f64_load(at(offset + 16, 8)).f64_mul();
        ins.local_get(second).local_get(second).f64_sqrt();
        ins.f64_mul().f64_div();
    } else {
        // n * fourth / second^2 - 3
        ins.local_get(state);
        ins.f64_load(at(offset + 24, 8)).f64_mul();
        ins.local_get(second).local_get(second).f64_mul();
        ins.f64_div().f64_const(3.0.into()).f64_sub();
    }
}

/// Adds a pair to the means, and to the sums of squared deviations and of their product. Each value says whether it is
/// a float.
pub(super) fn add_pair(
    base: u32,
    pair: [(u32, bool); 2],
    old_count: u32,
    offset: u32,
    code: &mut Code,
) {
    let n = code.local(ValType::F64);
    let ins = &mut code.ins();
    ins.local_get(old_count).f64_convert_i32_u();
    ins.f64_const(1.0.into()).f64_add().local_set(n);
    let mut deltas = [[0; 2]; 2];
    for (place, (value, is_float)) in (0..).zip(pair) {
        let [mean, before, after] = [(); 3].map(|()| code.local(ValType::F64));
        let float = code.local(ValType::F64);
        let address = at(offset + 8 * place, 8);
        let ins = &mut code.ins();
        ins.local_get(value);
        if !is_float {
            ins.f64_convert_i64_s();
        }
        ins.local_tee(float).local_get(base).f64_load(address);
        ins.local_tee(mean).f64_sub().local_tee(before);
        ins.local_get(n).f64_div().local_get(mean).f64_add();
        ins.local_set(mean);
        ins.local_get(base).local_get(mean).f64_store(address);
        ins.local_get(float).local_get(mean).f64_sub();
        ins.local_set(after);
        deltas[place as usize] = [before, after];
    }
    let [x, y] = deltas;
    for (place, [before, after]) in (2..).zip([x, y, [x[0], y[1]]]) {
        let address = at(offset + 8 * place, 8);
        let ins = &mut code.ins();
        ins.local_get(base).local_get(base).f64_load(address);
        ins.local_get(before).local_get(after).f64_mul();
        ins.f64_add().f64_store(address);
    }
}

/// Leaves the correlation on the stack. It is not finite where all values of one of the pair are equal.
pub(super) fn correlation(state: u32, offset: u32, code: &mut Code) {
    let load = |place: u32, code: &mut Code| {
        let ins = &mut code.ins();
        ins.local_get(state).f64_load(at(offset + 8 * place, 8));
    };
    load(4, code);
    for place in [2, 3] {
        load(place, code);
        code.ins().f64_sqrt();
    }
    code.ins().f64_mul().f64_div();
}
