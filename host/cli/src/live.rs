//! Signals, reports and metrics during a run.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use flowloom::processes::SystemVisibility;
use flowloom::sink::{BackgroundSink, Losses};
use flowloom::{RunConfig, Streamer, ThreadPanics};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::exit::{Exit, Failure};
use super::log;
use super::metrics::{self, Metrics};
use super::number::{YEAR, within};
use super::performance::Performance;
use super::privileges::{self, Account, KeptPrivileges, ReadableFiles};
use super::sources::SourceKind;
use super::status_line::StatusLine;

/// Interval at which metrics and the files of the run are updated.
const REFRESH: Duration = Duration::from_secs(1);

const LIVE: &str = "Live capture";
const MONITORING: &str = "Monitoring";

/// Options of live captures, and of the monitoring of any run.
#[derive(Args)]
pub(super) struct LiveOptions {
    /// Do not capture packets to other hosts.
    #[arg(long, help_heading = LIVE)]
    no_promiscuous_mode: bool,

    /// Capture packets to other hosts. This is the default.
    #[arg(long, hide = true, overrides_with = "no_promiscuous_mode")]
    promiscuous_mode: bool,

    /// Size of the kernel's packet ring; 0 is 32 MiB.
    #[arg(long, default_value_t = RunConfig::default().socket_buffer_size, value_name = "BYTES", value_parser = within(0..=i32::MAX as u32), allow_negative_numbers = true, help_heading = LIVE)]
    socket_buffer_size: u32,

    /// Open one socket and ring per metering thread.
    ///
    /// Use this with --n-meters if one reading thread cannot keep up. The kernel distributes packets to the
    /// sockets by a hash of the outermost headers, and reassembles IPv4 fragments.
    #[arg(long, help_heading = LIVE)]
    fanout: bool,

    /// Add the process that owns each flow's socket.
    ///
    /// The columns system_process_pid and system_process_name name the process of this machine. They are null if it is
    /// not known, for example if a connection was shorter than the interval of the polls. One thread keeps the
    /// capabilities to see the processes of other users.
    #[arg(long, help_heading = LIVE)]
    system_visibility: bool,

    /// Interval at which the sockets of this machine are read.
    #[arg(long, default_value_t = RunConfig::default().system_visibility_poll_ms, value_name = "MS", requires = "system_visibility", value_parser = within(1..=60_000_u32), allow_negative_numbers = true, help_heading = LIVE)]
    system_visibility_poll_ms: u32,

    /// Run as this user if started as root.
    ///
    /// The run keeps only the capability to capture. The default is the user who invoked sudo, else the owner
    /// of the output's folder, else nobody.
    #[arg(long, value_name = "NAME|UID", help_heading = LIVE)]
    user: Option<String>,

    /// Keep all privileges, or only access to files.
    ///
    /// By default, a live capture keeps only what it needs: to capture, to write its output, and to read its
    /// plugins. --keep-privileges keeps the user, all capabilities and access to all files.
    /// --keep-privileges=files keeps access to files only, for kernels without Landlock.
    #[arg(long, value_name = "all|files", hide_possible_values = true, num_args = 0..=1, require_equals = true, default_missing_value = "all", help_heading = LIVE)]
    keep_privileges: Option<KeptPrivileges>,

    /// Time limit for writing flows after SIGINT.
    ///
    /// The same applies to SIGTERM. When the time is over, the process ends with exit code 3. Flows that are not yet written are lost and
    /// counted.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = within(0..=YEAR), allow_negative_numbers = true, help_heading = LIVE)]
    drain_timeout: u64,

    /// Interval of JSON status lines; 0 writes none.
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = within(0..=YEAR), allow_negative_numbers = true, help_heading = MONITORING)]
    performance_report: u64,

    /// Append status lines to FILE [default: standard error].
    #[arg(long, value_name = "FILE", requires = "performance_report", help_heading = MONITORING)]
    performance_report_file: Option<PathBuf>,

    /// Serve metrics for Prometheus at /metrics.
    ///
    /// Without an address, the server listens on the loopback interface.
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = metrics::address, help_heading = MONITORING)]
    metrics: Option<SocketAddr>,
}

