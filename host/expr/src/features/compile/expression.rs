//! Instructions of expressions.
//!
//! The instructions of an expression leave its value on the stack: a boolean as `i32` of 0 or 1, an integer
//! as `i64`, a float as `f64`. Bytes are an `i64` with their address in the lower half and their length in the upper
//! one. An expression that can be null also sets a local to 1 if it has a value, and to 0 if it is null. The value on
//! the stack has no meaning then, but the memory of bytes can be read; no instruction traps for it.

use wasm_encoder::ValType;

use super::bytes;
use super::code::Code;
use super::logarithm;
use super::program::{Expr, Function, Members, Operator, Program, Scope, Selection, Type};

/// The local that says whether the value is valid; `None` if it is never null.
pub(super) type Valid = Option<u32>;

/// Where the values of fields and statistics come from.
pub(super) trait Leaves {
    /// Writes the instructions for an expression that has no operands and is no literal.
    fn leaf(&self, code: &mut Code, expr: &Expr) -> Valid;

    /// Returns the local with the direction of the packet, as `i64`.
    fn direction(&self) -> Option<u32>;

    /// Returns the local that says whether the packet belongs to a run of a division.
    fn in_run(&self, run: usize) -> Valid;
}

/// Writes instructions for expressions into a function.
pub(super) struct Expressions<'a> {
    pub(super) program: &'a Program,
    pub(super) leaves: &'a dyn Leaves,
    pub(super) code: &'a mut Code,
}

/// Returns the WebAssembly type of values of a type.
pub(super) fn val_type(ty: Type) -> ValType {
    match ty {
        Type::Bool => ValType::I32,
        Type::Int | Type::Bytes => ValType::I64,
        Type::Float => ValType::F64,
        // Lists are not on the stack.
        Type::Integers | Type::Floats => ValType::I32,
    }
}

