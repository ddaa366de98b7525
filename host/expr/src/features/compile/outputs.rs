//! Instructions that write the outputs of a flow that ends.

use flowloom_core::value::Type as FieldType;
use wasm_encoder::{Function, ValType};

use super::bytes;
use super::code::{Code, at};
use super::expression::{Expressions, Valid};
use super::functions::load_column;
use super::layout::Layout;
use super::memory::{Many, Memory, OutputPlace, RECORD_VALID_LEN, RECORD_VALUES_LEN};
use super::program::{self, Expr, Level, Program, Type};
use super::results::Results;

/// Returns the function `(state, row, columns of flow fields)` that writes a row of the outputs.
pub(super) fn expire(program: &Program, layout: &Layout, memory: &Memory) -> Function {
    let [state, row, columns] = [0, 1, 2];
    let mut code = Code::new(3);
    let mut fields = Vec::new();
    for (n, field) in program.expired.iter().enumerate() {
        let ty = match field.ty {
            FieldType::Boolean => ValType::I32,
            FieldType::Float => ValType::F64,
            _ => ValType::I64,
        };
        let local = code.local(ty);
        code.ins()
            .local_get(columns)
            .i32_load(at(20 * n as u32 + 4, 4));
        load_column(field.ty, row, &mut code);
        code.ins().local_set(local);
        fields.push(local);
    }
    let mut flow = Results::new((program, layout, memory), Level::Flow, state, &mut code);
    flow.fields = fields;
    flow.share(Level::Flow, &mut code);
    for (output, place) in program.outputs.iter().zip(&memory.outputs) {
        write_output((program, &flow), &output.value, place, row, &mut code);
    }
    code.finish()
}

fn write_output(
    (program, flow): (&Program, &Results<'_>),
    value: &Expr,
    place: &OutputPlace,
    row: u32,
    code: &mut Code,
) {
    if let Expr::List(accumulator, part, divisor) = value {
        write_list(flow, (*accumulator, *part), *divisor, place, row, code);
        return;
    }
    if let Some(many) = place.many {
        write_bytes((program, flow), value, place, many, row, code);
        return;
    }
    let ty = program.ty(value);
    // The address of the value.
    code.ins().local_get(row);
    if ty != Type::Bool {
        code.ins().i32_const(3).i32_shl();
    }
    let valid = Expressions {
        program,
        leaves: flow,
        code,
    }
    .write(value);
    let ins = &mut code.ins();
    match ty {
        Type::Bool => ins.i32_store8(at(place.values, 1)),
        Type::Float => ins.f64_store(at(place.values, 8)),
        _ => ins.i64_store(at(place.values, 8)),
    };
    write_valid(valid, place, row, code);
}

fn write_valid(valid: Valid, place: &OutputPlace, row: u32, code: &mut Code) {
    let ins = &mut code.ins();
    match valid {
        Some(valid) => {
            ins.local_get(row).local_get(valid);
            ins.i32_store8(at(place.valid, 1));
            // The record says whether a value of the batch is null.
            let flag = at(place.record + RECORD_VALID_LEN, 4);
            ins.i32_const(0).i32_const(0).i32_load(flag);
            ins.local_get(valid).i32_eqz().i32_or().i32_store(flag);
        }
        None => {
            ins.local_get(row).i32_const(1);
            ins.i32_store8(at(place.valid, 1));
        }
    }
}

/// Appends bytes to those of the rows before, which are at most `many.most` each.
fn write_bytes(
    (program, flow): (&Program, &Results<'_>),
    value: &Expr,
    place: &OutputPlace,
    many: Many,
    row: u32,
    code: &mut Code,
) {
    let valid = Expressions {
        program,
        leaves: flow,
        code: &mut *code,
    }
    .write(value);
    let [address, len] = bytes::split(code);
    let start = code.local(ValType::I32);
    let ins = &mut code.ins();
    // Null has no bytes.
    ins.local_get(len).i32_const(many.most as i32);
    ins.local_get(len).i32_const(many.most as i32).i32_lt_u();
    ins.select();
    if let Some(valid) = valid {
        ins.i32_const(0).local_get(valid).select();
    }
    ins.local_set(len);
    let end = at(place.record + RECORD_VALUES_LEN, 4);
    ins.i32_const(0).i32_load(end).local_tee(start);
    ins.i32_const(place.values as i32).i32_add();
    ins.local_get(address).local_get(len).memory_copy(0, 0);
    ins.local_get(start).local_get(len).i32_add();
    ins.local_set(start);
    ins.i32_const(0).local_get(start).i32_store(end);
    write_end(place, row, code);
    write_valid(valid, place, row, code);
}

/// Appends the elements of a list to those of the rows before.
fn write_list(
    flow: &Results<'_>,
    (accumulator, part): (usize, program::Part),
    divisor: Option<f64>,
    place: &OutputPlace,
    row: u32,
    code: &mut Code,
) {
    let list = flow.list(accumulator, part, code);
    let used = at(place.record + RECORD_VALUES_LEN, 4);
    let next = code.local(ValType::I32);
    let ins = &mut code.ins();
    ins.i32_const(0).i32_load(used).i32_const(3).i32_shl();
    ins.local_set(next);
    list.for_each(code, |value, code| {
        let ins = &mut code.ins();
        ins.local_get(next).local_get(value);
        if let Some(divisor) = divisor {
            if !list.element.is_float {
                ins.f64_convert_i64_s();
            }
            ins.f64_const(divisor.into()).f64_div();
        }
        match list.element.is_float || divisor.is_some() {
            true => ins.f64_store(at(place.values, 8)),
            false => ins.i64_store(at(place.values, 8)),
        };
        ins.local_get(next).i32_const(8).i32_add().local_set(next);
    });
    let ins = &mut code.ins();
    ins.i32_const(0).local_get(next).i32_const(3).i32_shr_u();
    ins.i32_store(used);
    write_end(place, row, code);
    write_valid(None, place, row, code);
}

/// Writes the end of bytes or of a list, which is the number of elements so far.
fn write_end(place: &OutputPlace, row: u32, code: &mut Code) {
    if let Some(many) = place.many {
        let ins = &mut code.ins();
        ins.local_get(row).i32_const(2).i32_shl();
        ins.i32_const(0);
        ins.i32_load(at(place.record + RECORD_VALUES_LEN, 4));
        ins.i32_store(at(many.ends, 4));
    }
}

/// Returns the function `(row)` that writes a row of nulls.
pub(super) fn expire_null(memory: &Memory) -> Function {
    let mut code = Code::new(1);
    for place in &memory.outputs {
        write_end(place, 0, &mut code);
        let flag = at(place.record + RECORD_VALID_LEN, 4);
        let ins = &mut code.ins();
        ins.local_get(0).i32_const(0).i32_store8(at(place.valid, 1));
        ins.i32_const(0).i32_const(1).i32_store(flag);
    }
    code.finish()
}
