//! WASI 0.2 for plugins whose tools do not leave it out: all of it is there, and it grants nothing.
//!
//! A plugin can import any interface of `wasi:*@0.2`. Its functions are made from their types: what
//! could touch the world answers that it is not permitted, that there is nothing, or zero. Only what
//! follows is more than that, and none of it leaves the host:
//!
//! - the clocks tell packet time, and nothing waits: whatever is waited for is ready;
//! - random numbers come from a generator with a fixed seed;
//! - what is written to standard output and standard error goes to the plugin's log;
//! - `exit` ends the call as a trap.

use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem, Type};
use wasmtime::component::{Linker, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut as _, Engine, Error, Result, StoreContextMut};

use super::host_state::HostState;
use crate::contract::log::Level;

/// Of a resource that is handed out; which one makes no difference.
struct Nothing;

/// Streams that are more than nothing, by the number that their handles stand for.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// Bytes that a plugin is given at once when it asks for random ones.
const MOST_RANDOM: u64 = 64 << 10;

/// Bytes that it may write at once, as it is told.
const WRITE: u64 = 4_096;

/// Functions and types of WASI that a plugin may import: all of its interfaces have some four hundred.
pub(crate) const MOST_FUNCTIONS: usize = 4_096;

/// Whether an import is of WASI 0.2.
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
                let answer = Answer::of(short, name);
                instance.func_new(name, move |store, ty, params, results| {
                    answer.give(store, &ty, params, results)
                })?;
            }
            ComponentItem::Resource(_) => {
                instance.resource(name, ResourceType::host::<Nothing>(), |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a function answers.
#[derive(Clone, Copy)]
enum Answer {
    /// That it is not permitted, or that there is nothing: by its result's type.
    No,
    WallClock,
    MonotonicClock,
    Resolution,
    /// All that is waited for.
    AllReady,
    Yes,
    RandomBytes,
    RandomNumber,
    Seed,
    Stream(u32),
    MayWrite,
    Written,
    Exit,
}

impl Answer {
    fn of(interface: &str, function: &str) -> Self {
        match (interface, function) {
            ("wasi:clocks/wall-clock", "now") => Self::WallClock,
            ("wasi:clocks/monotonic-clock", "now") => Self::MonotonicClock,
            ("wasi:clocks/wall-clock" | "wasi:clocks/monotonic-clock", "resolution") => {
                Self::Resolution
            }
            ("wasi:io/poll", "poll") => Self::AllReady,
            ("wasi:io/poll", "[method]pollable.ready") => Self::Yes,
            ("wasi:random/random", "get-random-bytes")
            | ("wasi:random/insecure", "get-insecure-random-bytes") => Self::RandomBytes,
            ("wasi:random/random", "get-random-u64")
            | ("wasi:random/insecure", "get-insecure-random-u64") => Self::RandomNumber,
            ("wasi:random/insecure-seed", _) => Self::Seed,
            ("wasi:cli/stdout", "get-stdout") => Self::Stream(STDOUT),
            ("wasi:cli/stderr", "get-stderr") => Self::Stream(STDERR),
            ("wasi:io/streams", "[method]output-stream.check-write") => Self::MayWrite,
            (
                "wasi:io/streams",
                "[method]output-stream.write"
                | "[method]output-stream.blocking-write-and-flush"
                | "[method]output-stream.flush"
                | "[method]output-stream.blocking-flush",
            ) => Self::Written,
            ("wasi:cli/exit", _) => Self::Exit,
            _ => Self::No,
        }
    }

    fn give(
        self,
        mut store: StoreContextMut<'_, HostState>,
        ty: &ComponentFunc,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let value = self.value(&mut store, ty, params)?;
        // Handles that were lent are given back; writing has done so.
        if !matches!(self, Self::Written) {
            for param in params {
                give_back(&mut store, param)?;
            }
        }
        if let (Some(result), Some(value)) = (results.first_mut(), value) {
            *result = value;
        }
        Ok(())
    }

    /// The one result, if there is any.
    fn value(
        self,
        store: &mut StoreContextMut<'_, HostState>,
        ty: &ComponentFunc,
        params: &[Val],
    ) -> Result<Option<Val>> {
        let wasi = &mut store.data_mut().wasi;
        let ns = wasi.now.ns();
        Ok(Some(match self {
            Self::No => {
                return ty
                    .results()
                    .next()
                    .map(|ty| nothing(store, &ty, 0))
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
            Self::Yes => Val::Bool(true),
            Self::RandomBytes => match params {
                [Val::U64(len)] if *len <= MOST_RANDOM => {
                    Val::List((0..*len).map(|_| Val::U8(wasi.random() as u8)).collect())
                }
                _ => {
                    return Err(Error::msg(format!(
                        "it asked for more than {MOST_RANDOM} random bytes at once"
                    )));
                }
            },
            Self::RandomNumber => Val::U64(wasi.random()),
            Self::Seed => Val::Tuple(vec![Val::U64(wasi.random()), Val::U64(wasi.random())]),
            Self::Stream(stream) => handle(store, stream)?,
            Self::MayWrite => Val::Result(Ok(Some(Box::new(Val::U64(WRITE))))),
            Self::Written => {
                write(store, params)?;
                Val::Result(Ok(None))
            }
            Self::Exit => return Err(Error::msg("it called exit")),
        }))
    }
}

/// Logs the lines of what is written to standard output or standard error.
fn write(store: &mut StoreContextMut<'_, HostState>, params: &[Val]) -> Result<()> {
    let (stream, bytes) = match params {
        [Val::Resource(stream), Val::List(bytes)] => (*stream, &bytes[..]),
        // Flushing.
        [Val::Resource(stream)] => (*stream, &[][..]),
        _ => return Ok(()),
    };
    // This gives the handle back.
    let stream = Resource::<Nothing>::try_from_resource_any(stream, store.as_context_mut())?.rep();
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
        // No more of a line is shown than of one that is logged.
        if line.len() < WRITE as usize {
            line.push_str(part);
        }
        if parts.peek().is_some() {
            let line = std::mem::take(line);
            state.log().printed(level, &line);
        }
    }
    Ok(())
}

/// A handle of any resource.
fn handle(store: &mut StoreContextMut<'_, HostState>, number: u32) -> Result<Val> {
    let resource = Resource::<Nothing>::new_own(number);
    Ok(Val::Resource(ResourceAny::try_from_resource(
        resource,
        store.as_context_mut(),
    )?))
}

fn give_back(store: &mut StoreContextMut<'_, HostState>, value: &Val) -> Result<()> {
    match value {
        Val::Resource(resource) => resource.resource_drop(store.as_context_mut()),
        Val::List(values) | Val::Tuple(values) => {
            values.iter().try_for_each(|value| give_back(store, value))
        }
        Val::Record(fields) => fields
            .iter()
            .try_for_each(|(_, value)| give_back(store, value)),
        Val::Option(Some(value))
        | Val::Variant(_, Some(value))
        | Val::Result(Ok(Some(value)) | Err(Some(value))) => give_back(store, value),
        _ => Ok(()),
    }
}

/// How WASI's interfaces say no, the clearest first.
const NO: [&str; 8] = [
    "not-permitted",
    "access-denied",
    "access",
    "closed",
    "not-supported",
    "unsupported",
    "internal-error",
    "unknown",
];

/// Types nest, and what a plugin imports is its own to say.
const DEEPEST: u32 = 16;

/// A value of this type that says no, or that there is nothing.
fn nothing(store: &mut StoreContextMut<'_, HostState>, ty: &Type, depth: u32) -> Result<Val> {
    let refused = || Error::msg("it is not permitted");
    if depth > DEEPEST {
        return Err(refused());
    }
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
        Type::Own(_) => handle(store, 0)?,
        Type::Record(record) => {
            let fields: Result<_> = record
                .fields()
                .map(|field| Ok((field.name.to_owned(), nothing(store, &field.ty, depth)?)))
                .collect();
            Val::Record(fields?)
        }
        Type::Tuple(tuple) => {
            let values: Result<_> = tuple.types().map(|ty| nothing(store, &ty, depth)).collect();
            Val::Tuple(values?)
        }
        Type::Enum(cases) => {
            let names: Vec<_> = cases.names().collect();
            let no = NO.into_iter().find(|no| names.contains(no));
            let name = no.or_else(|| names.first().copied()).ok_or_else(refused)?;
            Val::Enum(name.to_owned())
        }
        Type::Variant(variant) => {
            let cases: Vec<_> = variant.cases().collect();
            let no = NO
                .into_iter()
                .find_map(|no| cases.iter().find(|case| case.name == no))
                .or_else(|| cases.iter().find(|case| case.ty.is_none()))
                .or_else(|| cases.first())
                .ok_or_else(refused)?;
            let payload = match &no.ty {
                Some(ty) => Some(Box::new(nothing(store, ty, depth)?)),
                None => None,
            };
            Val::Variant(no.name.to_owned(), payload)
        }
        Type::Result(result) => {
            let error = match result.err() {
                Some(ty) => Some(Box::new(nothing(store, &ty, depth)?)),
                None => None,
            };
            Val::Result(Err(error))
        }
        _ => return Err(refused()),
    })
}
