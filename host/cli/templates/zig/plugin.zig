//! The size of a flow's largest packet, and whether the source of the flow sent it.

const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

// Indexes of the packet fields and of the outputs, in the order of the lists below.
const ip_size = 0;
const direction = 1;
const size = 0;
const by_source = 1;

const packet_fields = [_:null]?[*:0]const u8{ "ip_size", "direction" };
const outputs = [_]flowloom.Output{
    .{ .name = "size", .type = .integer, .description = "Largest ip_size of the flow, bytes." },
    .{ .name = "by_source", .type = .boolean, .description = "Whether the flow's source sent it." },
};

/// The state of a flow.
pub const State = struct {
    size: u64 = 0,
    by_source: bool = false,
};

pub fn open(_: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    manifest.version = "0.1.0";
    manifest.description = "The largest packet of a flow.";
    manifest.packet = &packet_fields;
    manifest.outputs = &outputs;
    manifest.n_outputs = outputs.len;
    return null;
}

pub fn init(packet: *const flowloom.Row, flow: *const flowloom.Row) State {
    var state = State{};
    update(&state, packet, flow);
    return state;
}

pub fn update(state: *State, packet: *const flowloom.Row, _: *const flowloom.Row) void {
    const bytes = packet.unsigned(ip_size);
    if (bytes > state.size) {
        state.size = bytes;
        state.by_source = packet.unsigned(direction) == 0;
    }
}

pub fn expire(state: *State, _: *const flowloom.Row, out: *flowloom.Outputs) void {
    out.setInteger(size, @intCast(state.size));
    out.setBoolean(by_source, state.by_source);
}

pub fn finish() void {}
