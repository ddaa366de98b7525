//! WASI 0.2 for plugins whose tools import it. It grants access to nothing.
//!
//! A plugin can import any interface of `wasi:*@0.2`. Flowloom derives its functions from their types. They return
//! "not permitted", an empty value, or zero. These functions do more, and none of them accesses anything outside the
//! plugin:
//!
//! - Clocks return packet time. Every wait is ready at once.
//! - Random numbers come from a generator with a fixed seed.
//! - Standard output and standard error are the plugin's log.
//! - `exit` is a trap.

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Linker, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut as _, Engine, Error, Result, StoreContextMut};

use super::host_state::{HostState, PartialLine};
use crate::contract::log::Level;

/// The type of every WASI resource. Resources have no content, except that a stream has a number.
struct HostResource;

/// The numbers of the streams that are written to the log. All other resources have the number 0.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// The maximum number of random bytes of one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// The number of bytes that `check-write` returns. A plugin that writes more at once is not stopped; a line of
/// which more is written is cut.
const MAX_WRITE: u64 = PartialLine::MAX_LINE as u64;

/// The maximum number of functions and types of WASI that a plugin imports. All interfaces together have about
/// four hundred.
pub(crate) const MAX_ITEMS: usize = 4_096;

/// Returns whether an import belongs to WASI 0.2.
pub(crate) fn is_wasi(import: &str) -> bool {
    import
        .strip_prefix("wasi:")
        .and_then(|name| name.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// Defines an interface that a component imports.
pub(crate) fn define(
    linker: &mut Linker<HostState>,
    engine: &Engine,
    import: &str,
    interface: &ComponentInstance,
) -> Result<()> {
    let (short, _) = import.split_once('@').unwrap_or((import, ""));
    let mut instance = linker.instance(import)?;
    for (name, item) in interface.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let response = Response::of(short, name);
                instance.func_new(name, move |store, ty, params, results| {
                    response.give(store, &ty, params, results)
                })?;
            }
            ComponentItem::Resource(_) => {
                instance.resource(name, ResourceType::host::<HostResource>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a function returns.
#[derive(Clone, Copy)]
enum Response {
    /// "Not permitted", an empty value or zero, depending on the type of the result.
    Denied,
    WallClock,
    MonotonicClock,
    Resolution,
    /// The indices of all pollables.
    AllReady,
    True,
    RandomBytes,
    RandomNumber,
    Seed,
    Stream(u32),
    CheckWrite,
    Write,
    Exit,
}

impl Response {
    fn of(interface: &str, function: &str) -> Self {
        match (interface, function) {
            ("wasi:clocks/wall-clock", "now") => Self::WallClock,
            ("wasi:clocks/monotonic-clock", "now") => Self::MonotonicClock,
            ("wasi:clocks/wall-clock" | "wasi:clocks/monotonic-clock", "resolution") => {
                Self::Resolution
            }
            ("wasi:io/poll", "poll") => Self::AllReady,
            ("wasi:io/poll", "[method]pollable.ready") => Self::True,
            ("wasi:random/random", "get-random-bytes")
            | ("wasi:random/insecure", "get-insecure-random-bytes") => Self::RandomBytes,
            ("wasi:random/random", "get-random-u64")
            | ("wasi:random/insecure", "get-insecure-random-u64") => Self::RandomNumber,
            ("wasi:random/insecure-seed", _) => Self::Seed,
            ("wasi:cli/stdout", "get-stdout") => Self::Stream(STDOUT),
            ("wasi:cli/stderr", "get-stderr") => Self::Stream(STDERR),
            ("wasi:io/streams", "[method]output-stream.check-write") => Self::CheckWrite,
            (
                "wasi:io/streams",
                "[method]output-stream.write"
                | "[method]output-stream.blocking-write-and-flush"
                | "[method]output-stream.flush"
                | "[method]output-stream.blocking-flush",
            ) => Self::Write,
            ("wasi:cli/exit", _) => Self::Exit,
            _ => Self::Denied,
        }
    }

    /// Handles a call.
    fn give(
        self,
        mut store: StoreContextMut<'_, HostState>,
        ty: &ComponentFunc,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let value = self.value(&mut store, ty, params)?;
        // The host drops the handles that were passed. `write` has done so already.
        if !matches!(self, Self::Write) {
            for param in params {
                drop_handles(&mut store, param)?;
            }
        }
        if let (Some(result), Some(value)) = (results.first_mut(), value) {
            *result = value;
        }
        Ok(())
    }

    /// Returns the result of the function, if it has one.
    fn value(
        self,
        store: &mut StoreContextMut<'_, HostState>,
        ty: &ComponentFunc,
        params: &[Val],
    ) -> Result<Option<Val>> {
        let wasi = &mut store.data_mut().wasi;
        let ns = wasi.now.ns();
        Ok(Some(match self {
            Self::Denied => {
                return ty
                    .results()
                    .next()
                    .map(|ty| Denial::new(store).value(&ty, 0))
                    .transpose();
            }
            Self::WallClock => Val::Record(vec![
                ("seconds".to_owned(), Val::U64(ns / 1_000_000_000)),
                (
                    "nanoseconds".to_owned(),
                    Val::U32((ns % 1_000_000_000) as u32),
                ),
            ]),
            Self::MonotonicClock => Val::U64(ns),
            Self::Resolution => match ty.results().next() {
                Some(Type::Record(_)) => Val::Record(vec![
                    ("seconds".to_owned(), Val::U64(0)),
                    ("nanoseconds".to_owned(), Val::U32(1)),
                ]),
                _ => Val::U64(1),
            },
            Self::AllReady => match params {
                [Val::List(all)] => Val::List((0..all.len() as u32).map(Val::U32).collect()),
                _ => Val::List(Vec::new()),
            },
            Self::True => Val::Bool(true),
            Self::RandomBytes => match params {
                [Val::U64(len)] if *len <= MAX_RANDOM_BYTES => {
                    Val::List((0..*len).map(|_| Val::U8(wasi.random() as u8)).collect())
                }
                _ => {
                    return Err(Error::msg(format!(
                        "it requested more than {MAX_RANDOM_BYTES} random bytes at once"
                    )));
                }
            },
            Self::RandomNumber => Val::U64(wasi.random()),
            Self::Seed => Val::Tuple(vec![Val::U64(wasi.random()), Val::U64(wasi.random())]),
            Self::Stream(stream) => handle(store, stream)?,
            Self::CheckWrite => Val::Result(Ok(Some(Box::new(Val::U64(MAX_WRITE))))),
            Self::Write => {
                write(store, params)?;
                Val::Result(Ok(None))
            }
            Self::Exit => return Err(Error::msg("it called exit")),
        }))
    }
}

/// Writes the complete lines of standard output or standard error to the log, and keeps the rest.
fn write(store: &mut StoreContextMut<'_, HostState>, params: &[Val]) -> Result<()> {
    let (stream, bytes) = match params {
        [Val::Resource(stream), Val::List(bytes)] => (*stream, &bytes[..]),
        // The call is a flush.
        [Val::Resource(stream)] => (*stream, &[][..]),
        _ => return Ok(()),
    };
    // This drops the handle.
    let stream =
        Resource::<HostResource>::try_from_resource_any(stream, store.as_context_mut())?.rep();
    let (level, at) = match stream {
        STDERR => (Level::Warn, 1),
        _ => (Level::Info, 0),
    };
    let bytes: Vec<u8> = bytes
        .iter()
        .filter_map(|byte| match byte {
            Val::U8(byte) => Some(*byte),
            _ => None,
        })
        .collect();
    let state = store.data_mut();
    let text = String::from_utf8_lossy(&bytes);
    let mut parts = text.split('\n').peekable();
    while let Some(part) = parts.next() {
        let line = &mut state.wasi.lines[at];
        line.push(part);
        if parts.peek().is_some() {
            let PartialLine { text, cut } = std::mem::take(line);
            state.log().write_printed(level, &text, cut);
        }
    }
    Ok(())
}

/// Creates a handle of a resource with this number.
fn handle(store: &mut StoreContextMut<'_, HostState>, number: u32) -> Result<Val> {
    let resource = Resource::<HostResource>::new_own(number);
    Ok(Val::Resource(ResourceAny::try_from_resource(
        resource,
        store.as_context_mut(),
    )?))
}

/// Drops the handles in a parameter.
fn drop_handles(store: &mut StoreContextMut<'_, HostState>, value: &Val) -> Result<()> {
    match value {
        Val::Resource(resource) => resource.resource_drop(store.as_context_mut()),
        Val::List(values) | Val::Tuple(values) => values
            .iter()
            .try_for_each(|value| drop_handles(store, value)),
        Val::Record(fields) => fields
            .iter()
            .try_for_each(|(_, value)| drop_handles(store, value)),
        Val::Option(Some(value))
        | Val::Variant(_, Some(value))
        | Val::Result(Ok(Some(value)) | Err(Some(value))) => drop_handles(store, value),
        _ => Ok(()),
    }
}

/// Names of error cases in WASI's interfaces that mean "not permitted", the clearest first.
const DENIALS: [&str; 8] = [
    "not-permitted",
    "access-denied",
    "access",
    "closed",
    "not-supported",
    "unsupported",
    "internal-error",
    "unknown",
];

/// The maximum nesting of a result's type. The plugin chooses the types that it imports.
const MAX_DEPTH: u32 = 16;

/// The maximum number of values in a result. Records and tuples can multiply it with every level of nesting.
const MAX_VALUES: u32 = 1_024;

/// Creates the result of a function that is not permitted.
struct Denial<'s, 'd> {
    store: &'s mut StoreContextMut<'d, HostState>,
    /// Values so far.
    values: u32,
}

impl<'s, 'd> Denial<'s, 'd> {
    fn new(store: &'s mut StoreContextMut<'d, HostState>) -> Self {
        Self { store, values: 0 }
    }

    /// Returns a value of this type that means "not permitted", an empty value, or zero.
    ///
    /// # Errors
    ///
    /// No such value exists, or the type nests too deeply or has too many values.
    fn value(&mut self, ty: &Type, depth: u32) -> Result<Val> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err(Error::msg(format!(
                "it called a function of wasi whose result has more than {MAX_VALUES} values, or nests \
                 more than {MAX_DEPTH} times"
            )));
        }
        let denied = || Error::msg("it called a function of wasi that is not permitted");
        let depth = depth + 1;
        Ok(match ty {
            Type::Bool => Val::Bool(false),
            Type::S8 => Val::S8(0),
            Type::U8 => Val::U8(0),
            Type::S16 => Val::S16(0),
            Type::U16 => Val::U16(0),
            Type::S32 => Val::S32(0),
            Type::U32 => Val::U32(0),
            Type::S64 => Val::S64(0),
            Type::U64 => Val::U64(0),
            Type::Float32 => Val::Float32(0.0),
            Type::Float64 => Val::Float64(0.0),
            Type::Char => Val::Char('\0'),
            Type::String => Val::String(String::new()),
            Type::List(_) => Val::List(Vec::new()),
            Type::Map(_) => Val::Map(Vec::new()),
            Type::Option(_) => Val::Option(None),
            Type::Flags(_) => Val::Flags(Vec::new()),
            Type::Own(_) => handle(self.store, 0)?,
            Type::Record(record) => {
                let fields: Result<_> = record
                    .fields()
                    .map(|field| Ok((field.name.to_owned(), self.value(&field.ty, depth)?)))
                    .collect();
                Val::Record(fields?)
            }
            Type::Tuple(tuple) => {
                let values: Result<_> = tuple.types().map(|ty| self.value(&ty, depth)).collect();
                Val::Tuple(values?)
            }
            Type::Enum(cases) => {
                let names: Vec<_> = cases.names().collect();
                let name = DENIALS.into_iter().find(|name| names.contains(name));
                let name = name.or_else(|| names.first().copied()).ok_or_else(denied)?;
                Val::Enum(name.to_owned())
            }
            Type::Variant(variant) => {
                let cases: Vec<_> = variant.cases().collect();
                let case = DENIALS
                    .into_iter()
                    .find_map(|name| cases.iter().find(|case| case.name == name))
                    .or_else(|| cases.iter().find(|case| case.ty.is_none()))
                    .or_else(|| cases.first())
                    .ok_or_else(denied)?;
                let payload = match &case.ty {
                    Some(ty) => Some(Box::new(self.value(ty, depth)?)),
                    None => None,
                };
                Val::Variant(case.name.to_owned(), payload)
            }
            Type::Result(result) => {
                let error = match result.err() {
                    Some(ty) => Some(Box::new(self.value(&ty, depth)?)),
                    None => None,
                };
                Val::Result(Err(error))
            }
            _ => return Err(denied()),
        })
    }
}

#[cfg(test)]
mod tests {
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
}
