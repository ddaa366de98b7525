use flowloom_core::time::Time;
use wasmtime::Store;
use wasmtime::component::Component;

use super::*;
use crate::sandbox::deadline::Deadline;
use crate::sandbox::engine_config::engine;
use crate::sandbox::host_state::WasiState;
use crate::sandbox::log::Log;
use crate::sandbox::memory_limiter::MemoryLimiter;

fn state() -> HostState {
    HostState {
        deadline: Deadline::default(),
        memory: MemoryLimiter::new(0, 0),
        log: Log::new("p"),
        wasi: WasiState::default(),
    }
}

/// The value that a function with this result type returns.
fn denial(types: &str, result: &str) -> Result<Val> {
    let engine = engine()?;
    let text = format!(
        r#"(component (import "wasi:x/y@0.2.0" (instance {types}
             (export "f" (func (result {result}))))))"#
    );
    let component = Component::new(&engine, wat::parse_str(text).unwrap())?;
    let ty = component.component_type();
    let Some((_, import)) = ty.imports(&engine).next() else {
        panic!("there is one import");
    };
    let ComponentItem::ComponentInstance(interface) = import.ty else {
        panic!("it is an instance");
    };
    let function = interface
        .exports(&engine)
        .find_map(|(_, item)| match item.ty {
            ComponentItem::ComponentFunc(function) => Some(function),
            _ => None,
        });
    let result = function.and_then(|function| function.results().next());
    let mut store = Store::new(&engine, state());
    Denial::new(&mut store.as_context_mut()).value(&result.unwrap(), 0)
}

#[test]
fn a_result_has_at_most_1024_values() {
    // A tuple of `width` tuples of `width` numbers has width² + width + 1 values.
    let square = |width: usize| {
        let inner = format!("(type $inner (tuple {}))", "u8 ".repeat(width));
        let outer = format!("(type $outer (tuple {}))", "$inner ".repeat(width));
        denial(&format!("{inner} {outer}"), "$outer")
    };
    let Val::Tuple(values) = square(31).unwrap() else {
        panic!("it is a tuple");
    };
    assert_eq!(values.len(), 31);
    let error = square(32).unwrap_err().to_string();
    assert!(error.contains("more than 1024 values"), "{error}");
}

#[test]
fn a_result_type_nests_at_most_16_times() {
    let nested = |times: usize| {
        let types: String = (1..=times)
            .map(|level| format!("(type $t{level} (tuple $t{}))", level - 1))
            .collect();
        denial(
            &format!("(type $t0 (tuple u8)) {types}"),
            &format!("$t{times}"),
        )
    };
    assert!(nested(15).is_ok());
    assert!(nested(16).is_err());
}

#[test]
fn an_error_case_that_means_not_permitted_is_preferred() {
    // A named type must be exported.
    let types = r#"(type $enum (enum "unknown" "access" "success"))
                   (export "e" (type $e (eq $enum)))"#;
    let value = denial(types, "(result (error $e))").unwrap();
    let access = Val::Enum("access".to_owned());
    assert_eq!(value, Val::Result(Err(Some(Box::new(access)))));
}

#[test]
fn one_line_keeps_at_most_4096_bytes() {
    let mut line = PartialLine::default();
    line.push(&"x".repeat(4_090));
    assert_eq!((line.text.len(), line.cut), (4_090, 0));
    // The last letter has two bytes and does not fit.
    line.push(&format!("{}ä{}", "x".repeat(5), "y".repeat(16 << 20)));
    assert_eq!((line.text.len(), line.cut), (4_095, 2 + (16 << 20)));
    assert!(line.text.capacity() < 16 << 10, "{}", line.text.capacity());
    line.push("z");
    assert!(line.text.ends_with('x'));
    assert_eq!(line.cut, 3 + (16 << 20));
}