impl LiveOptions {
    /// Returns the file of performance reports.
    pub(super) fn report_file(&self) -> Option<&Path> {
        self.performance_report_file.as_deref()
    }

    /// Sets the options of the capture.
    pub(super) fn set(&self, config: &mut RunConfig) {
        config.promiscuous_mode = self.promiscuous_mode || !self.no_promiscuous_mode;
        config.socket_buffer_size = self.socket_buffer_size;
        config.fanout = self.fanout;
        config.system_visibility = self.system_visibility;
        config.system_visibility_poll_ms = self.system_visibility_poll_ms;
    }

    /// Chooses the user that the run becomes. Returns `None` if it keeps its user.
    pub(super) fn account(
        &self,
        is_live: bool,
        output: Option<&Path>,
    ) -> Result<Option<Account>, Failure> {
        match (&self.user, self.keep_privileges) {
            (Some(user), _) if !is_live => Err(Failure::usage(format_args!(
                "--user {user}: only the capture of an interface can become another user"
            ))),
            (Some(user), Some(KeptPrivileges::All)) => Err(Failure::usage(format_args!(
                "--user {user}: --keep-privileges keeps the present user"
            ))
            .hint("give only one of them")),
            (_, Some(KeptPrivileges::All)) => Ok(None),
            _ if !is_live => Ok(None),
            (user, _) => Account::choose(user.as_deref(), output),
        }
    }

    /// Starts to find the processes of flows, if flows have these columns.
    pub(super) fn start_system(
        &self,
        idle_timeout: u64,
        panics: &ThreadPanics,
    ) -> Result<Option<SystemVisibility>, Failure> {
        if !self.system_visibility {
            return Ok(None);
        }
        let poll = Duration::from_millis(self.system_visibility_poll_ms.into());
        let system = SystemVisibility::start(poll, Duration::from_secs(idle_timeout), panics);
        system.map(Some).map_err(Failure::failed)
    }

    /// Logs the privileges that the thread of `--system-visibility` keeps.
    fn log_exemption(&self, system: &SystemVisibility) {
        let has_landlock = self.keep_privileges.is_none();
        let privileges = match (system.sees_other_users(), has_landlock) {
            (true, true) => {
                "keeps CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE, and is not restricted by Landlock"
            }
            (true, false) => "keeps CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE",
            (false, true) => "is not restricted by Landlock",
            (false, false) => return,
        };
        tracing::info!("system visibility: the thread that reads processes {privileges}");
    }

    /// Opens what needs privileges, drops them in a live capture, and starts to monitor the run.
    ///
    /// Must be called while the process has one thread.
    pub(super) fn begin(
        &self,
        kind: SourceKind,
        files: &privileges::Files,
        account: Option<&Account>,
        idle_timeout: u64,
    ) -> Result<Monitor, Failure> {
        if kind != SourceKind::Files {
            log::hold();
        }
        let listener: Option<TcpListener> = self.metrics.map(metrics::bind).transpose()?;
        let mut performance = match self.performance_report {
            0 => None,
            seconds => Some(Performance::begin(
                seconds,
                self.performance_report_file.as_deref(),
            )?),
        };
        let cannot_wait =
            |error: io::Error| Failure::failed(format_args!("cannot wait for signals: {error}"));
        let signals = Signals::register(kind).map_err(cannot_wait)?;
        let panics = ThreadPanics::default();
        let mut system = None;
        let readable = match self.keep_privileges {
            keep if kind == SourceKind::Interface && keep != Some(KeptPrivileges::All) => {
                privileges::drop_privileges(files, account, keep, || {
                    system = self.start_system(idle_timeout, &panics)?;
                    Ok(())
                })?
            }
            _ => ReadableFiles::default(),
        };
        if let Some(system) = &system {
            self.log_exemption(system);
        }
        let fail = |error| Failure::failed(format_args!("cannot start a thread: {error}"));
        log::start(&panics).map_err(fail)?;
        if let Some(performance) = &mut performance {
            performance.start(&panics).map_err(fail)?;
        }
        let drain = Arc::new(DrainTimer::default());
        drain
            .start(&signals.first_stop, Duration::from_secs(self.drain_timeout))
            .map_err(cannot_wait)?;
        Ok(Monitor {
            signals,
            drain,
            readable,
            system,
            is_reopening: false,
            performance,
            metrics: listener
                .map(|listener| Metrics::serve(listener, &panics))
                .transpose()?,
            status: match kind {
                SourceKind::Files => None,
                SourceKind::Interface | SourceKind::Pipe => StatusLine::new(files.output.is_none()),
            },
            panics,
            next_refresh: Instant::now(),
        })
    }
}

