//! The work of a compiling process.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::answer::{self, Request, Task};
use super::functions::FunctionStore;
use super::{CompileError, CompiledModule, FeatureText, structure};
use crate::load::linker::{HostLinker, LinkedPlugin};
use crate::sandbox::engine_config::{engine, engine_with};
use crate::thread_time::thread_time;

/// The stack, in bytes, on which a plugin is parsed and compiled.
const STACK: usize = 16 << 20;

/// The stack, in bytes, on which the host's part is tried: half of the stack of the host's threads.
const HOST_STACK: usize = 1 << 20;

/// The maximum CPU time of the host's part.
const HOST_TIME: Duration = Duration::from_secs(5);

/// Answers one request of a [`ChildCompiler`](super::ChildCompiler). A program that runs in its own process
/// calls this first.
///
/// A plugin can make this process exceed its memory, time or stack. The process then ends.
///
/// # Errors
///
/// The request cannot be read, or the answer cannot be written.
pub fn serve(request: impl Read, answer: impl Write) -> io::Result<()> {
    let request = Request::read(request)?;
    let worker = thread::Builder::new()
        .stack_size(STACK)
        .spawn(|| work(request))?;
    match worker.join() {
        Ok(done) => answer::encode(&done, answer),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn work(request: Request) -> Result<Vec<u8>, CompileError> {
    let Request {
        task,
        functions,
        plugin,
    } = request;
    let keeps_new = match task {
        Task::Componentize => return componentize(plugin),
        Task::CompileFeatures => {
            let no_text = || CompileError::BadFeatures("it is not a text of features".to_owned());
            return FeatureText::decode(&plugin)
                .ok_or_else(no_text)?
                .component();
        }
        Task::Compile => false,
        Task::CompileAndKeep => true,
    };
    let open = |folder: PathBuf| {
        let fingerprint = super::fingerprint(&engine().ok()?);
        FunctionStore::open(&folder, &fingerprint, keeps_new).ok()
    };
    // Without a store, each function is compiled.
    let functions = functions.and_then(open).map(Arc::new);
    let image = compile(plugin, functions.clone())?;
    // The host receives machine code only if it can load it.
    try_host_part(&image)?;
    if let Some(functions) = functions {
        // If this fails, the functions are compiled again the next time.
        let _ = functions.finish();
    }
    Ok(image.0)
}

/// Compiles a plugin's file in this process, without limits on time and memory.
pub(crate) fn in_process(plugin: Vec<u8>) -> Result<CompiledModule, CompileError> {
    compile(plugin, None)
}

/// Compiles a plugin's file. Functions in the store are not compiled again.
fn compile(
    plugin: Vec<u8>,
    functions: Option<Arc<FunctionStore>>,
) -> Result<CompiledModule, CompileError> {
    let fail = |error: wasmtime::Error| CompileError::DoesNotCompile(format!("{error:#}"));
    let component = componentize(plugin)?;
    let engine = match functions {
        Some(functions) => engine_with(functions),
        None => engine(),
    };
    let engine = engine.map_err(fail)?;
    let image = engine.precompile_component(&component).map_err(fail)?;
    match image.len() > CompiledModule::MAX_BYTES {
        true => Err(CompileError::DoesNotCompile(format!(
            "its machine code has {} MiB; at most {} are accepted",
            image.len() >> 20,
            CompiledModule::MAX_BYTES >> 20
        ))),
        false => Ok(CompiledModule(image)),
    }
}

/// Does what the host does with machine code. If this fails, the host never receives the machine code.
///
/// Whether the component matches the contract is checked in the host.
fn try_host_part(image: &CompiledModule) -> Result<(), CompileError> {
    let fail = |reason| Err(CompileError::DoesNotCompile(reason));
    let open = || {
        let linker = HostLinker::new()
            .map_err(|error| CompileError::DoesNotCompile(format!("{error:#}")))?;
        let (component, cost) = linker.open(image)?;
        let _ = LinkedPlugin::new(&component, cost, &linker);
        Ok(thread_time())
    };
    let opened = thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(HOST_STACK);
        let thread = thread.spawn_scoped(scope, open);
        thread.map(|thread| thread.join())
    });
    match opened {
        Ok(Ok(Ok(used))) if used > HOST_TIME => fail(format!(
            "loading its machine code takes more than {} s",
            HOST_TIME.as_secs()
        )),
        Ok(Ok(opened)) => opened.map(|_| ()),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => fail(format!("cannot run the compiler: {error}")),
    }
}

