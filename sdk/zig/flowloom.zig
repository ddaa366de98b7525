//! Flowloom's plugin interface for Zig. It wraps the C SDK, which calls the plugin once per event.
//!
//! A plugin is a file with a `State` and these functions:
//!
//!     pub fn open(options: *const Options, available: *const Available, manifest: *Manifest) ?[*:0]const u8
//!     pub fn init(packet: *const Row, flow: *const Row) State
//!     pub fn update(state: *State, packet: *const Row, flow: *const Row) void
//!     pub fn expire(state: *State, flow: *const Row, outputs: *Outputs) void
//!     pub fn finish() void
//!
//! and, if it ends flows early:
//!
//!     pub fn cuts(state: *const State) bool
//!
//! The file exports the plugin with `comptime { flowloom.plugin(@This()); }`. sdk/c/include/flowloom.h
//! documents the functions and the types.

const std = @import("std");

/// The allocator for the memory to which a state points.
pub const allocator = std.heap.c_allocator;

/// The type of an output.
pub const Type = enum(c_uint) { boolean, integer, float, text, bytes, integers, floats, texts, json };

/// One column that a plugin adds to every flow.
pub const Output = extern struct {
    name: [*:0]const u8,
    type: Type,
    description: [*:0]const u8,
};

/// A list of names. It ends with null.
pub const Names = [*:null]const ?[*:0]const u8;

/// The columns that a plugin adds and the data that it requests.
pub const Manifest = extern struct {
    version: ?[*:0]const u8,
    description: ?[*:0]const u8,
    outputs: ?[*]const Output,
    n_outputs: usize,
    packet: ?Names,
    at_init: ?Names,
    at_update: ?Names,
    at_expire: ?Names,
    payload_bytes: u32,
    packet_bytes: u32,
    packets_per_flow: u32,
    /// The plugin ends flows with its function `cuts`. An event then costs more.
    cuts_flows: bool,
    needs_one_meter: bool,
    /// Set by the function `plugin`.
    state_size: usize,
    /// Bytes that the functions of the plugin allocate for the state of a flow.
    allocated_bytes: usize,
};

/// What the plugin may request in this run: fields that exist and that the operator granted. It is valid until
/// `open` returns. The lists of the manifest may point to the same names.
pub const Available = extern struct {
    packet: Names,
    flow: Names,
    /// The maximum of `Manifest.payload_bytes`; 0 if no payload was granted.
    payload_bytes: u32,
    /// The maximum of `Manifest.packet_bytes`; 0 if no bytes of packets were granted.
    packet_bytes: u32,

    /// Returns whether the plugin may request this packet field.
    pub const hasPacketField = flowloom_has_packet_field;
    /// Returns whether the plugin may request this flow field.
    pub const hasFlowField = flowloom_has_flow_field;
};

/// The options that the operator gave. The functions `boolean`, `integer`, `float` and `text` read an option into
/// `value`, and describe it to the operator. `value` contains the default; it is unchanged if the operator does not
/// give the option. The functions return null, or an error that `open` must return. `description` is one sentence
/// for people.
pub const Options = opaque {
    /// Reads `true` or `false`.
    pub fn boolean(options: *const Options, key: [*:0]const u8, description: [*:0]const u8, value: *bool) ?[*:0]const u8 {
        return flowloom_boolean_option(options, key, description, value);
    }

    /// Reads an integer from `least` to `most`.
    pub fn integer(options: *const Options, key: [*:0]const u8, least: i64, most: i64, description: [*:0]const u8, value: *i64) ?[*:0]const u8 {
        return flowloom_integer_option(options, key, least, most, description, value);
    }

    /// Reads a number from `least` to `most`. Infinities are no limits.
    pub fn float(options: *const Options, key: [*:0]const u8, least: f64, most: f64, description: [*:0]const u8, value: *f64) ?[*:0]const u8 {
        return flowloom_float_option(options, key, least, most, description, value);
    }

    /// Reads a text. The default may be null: the option is then optional. `accepts` describes the accepted
    /// texts; the function does not check them.
    pub fn text(options: *const Options, key: [*:0]const u8, accepts: [*:0]const u8, description: [*:0]const u8, value: *?[*:0]const u8) ?[*:0]const u8 {
        return flowloom_text_option(options, key, accepts, description, value);
    }

    /// Makes an option required. Call it after the option was read; the default then does not count. Returns null,
    /// or an error that `open` must return if the operator did not give the option.
    pub fn require(options: *const Options, key: [*:0]const u8) ?[*:0]const u8 {
        return flowloom_require(options, key);
    }
};

