//! Compiling in a process that can be killed.

use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::answer::{self, Task};
use super::{CompileError, CompiledModule, Compiler};

/// Compiles each plugin in a process of its own, with bounds to its time and memory.
///
/// The process runs a program that calls [`serve_compiler`](crate::load::compile::work::serve) with its standard input and output.
/// It starts with an empty environment, and before it is given anything, its address space, processor
/// time, stack and files are bounded. Whatever the plugin makes it do, this process reads a bounded
/// answer of it.
#[derive(Clone, Debug)]
pub struct ChildCompiler {
    program: PathBuf,
    words: Vec<String>,
    time: Duration,
    memory: usize,
}

/// The longest time that can be given.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Threads that compile, and arenas of the allocator: each reserves address space.
const THREADS: usize = 4;

/// Bytes of the main thread's stack.
const STACK: u64 = 8 << 20;

/// Bytes of standard error that are kept, to say why the process ended.
const MOST_STDERR: u64 = 16 << 10;

/// How often it is looked whether the process has ended, after it closed its output.
const LOOK: Duration = Duration::from_millis(1);

impl ChildCompiler {
    /// Python's interpreter, 18 MB, takes four seconds of two cores.
    pub const TIME: Duration = Duration::from_secs(60);
    /// Of address space. The same takes less than 512 MiB.
    pub const MEMORY: usize = 1 << 30;

