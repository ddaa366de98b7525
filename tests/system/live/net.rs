//! Creates network namespaces, and runs the command in them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::command::captures;
use crate::flows::{Flow, parse};

/// A step that takes longer counts as a hang.
const HANGS: Duration = Duration::from_secs(60);

/// The number of flows of `dns.pcap`.
pub(super) const DNS_FLOWS: usize = 9;

/// A namespace with a veth pair from `near` to `far`. Flowloom captures from `far`. The interfaces have no addresses,
/// so that only packets of the test are sent.
pub(super) struct Net {
    name: String,
    /// The namespace of the near interface, if it has its own.
    peer: Option<String>,
}

impl Net {
    /// Creates the namespace. Returns `None` and prints a message if this is not permitted.
    pub(super) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("flowloom-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            eprintln!("skipped: network namespaces need root and iproute2");
            return None;
        }
        let net = Self { name, peer: None };
        net.wire();
        Some(net)
    }

    /// Like `new`, but the near interface has its own namespace. The addresses are 192.0.2.1 (near) and 192.0.2.2
    /// (far).
    pub(super) fn with_hosts() -> Option<Self> {
        let mut net = Self::new()?;
        let peer = format!("{}-near", net.name);
        tool("ip", ["netns", "add", &peer]);
        net.ip(["link", "set", "near", "netns", &peer]);
        net.ip(["address", "add", "192.0.2.2/24", "dev", "far"]);
        tool(
            "ip",
            ["-n", &peer, "address", "add", "192.0.2.1/24", "dev", "near"],
        );
        net.peer = Some(peer);
        let quiet = "net.ipv6.conf.near.disable_ipv6=1";
        output(net.near("sysctl").args(["-qw", quiet]));
        output(net.near("ip").args(["link", "set", "near", "up"]));
        Some(net)
    }

    /// Creates the veth pair.
    pub(super) fn wire(&self) {
        self.ip(["link", "add", "near", "type", "veth", "peer", "name", "far"]);
        for end in ["near", "far"] {
            let quiet = format!("net.ipv6.conf.{end}.disable_ipv6=1");
            self.run("sysctl", ["-qw", &quiet]);
            self.ip(["link", "set", end, "mtu", "65535", "up"]);
        }
    }

    /// Runs `ip` for the namespace.
    pub(super) fn ip<'a>(&'a self, args: impl IntoIterator<Item = &'a str>) {
        tool("ip", ["-n", &self.name].into_iter().chain(args));
    }

    /// Returns a command that runs in the namespace.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        in_namespace(&self.name, program)
    }

    /// Returns a command that runs in the namespace of the near interface.
    pub(super) fn near(&self, program: impl AsRef<OsStr>) -> Command {
        in_namespace(self.peer.as_ref().expect("there is a near end"), program)
    }

    /// Runs a program in the namespace. Returns its standard output.
    pub(super) fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> String {
        let mut command = self.command(program);
        output(command.args(args))
    }

    /// Sends the packets of a capture as quickly as possible.
    pub(super) fn replay(&self, capture: &Path, options: &[&str]) {
        let options = ["--topspeed", "--intf1=near"].iter().chain(options);
        let mut command = self.command("tcpreplay");
        output(command.current_dir(captures()).args(options).arg(capture));
    }

    /// Starts `flowloom meter far`, which writes JSON lines to a file.
    pub(super) fn meter<'a>(&self, options: impl IntoIterator<Item = &'a str>) -> Live {
        Live::start(self, None, options)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in self.peer.iter().chain([&self.name]) {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

fn in_namespace(name: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name]).arg(program);
    command
}

fn tool<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) {
    output(Command::new(program).args(args));
}

/// Runs a command, which must succeed. Returns its standard output.
#[track_caller]
pub(super) fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: see tests/setup.sh"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Waits until a condition is true.
#[track_caller]
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANGS, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running command.
pub(super) struct Live {
    child: Child,
    folder: TempDir,
    output: PathBuf,
}

impl Live {
    /// Starts `flowloom meter far`. `before` is a command that runs it, with its arguments.
    pub(super) fn start<'a>(
        net: &Net,
        before: Option<&[&str]>,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::start_on("far", net, before, options)
    }

    /// Like `start`, but for another interface of the namespace.
    pub(super) fn start_on<'a>(
        interface: &str,
        net: &Net,
        before: Option<&[&str]>,
        options: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = folder.path().join("flows.jsonl");
        let flowloom = env!("CARGO_BIN_EXE_flowloom");
        let mut command = match before {
            None => net.command(flowloom),
            Some([first, rest @ ..]) => {
                let mut command = net.command(first);
                command.args(rest).arg(flowloom);
                command
            }
            Some([]) => panic!("`before` needs a command"),
        };
        let log = File::create(folder.path().join("log")).expect("a temporary file");
        let options: Vec<_> = options.into_iter().collect();
        command.args(["meter", interface]).args(&options);
        if !options.contains(&"--n-dissections") {
            command.args(["--n-dissections", "0"]);
        }
        if !options.contains(&"--output") {
            command.arg("--output").arg(&output);
        }
        let child = command
            .env_remove("FLOWLOOM_LOG")
            // The user may run the tests with sudo.
            .env_remove("SUDO_UID")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the command starts");
        Self {
            child,
            folder,
            output,
        }
        .ready(interface)
    }

    /// Waits until the command captures packets or has ended.
    fn ready(mut self, interface: &str) -> Self {
        let message = format!("capturing from {interface}");
        until("the command captures", || {
            self.log().contains(&message) || self.has_ended()
        });
        self
    }

    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("the log can be read")
    }

    #[track_caller]
    pub(super) fn logs(&self, words: &str) {
        let start = Instant::now();
        while !self.log().contains(words) {
            assert!(start.elapsed() < HANGS, "no `{words}` in\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(super) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Returns the path of the output.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Returns the flows in the complete lines that it has written so far.
    pub(super) fn flows(&self) -> Vec<Flow> {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        parse(&text[..text.rfind('\n').map_or(0, |at| at + 1)])
    }

    pub(super) fn signal(&self, signal: &str) {
        tool("kill", ["-s", signal, &self.pid()]);
    }

    /// Waits until the command ends.
    #[track_caller]
    pub(super) fn end(mut self) -> Ended {
        until("the command ends", || self.has_ended());
        let mut stdout = String::new();
        let pipe = self.child.stdout.as_mut().expect("the stream is piped");
        pipe.read_to_string(&mut stdout)
            .expect("a pipe can be read");
        Ended {
            status: self.child.wait().expect("the process has ended"),
            flows: self.flows(),
            stdout,
            log: self.log(),
        }
    }

    /// Sends SIGTERM, and waits until the command ends.
    #[track_caller]
    pub(super) fn stop(self) -> Ended {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that has ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) flows: Vec<Flow>,
    pub(super) stdout: String,
    pub(super) log: String,
}

impl Ended {
    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "exit code of\n{}", self.log);
        self
    }

    /// Returns the number before these words of the summary, or 0 without the words.
    pub(super) fn count(&self, words: &str) -> u64 {
        let Some((before, _)) = self.log.split_once(words) else {
            return 0;
        };
        let number = before
            .split([' ', '\n', ','])
            .rfind(|word| !word.is_empty());
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no number before `{words}` in\n{}", self.log))
    }
}
