//! Lists in the state of a flow: counts of classes, the first values, and distinct values.

use wasm_encoder::{BlockType, ValType};

use super::code::{Code, at};
use super::element::Element;
use super::logarithm;
use super::program::{Accumulator, Function, Keeps, Program, Type};

/// Adds a value to the list of an accumulator. The list is at an offset from `base`. `old_count` is the local with the
/// number of values so far, which is below the limit.
pub(super) fn add(
    program: &Program,
    accumulator: &Accumulator,
    [base, value, old_count]: [u32; 3],
    offset: u32,
    code: &mut Code,
) {
    let element = Element::new(program, accumulator);
    match &accumulator.keeps {
        Keeps::Statistics | Keeps::Pairs(_) | Keeps::Head(_) => {}
        Keeps::Values => {
            code.ins().local_get(old_count);
            element.address(base, code);
            code.ins().local_get(value);
            element.store(offset, code);
        }
        Keeps::Histogram(edges) => {
            let is_float = { accumulator.value.as_ref() }
                .is_some_and(|value| program.ty(value) == Type::Float);
            let [address, count] = [(); 2].map(|()| code.local(ValType::I32));
            class(edges, 0, (value, is_float), code);
            element.address(base, code);
            let ins = &mut code.ins();
            ins.local_tee(address).local_get(address);
            ins.i32_load(at(offset, 4)).local_tee(count);
            // It stops at its maximum.
            ins.local_get(count).i32_const(-1).i32_ne().i32_add();
            ins.i32_store(at(offset, 4));
        }
        Keeps::Distinct(_) if element.bytes == 1 => {
            let [bits, address] = [(); 2].map(|()| code.local(ValType::I32));
            let ins = &mut code.ins();
            // The word with the bit of the value.
            ins.local_get(value).i32_wrap_i64().local_tee(bits);
            ins.i32_const(3).i32_shr_u().i32_const(0x1c).i32_and();
            ins.local_get(base).i32_add().local_tee(address);
            ins.local_get(address).i32_load(at(offset, 4));
            ins.i32_const(1).local_get(bits).i32_shl().i32_or();
            ins.i32_store(at(offset, 4));
        }
        Keeps::Distinct(most) => distinct(element, *most, [base, value], offset, code),
    }
}

/// Leaves the number of edges that are not above the value on the stack, plus `below`.
fn class(edges: &[i64], below: i32, (value, is_float): (u32, bool), code: &mut Code) {
    let compare = |edge: i64, code: &mut Code| {
        let ins = &mut code.ins();
        ins.local_get(value);
        match is_float {
            true => ins.f64_const(f64::from_bits(edge as u64).into()).f64_ge(),
            false => ins.i64_const(edge).i64_ge_s(),
        };
    };
    if edges.len() <= 16 {
        code.ins().i32_const(below);
        for edge in edges {
            compare(*edge, code);
            code.ins().i32_add();
        }
        return;
    }
    let (low, high) = edges.split_at(edges.len() / 2);
    compare(high[0], code);
    code.ins().if_(BlockType::Result(ValType::I32));
    class(high, below + low.len() as i32, (value, is_float), code);
    code.ins().else_();
    class(low, below, (value, is_float), code);
    code.ins().end();
}

/// Appends a value to a list of distinct values, unless it is full or has it. The number of values is behind them.
fn distinct(element: Element, most: u32, [base, value]: [u32; 2], offset: u32, code: &mut Code) {
    let [count, n] = [(); 2].map(|()| code.local(ValType::I32));
    let number = at(offset + (most * element.bytes).next_multiple_of(4), 4);
    let ins = &mut code.ins();
    ins.block(BlockType::Empty);
    ins.local_get(base).i32_load(number).local_tee(count);
    ins.i32_const(most as i32).i32_ge_u().br_if(0);
    ins.i32_const(0).local_set(n);
    ins.block(BlockType::Empty).loop_(BlockType::Empty);
    ins.local_get(n).local_get(count).i32_ge_u().br_if(1);
    ins.local_get(n);
    element.address(base, code);
    element.load(offset, code);
    let ins = &mut code.ins();
    ins.local_get(value).i64_eq().br_if(2);
    ins.local_get(n).i32_const(1).i32_add().local_set(n);
    ins.br(0).end().end();
    ins.local_get(count);
    element.address(base, code);
    code.ins().local_get(value);
    element.store(offset, code);
    let ins = &mut code.ins();
    ins.local_get(base).local_get(count).i32_const(1).i32_add();
    ins.i32_store(number).end();
}

