//! Instructions that load and store previous values.

use wasm_encoder::{BlockType, ValType};

use super::code::{Code, at};
use super::expression::{Expressions, Leaves, Valid, val_type};
use super::layout::{Layout, PreviousPlace};
use super::program::{Members, Program};
use super::update::base;

/// Expressions whose previous values are loaded.
pub(super) trait Loaded: Leaves {
    /// Gives a previous value a local with its value, and one that says whether it is valid.
    fn set_previous(&mut self, n: usize, value: (u32, Valid));
}

/// Loads the previous values of certain members.
pub(super) fn load(
    program: &Program,
    layout: &Layout,
    wanted: impl Fn(Members) -> bool,
    leaves: &mut dyn Loaded,
    state: u32,
    code: &mut Code,
) {
    let all = program.previous.iter().zip(&layout.previous);
    for (n, (previous, place)) in all.enumerate() {
        if !wanted(previous.packets.of) {
            continue;
        }
        let base = match previous.by_direction {
            true => base(PreviousPlace::STEP, leaves, state, code),
            false => state,
        };
        let ty = val_type(previous.ty);
        let [value, valid] = [code.local(ty), code.local(ValType::I32)];
        let ins = &mut code.ins();
        ins.local_get(base).i32_load(at(place.valid, 4));
        ins.local_set(valid).local_get(base);
        match ty {
            ValType::I32 => ins.i32_load(at(place.value, 4)),
            ValType::I64 => ins.i64_load(at(place.value, 8)),
            _ => ins.f64_load(at(place.value, 8)),
        };
        ins.local_set(value);
        leaves.set_previous(n, (value, Some(valid)));
    }
}

/// Stores the values of selected members for later ones.
pub(super) fn store(
    program: &Program,
    layout: &Layout,
    wanted: impl Fn(Members) -> bool,
    (leaves, state): (&dyn Leaves, u32),
    code: &mut Code,
) {
    // All values are known before the first one is replaced.
    let mut stores = Vec::new();
    for (previous, place) in program.previous.iter().zip(&layout.previous) {
        if wanted(previous.packets.of) {
            let base = match previous.by_direction {
                true => base(PreviousPlace::STEP, leaves, state, code),
                false => state,
            };
            let mut expressions = Expressions {
                program,
                leaves,
                code: &mut *code,
            };
            let selected = expressions.selection(&previous.packets);
            let value = expressions.evaluate(&previous.value);
            stores.push((base, place, val_type(previous.ty), selected, value));
        }
    }
    for (base, place, ty, selected, (value, valid)) in stores {
        if let Some(selected) = selected {
            code.ins().local_get(selected).if_(BlockType::Empty);
        }
        let ins = &mut code.ins();
        ins.local_get(base).local_get(value);
        match ty {
            ValType::I32 => ins.i32_store(at(place.value, 4)),
            ValType::I64 => ins.i64_store(at(place.value, 8)),
            _ => ins.f64_store(at(place.value, 8)),
        };
        ins.local_get(base);
        match valid {
            Some(valid) => ins.local_get(valid),
            None => ins.i32_const(1),
        };
        ins.i32_store(at(place.valid, 4));
        if selected.is_some() {
            ins.end();
        }
    }
}
