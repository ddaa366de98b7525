//! Compilation in a process with limits.

use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{self, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::answer::{self, Request, Task};
use super::functions;
use super::{CompileError, CompiledModule, Compiler, FeatureText};
use crate::source::PluginSource;

/// Compiles each plugin in its own process, with limits on time and memory.
///
/// The process runs a program that calls [`serve_compiler`](crate::load::compile::work::serve) with its
/// standard input and output. It starts with an empty environment. Its address space, CPU time, stack and files
/// are limited before it receives any input. Whatever the plugin makes it do, the caller reads an answer of
/// limited size.
#[derive(Clone, Debug)]
pub struct ChildCompiler {
    program: PathBuf,
    args: Vec<String>,
    time: Duration,
    memory: usize,
    /// The folder of compiled functions, and whether new ones are kept.
    functions: Option<(PathBuf, FunctionUse)>,
}

/// How a compilation uses the machine code of functions that earlier compilations have kept.
///
/// The machine code of a function cannot be verified. Keep functions only of components that you would also run
/// without a sandbox, such as one that was just built from your sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionUse {
    /// Functions that were kept are used. No others are kept.
    Read,
    /// New functions are kept too.
    ReadAndKeep,
}

/// The maximum of `time`.
const MAX_TIME: Duration = Duration::from_secs(86_400);

/// The number of compiling threads, and of allocator arenas. Each reserves address space.
const THREADS: usize = 4;

/// Bytes of the main thread's stack.
const STACK: u64 = 8 << 20;

/// The maximum number of bytes of standard error that are read, in order to explain why the process ended.
const MAX_STDERR: u64 = 16 << 10;

/// The interval of checks whether the process has ended, after it closed its output.
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(1);

impl ChildCompiler {
    /// The default limit on time. Python's interpreter (18 MB) takes four seconds of two cores.
    pub const TIME: Duration = Duration::from_secs(60);
    /// The default limit on address space, in bytes. Python's interpreter takes less than 512 MiB.
    pub const MEMORY: usize = 1 << 30;

