//! Compilation of plugins: in a separate process, once per version of a plugin.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flowloom::has_more_privileges;
use flowloom::plugin::{
    ChildCompiler, CompileCache, CompileError, CompiledModule, Compiler, FeatureText, FunctionUse,
    PluginSource, escaped_path,
};

use super::exit::{Exit, Failure};
use super::number::within;
use super::plugin_options::PLUGINS;
use super::privileges::Account;
use super::progress::Spinner;

/// Options of compilation, with a cache.
#[derive(Args)]
pub(super) struct CompileOptions {
    #[command(flatten)]
    cache: CacheOption,

    #[command(flatten)]
    bounds: CompileBounds,
}

/// The folder of compiled plugins.
#[derive(Args)]
pub(super) struct CacheOption {
    /// Folder of compiled plugins [default: ~/.cache/flowloom].
    ///
    /// The folder must be closed to other users. `none` compiles plugins in every run. If XDG_CACHE_HOME is
    /// set, the default is the folder flowloom in it.
    #[arg(long, value_name = "DIR|none", help_heading = PLUGINS)]
    plugin_cache: Option<PathBuf>,
}

/// Limits of the process that compiles a plugin.
#[derive(Args)]
pub(super) struct CompileBounds {
    /// Time limit for compiling a plugin.
    #[arg(long, value_name = "SECONDS", help_heading = PLUGINS, default_value_t = ChildCompiler::TIME.as_secs(), value_parser = within(1..=MAX_SECONDS), allow_negative_numbers = true)]
    compile_time: u64,

    /// Memory limit for compiling a plugin.
    #[arg(long, value_name = "MIB", help_heading = PLUGINS, default_value_t = ChildCompiler::MEMORY as u64 >> 20, value_parser = within(1..=MAX_MIB), allow_negative_numbers = true)]
    compile_memory: u64,
}

/// A day, in seconds.
const MAX_SECONDS: u64 = 86_400;
/// A tebibyte, in MiB.
const MAX_MIB: u64 = 1 << 20;

/// The compiler of all commands that load plugins, with or without a cache. It shows what it compiles.
pub(super) struct CommandCompiler {
    compiler: CompilerKind,
    /// Why a plugin has to be compiled.
    reason: String,
}

enum CompilerKind {
    Cached(CompileCache<ChildCompiler>),
    Plain(ChildCompiler),
}

/// The size from which the compilation of a plugin takes a second or more, in bytes.
const SLOW: usize = 1 << 20;

impl CommandCompiler {
    fn new(folder: Option<PathBuf>, compiler: ChildCompiler, usage: FunctionUse) -> Self {
        let is_new = usage == FunctionUse::ReadAndKeep;
        let plain = |compiler, reason: &str| Self {
            compiler: CompilerKind::Plain(compiler),
            reason: reason.to_owned(),
        };
        let Some(folder) = folder else {
            return plain(compiler, "the cache is not used");
        };
        let shown = escaped_path(&folder);
        match CompileCache::open(&folder, compiler.functions(&folder, usage)) {
            Ok(cache) => Self {
                compiler: CompilerKind::Cached(cache),
                reason: match is_new {
                    true => "it was just built".to_owned(),
                    false => format!("{shown} does not have it"),
                },
            },
            Err((reason, compiler)) => {
                tracing::warn!("cannot keep compiled plugins in {shown}: {reason}");
                plain(compiler, "the cache cannot be used")
            }
        }
    }
}

impl Compiler for CommandCompiler {
    fn compile(
        &self,
        source: &PluginSource,
        plugin: &[u8],
    ) -> Result<CompiledModule, CompileError> {
        let is_kept = match &self.compiler {
            CompilerKind::Cached(compiler) => compiler.contains(plugin),
            CompilerKind::Plain(_) => false,
        };
        let spinner = (plugin.len() >= SLOW && !is_kept).then(|| {
            let size = plugin.len() as f64 / 1e6;
            Spinner::new(format!(
                "compiling {source} ({size:.1} MB): {}",
                self.reason
            ))
        });
        let compiled = match &self.compiler {
            CompilerKind::Cached(compiler) => compiler.compile(source, plugin),
            CompilerKind::Plain(compiler) => compiler.compile(source, plugin),
        };
        if let Some(spinner) = spinner {
            spinner.end();
        }
        compiled
    }

