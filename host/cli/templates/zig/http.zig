//! The first HTTP/1 request and response of a flow.
//!
//! A request and a response are read if a packet begins with them. Header lines that continue in the next packet are
//! left out.

const std = @import("std");
const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

// Indexes of the outputs, in the order of the list below.
const method = 0;
const host = 1;
const status = 2;
const user_agent = 3;

const outputs = [_]flowloom.Output{
    .{ .name = "method", .type = .text, .description = "Method of the first request." },
    .{ .name = "host", .type = .text, .description = "Header `Host` of the first request." },
    .{ .name = "status", .type = .integer, .description = "Status code of the first response." },
    .{ .name = "user_agent", .type = .text, .description = "Header `User-Agent` of the first request." },
};

/// A text. Without a text, the size is 0.
const Text = struct {
    size: u8 = 0,
    text: [255]u8 = undefined,

    fn of(data: []const u8) Text {
        var text = Text{};
        for (data[0..@min(data.len, text.text.len)]) |byte| {
            text.text[text.size] = if (byte >= 32 and byte < 127) byte else '?';
            text.size += 1;
        }
        return text;
    }
};

/// The state of a flow.
pub const State = struct {
    method: Text = .{},
    host: Text = .{},
    status: ?u16 = null,
    user_agent: Text = .{},
};

pub fn open(_: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    manifest.version = "0.1.0";
    manifest.description = "The first HTTP/1 request and response of a flow.";
    manifest.payload_bytes = 1500;
    manifest.packets_per_flow = 50;
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
    const payload = packet.payload();
    if (state.status == null and std.mem.startsWith(u8, payload, "HTTP/1.")) {
        // `HTTP/1.1 200 OK`
        if (payload.len < 12 or payload[8] != ' ') return;
        var code: u16 = 0;
        for (payload[9..12]) |digit| {
            if (!std.ascii.isDigit(digit)) return;
            code = code * 10 + digit - '0';
        }
        state.status = code;
    } else if (state.method.size == 0) {
        readRequest(state, payload);
    }
}

pub fn expire(state: *State, _: *const flowloom.Row, out: *flowloom.Outputs) void {
    if (state.method.size > 0) out.setText(method, state.method.text[0..state.method.size]);
    if (state.host.size > 0) out.setText(host, state.host.text[0..state.host.size]);
    if (state.status) |code| out.setInteger(status, code);
    if (state.user_agent.size > 0) out.setText(user_agent, state.user_agent.text[0..state.user_agent.size]);
}

pub fn finish() void {}

fn readRequest(state: *State, payload: []const u8) void {
    // The part after the last line feed is not a complete line.
    const end = std.mem.lastIndexOfScalar(u8, payload, '\n') orelse return;
    var lines = std.mem.splitScalar(u8, payload[0..end], '\n');
    // `GET / HTTP/1.1`
    const request = withoutReturn(lines.first());
    const space = std.mem.indexOfScalar(u8, request, ' ') orelse return;
    for (request[0..space]) |byte| if (!std.ascii.isUpper(byte) and byte != '-') return;
    if (space == 0 or request.len < space + 11) return;
    if (!std.mem.startsWith(u8, request[request.len - 9 ..], " HTTP/1.")) return;
    state.method = .of(request[0..space]);
    while (lines.next()) |returned| {
        const line = withoutReturn(returned);
        if (line.len == 0) return;
        const colon = std.mem.indexOfScalar(u8, line, ':') orelse continue;
        const value = std.mem.trim(u8, line[colon + 1 ..], " \t");
        const header = if (std.ascii.eqlIgnoreCase(line[0..colon], "host"))
            &state.host
        else if (std.ascii.eqlIgnoreCase(line[0..colon], "user-agent"))
            &state.user_agent
        else
            continue;
        if (header.size == 0) header.* = .of(value);
    }
}

/// Returns the line without the carriage return at its end.
fn withoutReturn(line: []const u8) []const u8 {
    return if (std.mem.endsWith(u8, line, "\r")) line[0 .. line.len - 1] else line;
}