    /// Creates a compiler that runs `program` with these arguments.
    ///
    /// # Safety
    ///
    /// The answer of the program is executed as machine code in this process. The program must answer with the
    /// output of [`serve_compiler`](crate::load::compile::work::serve) of this exact version of the library. No
    /// untrusted user may be able to replace the program.
    #[allow(
        unsafe_code,
        reason = "the output of the program is run as machine code"
    )]
    pub unsafe fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            time: Self::TIME,
            memory: Self::MEMORY,
            functions: None,
        }
    }

    /// Sets a [`CacheFolder`](super::CacheFolder) with the machine code of functions. Without it, or if it cannot be
    /// used, each function is compiled.
    #[must_use]
    pub fn functions(self, folder: impl Into<PathBuf>, usage: FunctionUse) -> Self {
        Self {
            functions: Some((folder.into(), usage)),
            ..self
        }
    }

    /// Sets the limits: time (at most a day), and bytes of address space.
    #[must_use]
    pub fn limits(self, time: Duration, memory: usize) -> Self {
        Self {
            time: time.min(MAX_TIME),
            memory,
            ..self
        }
    }

    /// Creates a component from a core module with its component type. A component is returned unchanged.
    ///
    /// # Errors
    ///
    /// The file is not valid, or exceeds a limit.
    pub fn componentize(&self, module: &[u8]) -> Result<Vec<u8>, CompileError> {
        self.request(Task::Componentize, module)
    }

    fn request(&self, task: Task, plugin: &[u8]) -> Result<Vec<u8>, CompileError> {
        let failed = |error: io::Error| {
            CompileError::DoesNotCompile(format!("cannot run the compiler: {error}"))
        };
        let ended = self.run(task, plugin).map_err(failed)?;
        let reason = match ended {
            Outcome::Exited { status, answer, .. }
                if status.success()
                    && answer.len() <= CompiledModule::MAX_BYTES + answer::OVERHEAD =>
            {
                match answer::decode(answer) {
                    Some(answer) => return answer,
                    None => "the compiler gave no valid answer".to_owned(),
                }
            }
            Outcome::Exited { status, .. } if status.success() => format!(
                "its machine code has more than {} MiB",
                CompiledModule::MAX_BYTES >> 20
            ),
            Outcome::Exited { status, stderr, .. } => self.failure_reason(status, &stderr),
            Outcome::TimedOut => self.timeout_reason(),
        };
        Err(CompileError::DoesNotCompile(reason))
    }

    fn run(&self, task: Task, plugin: &[u8]) -> io::Result<Outcome> {
        let until = Instant::now() + self.time;
        // The process runs in the same folder, but has no environment.
        let folder = self.functions.as_ref().map(|(folder, _)| folder);
        let folder = folder.filter(|_| matches!(task, Task::Compile | Task::CompileAndKeep));
        let folder = folder.and_then(|folder| path::absolute(folder).ok());
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.min(THREADS).to_string())
            .env("MALLOC_ARENA_MAX", THREADS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("all three streams are piped")
        };
        if let Err(error) = self.set_limits(&child, task) {
            kill(&mut child);
            return Err(error);
        }
        let head = Request::head(task, folder.as_deref());
        thread::scope(|scope| {
            // The process may end before it has read everything. Its status or answer then gives the reason.
            scope.spawn(move || {
                let _ = stdin.write_all(&head);
                let _ = stdin.write_all(plugin);
            });
            let stderr = scope.spawn(move || read(stderr, MAX_STDERR));
            let (sender, answered) = channel();
            scope.spawn(move || {
                let max = (CompiledModule::MAX_BYTES + answer::OVERHEAD) as u64;
                sender.send(read(stdout, max + 1))
            });
            let left = until.saturating_duration_since(Instant::now());
            let answer = match answered.recv_timeout(left) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    kill(&mut child);
                    return Ok(Outcome::TimedOut);
                }
            };
            let status = loop {
                match child.try_wait()? {
                    Some(status) => break status,
                    None if Instant::now() < until => thread::sleep(EXIT_POLL_INTERVAL),
                    None => {
                        kill(&mut child);
                        return Ok(Outcome::TimedOut);
                    }
                }
            };
            Ok(Outcome::Exited {
                status,
                answer: answer?,
                stderr: stderr.join().unwrap_or_else(|_| Ok(Vec::new()))?,
            })
        })
    }

    /// Sets the limits of a process that has received no input yet.
    fn set_limits(&self, child: &Child, task: Task) -> io::Result<()> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // CPU seconds of all threads. One more second makes sure that the elapsed time ends it first.
        let seconds = self.time.as_secs().saturating_add(1);
        let cpu = seconds.saturating_mul(THREADS as u64);
        let file = match task {
            Task::CompileAndKeep => functions::MAX_PACK_BYTES,
            Task::Compile | Task::Componentize | Task::CompileFeatures => 0,
        };
        for (resource, max) in [
            (Resource::As, self.memory as u64),
            (Resource::Cpu, cpu),
            (Resource::Stack, STACK),
            (Resource::Core, 0),
            (Resource::Fsize, file),
        ] {
            // The process inherited the limit of this process, and cannot raise it.
            let inherited = getrlimit(resource).maximum;
            let lower = |max: u64| Some(inherited.map_or(max, |inherited| inherited.min(max)));
            // The soft limit of CPU time sends its own signal, which distinguishes it from other kills.
            let limit = Rlimit {
                current: lower(max),
                maximum: lower(max + u64::from(resource == Resource::Cpu)),
            };
            match prlimit(pid, resource, limit) {
                Ok(_) => {}
                // The process has ended already. Its status gives the reason.
                Err(Errno::SRCH) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn timeout_reason(&self) -> String {
        format!("it takes more than {} s", self.time.as_secs())
    }

    /// Returns the reason why a process ended without an answer.
    fn failure_reason(&self, status: ExitStatus, stderr: &[u8]) -> String {
        let stderr = String::from_utf8_lossy(stderr);
        let memory = self.memory >> 20;
        let has = |texts: &[&str]| texts.iter().any(|text| stderr.contains(text));
        if has(&["has overflowed its stack"]) {
            return "it nests too deeply: the compiler's stack overflowed".to_owned();
        }
        // Messages of Rust's allocator, of a failed thread start, and of the dynamic loader.
        if has(&[
            "memory allocation of",
            "Cannot allocate memory",
            "Resource temporarily unavailable",
            "failed to map segment",
        ]) {
            return format!("the compiler ran out of memory; {memory} MiB of memory are allowed");
        }
        if status.signal() == Some(libc::SIGXCPU) {
            return self.timeout_reason();
        }
        if let Some((_, panic)) = stderr.split_once("panicked at ") {
            // The first line ends with the source location.
            let message = panic.lines().nth(1).unwrap_or_default();
            return format!(
                "the compiler panicked: {}",
                answer::one_line(message.as_bytes())
            );
        }
        format!("the compiler was stopped ({status}); {memory} MiB of memory are allowed")
    }
}

impl Compiler for ChildCompiler {
    fn compile(&self, _: &PluginSource, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
        let task = match self.functions {
            Some((_, FunctionUse::ReadAndKeep)) => Task::CompileAndKeep,
            Some((_, FunctionUse::Read)) | None => Task::Compile,
        };
        self.request(task, plugin).map(CompiledModule)
    }

    fn component_of(&self, features: &FeatureText) -> Result<Vec<u8>, CompileError> {
        self.request(Task::CompileFeatures, &features.encode())
    }
}

/// How a process ended.
enum Outcome {
    Exited {
        status: ExitStatus,
        answer: Vec<u8>,
        stderr: Vec<u8>,
    },
    /// It was killed because its time had passed.
    TimedOut,
}

/// Reads at most `max` bytes, and closes the pipe. A process that writes more receives SIGPIPE.
fn read(from: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> PluginSource {
        PluginSource::File("plugin.wasm".into())
    }

    /// Compiles "plugin" with a shell script as the compiling process.
    fn run(script: &str, time: Duration, memory: usize) -> Result<Vec<u8>, String> {
        #[allow(unsafe_code, reason = "no answer of the scripts is executed")]
        let compiler = unsafe { ChildCompiler::new("/bin/sh", ["-c", script]) };
        let image = compiler.limits(time, memory).compile(&source(), b"plugin");
        image
            .map(|image| image.0)
            .map_err(|error| error.reason().to_owned())
    }

    fn failed(script: &str) -> String {
        run(script, ChildCompiler::TIME, 64 << 20).unwrap_err()
    }

    #[test]
    fn the_answer_follows_the_request() {
        let answer = |script: &str| run(script, ChildCompiler::TIME, ChildCompiler::MEMORY);
        // The request is the task, the number of bytes of a folder's name, and the file.
        let image = answer("printf FLOWLOOM+; cat").unwrap();
        assert_eq!(image, b"c\0\0\0\0plugin");
        let error = answer("cat > /dev/null; printf 'FLOWLOOMdtoo many locals'");
        assert_eq!(error.unwrap_err(), "too many locals");
        // The process need not read the request.
        assert_eq!(answer("printf FLOWLOOM+x").unwrap(), b"x");
        let error = answer("printf FLOW").unwrap_err();
        assert_eq!(error, "the compiler gave no valid answer");
        #[allow(unsafe_code, reason = "there is no such program")]
        let missing = unsafe { ChildCompiler::new("/nowhere", [""; 0]) };
        let error = missing.componentize(b"").unwrap_err();
        assert!(error.reason().starts_with("cannot run the compiler: "));
    }

    #[test]
    fn the_reason_why_a_process_ended_is_explained() {
        for (script, reason) in [
            (
                "echo \"thread 'main' has overflowed its stack\" >&2; kill -ABRT $$",
                "it nests too deeply: the compiler's stack overflowed",
            ),
            (
                "echo 'memory allocation of 9 bytes failed' >&2; exit 1",
                "the compiler ran out of memory; 64 MiB of memory are allowed",
            ),
            (
                "echo 'sh: error: failed to map segment' >&2; exit 127",
                "the compiler ran out of memory; 64 MiB of memory are allowed",
            ),
            (
                "printf \"thread 'main' panicked at x.rs:1:1:\\nno  such\\nnote\" >&2; exit 101",
                "the compiler panicked: no such",
            ),
            ("kill -XCPU $$", "it takes more than 60 s"),
            (
                "exit 3",
                "the compiler was stopped (exit status: 3); 64 MiB of memory are allowed",
            ),
            // Even with an answer.
            (
                "printf FLOWLOOM+; exit 3",
                "the compiler was stopped (exit status: 3); 64 MiB of memory are allowed",
            ),
        ] {
            assert_eq!(failed(script), reason, "{script}");
        }
        let killed = failed("kill -KILL $$");
        assert!(
            killed.starts_with("the compiler was stopped (signal: 9 "),
            "{killed}"
        );
    }

    #[test]
    fn the_process_has_limits_and_no_environment() {
        let print = |what: &str| {
            // The limits are set before the process receives its input.
            let script = format!("cat > /dev/null; echo panicked at x >&2; {what} >&2; exit 1");
            run(&script, Duration::from_secs(9), 1 << 30).unwrap_err()
        };
        for (what, value) in [
            ("ulimit -v", "1048576"),
            // Ten seconds of four threads, and one more for a signal of its own.
            ("ulimit -S -t", "40"),
            ("ulimit -H -t", "41"),
            ("ulimit -s", "8192"),
            ("ulimit -c", "0"),
            ("ulimit -f", "0"),
            ("echo $MALLOC_ARENA_MAX$HOME", "4"),
        ] {
            assert_eq!(
                print(what),
                format!("the compiler panicked: {value}"),
                "{what}"
            );
        }
        let threads = print("echo $RAYON_NUM_THREADS");
        let ends = ["1", "2", "3", "4"];
        assert!(ends.iter().any(|end| threads.ends_with(end)), "{threads}");
    }

    #[test]
    fn a_process_is_killed_when_its_time_has_passed() {
        for script in [
            "exec sleep 99",
            // It closes its output, but goes on.
            "exec sleep 99 >&-",
        ] {
            let error = run(script, Duration::from_millis(50), ChildCompiler::MEMORY);
            assert_eq!(error.unwrap_err(), "it takes more than 0 s", "{script}");
        }
        #[allow(unsafe_code, reason = "it is not run")]
        let compiler = unsafe { ChildCompiler::new("/nowhere", [""; 0]) };
        assert_eq!(
            (compiler.time, compiler.memory),
            (Duration::from_secs(60), 1 << 30)
        );
        let compiler = compiler.limits(Duration::MAX, 7);
        assert_eq!(
            (compiler.time, compiler.memory),
            (Duration::from_secs(86_400), 7)
        );
    }
}