    fn component_of(&self, features: &FeatureText) -> Result<Vec<u8>, CompileError> {
        match &self.compiler {
            CompilerKind::Cached(compiler) => compiler.component_of(features),
            CompilerKind::Plain(compiler) => compiler.component_of(features),
        }
    }
}

impl CompileBounds {
    /// Returns the compiler of all commands that load plugins. It runs this program again.
    pub(super) fn compiler(&self) -> ChildCompiler {
        // SAFETY: /proc/self/exe is the file that this process runs, even if another file has replaced it.
        // Its subcommand `plugin compile-process` calls `serve_compiler`.
        #[allow(unsafe_code, reason = "the program that is run again is this one")]
        let compiler =
            unsafe { ChildCompiler::new("/proc/self/exe", ["plugin", "compile-process"]) };
        compiler.limits(
            Duration::from_secs(self.compile_time),
            (self.compile_memory as usize) << 20,
        )
    }
}

impl CacheOption {
    /// Returns the folder of compiled plugins, or `None` if they are not kept. A run that becomes another
    /// user uses that user's folder by default.
    pub(super) fn folder(&self, account: Option<&Account>) -> Option<PathBuf> {
        match (&self.plugin_cache, account) {
            (Some(folder), _) if folder.as_os_str() == "none" => None,
            (Some(folder), _) => Some(folder.clone()),
            (None, Some(account)) if !account.is_root() => account.cache(),
            (None, _) => default_folder("flowloom"),
        }
    }
}

impl CompileOptions {
    /// Returns the limits of the process that compiles a plugin.
    pub(super) fn bounds(&self) -> &CompileBounds {
        &self.bounds
    }

    /// Returns the folder of compiled plugins, as [`CacheOption::folder`] does.
    pub(super) fn folder(&self, account: Option<&Account>) -> Option<PathBuf> {
        self.cache.folder(account)
    }

    /// Returns the compiler of a command. A run that becomes another user keeps compiled plugins of that user.
    pub(super) fn compiler(&self, account: Option<&Account>) -> CommandCompiler {
        let folder = self.folder(account);
        CommandCompiler::new(folder, self.bounds.compiler(), FunctionUse::Read)
    }

    /// Returns the compiler for a component that was just built from the user's sources. It keeps the machine code of
    /// functions, which makes the compilation of similar components quicker.
    pub(super) fn compiler_of_build(&self) -> CommandCompiler {
        let folder = self.folder(None);
        CommandCompiler::new(folder, self.bounds.compiler(), FunctionUse::ReadAndKeep)
    }
}

/// Returns the default folder with this name in the folder of caches. A program with more privileges than its caller has none, because the caller's
/// folder is not trusted.
pub(super) fn default_folder(name: &str) -> Option<PathBuf> {
    if has_more_privileges() {
        return None;
    }
    let of = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = of("XDG_CACHE_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| Some(of("HOME")?.join(".cache")))?;
    Some(cache.join(name))
}

/// `flowloom plugin compile-process`: the process that [`ChildCompiler`] starts.
pub(super) fn run() -> Result<Exit, Failure> {
    close_files();
    let done = flowloom::plugin::serve_compiler(io::stdin().lock(), io::stdout().lock());
    done.map(|()| Exit::Done)
        .map_err(|error| Failure::failed(format_args!("cannot compile: {error}")))
}

/// Closes all descriptors except the standard ones. The parent process may have left some open.
fn close_files() {
    // SAFETY: this process has not yet opened a file that it uses later.
    #[allow(unsafe_code, reason = "there is no safe form")]
    unsafe {
        // Kernels before 5.9 do not have this call, and return an error.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
}
