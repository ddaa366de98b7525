//! The first DNS question of a flow, and its answer.

const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

// Indexes of the packet fields and of the outputs, in the order of the lists below.
const protocol = 0;
const src_port = 1;
const dst_port = 2;
const query = 0;
const qtype = 1;
const rcode = 2;
const answers = 3;
const target = 4;

const packet_fields = [_:null]?[*:0]const u8{ "protocol", "src_port", "dst_port" };
const outputs = [_]flowloom.Output{
    .{ .name = "query", .type = .text, .description = "Name in the first question." },
    .{ .name = "qtype", .type = .integer, .description = "Record type of the first question: 1 is A, 28 is AAAA." },
    .{ .name = "rcode", .type = .integer, .description = "Code of the first response: 0 is no error, 3 is NXDOMAIN." },
    .{ .name = "answers", .type = .integer, .description = "Number of answers that the first response announces." },
    .{ .name = "target", .type = .text, .description = "Name to which the first answer leads, if it is an NS, CNAME or PTR record." },
};

const udp = 17;
const port = 53;

/// A name. Without a name, the size is 0.
const Name = struct {
    size: u8 = 0,
    text: [255]u8 = undefined,

    fn append(name: *Name, byte: u8) void {
        name.text[name.size] = if (byte >= 32 and byte < 127) byte else '?';
        name.size += 1;
    }
};

/// The state of a flow.
pub const State = struct {
    query: Name = .{},
    target: Name = .{},
    qtype: u16 = 0,
    rcode: ?u8 = null,
    answers: u16 = 0,
};

pub fn open(_: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    manifest.version = "0.1.0";
    manifest.description = "The first DNS question of a flow, and its answer.";
    manifest.packet = &packet_fields;
    manifest.payload_bytes = 512;
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
    const message = packet.payload();
    if (packet.unsigned(protocol) != udp or message.len < 12) return;
    if (packet.unsigned(src_port) != port and packet.unsigned(dst_port) != port) return;
    const first_response = message[2] >= 0x80 and state.rcode == null;
    const questions = u16At(message, 4);
    const announced = u16At(message, 6);
    if (first_response) {
        state.rcode = message[3] & 0x0f;
        state.answers = announced;
    }
    if (questions == 0) return;
    var name = Name{};
    const at = readName(message, 12, &name) orelse return;
    if (at + 4 > message.len) return;
    if (state.query.size == 0) {
        state.query = name;
        state.qtype = u16At(message, at);
    }
    // The first answer follows the only question: a name, the type, class, TTL, size and data.
    if (!first_response or questions != 1 or announced == 0) return;
    const record = readName(message, at + 4, &name) orelse return;
    if (record + 10 > message.len) return;
    switch (u16At(message, record)) {
        2, 5, 12 => { // NS, CNAME, PTR
            _ = readName(message, record + 10, &name) orelse return;
            state.target = name;
        },
        else => {},
    }
}

pub fn expire(state: *State, _: *const flowloom.Row, out: *flowloom.Outputs) void {
    if (state.query.size > 0) {
        out.setText(query, state.query.text[0..state.query.size]);
        out.setInteger(qtype, state.qtype);
    }
    if (state.rcode) |code| {
        out.setInteger(rcode, code);
        out.setInteger(answers, state.answers);
    }
    if (state.target.size > 0) out.setText(target, state.target.text[0..state.target.size]);
}

pub fn finish() void {}

fn u16At(message: []const u8, at: usize) u16 {
    return @as(u16, message[at]) << 8 | message[at + 1];
}

/// Reads a name, and returns the position after it; null if the name is malformed or was cut.
fn readName(message: []const u8, first: usize, name: *Name) ?usize {
    var at = first;
    var start = first;
    var end: ?usize = null;
    name.size = 0;
    while (at < message.len) {
        const length = message[at];
        if (length == 0) {
            if (name.size == 0) name.append('.');
            return end orelse at + 1;
        }
        if (length >= 0xc0) { // a pointer to another name
            if (at + 2 > message.len) return null;
            end = end orelse at + 2;
            at = u16At(message, at) & 0x3fff;
            // Pointers lead backwards only, so this loop ends. The header contains no name.
            if (at < 12 or at >= start) return null;
            start = at;
            continue;
        }
        // In the message, a name has at most 255 bytes: each label has a byte for its length, and a 0 follows.
        const dot = @intFromBool(name.size > 0);
        if (length > 63 or @as(usize, name.size) + dot + length > 253 or at + 1 + length > message.len) return null;
        if (name.size > 0) name.append('.');
        for (message[at + 1 ..][0..length]) |byte| name.append(byte);
        at += 1 + @as(usize, length);
    }
    return null;
}
