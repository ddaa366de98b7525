//! How lists are stored in the state of a flow.

use wasm_encoder::ValType;

use super::code::{Code, at};
use super::program::{Accumulator, Keeps, Program, Type};

/// How the elements of a list are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// 1, 2, 4 or 8.
    pub(super) bytes: u32,
    is_signed: bool,
    pub(super) is_float: bool,
}

impl Element {
    /// Returns how an accumulator stores the elements of its list.
    pub(super) fn new(program: &Program, accumulator: &Accumulator) -> Self {
        let integers = |bytes, is_signed| Self {
            bytes,
            is_signed,
            is_float: false,
        };
        if let Keeps::Histogram(_) = accumulator.keeps {
            return integers(4, false);
        }
        let value = &accumulator.value;
        if { value.as_ref() }.is_some_and(|value| program.ty(value) == Type::Float) {
            return Self {
                bytes: 8,
                is_signed: false,
                is_float: true,
            };
        }
        let (low, high) = accumulator.bounds;
        let unsigned = |bits: u32| low >= 0 && high < 1 << bits;
        let signed = |bits: u32| low >= -(1 << (bits - 1)) && high < 1 << (bits - 1);
        let found =
            { [1, 2, 4].into_iter() }.find(|bytes| unsigned(8 * bytes) || signed(8 * bytes));
        match found {
            Some(bytes) => integers(bytes, !unsigned(8 * bytes)),
            None => integers(8, true),
        }
    }

    /// Returns the number of bytes of the list of an accumulator, a multiple of 4; `None` if it has none.
    pub(super) fn list_bytes(program: &Program, accumulator: &Accumulator) -> Option<u32> {
        let bytes = Self::new(program, accumulator).bytes;
        let all = |count: u32| (count * bytes).next_multiple_of(4);
        match &accumulator.keeps {
            Keeps::Statistics | Keeps::Pairs(_) | Keeps::Head(_) => None,
            Keeps::Histogram(edges) => Some(all(edges.len() as u32 + 1)),
            Keeps::Values => Some(all(accumulator.limit.unwrap_or(0))),
            // A bit for each value.
            Keeps::Distinct(_) if bytes == 1 => Some(32),
            // Their number, and the values.
            Keeps::Distinct(most) => Some(all(*most) + bytes.max(4)),
        }
    }

    /// Returns the type of the elements on the stack.
    pub(super) fn val_type(self) -> ValType {
        match self.is_float {
            true => ValType::F64,
            false => ValType::I64,
        }
    }

    /// Replaces the address on the stack by the element there, as an `i64` or `f64`.
    pub(super) fn load(self, offset: u32, code: &mut Code) {
        let place = at(offset, self.bytes);
        let ins = &mut code.ins();
        match (self.bytes, self.is_signed) {
            _ if self.is_float => ins.f64_load(place),
            (1, false) => ins.i64_load8_u(place),
            (1, true) => ins.i64_load8_s(place),
            (2, false) => ins.i64_load16_u(place),
            (2, true) => ins.i64_load16_s(place),
            (4, false) => ins.i64_load32_u(place),
            (4, true) => ins.i64_load32_s(place),
            _ => ins.i64_load(place),
        };
    }

    /// Stores the element on the stack at the address below it.
    pub(super) fn store(self, offset: u32, code: &mut Code) {
        let place = at(offset, self.bytes);
        let ins = &mut code.ins();
        match self.bytes {
            _ if self.is_float => ins.f64_store(place),
            1 => ins.i64_store8(place),
            2 => ins.i64_store16(place),
            4 => ins.i64_store32(place),
            _ => ins.i64_store(place),
        };
    }

    /// Replaces the index on the stack by the address of the element, without the offset of the list.
    pub(super) fn address(self, base: u32, code: &mut Code) {
        let ins = &mut code.ins();
        ins.i32_const(self.bytes.trailing_zeros() as i32).i32_shl();
        ins.local_get(base).i32_add();
    }
}
