//! How the command compiles plugins: in processes of their own, once for each version.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flowloom::plugin::{ChildCompiler, CompileCache, CompileError, CompiledModule, Compiler};

use super::exit::{Exit, Failure};
use super::number::within;
use super::privileges::Account;

/// How plugins are compiled, and where they are kept.
#[derive(Args)]
pub(super) struct Compile {
    /// Where compiled plugins are kept, in a folder that is closed to others; `none` compiles them each
    /// time [default: flowloom in XDG_CACHE_HOME, or in ~/.cache].
    #[arg(long, value_name = "DIR|none")]
    plugin_cache: Option<PathBuf>,

    #[command(flatten)]
    bounds: CompileBounds,
}

/// What compiling a plugin may take, in a process of its own.
#[derive(Args)]
pub(super) struct CompileBounds {
    /// Seconds that compiling a plugin may take.
    #[arg(long, value_name = "S", default_value_t = ChildCompiler::TIME.as_secs(), value_parser = within(1..=MOST_TIME), allow_negative_numbers = true)]
    compile_time: u64,

    /// Megabytes (MiB) of memory that compiling a plugin may take.
    #[arg(long, value_name = "MIB", default_value_t = ChildCompiler::MEMORY as u64 >> 20, value_parser = within(1..=MOST_MEMORY), allow_negative_numbers = true)]
    compile_memory: u64,
}

/// A day, in seconds.
const MOST_TIME: u64 = 86_400;
/// A tebibyte, in MiB.
const MOST_MEMORY: u64 = 1 << 20;

/// With a cache or without.
pub(super) enum CommandCompiler {
    Cached(CompileCache<ChildCompiler>),
    Plain(ChildCompiler),
}

impl Compiler for CommandCompiler {
    fn compile(&self, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
        match self {
            Self::Cached(compiler) => compiler.compile(plugin),
            Self::Plain(compiler) => compiler.compile(plugin),
        }
    }
}

impl CompileBounds {
    /// The compiler of every command that loads plugins: it runs this very program again.
    pub(super) fn compiler(&self) -> ChildCompiler {
        // SAFETY: the kernel gives the file that this process runs, also if another one has been put in
        // its place; and `plugin compile` of it calls `serve_compiler`.
        #[allow(unsafe_code, reason = "the program that is run again is this one")]
        let compiler = unsafe { ChildCompiler::new("/proc/self/exe", ["plugin", "compile"]) };
        compiler.limits(
            Duration::from_secs(self.compile_time),
            (self.compile_memory as usize) << 20,
        )
    }
}

impl Compile {
    /// Where compiled plugins are kept, if they are.
    /// By default a run that becomes another user has that user's folder.
    pub(super) fn folder(&self, account: Option<&Account>) -> Option<PathBuf> {
        match (&self.plugin_cache, account) {
            (Some(folder), _) if folder.as_os_str() == "none" => None,
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(account)) if !account.is_root() => account.cache(),
            (None, _) => default_folder(),
        }
    }

    pub(super) fn compiler(&self, account: Option<&Account>) -> CommandCompiler {
        let compiler = self.bounds.compiler();
        let Some(folder) = self.folder(account) else {
            return CommandCompiler::Plain(compiler);
        };
        match CompileCache::open(&folder, compiler) {
            Ok(cache) => CommandCompiler::Cached(cache),
            Err((reason, compiler)) => {
                tracing::warn!(
                    "compiled plugins are not kept in {}: {reason}",
                    folder.display()
                );
                CommandCompiler::Plain(compiler)
            }
        }
    }
}

fn default_folder() -> Option<PathBuf> {
    let of = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = of("XDG_CACHE_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| Some(of("HOME")?.join(".cache")))?;
    Some(cache.join("flowloom"))
}

/// `flowloom plugin compile`: the process that [`ChildCompiler`] starts.
pub(super) fn run() -> Result<Exit, Failure> {
    close_files();
    let done = flowloom::plugin::serve_compiler(io::stdin().lock(), io::stdout().lock());
    done.map(|()| Exit::Done)
        .map_err(|error| Failure::failed(format_args!("cannot compile: {error}")))
}

/// Closes all files but the standard ones: whoever started this process may have left some open.
fn close_files() {
    // SAFETY: nothing of this process has opened a file yet that it uses later.
    #[allow(unsafe_code, reason = "there is no safe form")]
    unsafe {
        // Kernels before 5.9 do not know it.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
}