/// Instantiates a component that imports interfaces of WASI. The packet time is 5.000000007 s.
fn instantiate(text: &str) -> (Store<HostState>, wasmtime::component::Instance) {
    let engine = engine().unwrap();
    let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let mut linker = Linker::new(&engine);
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else {
            panic!("{name} is an instance");
        };
        define(&mut linker, &engine, name, &interface).unwrap();
    }
    let mut state = state();
    state.memory = MemoryLimiter::new(1 << 20, 0);
    state.wasi.now = Time::from_ns(5_000_000_007);
    let mut store = Store::new(&engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(1);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// Calls a function of WASI as a plugin does. Returns its results of two calls.
///
/// `result` is the type of the result. `core` are the core types of the parameter and of the result, the
/// latter empty if it is in memory.
fn call(
    interface: &str,
    function: &str,
    result: &str,
    core: (&str, &str),
    param: &[Val],
) -> Vec<Result<Val>> {
    let (input, output) = core;
    let name = match input {
        "" => "",
        _ => "(param \"x\" u64)",
    };
    let core_param = format!("(param {input})");
    let (import, body) = match output {
        "" => (
            format!("(param {input} i32)"),
            "i32.const 2048 call $f i32.const 2048".to_owned(),
        ),
        output => (
            format!("{core_param} (result {output})"),
            "call $f".to_owned(),
        ),
    };
    let pass = match input {
        "" => "",
        _ => "local.get 0",
    };
    let returned = if output.is_empty() { "i32" } else { output };
    let text = format!(
        r#"(component
          (import "{interface}@0.2.0" (instance $i
            (type $record (record (field "seconds" u64) (field "nanoseconds" u32)))
            (export "datetime" (type $datetime (eq $record)))
            (export "{function}" (func {name} (result {result})))))
          (alias export $i "datetime" (type $datetime))
          (core module $memory
            (memory (export "memory") 4)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
          (core instance $memory (instantiate $memory))
          (core func $f (canon lower (func $i "{function}")
            (memory (core memory $memory "memory"))
            (realloc (core func $memory "realloc"))))
          (core module $m
            (import "i" "f" (func $f {import}))
            (func (export "f") {core_param} (result {returned}) {pass} {body}))
          (core instance $m (instantiate $m (with "i" (instance (export "f" (func $f))))))
          (func (export "f") {name} (result {result})
            (canon lift (core func $m "f") (memory (core memory $memory "memory")))))"#
    );
    let (mut store, instance) = instantiate(&text);
    let function = instance.get_func(&mut store, "f").unwrap();
    let mut call = || {
        let mut results = [Val::Bool(true)];
        function.call(&mut store, param, &mut results)?;
        let [result] = results;
        Ok(result)
    };
    let first = call();
    match first {
        Ok(_) => vec![first, call()],
        Err(_) => vec![first],
    }
}

fn record(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![
        ("seconds".to_owned(), Val::U64(seconds)),
        ("nanoseconds".to_owned(), Val::U32(nanoseconds)),
    ])
}

#[test]
fn clocks_have_packet_time_and_random_numbers_a_fixed_seed() {
    let mut random = WasiState::default();
    let [a, b, c, d] = [0; 4].map(|_| random.random());
    let number = ("", "i64");
    for (interface, function, expected) in [
        (
            "clocks/monotonic-clock",
            "now",
            [5_000_000_007, 5_000_000_007],
        ),
        ("clocks/monotonic-clock", "resolution", [1, 1]),
        ("random/random", "get-random-u64", [a, b]),
        ("random/insecure", "get-insecure-random-u64", [a, b]),
        // Any other function.
        ("clocks/monotonic-clock", "later", [0, 0]),
    ] {
        let results = call(&format!("wasi:{interface}"), function, "u64", number, &[]);
        let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(results, expected.map(Val::U64), "{interface} {function}");
    }
    for (function, expected) in [("now", record(5, 7)), ("resolution", record(0, 1))] {
        let results = call(
            "wasi:clocks/wall-clock",
            function,
            "$datetime",
            ("", ""),
            &[],
        );
        assert!(
            results
                .into_iter()
                .all(|result| result.unwrap() == expected)
        );
    }
    let seed = "(tuple u64 u64)";
    let seeds = call(
        "wasi:random/insecure-seed",
        "insecure-seed",
        seed,
        ("", ""),
        &[],
    );
    let pair = |a, b| Val::Tuple(vec![Val::U64(a), Val::U64(b)]);
    let seeds: Vec<_> = seeds.into_iter().map(Result::unwrap).collect();
    assert_eq!(seeds, [pair(a, b), pair(c, d)]);
}