/// Signals that the process has received.
struct Signals {
    stop: Arc<AtomicBool>,
    /// Whether the streamer has been stopped.
    is_stopped: bool,
    reload: Arc<AtomicBool>,
    /// Receives a byte with each signal to stop.
    first_stop: UnixStream,
}

impl Signals {
    /// Registers the signals. Only live runs handle SIGHUP. It ends all other runs, for example when their
    /// terminal closes.
    fn register(kind: SourceKind) -> io::Result<Self> {
        let (stop, reload) = (Arc::default(), Arc::default());
        let (first_stop, sender) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            // The second signal has its default action, and ends the process.
            flag::register_conditional_default(signal, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
            low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        if kind != SourceKind::Files {
            flag::register(SIGHUP, Arc::clone(&reload))?;
        }
        Ok(Self {
            stop,
            is_stopped: false,
            reload,
            first_stop,
        })
    }
}

/// Handles signals, and writes reports and metrics, while flows are metered.
pub(super) struct Monitor {
    signals: Signals,
    drain: Arc<DrainTimer>,
    readable: ReadableFiles,
    /// What finds the processes of flows, until the run takes it.
    system: Option<SystemVisibility>,
    /// Whether the output has to be reopened as soon as its queue has room for that.
    is_reopening: bool,
    performance: Option<Performance>,
    metrics: Option<Metrics>,
    status: Option<StatusLine>,
    panics: ThreadPanics,
    /// When metrics and the files of the run are updated next.
    next_refresh: Instant,
}

impl Monitor {
    /// Returns the counter of panics of the helper threads.
    pub(super) fn panics(&self) -> ThreadPanics {
        self.panics.clone()
    }

    /// Returns what finds the processes of flows, if it had to start before privileges were dropped.
    pub(super) fn take_system(&mut self) -> Option<SystemVisibility> {
        self.system.take()
    }

    /// Handles signals, and updates reports and metrics. To be called between flows.
    pub(super) fn update(&mut self, streamer: &Streamer, sink: &mut BackgroundSink) {
        let signals = &mut self.signals;
        if signals.stop.load(Ordering::Relaxed) && !signals.is_stopped {
            signals.is_stopped = true;
            tracing::info!("stopping: all flows end; a second signal ends the process at once");
            streamer.stopper().stop();
        }
        if signals.reload.swap(false, Ordering::Relaxed) {
            streamer.reload_plugins();
            self.is_reopening = true;
        }
        if self.is_reopening {
            self.is_reopening = is_reopening_due(sink.reopen());
        }
        let losses = sink.losses();
        self.drain.update(streamer.flows_begun(), &losses);
        self.report(streamer, &losses, false);
    }

    /// Writes the last report and metrics.
    pub(super) fn end(&mut self, streamer: &Streamer, losses: &Losses) {
        self.report(streamer, losses, true);
        if let Some(performance) = &self.performance {
            performance.end();
        }
    }

