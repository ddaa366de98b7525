//! Runs the command `flowloom`, and checks its output.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::flows::Flow;

/// A run that takes longer counts as a hang.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The timeout of a run that starts compilers, on a busy machine.
const COMPILER_TIMEOUT: Duration = Duration::from_secs(1_200);

/// The folder of this package.
pub(crate) const HOST: &str = env!("CARGO_MANIFEST_DIR");

/// Returns the folder of the captures. The command runs in it, so that tests name captures without a folder.
pub(crate) fn captures() -> PathBuf {
    Path::new(HOST).join("../../tests/captures")
}

/// Returns the command `flowloom meter SOURCE`.
pub(crate) fn meter(source: impl AsRef<OsStr>) -> Command {
    Command {
        undissected: true,
        ..flowloom().arg("meter").arg(source)
    }
}

/// Returns the command `flowloom`, which runs in the folder of the captures.
pub(crate) fn flowloom() -> Command {
    let mut command = process::Command::new(env!("CARGO_BIN_EXE_flowloom"));
    command
        .current_dir(captures())
        .env_remove("FLOWLOOM_LOG")
        // All tests share one cache of compiled plugins.
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    Command {
        command,
        stdin: Vec::new(),
        undissected: false,
        timeout: TIMEOUT,
    }
}

/// A run that has not started yet.
pub(crate) struct Command {
    command: process::Command,
    stdin: Vec<u8>,
    /// Whether the run gets `--n-dissections 0`. Most tests do not need dissection.
    undissected: bool,
    timeout: Duration,
}