#[test]
fn random_bytes_are_limited() {
    let bytes = |len| {
        let list = "(list u8)";
        let mut results = call(
            "wasi:random/random",
            "get-random-bytes",
            list,
            ("i64", ""),
            &[Val::U64(len)],
        );
        results.remove(0)
    };
    let mut random = WasiState::default();
    let expected = [0; 3].map(|_| Val::U8(random.random() as u8));
    assert_eq!(bytes(3).unwrap(), Val::List(expected.into()));
    assert!(matches!(bytes(65_536), Ok(Val::List(all)) if all.len() == 65_536));
    let error = bytes(65_537).unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("more than 65536 random bytes at once"),
        "{text}"
    );
}

#[test]
fn imports_of_wasi_are_those_of_version_0_2() {
    for (import, expected) in [
        ("wasi:io/poll@0.2.0", true),
        ("wasi:x/y@0.2.99", true),
        ("wasi:io/poll@0.3.0", false),
        ("wasi:io/poll@0.20.0", false),
        ("wasi:io/poll", false),
        ("other:io/poll@0.2.0", false),
    ] {
        assert_eq!(is_wasi(import), expected, "{import}");
    }
}

#[test]
fn results_that_are_not_permitted_are_empty_or_zero() {
    for (result, expected) in [
        ("bool", Val::Bool(false)),
        ("s8", Val::S8(0)),
        ("u8", Val::U8(0)),
        ("s16", Val::S16(0)),
        ("u16", Val::U16(0)),
        ("s32", Val::S32(0)),
        ("u32", Val::U32(0)),
        ("s64", Val::S64(0)),
        ("u64", Val::U64(0)),
        ("float32", Val::Float32(0.0)),
        ("float64", Val::Float64(0.0)),
        ("char", Val::Char('\0')),
        ("string", Val::String(String::new())),
        ("(list u8)", Val::List(Vec::new())),
        ("(option u8)", Val::Option(None)),
        ("(result u8)", Val::Result(Err(None))),
        (
            "(tuple u8 bool)",
            Val::Tuple(vec![Val::U8(0), Val::Bool(false)]),
        ),
    ] {
        assert_eq!(denial("", result).unwrap(), expected, "{result}");
    }
    // The first case without a value, if none means "not permitted".
    let types = r#"(type $variant (variant (case "some" u8) (case "none")))
                   (export "v" (type $v (eq $variant)))"#;
    let none = Val::Variant("none".to_owned(), None);
    assert_eq!(denial(types, "$v").unwrap(), none);
    let types = r#"(type $variant (variant (case "some" u8) (case "closed" u8)))
                   (export "v" (type $v (eq $variant)))"#;
    let closed = Val::Variant("closed".to_owned(), Some(Box::new(Val::U8(0))));
    assert_eq!(denial(types, "$v").unwrap(), closed);
    let types = r#"(type $record (record (field "seconds" u64) (field "nanoseconds" u32)))
                   (export "r" (type $r (eq $record)))"#;
    assert_eq!(denial(types, "$r").unwrap(), record(0, 0));
}

#[test]
fn exit_is_a_trap() {
    let mut results = call("wasi:cli/exit", "exit", "u64", ("", "i64"), &[]);
    let error = format!("{:#}", results.remove(0).unwrap_err());
    assert!(error.contains("it called exit"), "{error}");
}

