//! plugins/slicer in Zig: ends a flow after a number of packets.

const std = @import("std");
const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

const outputs = [_]flowloom.Output{
    .{ .name = "packets", .type = .integer, .description = "Packets of the flow." },
    .{ .name = "sliced", .type = .boolean, .description = "Whether the flow ended because it had `limit` packets." },
};

var limit: i64 = 20;

/// The packets of a flow.
pub const State = i64;

pub fn open(options: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    manifest.version = "0.1.0";
    manifest.description = "Ends a flow after a number of packets.";
    manifest.outputs = &outputs;
    manifest.n_outputs = outputs.len;
    manifest.cuts_flows = true;
    return options.integer("limit", 1, std.math.maxInt(i64), "Packets after which a flow ends.", &limit);
}

pub fn init(_: *const flowloom.Row, _: *const flowloom.Row) State {
    return 1;
}

pub fn update(packets: *State, _: *const flowloom.Row, _: *const flowloom.Row) void {
    packets.* += 1;
}

pub fn cuts(packets: *const State) bool {
    return packets.* >= limit;
}

pub fn expire(packets: *State, _: *const flowloom.Row, out: *flowloom.Outputs) void {
    out.setInteger(0, packets.*);
    out.setBoolean(1, packets.* >= limit);
}

pub fn finish() void {}
