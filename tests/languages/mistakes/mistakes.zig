//! Makes the mistakes of an author. The option `mistake` selects one. mistakes.py builds it, and compares what Flowloom
//! writes.
//!
//! The compiler finds `misspelt_key`, `misspelt_method` and `wrong_type_float`. In the mode ReleaseFast, Zig checks
//! neither indexes (`index`) nor the conversion of floats to integers (`not_a_number`, `too_large`). Zig has no exceptions;
//! `flowloom.fail` takes their place.

const std = @import("std");
const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

const ip_size = 0;
const n_packet = 2;
const n_flow = 1;
const v = 0;
const t = 1;
const j = 2;

const outputs = [_]flowloom.Output{
    .{ .name = "v", .type = .integer, .description = "Packets of the flow." },
    .{ .name = "t", .type = .text, .description = "A text." },
    .{ .name = "j", .type = .json, .description = "A JSON value." },
};

var packet_fields = [_:null]?[*:0]const u8{ "ip_size", "direction", null };
var at_expire = [_:null]?[*:0]const u8{ "bidirectional_bytes", null };
var mistake: ?[*:0]const u8 = null;
var has_printed = false;

fn is(name: []const u8) bool {
    return std.mem.eql(u8, std.mem.span(mistake.?), name);
}

/// The state of a flow.
pub const State = struct { packets: i64 = 1 };

pub fn open(options: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    if (options.text("mistake", "a name", "The mistake to make.", &mistake)) |wrong| return wrong;
    if (options.require("mistake")) |wrong| return wrong;
    if (is("unknown_packet_field")) packet_fields[n_packet] = "ip_siz"; // mistake: unknown_packet_field
    if (is("unknown_flow_field")) at_expire[n_flow] = "bidirectional_byte"; // mistake: unknown_flow_field
    if (is("exception_in_open")) flowloom.fail("cannot open"); // mistake: exception_in_open
    manifest.version = "0.1.0";
    manifest.description = "Makes mistakes.";
    manifest.packet = &packet_fields;
    manifest.at_expire = &at_expire;
    manifest.outputs = &outputs;
    manifest.n_outputs = if (is("no_outputs")) 0 else outputs.len; // mistake: no_outputs
    return null;
}

pub fn init(packet: *const flowloom.Row, flow: *const flowloom.Row) State {
    var state = State{};
    if (is("undeclared_flow_field_at_init")) state.packets += flow.signed(0); // mistake: undeclared_flow_field_at_init
    if (is("wrong_type_of_field")) state.packets += @intCast(packet.text(ip_size).len); // mistake: wrong_type_of_field
    if (is("exception_in_init")) flowloom.fail("cannot begin"); // mistake: exception_in_init
    return state;
}

fn fill(depth: u32, above: [*]volatile u8) u8 {
    var room: [64]u8 = undefined;
    const inner: [*]volatile u8 = &room;
    inner[0] = above[0];
    return fill(depth + 1, inner) +% inner[0];
}

fn divide(by: i64) i64 {
    return @divTrunc(100, by);
}

fn allocate(state: *State) void {
    while (true) {
        const more = flowloom.allocator.alloc(u8, 1 << 20) catch |wrong| std.debug.panic("the names of a flow: {t}", .{wrong});
        const written: *volatile u8 = &more[0];
        written.* = 1;
        state.packets += written.*;
    }
}

fn loop(state: *State) void {
    const packets: *volatile i64 = &state.packets;
    while (true) packets.* +%= 1;
}

pub fn update(state: *State, packet: *const flowloom.Row, _: *const flowloom.Row) void {
    state.packets += 1;
    if (is("undeclared_packet_field")) state.packets += @intCast(packet.unsigned(n_packet)); // mistake: undeclared_packet_field
    if (is("exception_in_update")) flowloom.fail("cannot continue"); // mistake: exception_in_update
    if (is("print") and !has_printed) { // mistake: print
        has_printed = true;
        std.debug.print("{d} packets,", .{state.packets});
        std.debug.print(" and more\n", .{});
        std.log.info("a line with level {s}", .{"info"});
        std.debug.print("a line without an end", .{});
    }
    if (is("loop")) loop(state); // mistake: loop
    if (is("recursion")) state.packets += fill(0, @ptrCast(&state.packets)); // mistake: recursion
    if (is("allocation")) allocate(state); // mistake: allocation
    if (is("division")) state.packets += divide(state.packets - 2); // mistake: division
    if (is("panic")) @panic("no such state"); // mistake: panic
    if (is("trap")) @trap(); // mistake: trap
    if (is("exit")) std.process.exit(3); // mistake: exit
}

pub fn expire(state: *State, flow: *const flowloom.Row, out: *flowloom.Outputs) void {
    if (is("undeclared_flow_field")) state.packets += flow.signed(n_flow); // mistake: undeclared_flow_field
    if (is("wrong_type_text")) out.setText(v, "x"); // mistake: wrong_type_text
    if (is("unknown_output")) out.setInteger(outputs.len, 1); // mistake: unknown_output
    if (is("set_twice")) out.setInteger(v, 1); // mistake: set_twice
    if (is("invalid_json")) out.setJson(j, "{"); // mistake: invalid_json
    if (is("exception_in_expire")) flowloom.fail("cannot end"); // mistake: exception_in_expire
    out.setInteger(v, state.packets);
    out.setText(t, "t");
}

pub fn finish() void {
    if (is("exception_in_finish")) flowloom.fail("cannot finish"); // mistake: exception_in_finish
}
