//! The root of the program that contains a plugin. It directs panics and output to Flowloom's log.

const std = @import("std");
const flowloom = @import("flowloom");

comptime {
    // Its `comptime` block exports the functions of the plugin.
    _ = @import("plugin");
}

/// Logs the message of a panic, and ends the instance.
pub const panic = std.debug.FullPanic(struct {
    fn panic(message: []const u8, _: ?usize) noreturn {
        var buffer: [1024]u8 = undefined;
        flowloom.fail(terminated(&buffer, "panic: {s}", .{message}));
    }
}.panic);

/// `std.log` writes lines with their own levels.
pub const std_options: std.Options = .{ .logFn = struct {
    fn log(comptime level: std.log.Level, comptime scope: @EnumLiteral(), comptime format: []const u8, arguments: anytype) void {
        var buffer: [1024]u8 = undefined;
        const prefix = if (scope == .default) "" else @tagName(scope) ++ ": ";
        flowloom.log(switch (level) {
            .err => .err,
            .warn => .warn,
            .info => .info,
            .debug => .debug,
        }, terminated(&buffer, prefix ++ format, arguments));
    }
}.log };

/// Formats a text. It is cut at the end of the buffer.
fn terminated(buffer: []u8, comptime format: []const u8, arguments: anytype) [*:0]const u8 {
    var writer: std.Io.Writer = .fixed(buffer[0 .. buffer.len - 1]);
    writer.print(format, arguments) catch {};
    buffer[writer.end] = 0;
    return buffer[0..writer.end :0];
}

/// `std.debug.print` writes lines with the level warn. All other operations fail.
pub const std_options_debug_io: std.Io = .{ .userdata = null, .vtable = &operations };

const operations = operations: {
    var all = std.Io.failing.vtable.*;
    all.swapCancelProtection = struct {
        fn swap(_: ?*anyopaque, _: std.Io.CancelProtection) std.Io.CancelProtection {
            return .unblocked;
        }
    }.swap;
    all.lockStderr = struct {
        fn lock(_: ?*anyopaque, _: ?std.Io.Terminal.Mode) std.Io.Cancelable!std.Io.LockedStderr {
            return .{ .file_writer = &stderr, .terminal_mode = .no_color };
        }
    }.lock;
    all.unlockStderr = struct {
        fn unlock(_: ?*anyopaque) void {
            stderr.interface.flush() catch {};
            stderr.interface.buffer = &.{};
        }
    }.unlock;
    break :operations all;
};

var stderr: std.Io.File.Writer = .{
    .io = std_options_debug_io,
    .file = .stderr(),
    .interface = .{ .vtable = &.{ .drain = drain }, .buffer = &.{} },
};

fn drain(writer: *std.Io.Writer, data: []const []const u8, splat: usize) std.Io.Writer.Error!usize {
    write(writer.buffered());
    writer.end = 0;
    var size: usize = 0;
    for (data, 1..) |part, n| {
        for (0..if (n == data.len) splat else 1) |_| {
            write(part);
            size += part.len;
        }
    }
    return size;
}

fn write(text: []const u8) void {
    flowloom_write_stderr(text.ptr, text.len);
}

extern fn flowloom_write_stderr([*]const u8, usize) void;
