//! The function `process`: the loop over the events of a batch.

use flowloom_core::value::Type as FieldType;
use wasm_encoder::{BlockType, Function, ValType};

use super::code::{Code, at};
use super::functions::{BEGIN, CAPACITY, EXPIRE, EXPIRE_NULL, FAIL, load_column};
use super::layout::Layout;
use super::memory::{
    MAX_EVENTS, Memory, RECORD_ENDS_LEN, RECORD_VALID_LEN, RECORD_VALUES_LEN, column_case,
};
use super::payload::Payload;
use super::program::{Field, Program, Type};
use super::row::{self, Row};
use super::{runs, touch};
use crate::features::names::LARGEST_SIZE;

// Offsets in the record `batch`.
const KINDS: u32 = 0;
const KINDS_LEN: u32 = 4;
const SLOTS: u32 = 8;
const PACKETS: u32 = 28;
const PAYLOAD: u32 = 60;
const EXPIRED: u32 = 100;

/// The size of a `column`, and the offset of the address of its elements.
const COLUMN: u32 = 20;
const ELEMENTS: u32 = 4;

/// The case `u32s` of `column`.
const U32S: i32 = 2;

/// The case `texts`.
const TEXTS: i32 = 6;

/// The kinds of events.
const INIT: i32 = 0;
const EXPIRE_EVENT: i32 = 2;

struct Locals {
    events: u32,
    event: u32,
    kinds: u32,
    slots: u32,
    kind: u32,
    slot: u32,
    state: u32,
    /// Rows of packets and of expires.
    packet: u32,
    expire: u32,
    expired: u32,
    /// Addresses of the bytes of all payloads, and of their ends.
    payloads: u32,
    ends: u32,
    /// The places in `payloads` where the payload of the current packet begins and ends.
    payload_start: u32,
    payload_end: u32,
    columns: Vec<u32>,
}

/// Returns the function `(batch) -> answer`.
pub(super) fn process(program: &Program, layout: &Layout, memory: &Memory) -> Function {
    let message = memory.batch_message;
    let batch = 0;
    let mut code = Code::new(1);
    let mut local = || code.local(ValType::I32);
    let locals = Locals {
        events: local(),
        event: local(),
        kinds: local(),
        slots: local(),
        kind: local(),
        slot: local(),
        state: local(),
        packet: local(),
        expire: local(),
        expired: local(),
        payloads: local(),
        ends: local(),
        payload_start: local(),
        payload_end: local(),
        columns: program.packet.iter().map(|_| local()).collect(),
    };
    let fail = |code: &mut Code| {
        let ins = &mut code.ins();
        ins.if_(BlockType::Empty);
        ins.i32_const(message[0] as i32)
            .i32_const(message[1] as i32);
        ins.call(FAIL).end();
    };
    code.ins()
        .local_get(batch)
        .i32_load(at(KINDS_LEN, 4))
        .local_tee(locals.events);
    code.ins().i32_const(MAX_EVENTS as i32).i32_gt_u();
    fail(&mut code);
    code.ins().local_get(batch).i32_load8_u(at(SLOTS, 1));
    code.ins().i32_const(U32S).i32_ne();
    fail(&mut code);
    let ins = &mut code.ins();
    ins.local_get(batch)
        .i32_load(at(KINDS, 4))
        .local_set(locals.kinds);
    ins.local_get(batch)
        .i32_load(at(SLOTS + ELEMENTS, 4))
        .local_set(locals.slots);
    if program.payload_bytes > 0 {
        // `some`, and its column.
        let ins = &mut code.ins();
        ins.local_get(batch).i32_load8_u(at(PAYLOAD, 1)).i32_eqz();
        ins.local_get(batch).i32_load8_u(at(PAYLOAD + 4, 1));
        ins.i32_const(TEXTS).i32_ne().i32_or();
        fail(&mut code);
        let ins = &mut code.ins();
        ins.local_get(batch).i32_load(at(PAYLOAD + 8, 4));
        ins.local_set(locals.payloads);
        ins.local_get(batch).i32_load(at(PAYLOAD + 16, 4));
        ins.local_set(locals.ends);
    }
    // A batch without rows may have no columns.
    let columns = code.local(ValType::I32);
    for (offset, fields) in [(PACKETS, &program.packet), (EXPIRED, &program.expired)] {
        if fields.is_empty() {
            continue;
        }
        let ins = &mut code.ins();
        ins.local_get(batch).i32_load(at(offset + 4, 4));
        ins.if_(BlockType::Empty);
        ins.local_get(batch)
            .i32_load(at(offset, 4))
            .local_set(columns);
        check_columns(fields, columns, &mut code, &fail);
        if offset == PACKETS {
            for (n, local) in locals.columns.iter().enumerate() {
                let elements = at(n as u32 * COLUMN + ELEMENTS, 4);
                let ins = &mut code.ins();
                ins.local_get(columns).i32_load(elements).local_set(*local);
            }
        } else {
            code.ins().local_get(columns).local_set(locals.expired);
        }
        code.ins().end();
    }
    for place in &memory.outputs {
        let flag = at(place.record + RECORD_VALID_LEN, 4);
        code.ins().i32_const(0).i32_const(0).i32_store(flag);
        if place.many.is_some() {
            let end = at(place.record + RECORD_VALUES_LEN, 4);
            code.ins().i32_const(0).i32_const(0).i32_store(end);
        }
    }
    write_loop(program, layout, memory, &locals, &mut code);
    write_answer(memory, &locals, &mut code);
    code.finish()
}

