//! What a compiling process does.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use super::answer::{self, Task};
use super::{CompileError, CompiledModule, structure};
use crate::load::linker::{Compiled, HostLinker};
use crate::sandbox::engine_config::engine;
use crate::thread_time::thread_time;

/// Bytes of the stack on which a plugin is parsed and compiled.
const STACK: usize = 16 << 20;

/// Bytes of the stack on which the host's part is tried: half of what the host's own threads have.
const HOST_STACK: usize = 1 << 20;

/// CPU time that the host's part may take.
const HOST_TIME: Duration = Duration::from_secs(5);

/// Answers a [`ChildCompiler`](super::ChildCompiler), in a process of its own, which calls this before
/// anything else.
///
/// A plugin can make this process run out of memory, time or stack, and thereby end.
///
/// # Errors
///
/// The request cannot be read, or the answer not written.
pub fn serve(mut request: impl Read, answer: impl Write) -> io::Result<()> {
    let mut task = [0];
    request.read_exact(&mut task)?;
    let task = Task::of(task[0])
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no request"))?;
    let mut plugin = Vec::new();
    request.read_to_end(&mut plugin)?;
    let work = move || match task {
        Task::Componentize => componentize(plugin),
        Task::Compile => image(plugin),
    };
    let worker = thread::Builder::new().stack_size(STACK).spawn(work)?;
    match worker.join() {
        Ok(done) => answer::encode(&done, answer),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Compiles a plugin's file to an image that the host can open.
fn image(plugin: Vec<u8>) -> Result<Vec<u8>, CompileError> {
    let image = in_process(plugin)?;
    try_host_part(&image)?;
    Ok(image.0)
}

/// Compiles a plugin's file in this process, where it may take as much as it likes.
pub(crate) fn in_process(plugin: Vec<u8>) -> Result<CompiledModule, CompileError> {
    let said = |error: wasmtime::Error| CompileError::DoesNotCompile(format!("{error:#}"));
    let component = componentize(plugin)?;
    let engine = engine().map_err(said)?;
    let image = engine.precompile_component(&component).map_err(said)?;
    match image.len() > CompiledModule::MOST_BYTES {
        true => Err(CompileError::DoesNotCompile(format!(
            "its machine code has {} MiB; at most {} are accepted",
            image.len() >> 20,
            CompiledModule::MOST_BYTES >> 20
        ))),
        false => Ok(CompiledModule(image)),
    }
}

/// Does what the host does with an image, so that an image with which that goes wrong never gets there.
/// Whether the component fits the contract is the host's to say.
fn try_host_part(image: &CompiledModule) -> Result<(), CompileError> {
    let said = |error: wasmtime::Error| CompileError::DoesNotCompile(format!("{error:#}"));
    let fail = |reason| Err(CompileError::DoesNotCompile(reason));
    let open = || {
        let linker = HostLinker::new().map_err(said)?;
        let (component, cost) = linker.open(image)?;
        let _ = Compiled::new(&component, cost, &linker);
        Ok(thread_time())
    };
    let opened = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(HOST_STACK);
        let thread = thread.spawn_scoped(scope, open);
        thread.map(|thread| thread.join())
    });
    match opened {
        Ok(Ok(Ok(taken))) if taken > HOST_TIME => fail(format!(
            "opening it takes more than {} s",
            HOST_TIME.as_secs()
        )),
        Ok(Ok(opened)) => opened.map(|_| ()),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => fail(format!("the compiler does not run: {error}")),
    }
}

/// Makes a component of a plugin's file in this process, where the plugin can make it run out of memory
/// or stack: this is for plugins that are trusted. A component stays as it is. Nothing is compiled.
///
/// # Errors
///
/// The file is neither a component nor a core module that becomes one.
pub fn componentize(plugin: Vec<u8>) -> Result<Vec<u8>, CompileError> {
    let header = plugin.first_chunk::<8>();
    let layer = header.map(|header| (&header[..4], u16::from_le_bytes([header[6], header[7]])));
    let is_module = match layer {
        Some((b"\0asm", 1)) => false,
        Some((b"\0asm", 0)) => true,
        _ => {
            let reason = match plugin.first_chunk::<4>() {
                None => format!("it has {} bytes", plugin.len()),
                Some(b"\x7fELF") => {
                    "it is a native program or object; plugins are WebAssembly".to_owned()
                }
                Some(_) => "it does not start as a WebAssembly file does".to_owned(),
            };
            return Err(CompileError::NotAComponent(reason));
        }
    };
    structure::check(&plugin).map_err(|reason| match is_module {
        true => CompileError::NotAComponent(format!("its core module is broken: {reason}")),
        false => CompileError::DoesNotCompile(reason),
    })?;
    match is_module {
        true => encode(&plugin).map_err(CompileError::NotAComponent),
        false => Ok(plugin),
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    let component = || {
        wit_component::ComponentEncoder::default()
            .validate(true)
            .module(module)?
            .encode()
    };
    match wit_component::metadata::decode(module) {
        Ok((Some(_), _)) => component().map_err(|error| {
            format!("its core module does not fit its component type: {error:#}")
        }),
        Ok((None, _)) => Err(
            "it is a core module without a component type; build it with one of Flowloom's SDKs or \
             wit-bindgen"
                .to_owned(),
        ),
        Err(error) => Err(format!("its core module is broken: {error:#}")),
    }
}
