//! Has an option of every type, and requests what is available. adapt.py builds it.

const std = @import("std");
const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

const most_bytes = 16;
const wanted_of_packet = [_][*:0]const u8{ "ttl", "src_ip" };
const wanted = [_][*:0]const u8{ "dst_port", "application_name", "bidirectional_mean_ps" };
const outputs = [_]flowloom.Output{
    .{ .name = "values", .type = .texts, .description = "The options, and the fields that were requested." },
};

var count: i64 = 3;
var share: f64 = 0;
var all = false;
var name: ?[*:0]const u8 = null;
var packet_fields: [3:null]?[*:0]const u8 = @splat(null);
var at_expire: [4:null]?[*:0]const u8 = @splat(null);

pub const State = struct {
    payload: u32 = 0,
    bytes: u32 = 0,
};

pub fn open(options: *const flowloom.Options, available: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    const inf = std.math.inf(f64);
    if (options.integer("count", 1, 9, "A number of things.", &count)) |wrong| return wrong;
    if (options.float("share", -inf, inf, "A share.", &share)) |wrong| return wrong;
    if (options.require("share")) |wrong| return wrong;
    if (options.boolean("all", "Whether all count.", &all)) |wrong| return wrong;
    if (options.text("name", "a text", "A name.", &name)) |wrong| return wrong;
    if (available.packet[0] == null) return "no packet fields are available";
    var n: usize = 0;
    for (wanted_of_packet) |field| {
        if (!available.hasPacketField(field)) continue;
        packet_fields[n] = field;
        n += 1;
    }
    n = 0;
    for (wanted) |field| {
        if (!available.hasFlowField(field)) continue;
        at_expire[n] = field;
        n += 1;
    }
    manifest.version = "0.1.0";
    manifest.description = "Requests what is available.";
    manifest.outputs = &outputs;
    manifest.n_outputs = outputs.len;
    manifest.packet = &packet_fields;
    manifest.at_expire = &at_expire;
    manifest.payload_bytes = @min(available.payload_bytes, most_bytes);
    manifest.packet_bytes = @min(available.packet_bytes, most_bytes);
    manifest.allocated_bytes = 1000 - @sizeOf(State);
    return null;
}

pub fn init(packet: *const flowloom.Row, flow: *const flowloom.Row) State {
    var state = State{};
    update(&state, packet, flow);
    return state;
}

pub fn update(state: *State, packet: *const flowloom.Row, _: *const flowloom.Row) void {
    state.payload = @max(state.payload, @as(u32, @intCast(packet.payload().len)));
    state.bytes = @max(state.bytes, @as(u32, @intCast(packet.bytes().len)));
}

pub fn expire(state: *State, _: *const flowloom.Row, out: *flowloom.Outputs) void {
    if (name) |given| if (std.mem.eql(u8, std.mem.span(given), "wrong")) out.setText(0, "a text");
    var buffer: [64]u8 = undefined;
    var texts: [9][]const u8 = undefined;
    var n: usize = 0;
    var numbers = std.mem.splitScalar(u8, std.fmt.bufPrint(&buffer, "{d} {d} {s} {s} {d} {d}", .{
        count,
        share,
        if (all) "True" else "False",
        if (name) |given| std.mem.span(given) else "None",
        state.payload,
        state.bytes,
    }) catch unreachable, ' ');
    while (numbers.next()) |number| : (n += 1) texts[n] = number;
    for (at_expire) |field| {
        texts[n] = std.mem.span(field orelse break);
        n += 1;
    }
    out.setTexts(0, texts[0..n]);
}

pub fn finish() void {}