/// Leaves the number of distinct values on the stack, as `i64`.
pub(super) fn count_distinct(
    element: Element,
    most: u32,
    state: u32,
    offset: u32,
    code: &mut Code,
) {
    if element.bytes > 1 {
        let number = offset + (most * element.bytes).next_multiple_of(4);
        code.ins().local_get(state).i64_load32_u(at(number, 4));
        return;
    }
    let count = code.local(ValType::I64);
    for word in 0..4 {
        let ins = &mut code.ins();
        ins.local_get(state).i64_load(at(offset + 8 * word, 4));
        ins.i64_popcnt();
        if word > 0 {
            ins.i64_add();
        }
    }
    let ins = &mut code.ins();
    ins.local_tee(count).i64_const(most.into());
    ins.local_get(count).i64_const(most.into()).i64_lt_u();
    ins.select();
}

/// A list, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct List {
    pub(super) element: Element,
    /// The local with the address of the first element.
    pub(super) address: u32,
    /// The local with the number of elements.
    pub(super) len: u32,
}

impl List {
    /// Writes a loop over the elements. `body` gets the local with the element.
    pub(super) fn for_each(self, code: &mut Code, body: impl FnOnce(u32, &mut Code)) {
        let [next, end] = [(); 2].map(|()| code.local(ValType::I32));
        let value = code.local(self.element.val_type());
        let ins = &mut code.ins();
        ins.local_get(self.address).local_set(next);
        ins.local_get(self.len);
        self.element.address(self.address, code);
        let ins = &mut code.ins();
        ins.local_set(end);
        ins.block(BlockType::Empty).loop_(BlockType::Empty);
        ins.local_get(next).local_get(end).i32_ge_u().br_if(1);
        ins.local_get(next);
        self.element.load(0, code);
        code.ins().local_set(value);
        body(value, code);
        let ins = &mut code.ins();
        ins.local_get(next).i32_const(self.element.bytes as i32);
        ins.i32_add().local_set(next).br(0).end().end();
    }

    /// Leaves the entropy of a list of counts on the stack, in bits. Returns the local that says whether a count is
    /// above 0.
    pub(super) fn entropy(self, code: &mut Code) -> u32 {
        let [all, share, entropy] = [(); 3].map(|()| code.local(ValType::F64));
        let valid = code.local(ValType::I32);
        let ins = &mut code.ins();
        ins.f64_const(0.0.into()).local_tee(all).local_set(entropy);
        let positive = |count: u32, code: &mut Code| {
            let ins = &mut code.ins();
            ins.local_get(count).i64_const(0).i64_gt_s();
            ins.if_(BlockType::Empty);
        };
        self.for_each(code, |count, code| {
            positive(count, code);
            let ins = &mut code.ins();
            ins.local_get(all).local_get(count).f64_convert_i64_s();
            ins.f64_add().local_set(all).end();
        });
        self.for_each(code, |count, code| {
            positive(count, code);
            let ins = &mut code.ins();
            ins.local_get(entropy);
            ins.local_get(count).f64_convert_i64_s();
            ins.local_get(all).f64_div().local_tee(share);
            ins.local_get(share);
            logarithm::write(Function::Log2, code);
            let ins = &mut code.ins();
            ins.f64_mul().f64_sub().local_set(entropy).end();
        });
        let ins = &mut code.ins();
        ins.local_get(all).f64_const(0.0.into()).f64_gt();
        ins.local_set(valid).local_get(entropy);
        valid
    }
}