#[test]
fn complete_lines_of_standard_streams_are_logged() {
    for (stream, at, last_error) in [("stdout", 0, None), ("stderr", 1, Some("first line"))] {
        let text = format!(
            r#"(component $c
            (import "wasi:io/streams@0.2.0" (instance $s
              (export "output-stream" (type $o (sub resource)))
              (export "[method]output-stream.check-write" (func
                (param "self" (borrow $o)) (result (result u64))))
              (export "[method]output-stream.write" (func
                (param "self" (borrow $o)) (param "contents" (list u8)) (result (result))))
              (export "[method]output-stream.blocking-flush" (func
                (param "self" (borrow $o)) (result (result))))))
            (alias export $s "output-stream" (type $o))
            (import "wasi:cli/{stream}@0.2.0" (instance $e
              (alias outer $c $o (type $outer))
              (export "output-stream" (type $o (eq $outer)))
              (export "get-{stream}" (func (result (own $o))))))
            (core module $memory (memory (export "memory") 1)
              (data (i32.const 100) "first line\nrest"))
            (core instance $memory (instantiate $memory))
            (core func $get (canon lower (func $e "get-{stream}")))
            (core func $check (canon lower (func $s "[method]output-stream.check-write")
              (memory (core memory $memory "memory"))))
            (core func $write (canon lower (func $s "[method]output-stream.write")
              (memory (core memory $memory "memory"))))
            (core func $flush (canon lower (func $s "[method]output-stream.blocking-flush")))
            (core func $drop (canon resource.drop $o))
            (core module $m
              (import "i" "memory" (memory 1))
              (import "i" "get" (func $get (result i32)))
              (import "i" "check" (func $check (param i32 i32)))
              (import "i" "write" (func $write (param i32 i32 i32) (result i32)))
              (import "i" "flush" (func $flush (param i32) (result i32)))
              (import "i" "drop" (func $drop (param i32)))
              (func (export "f") (result i64) (local $h i32)
                (local.set $h (call $get))
                (call $check (local.get $h) (i32.const 48))
                (drop (call $write (local.get $h) (i32.const 100) (i32.const 15)))
                (drop (call $flush (local.get $h)))
                (call $drop (local.get $h))
                (i64.load (i32.const 56))))
            (core instance $m (instantiate $m (with "i" (instance
              (export "memory" (memory $memory "memory"))
              (export "get" (func $get)) (export "check" (func $check))
              (export "write" (func $write)) (export "flush" (func $flush))
              (export "drop" (func $drop))))))
            (func (export "f") (result u64) (canon lift (core func $m "f"))))"#
        );
        let (mut store, instance) = instantiate(&text);
        let function = instance.get_func(&mut store, "f").unwrap();
        let mut results = [Val::Bool(true)];
        function.call(&mut store, &[], &mut results).unwrap();
        assert_eq!(results, [Val::U64(4_096)], "check-write");
        let state = store.data();
        assert_eq!(state.log.last_error.as_deref(), last_error);
        let lines = [0, 1].map(|stream| &*state.wasi.lines[stream].text);
        let expected = [0, 1].map(|stream| if stream == at { "rest" } else { "" });
        assert_eq!(lines, expected, "{stream}");
    }
}

#[test]
fn every_wait_is_over_at_once() {
    let text = r#"(component $c
        (import "wasi:io/poll@0.2.0" (instance $p
          (export "pollable" (type $p (sub resource)))
          (export "[method]pollable.ready" (func (param "self" (borrow $p)) (result bool)))
          (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
        (alias export $p "pollable" (type $p))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $t
          (alias outer $c $p (type $outer))
          (export "pollable" (type $p (eq $outer)))
          (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (core module $memory (memory (export "memory") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 512))
        (core instance $memory (instantiate $memory))
        (core func $wait (canon lower (func $t "subscribe-duration")))
        (core func $ready (canon lower (func $p "[method]pollable.ready")))
        (core func $poll (canon lower (func $p "poll")
          (memory (core memory $memory "memory"))
          (realloc (core func $memory "realloc"))))
        (core module $m
          (import "i" "memory" (memory 1))
          (import "i" "wait" (func $wait (param i64) (result i32)))
          (import "i" "ready" (func $ready (param i32) (result i32)))
          (import "i" "poll" (func $poll (param i32 i32 i32)))
          (func (export "f") (result i32)
            (i32.store (i32.const 200) (call $wait (i64.const 1000000)))
            (i32.store (i32.const 204) (call $wait (i64.const 2000000)))
            (call $poll (i32.const 200) (i32.const 2) (i32.const 300))
            (i32.add (i32.add
              (i32.mul (i32.const 100) (i32.load (i32.const 304)))
              (i32.mul (i32.const 10) (i32.load offset=4 (i32.load (i32.const 300)))))
              (call $ready (i32.load (i32.const 204))))))
        (core instance $m (instantiate $m (with "i" (instance
          (export "memory" (memory $memory "memory")) (export "wait" (func $wait))
          (export "ready" (func $ready)) (export "poll" (func $poll))))))
        (func (export "f") (result u32) (canon lift (core func $m "f"))))"#;
    let (mut store, instance) = instantiate(text);
    let function = instance.get_func(&mut store, "f").unwrap();
    let mut results = [Val::Bool(true)];
    function.call(&mut store, &[], &mut results).unwrap();
    // Both of two are ready: the second index is 1.
    assert_eq!(results, [Val::U32(211)]);
}
