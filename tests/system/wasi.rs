//! Tests of plugins that import WASI. All interfaces exist, but they give no access.

use std::path::Path;

use crate::command::{Run, meter, without_stack};
use crate::wat::Module;

/// The interfaces of WASI 0.2 that the tests use, with the names and types of its packages.
const PACKAGES: &str = "
package wasi:io@0.2.0 {
  interface error { resource error; }
  interface poll {
    resource pollable { ready: func() -> bool; block: func(); }
    poll: func(in: list<borrow<pollable>>) -> list<u32>;
  }
  interface streams {
    use error.{error};
    variant stream-error { last-operation-failed(error), closed }
    resource output-stream {
      blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
    }
    resource input-stream {
      blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
    }
  }
}
package wasi:clocks@0.2.0 {
  interface monotonic-clock {
    use wasi:io/poll@0.2.0.{pollable};
    now: func() -> u64;
    subscribe-duration: func(when: u64) -> pollable;
  }
}
package wasi:random@0.2.0 {
  interface random { get-random-bytes: func(len: u64) -> list<u8>; get-random-u64: func() -> u64; }
}
package wasi:filesystem@0.2.0 {
  interface types { resource descriptor; }
  interface preopens {
    use types.{descriptor};
    get-directories: func() -> list<tuple<descriptor, string>>;
  }
}
package wasi:sockets@0.2.0 {
  interface network { enum error-code { unknown, access-denied, not-supported } }
  interface tcp { resource tcp-socket; }
  interface tcp-create-socket {
    use network.{error-code};
    use tcp.{tcp-socket};
    enum ip-address-family { ipv4, ipv6 }
    create-tcp-socket: func(address-family: ip-address-family) -> result<tcp-socket, error-code>;
  }
}
package wasi:cli@0.2.0 {
  interface environment {
    get-environment: func() -> list<tuple<string, string>>;
    get-arguments: func() -> list<string>;
  }
  interface exit { exit: func(status: result); }
  interface stdin {
    use wasi:io/streams@0.2.0.{input-stream};
    get-stdin: func() -> input-stream;
  }
  interface stderr {
    use wasi:io/streams@0.2.0.{output-stream};
    get-stderr: func() -> output-stream;
  }
}
";

fn run(path: &Path) -> Run {
    let hand = format!("hand={}", path.display());
    meter("dns.pcap").args(["--plugin", &hand]).run()
}

/// Runs a module that imports these interfaces. It executes `init` at the first packet of every flow; the parameter
/// is the address of the packet.
#[track_caller]
fn at_init(interfaces: &[&str], functions: &'static str, init: &'static str) -> Run {
    let imports: String = interfaces
        .iter()
        .map(|interface| format!("import wasi:{interface}@0.2.0;\n"))
        .collect();
    let (_folder, path) = Module {
        before: functions,
        init,
        ..Module::default()
    }
    .file_importing(&imports, PACKAGES);
    run(&path)
}

#[track_caller]
fn no_trap(run: Run) {
    run.done()
        .reports_line("plugin   hand : 41 events in 42 calls, _ ns per event, _ KiB, 0 traps");
}

#[track_caller]
fn traps(run: &Run, reason: &str) {
    let start = "ERROR plugin hand: stopped in init, packet 2 of flow 2: ";
    let lines = run.stderr.lines().map(without_stack);
    let reason = format!("{start}{reason}; the flows that it held");
    assert!(
        lines.into_iter().any(|line| line.starts_with(&reason)),
        "{run}"
    );
}

#[test]
fn files_environment_and_sockets_are_unavailable() {
    no_trap(at_init(
        &[
            "filesystem/types",
            "filesystem/preopens",
            "cli/environment",
            "sockets/network",
            "sockets/tcp",
            "sockets/tcp-create-socket",
        ],
        r#"(import "wasi:filesystem/preopens@0.2.0" "get-directories" (func $dirs (param i32)))
           (import "wasi:cli/environment@0.2.0" "get-environment" (func $env (param i32)))
           (import "wasi:cli/environment@0.2.0" "get-arguments" (func $args (param i32)))
           (import "wasi:sockets/tcp-create-socket@0.2.0" "create-tcp-socket"
             (func $tcp (param i32 i32)))"#,
        // The lists must be empty, and the result must be the error `access-denied`.
        "(i32.store (i32.const 20) (i32.const 1))
         (call $dirs (i32.const 16)) (if (i32.load (i32.const 20)) (then unreachable))
         (i32.store (i32.const 20) (i32.const 1))
         (call $env (i32.const 16)) (if (i32.load (i32.const 20)) (then unreachable))
         (i32.store (i32.const 20) (i32.const 1))
         (call $args (i32.const 16)) (if (i32.load (i32.const 20)) (then unreachable))
         (call $tcp (i32.const 0) (i32.const 16))
         (if (i32.ne (i32.load8_u (i32.const 16)) (i32.const 1)) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.const 20)) (i32.const 1)) (then unreachable))
         i32.const 0",
    ));
}

