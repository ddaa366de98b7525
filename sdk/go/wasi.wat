;; A replacement for the WASI functions that Go's runtime imports:
;;
;; - The clock advances by 1 µs at every call.
;; - Random numbers come from a fixed seed.
;; - Output is discarded.
;; - There are no arguments, environment variables or files.
(module
  (import "plugin" "memory" (memory 0))

  (global $time (mut i64) (i64.const 0))
  (global $random (mut i64) (i64.const 0x9e3779b97f4a7c15))

  ;; Error codes of WASI preview 1.
  (global $badf i32 (i32.const 8))
  (global $nosys i32 (i32.const 52))

  (func (export "args_sizes_get") (param $count i32) (param $size i32) (result i32)
    (call $nothing (local.get $count) (local.get $size)))
  (func (export "environ_sizes_get") (param $count i32) (param $size i32) (result i32)
    (call $nothing (local.get $count) (local.get $size)))
  (func $nothing (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $to i32) (result i32)
    (global.set $time (i64.add (global.get $time) (i64.const 1000)))
    (i64.store (local.get $to) (global.get $time))
    (i32.const 0))

  ;; Marsaglia's xorshift generator, one byte per step.
  (func (export "random_get") (param $to i32) (param $size i32) (result i32)
    (block $done
      (loop $byte
        (br_if $done (i32.eqz (local.get $size)))
        (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 13))))
        (global.set $random (i64.xor (global.get $random) (i64.shr_u (global.get $random) (i64.const 7))))
        (global.set $random (i64.xor (global.get $random) (i64.shl (global.get $random) (i64.const 17))))
        (i32.store8 (local.get $to) (i32.wrap_i64 (global.get $random)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (local.set $size (i32.sub (local.get $size) (i32.const 1)))
        (br $byte)))
    (i32.const 0))

  ;; Reports that all bytes were written.
  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $size i32)
    (block $done
      (loop $part
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $size (i32.add (local.get $size) (i32.load offset=4 (local.get $parts))))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $part)))
    (i32.store (local.get $written) (local.get $size))
    (i32.const 0))

  (func (export "poll_oneoff") (param i32 i32 i32 i32) (result i32) (global.get $nosys))
  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) (unreachable))

  (func (export "fd_close") (param i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (global.get $badf)))
