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

#[cfg(test)]
mod tests;

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
