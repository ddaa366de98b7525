//! What a TLS client offers in its ClientHello.
//!
//! The ClientHello must begin in the first payload of the flow. Only this packet is read. A larger ClientHello continues
//! in the next packets; the values that they contain are null. To read them, collect the payload in the state, in the
//! order of `tcp_seq`.

const flowloom = @import("flowloom");

comptime {
    flowloom.plugin(@This());
}

// Indexes of the outputs, in the order of the list below.
const sni = 0;
const version = 1;
const cipher_count = 2;
const alpn = 3;

const outputs = [_]flowloom.Output{
    .{ .name = "sni", .type = .text, .description = "Name of the server that the client wants." },
    .{ .name = "version", .type = .integer, .description = "Highest version that the client offers: 771 is TLS 1.2, 772 is TLS 1.3." },
    .{ .name = "cipher_count", .type = .integer, .description = "Number of cipher suites that the client offers, without GREASE." },
    .{ .name = "alpn", .type = .text, .description = "First application protocol that the client offers." },
};

const handshake = 22;
const client_hello = 1;
const extension_server_name = 0;
const extension_alpn = 16;
const extension_versions = 43;

/// A text. Without a text, the size is 0.
const Text = struct {
    size: u8 = 0,
    text: [255]u8 = undefined,

    /// Returns a part of the data as text; no text if the part was cut.
    fn of(data: []const u8, at: usize, size: usize) Text {
        var text = Text{};
        if (at + size > data.len) return text;
        for (data[at..][0..@min(size, text.text.len)]) |byte| {
            text.text[text.size] = if (byte >= 32 and byte < 127) byte else '?';
            text.size += 1;
        }
        return text;
    }
};

/// The state of a flow.
pub const State = struct {
    seen: bool = false,
    sni: Text = .{},
    version: ?u16 = null,
    cipher_count: ?u16 = null,
    alpn: Text = .{},
};

pub fn open(_: *const flowloom.Options, _: *const flowloom.Available, manifest: *flowloom.Manifest) ?[*:0]const u8 {
    manifest.version = "0.1.0";
    manifest.description = "What a TLS client offers in its ClientHello.";
    manifest.payload_bytes = 1500;
    manifest.packets_per_flow = 10;
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
    if (state.seen or payload.len == 0) return;
    state.seen = true;
    readHello(state, payload);
}

pub fn expire(state: *State, _: *const flowloom.Row, out: *flowloom.Outputs) void {
    if (state.sni.size > 0) out.setText(sni, state.sni.text[0..state.sni.size]);
    if (state.version) |highest| out.setInteger(version, highest);
    if (state.cipher_count) |count| out.setInteger(cipher_count, count);
    if (state.alpn.size > 0) out.setText(alpn, state.alpn.text[0..state.alpn.size]);
}

pub fn finish() void {}

fn readHello(state: *State, payload: []const u8) void {
    // Before the session id: record header (5 bytes), handshake header (4), version (2), random (32).
    if (payload.len < 44 or payload[0] != handshake or payload[1] != 3 or payload[5] != client_hello) return;
    const end = 9 + (@as(usize, payload[6]) << 16 | @as(usize, payload[7]) << 8 | payload[8]);
    const hello = payload[0..@min(end, payload.len)];
    var at = 44 + @as(usize, payload[43]);
    const suites = u16At(hello, at);
    at += 2;
    if (at + suites > hello.len) return;
    state.cipher_count = withoutGrease(hello[at..][0..suites]).count;
    at += suites;
    // Skip the compression methods, and the size of all extensions.
    at += 1 + @as(usize, if (at < hello.len) hello[at] else 0) + 2;
    while (at + 4 <= hello.len) {
        const kind = u16At(hello, at);
        const size = u16At(hello, at + 2);
        at += 4;
        if (at + size > hello.len) break;
        readExtension(state, kind, hello[at..][0..size]);
        at += size;
    }
    if (state.version == null and hello.len == end) state.version = u16At(hello, 9);
}

fn readExtension(state: *State, kind: u16, data: []const u8) void {
    switch (kind) {
        extension_server_name => if (data.len >= 5 and data[2] == 0) {
            state.sni = .of(data, 5, u16At(data, 3));
        },
        extension_alpn => if (data.len >= 3) {
            state.alpn = .of(data, 3, data[2]);
        },
        extension_versions => state.version = withoutGrease(data[@min(1, data.len)..]).max,
        else => {},
    }
}

/// Returns the number and the maximum of the 16-bit numbers that are not GREASE (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa.
fn withoutGrease(data: []const u8) struct { count: u16, max: ?u16 } {
    var count: u16 = 0;
    var max: ?u16 = null;
    var at: usize = 0;
    while (at + 2 <= data.len) : (at += 2) {
        const number = u16At(data, at);
        if (number & 0x0f0f == 0x0a0a and number >> 8 == number & 0xff) continue;
        count += 1;
        max = @max(number, max orelse 0);
    }
    return .{ .count = count, .max = max };
}

/// Returns a 16-bit number; 0 after the end of the data.
fn u16At(data: []const u8, at: usize) u16 {
    return if (at + 2 <= data.len) @as(u16, data[at]) << 8 | data[at + 1] else 0;
}