/// Creates a component from a plugin's file, in this process. A component is returned unchanged.
///
/// The file can make this process exceed its memory or stack: use this for trusted plugins only. Nothing is
/// compiled.
///
/// # Errors
///
/// The file is neither a component nor a core module with its component type.
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
                    "it is a native program or library; plugins are WebAssembly".to_owned()
                }
                Some(_) => "it has no WebAssembly header".to_owned(),
            };
            return Err(CompileError::NotAComponent(reason));
        }
    };
    structure::check(&plugin).map_err(|reason| match is_module {
        true => CompileError::NotAComponent(format!("its core module is not valid: {reason}")),
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
            format!("its core module does not match its component type: {error:#}")
        }),
        Ok((None, _)) => Err(
            "it is a core module without a component type; build it with one of Flowloom's SDKs or \
             wit-bindgen"
                .to_owned(),
        ),
        Err(error) => Err(format!("its core module is not valid: {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::answer::decode;
    use super::super::cache_folder::CacheFolder;
    use super::*;
    use crate::load::plugin::tests::{MODULE, embedded};
    use crate::sandbox::host_cost::tests::doubling;

    fn answer(task: Task, plugin: &[u8]) -> Result<Vec<u8>, CompileError> {
        answer_in(None, task, plugin)
    }

    /// Answers a request with a folder of compiled functions.
    fn answer_in(
        folder: Option<&Path>,
        task: Task,
        plugin: &[u8],
    ) -> Result<Vec<u8>, CompileError> {
        let head = Request::head(task, folder);
        let mut answer = Vec::new();
        serve(&[&head, plugin].concat()[..], &mut answer).unwrap();
        decode(answer).expect("an answer")
    }

    #[test]
    fn a_request_is_answered_with_a_component_or_machine_code() {
        let module = embedded(MODULE, "plugin");
        let component = answer(Task::Componentize, &module).unwrap();
        assert!(component.starts_with(b"\0asm\x0d"));
        // A component is returned unchanged.
        assert_eq!(
            answer(Task::Componentize, &component),
            Ok(component.clone())
        );
        for plugin in [&module, &component] {
            let image = answer(Task::Compile, plugin).unwrap();
            assert!(image.starts_with(b"\x7fELF"));
        }
        let mut out = Vec::new();
        assert!(serve(&b""[..], &mut out).is_err());
        let error = serve(&b"x\0\0\0\0"[..], &mut out).unwrap_err();
        assert_eq!(error.to_string(), "not a compiler request");
        assert!(out.is_empty());
    }

    #[test]
    fn features_are_answered_with_a_component() {
        let text = FeatureText::new("x.features", "n = count()");
        let component = answer(Task::CompileFeatures, &text.encode()).unwrap();
        assert_eq!(Ok(component), text.component());
        let text = FeatureText::new("x.features", "n = count(").encode();
        let error = answer(Task::CompileFeatures, &text).unwrap_err();
        assert!(error.to_string().contains("x.features:1:"), "{error}");
        let error = answer(Task::CompileFeatures, b"abc").unwrap_err();
        assert_eq!(error.to_string(), "it is not a text of features");
    }

    #[test]
    fn functions_are_compiled_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("cache");
        let module = embedded(MODULE, "plugin");
        // Another plugin, which shares all functions but one.
        let text = MODULE.replace("i32.const 65536", "i32.const 65544");
        let other = embedded(&text, "plugin");
        let plain = |plugin: &[u8]| answer(Task::Compile, plugin).unwrap();
        let with = |task, plugin: &[u8]| answer_in(Some(&folder), task, plugin).unwrap();
        // The machine code does not depend on the store.
        assert_eq!(with(Task::Compile, &module), plain(&module));
        // That compilation wrote nothing.
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        drop(CacheFolder::open(&folder).unwrap());
        assert_eq!(with(Task::Compile, &module), plain(&module));
        let open = || {
            let fingerprint = super::super::fingerprint(&engine().unwrap());
            FunctionStore::open(&folder, &fingerprint, false).unwrap()
        };
        let compiled = |plugin: &[u8]| {
            let functions = Arc::new(open());
            let image = compile(plugin.to_vec(), Some(functions.clone())).unwrap();
            assert_eq!(image.0, plain(plugin));
            functions.counts()
        };
        // That compilation kept nothing.
        let (found, all) = compiled(&module);
        assert!(found == 0 && all > 5, "{all}");
        assert_eq!(with(Task::CompileAndKeep, &module), plain(&module));
        // The keys of a few trampolines differ from one compilation to the next.
        for plugin in [&module, &other] {
            let (found, compiled) = compiled(plugin);
            assert!(found >= all - 4, "{found} of {all} functions");
            assert_eq!(found + compiled, all);
        }
        // A folder that cannot be used does not matter.
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        let image = answer_in(Some(&file), Task::CompileAndKeep, &module);
        assert_eq!(image.unwrap(), plain(&module));
    }

    #[test]
    fn machine_code_that_the_host_would_reject_is_not_returned() {
        let nested = wat::parse_str(doubling(10, "")).unwrap();
        assert!(answer(Task::Componentize, &nested).is_ok());
        let error = answer(Task::Compile, &nested).unwrap_err();
        let reason = "it has 2048 instances of nested components; at most 1024 are accepted";
        assert_eq!(error.reason(), reason);
    }

    #[test]
    fn other_files_are_told_apart() {
        let plain = wat::parse_str("(module)").unwrap();
        for (file, error) in [
            (
                &b"abc"[..],
                "it is not a WebAssembly component: it has 3 bytes",
            ),
            (
                b"\x7fELF\x02\x01\x01\0",
                "it is not a WebAssembly component: it is a native program or library; plugins are WebAssembly",
            ),
            (
                b"import random",
                "it is not a WebAssembly component: it has no WebAssembly header",
            ),
            (
                &plain,
                "it is not a WebAssembly component: it is a core module without a component type; build it \
                 with one of Flowloom's SDKs or wit-bindgen",
            ),
            (
                b"\0asm\x0d\0\x01\0\x07\xff",
                "it does not compile: unexpected end-of-file (at offset 0xa)",
            ),
            (
                b"\0asm\x01\0\0\0\x01\xff",
                "it is not a WebAssembly component: its core module is not valid: unexpected end-of-file (at \
                 offset 0xa)",
            ),
        ] {
            let found = answer(Task::Componentize, file).unwrap_err();
            assert_eq!(found.to_string(), error);
            assert!(error.ends_with(found.reason()));
        }
    }
}
