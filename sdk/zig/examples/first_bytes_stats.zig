//! Count, mean and standard deviation of a flow's packet sizes, and the entropy of its first payload
//! bytes. The Zig version of plugins/first_bytes_stats.

const std = @import("std");
const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

/// The maximum of the option `n`: payload bytes to keep per flow.
const most_bytes = 4096;

// The packet fields and the outputs. The code refers to them by their index in these lists.
const ip_size = 0;
const packet_fields = [_:null]?[*:0]const u8{"ip_size"};
const outputs = [_]flowloom.Output{
    .{ .name = "count", .type = .integer, .description = "Packets of the flow." },
    .{ .name = "mean", .type = .float, .description = "Mean of their ip_size, bytes." },
    .{ .name = "stddev", .type = .float, .description = "Sample standard deviation of their ip_size, bytes; 0 for one packet." },
    .{ .name = "bytes", .type = .integer, .description = "Payload bytes that the entropy is of." },
    .{ .name = "entropy", .type = .float, .description = "Shannon entropy of the first payload bytes, bits a byte; null without payload." },
};

/// Payload bytes to use.
var most: usize = 0;

/// The state of a flow.
pub const State = struct {
    count: i64 = 0,
    mean: f64 = 0,
    /// The sum of the squared differences from the mean.
    squares: f64 = 0,
    first: std.ArrayList(u8) = .empty,
};

pub fn open(options: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    var n: i64 = 64;
    const description = "Number of payload bytes per flow to use for the entropy.";
    if (options.integer("n", 1, most_bytes, description, &n)) |wrong| return wrong;
    most = @intCast(n);
    manifest.version = "0.1.0";
    manifest.description = "Packet sizes, and the entropy of a flow's first payload bytes.";
    manifest.outputs = &outputs;
    manifest.n_outputs = outputs.len;
    manifest.packet = &packet_fields;
    manifest.payload_bytes = @intCast(n);
    manifest.allocated_bytes = @intCast(4 * n + 256); // a list grows by half, and the allocator rounds up to powers of two
    return null;
}

pub fn init(packet: *const flowloom.Row, flow: *const flowloom.Row) State {
    var state = State{};
    update(&state, packet, flow);
    return state;
}

pub fn update(state: *State, packet: *const flowloom.Row, _: *const flowloom.Row) void {
    const size: f64 = @floatFromInt(packet.unsigned(ip_size));
    const off = size - state.mean;
    state.count += 1;
    state.mean += off / @as(f64, @floatFromInt(state.count));
    state.squares += off * (size - state.mean);

    const payload = packet.payload();
    const taken = @min(most - state.first.items.len, payload.len);
    state.first.appendSlice(flowloom.allocator, payload[0..taken]) catch
        flowloom.fail("cannot allocate memory for the first bytes of a flow");
}

pub fn expire(state: *State, _: *const flowloom.Row, out: *flowloom.Outputs) void {
    const bytes = state.first.items;
    out.setInteger(0, state.count);
    out.setFloat(1, state.mean);
    out.setFloat(2, if (state.count == 1) 0 else @sqrt(state.squares / @as(f64, @floatFromInt(state.count - 1))));
    out.setInteger(3, @intCast(bytes.len));
    if (bytes.len > 0) out.setFloat(4, entropy(bytes));
    state.first.deinit(flowloom.allocator);
}

pub fn finish() void {}

/// Sums in the order of the byte values, because the result of a float sum depends on the order.
fn entropy(bytes: []const u8) f64 {
    var counts: [256]u32 = @splat(0);
    for (bytes) |byte| counts[byte] += 1;
    var sum: f64 = 0;
    for (counts) |count| {
        if (count == 0) continue;
        const share = @as(f64, @floatFromInt(count)) / @as(f64, @floatFromInt(bytes.len));
        sum -= share * @log2(share);
    }
    return sum;
}
