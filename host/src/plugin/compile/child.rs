//! Compiling in a process that can be killed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use process_control::{ChildExt as _, Control as _};

use super::{Compiler, Image};

/// Compiles each component in a process of its own, with bounds to its time and memory.
///
/// The process is given the component on standard input, and answers on standard output with what
/// [`compile`](super::compile) gives, or with the reason on standard error.
#[derive(Clone, Debug)]
pub struct ChildCompiler {
    program: PathBuf,
    words: Vec<String>,
    time: Duration,
    memory: usize,
}

impl ChildCompiler {
    /// Python's interpreter, 18 MB, takes four seconds of two cores.
    pub const TIME: Duration = Duration::from_secs(60);
    /// Of address space. The same takes less than 1 GiB.
    pub const MEMORY: usize = 4 << 30;

    /// A compiler that runs this program with these words.
    pub fn new(
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

    /// Bounds that are not the default.
    #[must_use]
    pub fn limits(self, time: Duration, memory: usize) -> Self {
        Self {
            time,
            memory,
            ..self
        }
    }
}

impl Compiler for ChildCompiler {
    fn compile(&self, component: &[u8]) -> Result<Image, String> {
        let failed = |error: std::io::Error| format!("the compiler does not run: {error}");
        let mut child = Command::new(&self.program)
            .args(&self.words)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let output = thread::scope(|scope| {
            // It may end before it has read everything; then its answer says why.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(component)));
            child
                .controlled_with_output()
                .time_limit(self.time)
                .memory_limit(self.memory)
                .terminate_for_timeout()
                .wait()
        });
        let Some(output) = output.map_err(failed)? else {
            return Err(format!("it takes more than {} s", self.time.as_secs()));
        };
        if output.status.success() {
            return Ok(Image(output.stdout));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(1) => Err(said.trim().to_owned()),
            // Out of memory is an abort.
            _ => Err(format!(
                "the compiler was stopped ({}); {} MiB of memory are allowed",
                output.status,
                self.memory >> 20
            )),
        }
    }
}
