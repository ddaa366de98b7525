;; A replacement for the WASI functions that Go's runtime imports:
;;
;; - The clock advances by 1 µs at every call.
;; - Random numbers come from a fixed seed.
;; - Lines that the program writes to stdout and stderr go to Flowloom's log, as info and warn.
;; - If Go's runtime ends the program, its error and the place of the error are one line of the log.
;; - There are no arguments, environment variables or files.
(module
  (import "plugin" "memory" (memory 0))
  (import "flowloom:plugin/log@0.1.0" "write" (func $log (param $level i32) (param $text i32) (param $size i32)))

  (global $time (mut i64) (i64.const 0))
  (global $random (mut i64) (i64.const 0x9e3779b97f4a7c15))

  ;; The error code of WASI preview 1 for a file that is not open.
  (global $badf i32 (i32.const 8))

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

  ;; Levels of the log.
  (global $error i32 (i32.const 0))
  (global $warn i32 (i32.const 1))
  (global $info i32 (i32.const 2))

  ;; Three lines in Go's memory: that of stdout, that of stderr, and the error of Go's runtime. A line has 1024 bytes: its
  ;; size and its text. The address is 0 until the SDK sets it (stdio.go).
  (global $lines (mut i32) (i32.const 0))
  (global $room i32 (i32.const 1020))
  ;; The text for a call of os.Exit.
  (global $exit (mut i32) (i32.const 0))
  (global $exit_size (mut i32) (i32.const 0))
  (func (export "flowloom_lines") (param $lines i32) (param $exit i32) (param $exit_size i32)
    (global.set $lines (local.get $lines))
    (global.set $exit (local.get $exit))
    (global.set $exit_size (local.get $exit_size)))

  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $size i32)
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1)) (then (return (global.get $badf))))
    (block $done
      (loop $part
        (br_if $done (i32.eqz (local.get $count)))
        (call $write (local.get $fd) (i32.load (local.get $parts)) (i32.load offset=4 (local.get $parts)))
        (local.set $size (i32.add (local.get $size) (i32.load offset=4 (local.get $parts))))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $part)))
    (i32.store (local.get $written) (local.get $size))
    (i32.const 0))

  (func $write (param $fd i32) (param $text i32) (param $size i32)
    (local $line i32)
    (if (i32.eqz (global.get $lines)) (then (return)))
    (local.set $line (i32.add (global.get $lines) (i32.shl (i32.sub (local.get $fd) (i32.const 1)) (i32.const 10))))
    (block $done
      (loop $byte
        (br_if $done (i32.eqz (local.get $size)))
        (if (i32.eq (i32.load8_u (local.get $text)) (i32.const 10))
          (then (call $end_line (local.get $fd) (local.get $line)))
          (else
            (if (i32.eq (i32.load (local.get $line)) (global.get $room))
              (then (call $end_line (local.get $fd) (local.get $line))))
            (call $append (local.get $line) (i32.load8_u (local.get $text)))))
        (local.set $text (i32.add (local.get $text) (i32.const 1)))
        (local.set $size (i32.sub (local.get $size) (i32.const 1)))
        (br $byte))))

  (func $append (param $line i32) (param $byte i32)
    (if (i32.eq (i32.load (local.get $line)) (global.get $room)) (then (return)))
    (i32.store8 offset=4 (i32.add (local.get $line) (i32.load (local.get $line))) (local.get $byte))
    (i32.store (local.get $line) (i32.add (i32.load (local.get $line)) (i32.const 1))))

  ;; Logs a line and clears it.
  (func $log_line (param $level i32) (param $line i32)
    (if (i32.load (local.get $line))
      (then (call $log (local.get $level) (i32.add (local.get $line) (i32.const 4)) (i32.load (local.get $line)))))
    (i32.store (local.get $line) (i32.const 0)))

  (func $end_line (param $fd i32) (param $line i32)
    (if (i32.eq (local.get $fd) (i32.const 2))
      (then
        (if (call $is_of_error (i32.add (local.get $line) (i32.const 4)) (i32.load (local.get $line)))
          (then (i32.store (local.get $line) (i32.const 0)))
          (else (call $log_line (global.get $warn) (local.get $line)))))
      (else (call $log_line (global.get $info) (local.get $line)))))

  ;; Go's runtime writes an error and the stacks of all goroutines:
  ;;
  ;;     fatal error: all goroutines are asleep - deadlock!
  ;;
  ;;     goroutine 17 [select (no cases)]:
  ;;     main.(*Plugin).Update(...)
  ;;         plugin/main.go:50 +0x2
  ;;
  ;; The state: 0 before an error, 1 after its first line, 2 in the stack of a goroutine, 3 after the first function of package
  ;; main, 4 after the place in that function. Then the line is complete. The program traps soon, without a call of proc_exit.
  (global $state (mut i32) (i32.const 0))

  ;; Returns whether a line of stderr belongs to such an error, which has its own line.
  (func $is_of_error (param $text i32) (param $size i32) (result i32)
    (local $line i32) (local $first i32)
    (local.set $line (i32.add (global.get $lines) (i32.const 2048)))
    (local.set $first (i32.load8_u (local.get $text)))
    (if (i32.eqz (global.get $state))
      (then
        (if (i32.eqz
            (i32.or
              ;; "fatal er"
              (i64.eq (i64.load (local.get $text)) (i64.const 0x7265206c61746166))
              (i32.and
                ;; "pani", "ic: "
                (i32.eq (i32.load (local.get $text)) (i32.const 0x696e6170))
                (i32.eq (i32.load offset=3 (local.get $text)) (i32.const 0x203a6369)))))
          (then (return (i32.const 0))))
        (call $append_text (local.get $line) (local.get $text) (local.get $size))
        (global.set $state (i32.const 1))
        (return (i32.const 1))))
    (if (i32.eqz (local.get $size))
      (then
        (if (i32.eq (global.get $state) (i32.const 2)) (then (call $end_error)))
        (return (i32.const 1))))
    ;; "main"
    (if (i32.and (i32.eq (global.get $state) (i32.const 2)) (i32.eq (i32.load (local.get $text)) (i32.const 0x6e69616d)))
      (then
        (call $append (local.get $line) (i32.const 0x20))
        (call $append (local.get $line) (i32.const 0x28))
        ;; Without the arguments.
        (block $done
          (loop $byte
            (br_if $done (i32.eqz (local.get $size)))
            (local.set $size (i32.sub (local.get $size) (i32.const 1)))
            (br_if $done (i32.eq (i32.load8_u (i32.add (local.get $text) (local.get $size))) (i32.const 0x28)))
            (br $byte)))
        (call $append_text (local.get $line) (local.get $text) (local.get $size))
        (global.set $state (i32.const 3))
        (return (i32.const 1))))
    (if (i32.and (i32.eq (global.get $state) (i32.const 3)) (i32.eq (local.get $first) (i32.const 9)))
      (then
        (call $append (local.get $line) (i32.const 0x2c))
        (call $append (local.get $line) (i32.const 0x20))
        ;; Without the tabulator, and up to the space.
        (block $done
          (loop $byte
            (local.set $text (i32.add (local.get $text) (i32.const 1)))
            (local.set $size (i32.sub (local.get $size) (i32.const 1)))
            (br_if $done (i32.eqz (local.get $size)))
            (br_if $done (i32.eq (i32.load8_u (local.get $text)) (i32.const 0x20)))
            (call $append (local.get $line) (i32.load8_u (local.get $text)))
            (br $byte)))
        (call $append (local.get $line) (i32.const 0x29))
        (call $end_error)
        (return (i32.const 1))))
    (if (i32.ne (global.get $state) (i32.const 1)) (then (return (i32.const 1))))
    ;; `goroutine`
    (if (i32.eq (local.get $first) (i32.const 0x67))
      (then
        (global.set $state (i32.const 2))
        (return (i32.const 1))))
    ;; `runtime`, a tabulator, `[signal`, `[recovered`
    (if (i32.or (i32.eq (local.get $first) (i32.const 0x72))
        (i32.or (i32.eq (local.get $first) (i32.const 9)) (i32.eq (local.get $first) (i32.const 0x5b))))
      (then (return (i32.const 1))))
    ;; The plugin itself wrote the first line.
    (call $log_line (global.get $warn) (local.get $line))
    (global.set $state (i32.const 0))
    (i32.const 0))

  (func $end_error
    (call $log_line (global.get $error) (i32.add (global.get $lines) (i32.const 2048)))
    (global.set $state (i32.const 4)))

  (func $append_text (param $line i32) (param $text i32) (param $size i32)
    (block $done
      (loop $byte
        (br_if $done (i32.eqz (local.get $size)))
        (call $append (local.get $line) (i32.load8_u (local.get $text)))
        (local.set $text (i32.add (local.get $text) (i32.const 1)))
        (local.set $size (i32.sub (local.get $size) (i32.const 1)))
        (br $byte))))

  ;; Logs what stdout and stderr contain after their last line feed.
  (func $flush (export "flowloom_flush")
    (call $end_line (i32.const 1) (global.get $lines))
    (call $end_line (i32.const 2) (i32.add (global.get $lines) (i32.const 1024))))

  ;; Ends the instance.
  (func (export "flowloom_trap") (unreachable))

  (func (export "proc_exit") (param i32)
    (if (global.get $lines)
      (then
        (call $flush)
        (if (global.get $state)
          (then (call $end_error))
          (else (call $log (global.get $error) (global.get $exit) (global.get $exit_size))))))
    (unreachable))

  ;; Sleeps: the clock advances by the time for which the first entry waits. There are no events.
  (func (export "poll_oneoff") (param $waits i32) (param $events i32) (param $size i32) (param $count i32) (result i32)
    (if (i32.eqz (i32.load8_u offset=8 (local.get $waits)))
      (then (global.set $time (i64.add (global.get $time) (i64.load offset=24 (local.get $waits))))))
    (i32.store (local.get $count) (i32.const 0))
    (i32.const 0))
  (func (export "sched_yield") (result i32) (i32.const 0))

  (func (export "fd_close") (param i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (global.get $badf))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (global.get $badf))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (global.get $badf))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (global.get $badf))
  (func (export "fd_sync") (param i32) (result i32) (global.get $badf))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (global.get $badf))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (global.get $badf))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (global.get $badf))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (global.get $badf))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (global.get $badf))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (global.get $badf)))
