//! How the command compiles plugins: in processes of their own, once for each version.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flowloom::plugin::{ChildCompiler, CompileCache, Compiler, Image};

use super::exit::{Exit, Failure};
use super::privileges::Account;

/// How plugins are compiled.
#[derive(Args)]
pub(super) struct Compile {
    /// Where compiled plugins are kept, in a folder that is closed to others; `none` compiles them each
    /// time [default: flowloom in XDG_CACHE_HOME, or in ~/.cache].
    #[arg(long, value_name = "DIR|none")]
    plugin_cache: Option<PathBuf>,

    /// Seconds that compiling a plugin may take.
    #[arg(long, value_name = "S", default_value_t = ChildCompiler::TIME.as_secs())]
    compile_time: u64,

    /// Megabytes (MiB) of memory that compiling a plugin may take.
    #[arg(long, value_name = "MIB", default_value_t = ChildCompiler::MEMORY >> 20)]
    compile_memory: usize,
}

/// With a cache or without.
pub(super) enum CommandCompiler {
    Cached(CompileCache<ChildCompiler>),
    Plain(ChildCompiler),
}

impl Compiler for CommandCompiler {
    fn compile(&self, component: &[u8]) -> Result<Image, String> {
        match self {
            Self::Cached(compiler) => compiler.compile(component),
            Self::Plain(compiler) => compiler.compile(component),
        }
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

    pub(super) fn compiler(&self, account: Option<&Account>) -> Result<CommandCompiler, Failure> {
        let program = std::env::current_exe().map_err(|error| {
            Failure::failed(format_args!("cannot find this program again: {error}"))
        })?;
        let compiler = ChildCompiler::new(program, ["plugin", "compile"]).limits(
            Duration::from_secs(self.compile_time),
            self.compile_memory.saturating_mul(1 << 20),
        );
        let Some(folder) = self.folder(account) else {
            return Ok(CommandCompiler::Plain(compiler));
        };
        Ok(match CompileCache::open(&folder, compiler) {
            Ok(cache) => CommandCompiler::Cached(cache),
            Err((reason, compiler)) => {
                tracing::warn!(
                    "compiled plugins are not kept in {}: {reason}",
                    folder.display()
                );
                CommandCompiler::Plain(compiler)
            }
        })
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
    let mut component = Vec::new();
    let done = io::stdin()
        .read_to_end(&mut component)
        .map_err(|error| error.to_string())
        .and_then(|_| flowloom::plugin::compile(&component))
        .and_then(|image| {
            let written = io::stdout().write_all(&image);
            written.map_err(|error| error.to_string())
        });
    match done {
        Ok(()) => Ok(Exit::Done),
        Err(reason) => {
            // Read by the parent, which says whose it is.
            eprintln!("{reason}");
            Ok(Exit::Failed)
        }
    }
}