/// The outputs of the flow that ends. Outputs that are not set are null.
pub const Outputs = opaque {
    pub const setBoolean = flowloom_set_boolean;
    pub const setInteger = flowloom_set_integer;
    pub const setFloat = flowloom_set_float;

    pub fn setText(outputs: *Outputs, n: usize, value: []const u8) void {
        flowloom_set_text(outputs, n, value.ptr, value.len);
    }

    pub fn setBytes(outputs: *Outputs, n: usize, value: []const u8) void {
        flowloom_set_bytes(outputs, n, value.ptr, value.len);
    }

    pub fn setIntegers(outputs: *Outputs, n: usize, value: []const i64) void {
        flowloom_set_integers(outputs, n, value.ptr, value.len);
    }

    pub fn setFloats(outputs: *Outputs, n: usize, value: []const f64) void {
        flowloom_set_floats(outputs, n, value.ptr, value.len);
    }

    pub fn setTexts(outputs: *Outputs, n: usize, value: []const []const u8) void {
        const list = allocator.alloc(Bytes, value.len) catch fail("the plugin is out of memory");
        defer allocator.free(list);
        for (list, value) |*to, from| to.* = .{ .ptr = from.ptr, .len = from.len };
        flowloom_set_texts(outputs, n, list.ptr, list.len);
    }

    pub fn setJson(outputs: *Outputs, n: usize, value: []const u8) void {
        flowloom_set_json(outputs, n, value.ptr, value.len);
    }
};

/// The fields of a packet or of a flow at one event. `field` is the index in the manifest's list. Slices are
/// valid until your function returns.
pub const Row = extern struct {
    columns: [*]const Column,
    n_columns: usize,
    row: usize,
    payload_column: ?*const OptionColumn,
    bytes_column: ?*const OptionColumn,

    /// Returns a boolean or an unsigned integer.
    pub fn unsigned(row: *const Row, field: usize) u64 {
        const column = row.at(field);
        return switch (column.tag) {
            .u8s => column.val.list.at(u8, row.row),
            .u16s => column.val.list.at(u16, row.row),
            .u32s => column.val.list.at(u32, row.row),
            .u64s => column.val.list.at(u64, row.row),
            else => @intCast(flowloom_any_integer(row, field, false)),
        };
    }

    /// Returns a signed integer.
    pub fn signed(row: *const Row, field: usize) i64 {
        const column = row.at(field);
        if (column.tag != .s64s) return flowloom_any_integer(row, field, true);
        return column.val.list.at(i64, row.row);
    }

    /// Returns a float.
    pub fn float(row: *const Row, field: usize) f64 {
        return row.of(.f64s, field, "a float").val.list.at(f64, row.row);
    }

    /// Returns a text. A field that is a list of texts is one text, with a line feed between its elements.
    pub fn text(row: *const Row, field: usize) []const u8 {
        return row.of(.texts, field, "a text").val.runs.at(u8, row.row);
    }

    /// Returns a list of integers.
    pub fn list(row: *const Row, field: usize) []const i64 {
        return row.of(.integer_lists, field, "a list of integers").val.runs.at(i64, row.row);
    }

    /// Returns the first `payload_bytes` bytes of the packet's transport payload, or fewer.
    pub fn payload(row: *const Row) []const u8 {
        return bytesOf(row.payload_column, row.row);
    }

    /// Returns the first `packet_bytes` bytes of the packet, from its IP header on, or fewer.
    pub fn bytes(row: *const Row) []const u8 {
        return bytesOf(row.bytes_column, row.row);
    }

    fn bytesOf(column: ?*const OptionColumn, row: usize) []const u8 {
        const there = column orelse return &.{};
        return if (there.is_some) there.val.val.runs.at(u8, row) else &.{};
    }

    fn at(row: *const Row, field: usize) *const Column {
        if (field >= row.n_columns) flowloom_wrong_field(row, field, null);
        return &row.columns[field];
    }

    fn of(row: *const Row, tag: Tag, field: usize, name: [*:0]const u8) *const Column {
        const column = row.at(field);
        if (column.tag != tag) flowloom_wrong_field(row, field, name);
        return column;
    }
};

// The memory layouts in sdk/c/generated/dual_plugin.h and sdk/c/include/flowloom.h.

const Tag = enum(u8) { u8s, u16s, u32s, u64s, s64s, f64s, texts, integer_lists, packed_numbers, packed_texts, integer = 255 };

const List = extern struct {
    ptr: *const anyopaque,
    len: usize,

    fn at(list: List, comptime T: type, n: usize) T {
        return list.items(T)[n];
    }

    fn items(list: List, comptime T: type) [*]const T {
        return @ptrCast(@alignCast(list.ptr));
    }
};