    fn report(&mut self, streamer: &Streamer, losses: &Losses, is_last: bool) {
        if let Some(performance) = &mut self.performance
            && (is_last || performance.is_due())
        {
            performance.write(&streamer.summary(), losses);
        }
        if is_last || Instant::now() >= self.next_refresh {
            self.next_refresh = Instant::now() + REFRESH;
            self.readable.warn_of_replaced();
            if let Some(metrics) = &self.metrics {
                metrics.show(&streamer.summary(), losses);
            }
            match &mut self.status {
                Some(status) if !is_last => status.show(&streamer.summary(), losses),
                Some(_) => StatusLine::end(),
                None => {}
            }
        }
    }
}

/// Logs the result of reopening the output. Returns whether to try again.
fn is_reopening_due(reopened: io::Result<()>) -> bool {
    match reopened {
        Ok(()) => tracing::info!("reopened the output"),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
        Err(error) => tracing::error!("cannot reopen the output: {error}"),
    }
    false
}

/// Ends the process if its flows are not written in time after a signal to stop.
#[derive(Default)]
struct DrainTimer {
    /// Flows that have begun.
    begun: AtomicU64,
    losses: OnceLock<Arc<Losses>>,
}

impl DrainTimer {
    fn update(&self, begun: u64, losses: &Arc<Losses>) {
        self.begun.store(begun, Ordering::Relaxed);
        self.losses.get_or_init(|| Arc::clone(losses));
    }

    /// Starts a thread that waits for a signal to stop. It ends the process `limit` after the signal, because a
    /// plugin may be slow, and an output may be stuck for ever.
    fn start(self: &Arc<Self>, signal: &UnixStream, limit: Duration) -> io::Result<()> {
        let (timer, mut signal) = (Arc::clone(self), signal.try_clone()?);
        let thread = thread::Builder::new().name("flowloom-drain".into());
        thread.spawn(move || {
            if signal.read_exact(&mut [0]).is_ok() {
                thread::sleep(limit);
                timer.end_process(limit);
            }
        })?;
        Ok(())
    }

    fn end_process(&self, limit: Duration) -> ! {
        // Read in this order, so that a flow which is written meanwhile does not count as lost.
        let losses = self.losses.get();
        let written = losses.map_or(0, |losses| losses.written());
        let given = losses.map_or(0, |losses| losses.given());
        let begun = self.begun.load(Ordering::Relaxed).max(given);
        tracing::error!(
            "cannot write all flows within {} s of the signal: {} of {begun} flows are lost",
            limit.as_secs(),
            begun - written
        );
        log::end(b"");
        std::process::exit(Exit::Incomplete as i32);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use flowloom::Flow;
    use flowloom::sink::{OnFailure, Sink};

    use super::*;

    /// A sink that reopens only while nobody else holds the lock.
    #[derive(Clone, Default)]
    struct BlockingSink {
        lock: Arc<Mutex<()>>,
        reopened: Arc<AtomicUsize>,
    }

    impl Sink for BlockingSink {
        fn write(&mut self, _: &Flow) -> io::Result<()> {
            Ok(())
        }

        fn reopen(&mut self) -> io::Result<()> {
            let _free = self.lock.lock();
            self.reopened.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_whose_queue_is_full_is_reopened_when_it_has_room() {
        let blocking = BlockingSink::default();
        let mut sink = BackgroundSink::live(blocking.clone(), OnFailure::Retry);
        let held = blocking.lock.lock().unwrap();
        let mut requests = 1;
        while !is_reopening_due(sink.reopen()) {
            requests += 1;
        }
        drop(held);
        while is_reopening_due(sink.reopen()) {
            thread::yield_now();
        }
        sink.finish().unwrap();
        assert_eq!(blocking.reopened.load(Ordering::Relaxed), requests);
    }
}
