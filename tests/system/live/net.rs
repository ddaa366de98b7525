//! Network namespaces, and the command at work in them.

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

/// What has not happened by then never will.
const HANGS: Duration = Duration::from_secs(60);

/// Flows of `dns.pcap`.
pub(super) const DNS_FLOWS: usize = 9;

/// A namespace with a virtual wire from `near` to `far`, which is metered. Nobody in it has an address,
/// so that nothing is on the wire but what a test puts there.
pub(super) struct Net {
    name: String,
    /// A namespace at the other end, if there is one.
    peer: Option<String>,
}

impl Net {
    /// `None`, with a word, where that is not permitted.
    pub(super) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("flowloom-{}-{number}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            eprintln!("skipped: network namespaces take root, and iproute2");
            return None;
        }
        let net = Self { name, peer: None };
        net.wire();
        Some(net)
    }

    /// The same with the near end in a namespace of its own, and addresses: 192.0.2.1 near, .2 far.
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

    /// Lays the wire.
    pub(super) fn wire(&self) {
        self.ip(["link", "add", "near", "type", "veth", "peer", "name", "far"]);
        for end in ["near", "far"] {
            let quiet = format!("net.ipv6.conf.{end}.disable_ipv6=1");
            self.run("sysctl", ["-qw", &quiet]);
            self.ip(["link", "set", end, "mtu", "65535", "up"]);
        }
    }

    /// `ip` on the namespace.
    pub(super) fn ip<'a>(&'a self, args: impl IntoIterator<Item = &'a str>) {
        tool("ip", ["-n", &self.name].into_iter().chain(args));
    }

    /// A program in the namespace.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        in_namespace(&self.name, program)
    }

    /// A program at the near end.
    pub(super) fn near(&self, program: impl AsRef<OsStr>) -> Command {
        in_namespace(self.peer.as_ref().expect("there is a near end"), program)
    }

    /// Runs a program in the namespace to its end; gives what it printed.
    pub(super) fn run<A: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = A>,
    ) -> String {
        let mut command = self.command(program);
        output(command.args(args))
    }

    /// Puts the packets of a capture on the wire, as quickly as that goes.
    pub(super) fn replay(&self, capture: &Path, options: &[&str]) {
        let options = ["--topspeed", "--intf1=near"].iter().chain(options);
        let mut command = self.command("tcpreplay");
        output(command.current_dir(captures()).args(options).arg(capture));
    }

    /// `flowloom meter far`, writing JSON lines to a file.
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

/// What a command prints; it has to succeed.
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

/// Waits until something is so.
#[track_caller]
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < HANGS, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The command at work.
pub(super) struct Live {
    child: Child,
    folder: TempDir,
    output: PathBuf,
}

impl Live {
    /// `flowloom meter far`, behind other words if there are any.
    pub(super) fn start<'a>(
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
            Some([]) => panic!("no word is no word before"),
        };
        let log = File::create(folder.path().join("log")).expect("a temporary file");
        let options: Vec<_> = options.into_iter().collect();
        command.args(["meter", "far"]).args(&options);
        if !options.contains(&"--n-dissections") {
            command.args(["--n-dissections", "0"]);
        }
        if !options.contains(&"--output") {
            command.arg("--output").arg(&output);
        }
        let child = command
            .env_remove("FLOWLOOM_LOG")
            // Whoever runs the tests may have invoked sudo.
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
        .ready()
    }

    /// Waits until it captures, or has ended.
    fn ready(mut self) -> Self {
        until("the command captures", || {
            self.log().contains("capturing from far") || self.has_ended()
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

    /// The file that it writes to.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// What it has written so far, as whole lines.
    pub(super) fn flows(&self) -> Vec<Flow> {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        parse(&text[..text.rfind('\n').map_or(0, |at| at + 1)])
    }

    pub(super) fn signal(&self, signal: &str) {
        tool("kill", ["-s", signal, &self.pid()]);
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn end(mut self) -> Ended {
        until("the command ends", || self.has_ended());
        let mut stdout = String::new();
        let pipe = self.child.stdout.as_mut().expect("it is piped");
        pipe.read_to_string(&mut stdout)
            .expect("a pipe can be read");
        Ended {
            status: self.child.wait().expect("it has ended"),
            flows: self.flows(),
            stdout,
            log: self.log(),
        }
    }

    /// Asks it to end, and waits.
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

/// What came of it.
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

    /// The number before these words of the summary; 0 where they are not.
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
