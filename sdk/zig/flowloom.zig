//! Flowloom's plugin interface for Zig, over the C SDK, which takes batches of events apart.
//!
//! A plugin is a file with a `State` and five functions:
//!
//!     pub fn open(options: *const Options, manifest: *Manifest) ?[*:0]const u8
//!     pub fn init(packet: *const Row, flow: *const Row) State
//!     pub fn update(state: *State, packet: *const Row, flow: *const Row) void
//!     pub fn expire(state: *State, flow: *const Row, outputs: *Outputs) void
//!     pub fn finish() void
//!
//! and exports itself: `comptime { flowloom.plugin(@This()); }`. sdk/c/include/flowloom.h says what the
//! functions are to do, and the meaning of everything here.

const std = @import("std");

/// For what a state points to.
pub const allocator = std.heap.c_allocator;

pub const Type = enum(c_uint) { boolean, integer, float, text, bytes, integers, floats, json };

pub const Output = extern struct {
    name: [*:0]const u8,
    type: Type,
    description: [*:0]const u8,
};

/// Lists of names end with null.
pub const Names = [*:null]const ?[*:0]const u8;

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
    needs_one_meter: bool,
    /// Set by `plugin`.
    state_size: usize,
};

/// The operator's options.
pub const Options = opaque {
    /// Its value, null where it was not given.
    pub fn text(options: *const Options, key: [*:0]const u8) ?[*:0]const u8 {
        return flowloom_option(options, key);
    }

    /// Reads an integer within bounds into `value`. The answer is an error, for `open` to return.
    pub fn integer(options: *const Options, key: [*:0]const u8, least: i64, most: i64, value: *i64) ?[*:0]const u8 {
        return flowloom_integer_option(options, key, least, most, value);
    }
};

/// The outputs of the flow that ends; what is not set is null.
pub const Outputs = opaque {
    pub const boolean = flowloom_set_boolean;
    pub const integer = flowloom_set_integer;
    pub const float = flowloom_set_float;

    /// Of a text, bytes or JSON.
    pub fn bytes(outputs: *Outputs, n: usize, value: []const u8) void {
        flowloom_set_bytes(outputs, n, value.ptr, value.len);
    }

    pub fn integers(outputs: *Outputs, n: usize, value: []const i64) void {
        flowloom_set_integers(outputs, n, value.ptr, value.len);
    }

    pub fn floats(outputs: *Outputs, n: usize, value: []const f64) void {
        flowloom_set_floats(outputs, n, value.ptr, value.len);
    }
};

/// The fields of a packet or of a flow at one event, by their place in the manifest's list. Slices are
/// good until the function that was given the row returns.
pub const Row = extern struct {
    columns: [*]const Column,
    n_columns: usize,
    row: usize,
    payload_column: ?*const OptionColumn,
    bytes_column: ?*const OptionColumn,

    /// A boolean or an unsigned integer.
    pub fn unsigned(row: *const Row, field: usize) u64 {
        const column = row.at(field);
        return switch (column.tag) {
            .u8s => column.val.list.at(u8, row.row),
            .u16s => column.val.list.at(u16, row.row),
            .u32s => column.val.list.at(u32, row.row),
            .u64s => column.val.list.at(u64, row.row),
            else => flowloom_wrong_field(row, field),
        };
    }

    pub fn signed(row: *const Row, field: usize) i64 {
        return row.of(.s64s, field).val.list.at(i64, row.row);
    }

    pub fn float(row: *const Row, field: usize) f64 {
        return row.of(.f64s, field).val.list.at(f64, row.row);
    }

    pub fn text(row: *const Row, field: usize) []const u8 {
        return row.of(.texts, field).val.runs.at(u8, row.row);
    }

    pub fn list(row: *const Row, field: usize) []const i64 {
        return row.of(.integer_lists, field).val.runs.at(i64, row.row);
    }

    /// The first bytes of the packet's transport payload.
    pub fn payload(row: *const Row) []const u8 {
        return bytesOf(row.payload_column, row.row);
    }

    /// The first bytes of the packet from its IP header on.
    pub fn bytes(row: *const Row) []const u8 {
        return bytesOf(row.bytes_column, row.row);
    }

    fn bytesOf(column: ?*const OptionColumn, row: usize) []const u8 {
        const there = column orelse return &.{};
        return if (there.is_some) there.val.val.runs.at(u8, row) else &.{};
    }

    fn at(row: *const Row, field: usize) *const Column {
        if (field >= row.n_columns) flowloom_wrong_field(row, field);
        return &row.columns[field];
    }

    fn of(row: *const Row, tag: Tag, field: usize) *const Column {
        const column = row.at(field);
        if (column.tag != tag) flowloom_wrong_field(row, field);
        return column;
    }
};

// The layouts of sdk/c/generated/batch_plugin.h.

const Tag = enum(u8) { u8s, u16s, u32s, u64s, s64s, f64s, texts, integer_lists, packed_numbers, packed_texts };

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

const OptionColumn = extern struct {
    is_some: bool,
    val: Column,
};

/// How much a line in Flowloom's log matters.
pub const Level = enum(c_uint) { err, warn, info, debug };

/// Writes a line to Flowloom's log.
pub fn log(level: Level, line: [*:0]const u8) void {
    flowloom_log(level, line);
}

/// Ends this instance of the plugin with an error in Flowloom's log.
pub fn fail(why: [*:0]const u8) noreturn {
    flowloom_fail(why);
}

extern fn flowloom_log(Level, [*:0]const u8) void;
extern fn flowloom_fail([*:0]const u8) noreturn;
extern fn flowloom_wrong_field(*const Row, usize) noreturn;
extern fn flowloom_option(*const Options, [*:0]const u8) ?[*:0]const u8;
extern fn flowloom_integer_option(*const Options, [*:0]const u8, i64, i64, *i64) ?[*:0]const u8;
extern fn flowloom_set_boolean(*Outputs, usize, bool) void;
extern fn flowloom_set_integer(*Outputs, usize, i64) void;
extern fn flowloom_set_float(*Outputs, usize, f64) void;
extern fn flowloom_set_bytes(*Outputs, usize, [*]const u8, usize) void;
extern fn flowloom_set_integers(*Outputs, usize, [*]const i64, usize) void;
extern fn flowloom_set_floats(*Outputs, usize, [*]const f64, usize) void;

/// Exports a plugin.
pub fn plugin(comptime P: type) void {
    const Exported = struct {
        fn open(options: *const Options, manifest: *Manifest) callconv(.c) ?[*:0]const u8 {
            manifest.state_size = @sizeOf(P.State);
            return P.open(options, manifest);
        }

        fn init(state: *P.State, packet: *const Row, flow: *const Row) callconv(.c) void {
            state.* = P.init(packet, flow);
        }

        fn update(state: *P.State, packet: *const Row, flow: *const Row) callconv(.c) void {
            P.update(state, packet, flow);
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
    @export(&Exported.expire, .{ .name = "flowloom_expire" });
    @export(&Exported.finish, .{ .name = "flowloom_finish" });
}