fn check_columns(fields: &[Field], columns: u32, code: &mut Code, fail: &dyn Fn(&mut Code)) {
    for (n, field) in fields.iter().enumerate() {
        let ins = &mut code.ins();
        ins.local_get(columns).i32_load8_u(at(n as u32 * COLUMN, 1));
        ins.i32_const(column_case(field.ty) as i32).i32_xor();
        if n > 0 {
            ins.i32_or();
        }
    }
    fail(code);
}

fn write_loop(
    program: &Program,
    layout: &Layout,
    memory: &Memory,
    locals: &Locals,
    code: &mut Code,
) {
    let ins = &mut code.ins();
    ins.block(BlockType::Empty).loop_(BlockType::Empty);
    ins.local_get(locals.event)
        .local_get(locals.events)
        .i32_ge_u()
        .br_if(1);
    let events = [locals.event, locals.events, locals.slots];
    touch::write(layout, memory, events, code);
    let ins = &mut code.ins();
    ins.local_get(locals.kinds)
        .local_get(locals.event)
        .i32_add();
    ins.i32_load8_u(at(0, 1)).local_set(locals.kind);
    ins.local_get(locals.slots)
        .local_get(locals.event)
        .i32_const(2);
    ins.i32_shl()
        .i32_add()
        .i32_load(at(0, 4))
        .local_tee(locals.slot);
    ins.i32_const(layout.stride as i32)
        .i32_mul()
        .i32_const(memory.states as i32);
    ins.i32_add().local_set(locals.state);
    ins.local_get(locals.kind)
        .i32_const(EXPIRE_EVENT)
        .i32_eq()
        .if_(BlockType::Empty);
    has_state(locals, code);
    runs::write_ends(program, locals.state, code);
    let ins = &mut code.ins();
    ins.local_get(locals.state)
        .local_get(locals.expire)
        .local_get(locals.expired);
    ins.call(EXPIRE)
        .else_()
        .local_get(locals.expire)
        .call(EXPIRE_NULL)
        .end();
    increment(locals.expire, code);
    let ins = &mut code.ins();
    ins.else_();
    ins.local_get(locals.kind)
        .i32_const(INIT)
        .i32_eq()
        .if_(BlockType::Empty);
    ins.local_get(locals.slot).call(BEGIN).end();
    if program.payload_bytes > 0 {
        let ins = &mut code.ins();
        ins.local_get(locals.payload_end)
            .local_set(locals.payload_start);
        ins.local_get(locals.ends).local_get(locals.packet);
        ins.i32_const(2).i32_shl().i32_add().i32_load(at(0, 4));
        ins.local_set(locals.payload_end);
    }
    has_state(locals, code);
    write_packet(program, layout, locals, code);
    code.ins().end();
    increment(locals.packet, code);
    code.ins().end();
    increment(locals.event, code);
    code.ins().br(0).end().end();
}