#[test]
fn clocks_return_packet_time_and_waits_end_at_once() {
    no_trap(at_init(
        &["io/poll", "clocks/monotonic-clock"],
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
           (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration"
             (func $after (param i64) (result i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.ready"
             (func $ready (param i32) (result i32)))
           (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
           (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))"#,
        // The second parameter is the packet's time. A wait of an hour ends at once.
        "(if (i64.ne (call $now) (local.get 1)) (then unreachable))
         (i32.store (i32.const 32) (call $after (i64.const 3600000000000)))
         (call $block (i32.load (i32.const 32)))
         (if (i32.eqz (call $ready (i32.load (i32.const 32)))) (then unreachable))
         (call $poll (i32.const 32) (i32.const 1) (i32.const 16))
         (if (i32.ne (i32.load (i32.const 20)) (i32.const 1)) (then unreachable))
         (call $drop (i32.load (i32.const 32)))
         i32.const 0",
    ));
}

#[test]
fn random_numbers_are_the_same_in_every_run() {
    no_trap(at_init(
        &["random/random"],
        r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))
           (global $first (mut i32) (i32.const 1))"#,
        // SplitMix64 with the seed 0.
        "(if (global.get $first) (then
           (if (i64.ne (call $random) (i64.const 0xe220a8397b1dcdaf)) (then unreachable))
           (if (i64.ne (call $random) (i64.const 0x6e789e6aa1b965f4)) (then unreachable))
           (global.set $first (i32.const 0))))
         i32.const 0",
    ));
    let run = at_init(
        &["random/random"],
        r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $bytes (param i64 i32)))"#,
        "(call $bytes (i64.const 1000000000) (i32.const 16)) i32.const 0",
    );
    traps(&run, "it requested more than 65536 random bytes at once");
}

#[test]
fn standard_input_is_closed() {
    no_trap(at_init(
        &["io/error", "io/streams", "cli/stdin"],
        r#"(import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read"
             (func $read (param i32 i64 i32)))
           (import "wasi:io/streams@0.2.0" "[resource-drop]input-stream"
             (func $drop (param i32)))"#,
        "(i32.store (i32.const 64) (call $stdin))
         (call $read (i32.load (i32.const 64)) (i64.const 9) (i32.const 16))
         (if (i32.ne (i32.load8_u (i32.const 16)) (i32.const 1)) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.const 20)) (i32.const 1)) (then unreachable))
         (call $drop (i32.load (i32.const 64)))
         i32.const 0",
    ));
}

#[test]
fn standard_error_is_logged_and_explains_a_trap() {
    let run = at_init(
        &["io/error", "io/streams", "cli/stderr"],
        r#"(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
           (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
             (func $write (param i32 i32 i32 i32)))
           (data (i32.const 256) "Traceback:\n ValueError: \1b[31mno\n")"#,
        "(call $write (call $stderr) (i32.const 256) (i32.const 32) (i32.const 16)) unreachable",
    );
    traps(&run, r" ValueError: \u{1b}[31mno");
    let logged = "WARN plugin hand: Traceback:";
    assert!(
        run.stderr.lines().any(|line| line.trim() == logged),
        "{run}"
    );
}

#[test]
fn exit_is_a_trap() {
    let run = at_init(
        &["cli/exit"],
        r#"(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))"#,
        "(call $exit (i32.const 0)) i32.const 0",
    );
    traps(&run, "it called exit");
}

#[test]
fn too_many_handles_are_a_trap() {
    let run = at_init(
        &["io/error", "io/streams", "cli/stderr"],
        r#"(import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))"#,
        "(loop (drop (call $stderr)) (br 0)) i32.const 0",
    );
    traps(
        &run,
        "cannot allocate another handle: store handle limit exceeded",
    );
}