impl Command {
    /// Runs the command in this folder instead of the folder of the captures.
    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Waits longer, because the run starts a compiler.
    pub(crate) fn compiles(self) -> Self {
        Self {
            timeout: COMPILER_TIMEOUT,
            ..self
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Dissects the first packets of every flow, as the command does by default.
    #[cfg(feature = "ndpi")]
    pub(crate) fn dissected(self) -> Self {
        Self {
            undissected: false,
            ..self
        }
    }

    /// Selects JSON lines as the format.
    pub(crate) fn jsonl(self) -> Self {
        self.args(["--format", "jsonl"])
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Starts the command with pipes as its standard streams.
    pub(crate) fn start(&mut self) -> process::Child {
        if self.undissected {
            self.command.args(["--n-dissections", "0"]);
        }
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts")
    }

    pub(crate) fn run(mut self) -> Run {
        let mut child = self.start();
        let called = format!("{:?}", self.command);
        let mut stdin = child.stdin.take().expect("the stream is piped");
        let mut stdout = child.stdout.take().expect("the stream is piped");
        let mut stderr = child.stderr.take().expect("the stream is piped");
        // An error is ignored: the command may end without reading its input.
        let write = thread::spawn(move || _ = stdin.write_all(&self.stdin));
        let stdout = thread::spawn(move || read(&mut stdout));
        let stderr = thread::spawn(move || read(&mut stderr));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("the command can be waited for") {
                break status;
            }
            if start.elapsed() > self.timeout {
                let _ = child.kill();
                panic!("{called}\ndid not end in time");
            }
            thread::sleep(Duration::from_millis(2));
        };
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        write.join().expect("writing does not panic");
        let run = Run {
            called,
            exit: status.code(),
            stdout: text(stdout.join().expect("reading does not panic")),
            stderr: text(stderr.join().expect("reading does not panic")),
        };
        assert!(
            run.exit.is_some_and(|code| code != 101) && !run.stderr.contains("panicked at host/"),
            "the command crashed: {status}\n{run}"
        );
        run
    }
}

fn read(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("a pipe can be read");
    bytes
}

/// A run that has ended. Its assertions return it, so that they can be chained.
pub(crate) struct Run {
    called: String,
    exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Checks that the exit code is 0: done.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        self.exits(0)
    }

    /// Checks that the exit code is 3: done, but incomplete.
    #[track_caller]
    pub(crate) fn incomplete(self) -> Self {
        self.exits(3)
    }

    /// Checks that the run failed before the first flow: exit code 1, nothing on standard output, and this message on
    /// standard error.
    #[track_caller]
    pub(crate) fn fails(self, message: &str) {
        self.exits(1).has_message(message);
    }

    /// Checks for wrong usage: exit code 2, nothing on standard output, and this message on standard error.
    #[track_caller]
    pub(crate) fn refuses_usage(self, message: &str) {
        self.exits(2).has_message(message);
    }

    /// Checks for an error of clap: exit code 2, nothing on standard output, and this message in the first line on
    /// standard error.
    #[track_caller]
    pub(crate) fn refuses_arguments(self, message: &str) {
        let run = self.exits(2);
        let first = run.stderr.lines().next().unwrap_or_default();
        assert_eq!(first, format!("error: {message}"), "{run}");
        assert_eq!(run.stdout, "", "{run}");
    }

    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.exit, Some(code), "exit code of\n{self}");
        self
    }

    #[track_caller]
    fn has_message(self, message: &str) {
        assert_eq!(self.stderr, format!("flowloom: {message}\n"), "{self}");
        assert_eq!(self.stdout, "", "{self}");
    }

    /// Checks that standard error has exactly these lines. Values that differ from run to run are not compared: how
    /// busy threads were, time and memory of plugins, and the times of log lines.
    #[track_caller]
    pub(crate) fn reports(self, lines: &[&str]) -> Self {
        assert_eq!(self.report(), lines, "standard error of\n{self}");
        self
    }

    /// Checks that standard error has this line, compared like in `reports`.
    #[track_caller]
    pub(crate) fn reports_line(self, line: &str) -> Self {
        assert!(
            self.report().iter().any(|reported| reported == line),
            "no line `{line}` on standard error of\n{self}"
        );
        self
    }

    /// Returns the lines on standard error, without values that differ from run to run.
    pub(crate) fn report(&self) -> Vec<String> {
        self.stderr
            .lines()
            .map(without_time)
            .filter(|line| !line.starts_with("time "))
            .map(|line| match line.starts_with("plugin ") {
                true => without_number(&without_number(line, " ns per event"), " KiB"),
                false => line.to_owned(),
            })
            .collect()
    }

    /// Parses the JSON lines on standard output.
    #[track_caller]
    pub(crate) fn flows(&self) -> Vec<Flow> {
        self.stdout
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{error} in `{line}` of\n{self}"))
            })
            .collect()
    }
}

/// Returns a log line without its time, which only lines of live runs have.
fn without_time(line: &str) -> &str {
    const PATTERN: &str = "0000-00-00T00:00:00.000Z ";
    match line.split_at_checked(PATTERN.len()) {
        Some((time, rest))
            if PATTERN.bytes().zip(time.bytes()).all(|(p, b)| match p {
                b'0' => b.is_ascii_digit(),
                _ => p == b,
            }) =>
        {
            rest
        }
        _ => line,
    }
}

/// Removes the names of a plugin's functions from the reason of a trap: `… of CPU time in share, called from update; …`.
pub(crate) fn without_stack(line: &str) -> String {
    let (reason, rest) = match line.find("; the flows") {
        Some(at) => line.split_at(at),
        None => (line, ""),
    };
    let start = reason.rfind(": ").unwrap_or(0);
    match reason[start..].find(" in ") {
        Some(at) => format!("{}{rest}", &reason[..start + at]),
        None => line.to_owned(),
    }
}

/// Replaces the number before a unit: `12 KiB` becomes `_ KiB`.
fn without_number(line: &str, unit: &str) -> String {
    match line.split_once(unit) {
        Some((before, after)) => {
            let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
            format!("{before}_{unit}{after}")
        }
        None => line.to_owned(),
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stdout: String = self.stdout.chars().take(2_000).collect();
        write!(
            f,
            "{}\nexit code: {:?}\nstandard error:\n{}standard output:\n{stdout}",
            self.called, self.exit, self.stderr
        )
    }
}