    /// A compiler that runs this program with these words.
    ///
    /// # Safety
    ///
    /// What the program answers is run as machine code in this process. The program must be one that
    /// answers with what [`serve_compiler`](crate::load::compile::work::serve) of this very version of the library writes, and nobody
    /// who is not trusted may be able to put another one in its place.
    #[allow(
        unsafe_code,
        reason = "the output of the program is run as machine code"
    )]
    pub unsafe fn new(
        program: impl Into<PathBuf>,
        words: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            program: program.into(),
            words: words.into_iter().map(Into::into).collect(),
            time: Self::TIME,
            memory: Self::MEMORY,
        }
    }

    /// Sets bounds that are not the default: of the time, a day at most, and of bytes of address space.
    #[must_use]
    pub fn limits(self, time: Duration, memory: usize) -> Self {
        Self {
            time: time.min(LONGEST),
            memory,
            ..self
        }
    }

    /// Makes a component of a core module that carries its component type. A component stays as it is.
    ///
    /// # Errors
    ///
    /// Why there is no component.
    pub fn componentize(&self, module: &[u8]) -> Result<Vec<u8>, CompileError> {
        self.ask(Task::Componentize, module)
    }

    fn ask(&self, task: Task, plugin: &[u8]) -> Result<Vec<u8>, CompileError> {
        let failed = |error: io::Error| {
            CompileError::DoesNotCompile(format!("the compiler does not run: {error}"))
        };
        let ended = self.run(task, plugin).map_err(failed)?;
        let reason = match ended {
            Ended::InTime { status, answer, .. }
                if status.success()
                    && answer.len() <= CompiledModule::MOST_BYTES + answer::OVERHEAD =>
            {
                match answer::decode(answer) {
                    Some(answer) => return answer,
                    None => "the compiler gave no answer".to_owned(),
                }
            }
            Ended::InTime { status, .. } if status.success() => format!(
                "its machine code has more than {} MiB",
                CompiledModule::MOST_BYTES >> 20
            ),
            Ended::InTime { status, stderr, .. } => self.why(status, &stderr),
            Ended::Late => self.late(),
        };
        Err(CompileError::DoesNotCompile(reason))
    }

    fn run(&self, task: Task, plugin: &[u8]) -> io::Result<Ended> {
        let until = Instant::now() + self.time;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut child = Command::new(&self.program)
            .args(&self.words)
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.min(THREADS).to_string())
            .env("MALLOC_ARENA_MAX", THREADS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("all three are piped")
        };
        if let Err(error) = self.bound(&child) {
            kill(&mut child);
            return Err(error);
        }
        thread::scope(|scope| {
            // It may end before it has read everything; then its answer says why.
            scope.spawn(move || {
                let _ = stdin.write_all(&[task as u8]);
                let _ = stdin.write_all(plugin);
            });
            let stderr = scope.spawn(move || read(stderr, MOST_STDERR));
            let (tell, answered) = channel();
            scope.spawn(move || {
                let most = (CompiledModule::MOST_BYTES + answer::OVERHEAD) as u64;
                tell.send(read(stdout, most + 1))
            });
            let left = until.saturating_duration_since(Instant::now());
            let answer = match answered.recv_timeout(left) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    kill(&mut child);
                    return Ok(Ended::Late);
                }
            };
            let status = loop {
                match child.try_wait()? {
                    Some(status) => break status,
                    None if Instant::now() < until => thread::sleep(LOOK),
                    None => {
                        kill(&mut child);
                        return Ok(Ended::Late);
                    }
                }
            };
            Ok(Ended::InTime {
                status,
                answer: answer?,
                stderr: stderr.join().unwrap_or_else(|_| Ok(Vec::new()))?,
            })
        })
    }

    /// Bounds what a process may use that has been given nothing yet.
    fn bound(&self, child: &Child) -> io::Result<()> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // Seconds of all threads; one more, so that the clock on the wall is what ends it.
        let seconds = self.time.as_secs().saturating_add(1);
        let cpu = seconds.saturating_mul(THREADS as u64);
        for (resource, most) in [
            (Resource::As, self.memory as u64),
            (Resource::Cpu, cpu),
            (Resource::Stack, STACK),
            (Resource::Core, 0),
            (Resource::Fsize, 0),
        ] {
            // The process inherited our own bound, which it may not raise.
            let inherited = getrlimit(resource).maximum;
            let least = |most: u64| Some(inherited.map_or(most, |inherited| inherited.min(most)));
            // Of processor time, the lower bound is told from other kills by its signal.
            let limit = Rlimit {
                current: least(most),
                maximum: least(most + u64::from(resource == Resource::Cpu)),
            };
            match prlimit(pid, resource, limit) {
                Ok(_) => {}
                // It has ended already; its status says why.
                Err(Errno::SRCH) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn late(&self) -> String {
        format!("it takes more than {} s", self.time.as_secs())
    }

    /// Why a process ended without an answer.
    fn why(&self, status: ExitStatus, stderr: &[u8]) -> String {
        let said = String::from_utf8_lossy(stderr);
        let memory = self.memory >> 20;
        let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
        if has(&["has overflowed its stack"]) {
            return "it nests too deeply: the compiler's stack overflowed".to_owned();
        }
        // Of Rust's allocator, of starting a thread, and of the dynamic loader.
        if has(&[
            "memory allocation of",
            "Cannot allocate memory",
            "Resource temporarily unavailable",
            "failed to map segment",
        ]) {
            return format!("the compiler ran out of memory; {memory} MiB of memory are allowed");
        }
        if status.signal() == Some(libc::SIGXCPU) {
            return self.late();
        }
        if let Some((_, panic)) = said.split_once("panicked at ") {
            // The first line ends with the place.
            let message = panic.lines().nth(1).unwrap_or_default();
            return format!(
                "the compiler panicked: {}",
                answer::shown(message.as_bytes())
            );
        }
        format!("the compiler was stopped ({status}); {memory} MiB of memory are allowed")
    }
}

impl Compiler for ChildCompiler {
    fn compile(&self, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
        self.ask(Task::Compile, plugin).map(CompiledModule)
    }
}

/// How a process ended.
enum Ended {
    InTime {
        status: ExitStatus,
        answer: Vec<u8>,
        stderr: Vec<u8>,
    },
    /// It was killed.
    Late,
}

/// Reads up to so many bytes.
fn read(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes)?;
    // Dropping the pipe ends a process that goes on writing.
    Ok(bytes)
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}