impl Expressions<'_> {
    /// Writes the instructions of an expression.
    pub(super) fn write(&mut self, expr: &Expr) -> Valid {
        match expr {
            Expr::Int(n) => {
                self.code.ins().i64_const(*n);
                None
            }
            Expr::Float(x) => {
                self.code.ins().f64_const((*x).into());
                None
            }
            Expr::Bool(b) => {
                self.code.ins().i32_const((*b).into());
                None
            }
            Expr::Packet(_)
            | Expr::Index
            | Expr::Age
            | Expr::PayloadNumber { .. }
            | Expr::PayloadStarts(_)
            | Expr::PayloadPart(..)
            | Expr::Previous(_)
            | Expr::Shared(_)
            | Expr::Flow(_)
            | Expr::Statistic(..) => self.leaves.leaf(self.code, expr),
            Expr::Within(value, packets) => {
                let selected = self.selection(packets);
                let valid = self.write(value);
                self.both(valid, selected)
            }
            Expr::Literal(at, len) => {
                bytes::literal(*at, *len, self.code);
                None
            }
            Expr::Part(of, from, to) => {
                let valid = self.write(of);
                bytes::part(*from, *to, self.code);
                valid
            }
            Expr::Byte(of, at) => {
                let valid = self.write(of);
                let exists = bytes::element(*at, self.code);
                self.both(valid, Some(exists))
            }
            Expr::Unary(function @ (Function::Length | Function::Distinct), a) => {
                let valid = self.write(a);
                bytes::unary(*function, self.code);
                valid
            }
            Expr::List(..) => unreachable!("lists in expressions are checked"),
            Expr::Unary(Function::Entropy, a) => {
                let valid = self.write(a);
                let exists = bytes::entropy(self.code);
                self.both(valid, Some(exists))
            }
            Expr::Unary(function, a) => self.unary(*function, a),
            Expr::Binary(operator, a, b) => self.binary(*operator, a, b),
            Expr::Coalesce(a, b) => self.coalesce(a, b),
            Expr::If(condition, a, b) => self.choose(condition, a, b),
        }
    }

    /// Writes the value of an expression to a local.
    pub(super) fn evaluate(&mut self, expr: &Expr) -> (u32, Valid) {
        let valid = self.write(expr);
        (self.store(val_type(self.program.ty(expr))), valid)
    }

    /// Like [`write`](Self::write), but the value is a float.
    pub(super) fn write_float(&mut self, expr: &Expr) -> Valid {
        let valid = self.write(expr);
        if self.program.ty(expr) == Type::Int {
            self.code.ins().f64_convert_i64_s();
        }
        valid
    }

    /// Returns the local that says whether a packet or run is selected; `None` if all are. Leaves nothing on the
    /// stack.
    pub(super) fn selection(&mut self, packets: &Selection) -> Valid {
        let in_run = match packets.of {
            Members::RunPackets(run) => self.leaves.in_run(run),
            Members::Packets | Members::Runs(_) => None,
        };
        let in_scope = match (packets.scope, self.leaves.direction()) {
            (Scope::Both, _) | (_, None) => None,
            (scope, Some(direction)) => {
                let wanted = i64::from(scope == Scope::Dst2Src);
                let ins = &mut self.code.ins();
                ins.local_get(direction).i64_const(wanted).i64_eq();
                Some(self.store(ValType::I32))
            }
        };
        let in_scope = self.both(in_run, in_scope);
        let Some(condition) = &packets.condition else {
            return in_scope;
        };
        let valid = self.write(condition);
        let holds = self.store(ValType::I32);
        let holds = self.both(Some(holds), valid);
        self.both(in_scope, holds)
    }

    pub(super) fn store(&mut self, ty: ValType) -> u32 {
        let local = self.code.local(ty);
        self.code.ins().local_set(local);
        local
    }

    /// Returns the local that says whether both values are valid.
    pub(super) fn both(&mut self, a: Valid, b: Valid) -> Valid {
        match (a, b) {
            (Some(a), Some(b)) => {
                self.code.ins().local_get(a).local_get(b).i32_and();
                Some(self.store(ValType::I32))
            }
            (one, None) | (None, one) => one,
        }
    }

    fn unary(&mut self, function: Function, a: &Expr) -> Valid {
        if !matches!(function, Function::Not | Function::Neg | Function::Abs) {
            let valid = self.write_float(a);
            match function {
                Function::Float => return valid,
                Function::Round => {
                    self.code.ins().f64_nearest();
                    return valid;
                }
                _ => {}
            }
            let x = self.store(ValType::F64);
            if function != Function::Sqrt {
                self.code.ins().local_get(x).f64_const(0.0.into()).f64_gt();
                let is_positive = self.store(ValType::I32);
                self.code.ins().local_get(x);
                logarithm::write(function, self.code);
                return self.both(valid, Some(is_positive));
            }
            self.code.ins().local_get(x).f64_const(0.0.into()).f64_ge();
            let is_positive = self.store(ValType::I32);
            self.code.ins().local_get(x).f64_sqrt();
            return self.both(valid, Some(is_positive));
        }
        let valid = self.write(a);
        match (function, self.program.ty(a)) {
            (Function::Not, _) => {
                self.code.ins().i32_eqz();
            }
            (Function::Neg, Type::Float) => {
                self.code.ins().f64_neg();
            }
            (_, Type::Float) => {
                self.code.ins().f64_abs();
            }
            (Function::Neg, _) => {
                self.code.ins().i64_const(-1).i64_mul();
            }
            _ => {
                let x = self.store(ValType::I64);
                let ins = &mut self.code.ins();
                ins.i64_const(0).local_get(x).i64_sub().local_get(x);
                ins.local_get(x).i64_const(0).i64_lt_s().select();
            }
        }
        valid
    }

    fn binary(&mut self, operator: Operator, a: &Expr, b: &Expr) -> Valid {
        if matches!(operator, Operator::And | Operator::Or) {
            return self.logic(operator == Operator::Or, a, b);
        }
        let types = [self.program.ty(a), self.program.ty(b)];
        let is_float = operator == Operator::Div || types.contains(&Type::Float);
        let valid = match is_float {
            true => [self.write_float(a), self.write_float(b)],
            false => [self.write(a), self.write(b)],
        };
        let valid = self.both(valid[0], valid[1]);
        if matches!(operator, Operator::Least | Operator::Greatest) {
            self.extreme(operator == Operator::Least, is_float);
            return valid;
        }
        if is_float {
            return self.float_operation(operator, valid);
        }
        if types == [Type::Bytes, Type::Bytes] {
            bytes::binary(operator, self.code);
            return valid;
        }
        if types == [Type::Bool, Type::Bool] {
            match operator {
                Operator::Eq => self.code.ins().i32_eq(),
                Operator::Ne => self.code.ins().i32_ne(),
                Operator::Lt => self.code.ins().i32_lt_u(),
                Operator::Le => self.code.ins().i32_le_u(),
                Operator::Gt => self.code.ins().i32_gt_u(),
                _ => self.code.ins().i32_ge_u(),
            };
            return valid;
        }
        match operator {
            Operator::Add => self.code.ins().i64_add(),
            Operator::Sub => self.code.ins().i64_sub(),
            Operator::Mul => self.code.ins().i64_mul(),
            Operator::BitAnd => self.code.ins().i64_and(),
            Operator::BitOr => self.code.ins().i64_or(),
            Operator::Eq => self.code.ins().i64_eq(),
            Operator::Ne => self.code.ins().i64_ne(),
            Operator::Lt => self.code.ins().i64_lt_s(),
            Operator::Le => self.code.ins().i64_le_s(),
            Operator::Gt => self.code.ins().i64_gt_s(),
            Operator::Ge => self.code.ins().i64_ge_s(),
            Operator::SaturatingAdd | Operator::SaturatingSub | Operator::SaturatingMul => {
                super::saturating::write(operator, self.code);
                return valid;
            }
            _ => match b {
                Expr::Int(divisor) if *divisor > 0 => {
                    // Packet fields are not negative.
                    let is_natural = matches!(a, Expr::Packet(_));
                    self.constant_division(operator, *divisor, is_natural);
                    return valid;
                }
                _ => return self.division(operator, valid),
            },
        };
        valid
    }

    /// Leaves the smaller or the larger of the two numbers on the stack.
    fn extreme(&mut self, is_least: bool, is_float: bool) {
        let ty = if is_float { ValType::F64 } else { ValType::I64 };
        let [b, a] = [self.store(ty), self.store(ty)];
        let ins = &mut self.code.ins();
        ins.local_get(a).local_get(b).local_get(a).local_get(b);
        match (is_least, is_float) {
            (true, true) => ins.f64_le(),
            (false, true) => ins.f64_ge(),
            (true, false) => ins.i64_le_s(),
            (false, false) => ins.i64_ge_s(),
        };
        ins.select();
    }

    fn float_operation(&mut self, operator: Operator, valid: Valid) -> Valid {
        if operator == Operator::FloorTo {
            let step = self.code.local(ValType::F64);
            let ins = &mut self.code.ins();
            ins.local_tee(step).f64_div().f64_floor();
            // The multiplication follows.
            ins.local_get(step);
        }
        match operator {
            Operator::FloorTo => self.code.ins().f64_mul(),
            Operator::Add => self.code.ins().f64_add(),
            Operator::Sub => self.code.ins().f64_sub(),
            Operator::Mul => self.code.ins().f64_mul(),
            Operator::Div => self.code.ins().f64_div(),
            Operator::Eq => self.code.ins().f64_eq(),
            Operator::Ne => self.code.ins().f64_ne(),
            Operator::Lt => self.code.ins().f64_lt(),
            Operator::Le => self.code.ins().f64_le(),
            Operator::Gt => self.code.ins().f64_gt(),
            _ => self.code.ins().f64_ge(),
        };
        if !matches!(
            operator,
            Operator::Add | Operator::Sub | Operator::Mul | Operator::Div | Operator::FloorTo
        ) {
            return valid;
        }
        // Neither infinite nor NaN.
        let x = self.code.local(ValType::F64);
        let ins = &mut self.code.ins();
        ins.local_tee(x).f64_abs().f64_const(f64::INFINITY.into());
        ins.f64_lt();
        let is_finite = self.store(ValType::I32);
        self.code.ins().local_get(x);
        self.both(valid, Some(is_finite))
    }

    /// Floor division and its remainder of the two integers on the stack. The divisor is a positive constant.
    fn constant_division(&mut self, operator: Operator, divisor: i64, is_natural: bool) {
        self.code.ins().drop();
        let a = self.store(ValType::I64);
        let remainder = self.code.local(ValType::I64);
        let ins = &mut self.code.ins();
        ins.local_get(a).i64_const(divisor).i64_rem_s();
        ins.local_set(remainder);
        match operator {
            Operator::FloorDiv => {
                ins.local_get(a).i64_const(divisor).i64_div_s();
                ins.local_get(remainder).i64_const(63).i64_shr_s();
                ins.i64_add();
            }
            _ => {
                if operator == Operator::FloorTo {
                    ins.local_get(a);
                }
                ins.local_get(remainder).local_get(remainder);
                ins.i64_const(63).i64_shr_s().i64_const(divisor).i64_and();
                ins.i64_add();
                match operator {
                    Operator::FloorTo if is_natural => {
                        ins.i64_sub();
                    }
                    // It can be less than the smallest integer.
                    Operator::FloorTo => {
                        super::saturating::write(Operator::SaturatingSub, self.code);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Floor division and its remainder of the two integers on the stack.
    fn division(&mut self, operator: Operator, valid: Valid) -> Valid {
        let b = self.store(ValType::I64);
        let a = self.store(ValType::I64);
        self.code.ins().local_get(b).i64_const(0).i64_ne();
        let has_divisor = self.store(ValType::I32);
        // The divisor 1 replaces 0. It also replaces -1, with the dividend negated, because the quotient of the
        // smallest integer and -1 traps.
        let remainder = self.code.local(ValType::I64);
        let is_adjusted = self.code.local(ValType::I64);
        let ins = &mut self.code.ins();
        ins.i64_const(0).local_get(a).i64_sub().local_get(a);
        ins.local_get(b)
            .i64_const(-1)
            .i64_eq()
            .select()
            .local_set(a);
        ins.i64_const(1).local_get(b).local_get(b).i64_const(1);
        ins.i64_add().i64_const(1).i64_le_u().select().local_set(b);
        ins.local_get(a)
            .local_get(b)
            .i64_rem_s()
            .local_set(remainder);
        // 1 if the remainder is not 0 and has another sign than the divisor.
        ins.local_get(remainder).i64_const(0).i64_ne();
        ins.local_get(remainder).local_get(b).i64_xor().i64_const(0);
        ins.i64_lt_s()
            .i32_and()
            .i64_extend_i32_u()
            .local_set(is_adjusted);
        match operator {
            Operator::FloorDiv => {
                ins.local_get(a).local_get(b).i64_div_s();
                ins.local_get(is_adjusted).i64_sub();
            }
            _ => {
                if operator == Operator::FloorTo {
                    ins.local_get(a);
                }
                ins.local_get(remainder).local_get(is_adjusted);
                ins.local_get(b).i64_mul().i64_add();
            }
        }
        if operator == Operator::FloorTo {
            // It can be less than the smallest integer.
            super::saturating::write(Operator::SaturatingSub, self.code);
        }
        self.both(valid, Some(has_divisor))
    }
}