const Runs = extern struct {
    values: List,
    ends: List,

    fn at(runs: Runs, comptime T: type, n: usize) []const T {
        const start = if (n == 0) 0 else runs.ends.at(u32, n - 1);
        return runs.values.items(T)[start..runs.ends.at(u32, n)];
    }
};

const Column = extern struct {
    tag: Tag,
    val: extern union { list: List, runs: Runs },
};

const Bytes = extern struct {
    ptr: [*]const u8,
    len: usize,
};

const OptionColumn = extern struct {
    is_some: bool,
    val: Column,
};

/// The severity of a line in Flowloom's log.
pub const Level = enum(c_uint) { err, warn, info, debug };

/// Writes a line to Flowloom's log.
pub fn log(level: Level, line: [*:0]const u8) void {
    flowloom_log(level, line);
}

/// Writes an error to Flowloom's log, with the event in which it occurred, and ends this instance of the plugin.
/// `@panic` does the same.
pub fn fail(why: [*:0]const u8) noreturn {
    flowloom_stop(flowloom_event(), " failed: ", why, @as(?[*:0]const u8, null));
}

extern fn flowloom_event() [*:0]const u8;
extern fn flowloom_log(Level, [*:0]const u8) void;
extern fn flowloom_stop([*:0]const u8, ...) noreturn;
extern fn flowloom_wrong_field(*const Row, usize, ?[*:0]const u8) noreturn;
extern fn flowloom_any_integer(*const Row, usize, bool) i64;
extern fn flowloom_has_packet_field(*const Available, [*:0]const u8) bool;
extern fn flowloom_has_flow_field(*const Available, [*:0]const u8) bool;
extern fn flowloom_boolean_option(*const Options, [*:0]const u8, [*:0]const u8, *bool) ?[*:0]const u8;
extern fn flowloom_integer_option(*const Options, [*:0]const u8, i64, i64, [*:0]const u8, *i64) ?[*:0]const u8;
extern fn flowloom_float_option(*const Options, [*:0]const u8, f64, f64, [*:0]const u8, *f64) ?[*:0]const u8;
extern fn flowloom_text_option(*const Options, [*:0]const u8, [*:0]const u8, [*:0]const u8, *?[*:0]const u8) ?[*:0]const u8;
extern fn flowloom_require(*const Options, [*:0]const u8) ?[*:0]const u8;
extern fn flowloom_set_boolean(*Outputs, usize, bool) void;
extern fn flowloom_set_integer(*Outputs, usize, i64) void;
extern fn flowloom_set_float(*Outputs, usize, f64) void;
extern fn flowloom_set_text(*Outputs, usize, [*]const u8, usize) void;
extern fn flowloom_set_bytes(*Outputs, usize, [*]const u8, usize) void;
extern fn flowloom_set_integers(*Outputs, usize, [*]const i64, usize) void;
extern fn flowloom_set_floats(*Outputs, usize, [*]const f64, usize) void;
extern fn flowloom_set_texts(*Outputs, usize, [*]const Bytes, usize) void;
extern fn flowloom_set_json(*Outputs, usize, [*]const u8, usize) void;

/// Exports a file as the plugin.
pub fn plugin(comptime P: type) void {
    const Exported = struct {
        fn open(options: *const Options, available: *const Available, manifest: *Manifest) callconv(.c) ?[*:0]const u8 {
            manifest.state_size = @sizeOf(P.State);
            if (P.open(options, available, manifest)) |wrong| return wrong;
            if (manifest.cuts_flows and !@hasDecl(P, "cuts"))
                return "the manifest sets cuts_flows, but the plugin has no function cuts";
            return null;
        }

        fn init(state: *P.State, packet: *const Row, flow: *const Row) callconv(.c) void {
            state.* = P.init(packet, flow);
        }

        fn update(state: *P.State, packet: *const Row, flow: *const Row) callconv(.c) void {
            P.update(state, packet, flow);
        }

        fn cuts(state: *const P.State) callconv(.c) bool {
            return P.cuts(state);
        }

        fn expire(state: *P.State, flow: *const Row, outputs: *Outputs) callconv(.c) void {
            P.expire(state, flow, outputs);
        }

        fn finish() callconv(.c) void {
            P.finish();
        }
    };
    @export(&Exported.open, .{ .name = "flowloom_open" });
    @export(&Exported.init, .{ .name = "flowloom_init" });
    @export(&Exported.update, .{ .name = "flowloom_update" });
    if (@hasDecl(P, "cuts")) @export(&Exported.cuts, .{ .name = "flowloom_cuts" });
    @export(&Exported.expire, .{ .name = "flowloom_expire" });
    @export(&Exported.finish, .{ .name = "flowloom_finish" });
}