/// Begins a block for flows whose state is in the memory.
fn has_state(locals: &Locals, code: &mut Code) {
    let ins = &mut code.ins();
    ins.local_get(locals.slot).global_get(CAPACITY).i32_lt_u();
    ins.if_(BlockType::Empty);
}

fn increment(local: u32, code: &mut Code) {
    let ins = &mut code.ins();
    ins.local_get(local).i32_const(1).i32_add().local_set(local);
}

/// Reads the values of a packet, and adds them to the state of its flow.
fn write_packet(program: &Program, layout: &Layout, locals: &Locals, code: &mut Code) {
    let mut row = Row::default();
    for (field, column) in program.packet.iter().zip(&locals.columns) {
        let value = code.local(super::expression::val_type(Type::of_field(field.ty)));
        code.ins().local_get(*column);
        load_column(field.ty, locals.packet, code);
        code.ins().local_set(value);
        limit(field, value, code);
        row.packet.push(value);
        if field.name == super::check::DIRECTION.name {
            row.direction = Some(value);
        }
    }
    if let Some(offset) = layout.index {
        let index = code.local(ValType::I64);
        let ins = &mut code.ins();
        ins.local_get(locals.state).local_get(locals.state);
        ins.i64_load(at(offset, 8))
            .i64_const(1)
            .i64_add()
            .local_tee(index);
        ins.i64_store(at(offset, 8));
        row.index = Some(index);
    }
    if program.payload_bytes > 0 {
        let [address, len] = [(); 2].map(|()| code.local(ValType::I32));
        let ins = &mut code.ins();
        ins.local_get(locals.payloads)
            .local_get(locals.payload_start);
        ins.i32_add().local_set(address);
        ins.local_get(locals.payload_end)
            .local_get(locals.payload_start);
        ins.i32_sub().local_set(len);
        row.payload = Some(Payload { address, len });
    }
    let time = { program.packet.iter() }.position(|field| *field == super::check::TIME);
    if let (Some(offset), Some(time)) = (layout.first_time, time) {
        let [time, age] = [row.packet[time], code.local(ValType::I64)];
        let ins = &mut code.ins();
        ins.local_get(locals.kind)
            .i32_const(INIT)
            .i32_eq()
            .if_(BlockType::Empty);
        ins.local_get(locals.state)
            .local_get(time)
            .i64_store(at(offset, 8));
        ins.end();
        ins.local_get(time)
            .local_get(locals.state)
            .i64_load(at(offset, 8))
            .i64_sub();
        ins.local_set(age);
        row.age = Some(age);
    }
    row::write(program, layout, &mut row, locals.state, code);
}

/// Replaces a value that exceeds the interval of its field by the largest one.
fn limit(field: &Field, value: u32, code: &mut Code) {
    let largest = match field.ty {
        FieldType::U64 => i64::MAX,
        _ if field.name.ends_with("_size") => LARGEST_SIZE,
        _ => return,
    };
    let ins = &mut code.ins();
    ins.local_get(value).i64_const(largest);
    ins.local_get(value).i64_const(largest);
    ins.i64_lt_u().select().local_set(value);
}

/// Completes the lengths in the list of output columns, and returns the list.
fn write_answer(memory: &Memory, locals: &Locals, code: &mut Code) {
    let ins = &mut code.ins();
    for place in &memory.outputs {
        let len = match place.many {
            // The number of elements is there already.
            Some(_) => RECORD_ENDS_LEN,
            None => RECORD_VALUES_LEN,
        };
        ins.i32_const(0)
            .local_get(locals.expire)
            .i32_store(at(place.record + len, 4));
        // 0 if no value is null.
        let flag = at(place.record + RECORD_VALID_LEN, 4);
        ins.i32_const(0)
            .i32_const(0)
            .i32_load(flag)
            .local_get(locals.expire)
            .i32_mul();
        ins.i32_store(flag);
    }
    ins.i32_const(0);
    ins.i32_const(memory.outputs.len() as i32)
        .i32_const(0)
        .local_get(locals.expire)
        .select();
    ins.i32_store(at(memory.answer + 4, 4));
    ins.i32_const(memory.answer as i32);
}
