//! tests/guests/every_type in Zig.

const std = @import("std");
const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

const ttl = 1;
const time_ms = 6;
const src_ip = 7;
const packet_fields = [_:null]?[*:0]const u8{ "syn", "ttl", "dst_port", "tcp_flags", "direction", "tcp_seq", "time_ms", "src_ip" };
const at_init = [_:null]?[*:0]const u8{ "id", "dst_ip" };
const at_update = [_:null]?[*:0]const u8{"bidirectional_packets"};
const at_expire = [_:null]?[*:0]const u8{ "expiration_id", "bidirectional_mean_ps", "splt_ps" };
const outputs = [_]flowloom.Output{
    .{ .name = "syn", .type = .boolean, .description = "" },
    .{ .name = "sum", .type = .integer, .description = "" },
    .{ .name = "mean", .type = .float, .description = "" },
    .{ .name = "peers", .type = .text, .description = "" },
    .{ .name = "last", .type = .bytes, .description = "" },
    .{ .name = "sizes", .type = .integers, .description = "" },
    .{ .name = "packets", .type = .floats, .description = "" },
    .{ .name = "letters", .type = .texts, .description = "" },
    .{ .name = "reason", .type = .json, .description = "" },
};

var plus: i64 = 0;
var factor: f64 = 1;
var negate = false;
var name: ?[*:0]const u8 = null;
var limit: i64 = 0;
var most: i64 = 0;
/// Flows that have ended.
var flows: u64 = 0;

pub const State = struct {
    syn: bool,
    sum: i64,
    peers: std.ArrayList(u8) = .empty,
    last: std.ArrayList(u8) = .empty,
    packets: std.ArrayList(f64) = .empty,
};

pub fn open(options: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    const inf = std.math.inf(f64);
    const max = std.math.maxInt(u32);
    if (options.integer("add", 0, max, "Added to `sum`.", &plus)) |wrong| return wrong;
    if (options.float("factor", -inf, inf, "Factor of `mean`.", &factor)) |wrong| return wrong;
    if (options.boolean("negate", "Whether `syn` is negated.", &negate)) |wrong| return wrong;
    if (options.text("name", "a text", "Text before `peers`.", &name)) |wrong| return wrong;
    if (options.integer("cuts", 0, max, "Packets after which a flow ends.", &limit)) |wrong| return wrong;
    if (options.integer("most", 0, max, "Packets of a flow to count.", &most)) |wrong| return wrong;
    manifest.version = "0.1.0";
    manifest.description = "An output of every type.";
    manifest.outputs = &outputs;
    manifest.n_outputs = outputs.len;
    manifest.packet = &packet_fields;
    manifest.at_init = &at_init;
    manifest.at_update = &at_update;
    manifest.at_expire = &at_expire;
    manifest.payload_bytes = 8;
    manifest.packet_bytes = 20;
    manifest.packets_per_flow = @intCast(most);
    manifest.cuts_flows = limit > 0;
    manifest.needs_one_meter = name != null;
    return null;
}

pub fn init(packet: *const flowloom.Row, flow: *const flowloom.Row) State {
    var state = State{ .syn = packet.unsigned(0) == 1, .sum = @intCast(flow.unsigned(0)) };
    add(u8, &state.peers, flow.text(1));
    see(&state, packet);
    return state;
}

pub fn update(state: *State, packet: *const flowloom.Row, flow: *const flowloom.Row) void {
    add(f64, &state.packets, &.{@floatFromInt(flow.unsigned(0))});
    see(state, packet);
}

pub fn cuts(state: *const State) bool {
    return state.packets.items.len + 1 >= limit;
}

pub fn expire(state: *State, flow: *const flowloom.Row, out: *flowloom.Outputs) void {
    const updates = state.packets.items.len;
    flows += 1;
    if (updates % 2 == 0) out.setBoolean(0, state.syn != negate);
    out.setInteger(1, state.sum + plus);
    const mean = flow.float(1);
    if (mean > 100) out.setFloat(2, mean * factor);
    var named: std.ArrayList(u8) = .empty;
    if (name) |text| add(u8, &named, std.mem.span(text));
    add(u8, &named, state.peers.items);
    out.setText(3, named.items);
    named.deinit(flowloom.allocator);
    if (updates != 1) out.setBytes(4, state.last.items);
    out.setIntegers(5, flow.list(2));
    if (updates > 0) out.setFloats(6, state.packets.items);
    var letters: [4][]const u8 = undefined;
    var n_letters: usize = 0;
    var peers = std.mem.splitScalar(u8, state.peers.items, ' ');
    while (peers.next()) |peer| : (n_letters += 1) letters[n_letters] = peer[0..1];
    if (updates > 0) out.setTexts(7, letters[0..n_letters]);
    var buffer: [32]u8 = undefined;
    const reason = std.fmt.bufPrint(&buffer, "{{\"ü\":{d}}}", .{flow.signed(0)}) catch unreachable;
    out.setJson(8, reason);
    state.peers.deinit(flowloom.allocator);
    state.last.deinit(flowloom.allocator);
    state.packets.deinit(flowloom.allocator);
}

pub fn finish() void {
    const text = name orelse return;
    const line = std.fmt.allocPrintSentinel(flowloom.allocator, "{s}: {d} flows", .{ text, flows }, 0) catch flowloom.fail("no memory");
    defer flowloom.allocator.free(line);
    for ([_]flowloom.Level{ .err, .warn, .info, .debug }) |level| flowloom.log(level, line);
}

fn see(state: *State, packet: *const flowloom.Row) void {
    state.sum = @mod(state.sum, 1 << 40);
    for (ttl..time_ms + 1) |field| state.sum += @intCast(packet.unsigned(field));
    if (state.packets.items.len < 3) {
        add(u8, &state.peers, " ");
        add(u8, &state.peers, packet.text(src_ip));
    }
    state.last.clearRetainingCapacity();
    add(u8, &state.last, packet.payload());
    add(u8, &state.last, packet.bytes());
}

fn add(comptime T: type, to: *std.ArrayList(T), items: []const T) void {
    to.appendSlice(flowloom.allocator, items) catch flowloom.fail("no memory");
}
