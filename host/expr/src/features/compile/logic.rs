//! Instructions of expressions that treat null differently from arithmetic.

use wasm_encoder::{BlockType, ValType};

use super::expression::{Expressions, Valid, val_type};
use super::program::Expr;

impl Expressions<'_> {
    /// Kleene's `and` and `or`.
    pub(super) fn logic(&mut self, is_or: bool, a: &Expr, b: &Expr) -> Valid {
        let a_valid = self.write(a);
        if a_valid.is_none() {
            let a = self.store(ValType::I32);
            let b_valid = self.write(b);
            let ins = &mut self.code.ins();
            ins.local_get(a);
            match is_or {
                true => ins.i32_or(),
                false => ins.i32_and(),
            };
            // `false and null` is false; `true or null` is true.
            let b_valid = b_valid?;
            let result = self.store(ValType::I32);
            let ins = &mut self.code.ins();
            ins.local_get(b_valid).local_get(a);
            if !is_or {
                ins.i32_eqz();
            }
            ins.i32_or();
            let valid = self.store(ValType::I32);
            self.code.ins().local_get(result);
            return Some(valid);
        }
        let a_local = self.store(ValType::I32);
        let b_valid = self.write(b);
        let b_local = self.store(ValType::I32);
        // Whether each operand decides the result: `false` for and, `true` for or.
        let a_decides = self.decides(is_or, a_local, a_valid);
        let b_decides = self.decides(is_or, b_local, b_valid);
        self.code.ins().local_get(a_decides).local_get(b_decides);
        self.code.ins().i32_or();
        let decided = self.store(ValType::I32);
        let all = self.both(a_valid, b_valid);
        if let Some(all) = all {
            self.code.ins().local_get(all).local_get(decided).i32_or();
        } else {
            self.code.ins().i32_const(1);
        }
        let valid = self.store(ValType::I32);
        self.code.ins().local_get(decided);
        if !is_or {
            self.code.ins().i32_eqz();
        }
        Some(valid)
    }

    fn decides(&mut self, is_or: bool, value: u32, valid: Valid) -> u32 {
        self.code.ins().local_get(value);
        if !is_or {
            self.code.ins().i32_eqz();
        }
        if let Some(valid) = valid {
            self.code.ins().local_get(valid).i32_and();
        }
        self.store(ValType::I32)
    }

    pub(super) fn coalesce(&mut self, a: &Expr, b: &Expr) -> Valid {
        let valid = self.write(a)?;
        let ty = val_type(self.program.ty(a));
        let first = self.store(ty);
        let other_valid = self.write(b);
        let second = self.store(ty);
        let ins = &mut self.code.ins();
        ins.local_get(first).local_get(second);
        ins.local_get(valid).typed_select(ty);
        let other_valid = other_valid?;
        self.code.ins().local_get(valid).local_get(other_valid);
        self.code.ins().i32_or();
        Some(self.store(ValType::I32))
    }

    pub(super) fn choose(&mut self, condition: &Expr, a: &Expr, b: &Expr) -> Valid {
        let known = self.write(condition);
        let condition = self.store(ValType::I32);
        let ty = val_type(self.program.ty(a));
        let valid = self.code.local(ValType::I32);
        let value = self.code.local(ty);
        // A branch of its own: the operands may be expensive.
        self.code.ins().local_get(condition).if_(BlockType::Empty);
        self.branch(a, value, valid);
        self.code.ins().else_();
        self.branch(b, value, valid);
        self.code.ins().end().local_get(value);
        self.both(known, Some(valid))
    }

    fn branch(&mut self, expr: &Expr, value: u32, valid: u32) {
        let own = self.write(expr);
        let ins = &mut self.code.ins();
        ins.local_set(value);
        match own {
            Some(own) => ins.local_get(own),
            None => ins.i32_const(1),
        };
        ins.local_set(valid);
    }
}
