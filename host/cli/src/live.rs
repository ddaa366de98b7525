//! What goes on beside the metering: signals, reports, metrics.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use flowloom::sink::{BackgroundSink, Losses};
use flowloom::{Streamer, StreamerBuilder, ThreadPanics};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::exit::{Exit, Failure};
use super::log;
use super::metrics::{self, Metrics};
use super::number::{YEAR, within};
use super::performance::Performance;
use super::privileges::{self, Account, KeptPrivileges, ReadableFiles};
use super::sources::SourceKind;

/// How often metrics are made anew.
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
    #[arg(long, default_value_t = 0, value_name = "BYTES", value_parser = within(0..=i32::MAX as u32), allow_negative_numbers = true, help_heading = LIVE)]
    socket_buffer_size: u32,

    /// Open one socket and ring per metering thread.
    ///
    /// Use this with --n-meters if one reading thread cannot keep up. The kernel distributes packets to the
    /// sockets by a hash of the outermost headers, and reassembles IPv4 fragments.
    #[arg(long, help_heading = LIVE)]
    fanout: bool,

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
    /// Where performance reports go, if to a file.
    pub(super) fn report_file(&self) -> Option<&Path> {
        self.performance_report_file.as_deref()
    }

    pub(super) fn set(&self, builder: StreamerBuilder) -> StreamerBuilder {
        builder
            .promiscuous_mode(self.promiscuous_mode || !self.no_promiscuous_mode)
            .socket_buffer_size(self.socket_buffer_size)
            .fanout(self.fanout)
    }

    /// Chooses the user that the run goes on as, if it is not to be the present one.
    pub(super) fn account(
        &self,
        is_live: bool,
        output: Option<&Path>,
    ) -> Result<Option<Account>, Failure> {
        match (&self.user, self.keep_privileges) {
            (Some(user), _) if !is_live => Err(Failure::usage(format_args!(
                "--user {user}: it is for an interface, not for files"
            ))),
            (Some(user), Some(KeptPrivileges::All)) => Err(Failure::usage(format_args!(
                "--user {user}: --keep-privileges keeps the user; give one of them"
            ))),
            (_, Some(KeptPrivileges::All)) => Ok(None),
            _ if !is_live => Ok(None),
            (user, _) => Account::choose(user.as_deref(), output),
        }
    }

    /// Takes what needs privileges, gives them up if this is a live capture, and begins to watch. To be
    /// called before there is a second thread.
    pub(super) fn begin(
        &self,
        kind: SourceKind,
        files: &privileges::Files,
        account: Option<&Account>,
    ) -> Result<Watch, Failure> {
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
        let cannot_wait = |error: io::Error| {
            Failure::failed(format_args!("signals cannot be waited for: {error}"))
        };
        let signals = Signals::register(kind).map_err(cannot_wait)?;
        let readable = match self.keep_privileges {
            keep if kind == SourceKind::Interface && keep != Some(KeptPrivileges::All) => {
                privileges::give_up(files, account, keep)?
            }
            _ => ReadableFiles::default(),
        };
        let panics = ThreadPanics::default();
        let fail = |error| Failure::failed(format_args!("cannot start a thread: {error}"));
        log::start(&panics).map_err(fail)?;
        if let Some(performance) = &mut performance {
            performance.start(&panics).map_err(fail)?;
        }
        let drain = Arc::new(Drain::default());
        drain
            .watch(&signals.first, Duration::from_secs(self.drain_timeout))
            .map_err(cannot_wait)?;
        Ok(Watch {
            signals,
            drain,
            files: readable,
            reopen: false,
            performance,
            metrics: listener
                .map(|listener| Metrics::serve(listener, &panics))
                .transpose()?,
            panics,
            refresh: Instant::now(),
        })
    }
}

/// Signals that came.
struct Signals {
    stop: Arc<AtomicBool>,
    stopped: bool,
    reload: Arc<AtomicBool>,
    /// Where a byte comes with the first one to stop.
    first: UnixStream,
}

impl Signals {
    /// SIGHUP is taken by live runs only: it ends the others, as a terminal that closes is to do.
    fn register(kind: SourceKind) -> io::Result<Self> {
        let (stop, reload) = (Arc::default(), Arc::default());
        let (first, told) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            // The second one ends the process as if nobody waited for it.
            flag::register_conditional_default(signal, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
            low_level::pipe::register(signal, told.try_clone()?)?;
        }
        if kind != SourceKind::Files {
            flag::register(SIGHUP, Arc::clone(&reload))?;
        }
        Ok(Self {
            stop,
            stopped: false,
            reload,
            first,
        })
    }
}

/// What is looked after while flows come.
pub(super) struct Watch {
    signals: Signals,
    drain: Arc<Drain>,
    files: ReadableFiles,
    /// Whether the output is to be opened anew, as soon as its queue has room for that.
    reopen: bool,
    performance: Option<Performance>,
    metrics: Option<Metrics>,
    panics: ThreadPanics,
    /// When metrics are to be made anew, and files looked at.
    refresh: Instant,
}

impl Watch {
    /// Returns the count of panics that the helper threads add to.
    pub(super) fn panics(&self) -> ThreadPanics {
        self.panics.clone()
    }

    /// Looks after everything; to be called between flows.
    pub(super) fn look(&mut self, streamer: &Streamer, sink: &mut BackgroundSink) {
        let signals = &mut self.signals;
        if signals.stop.load(Ordering::Relaxed) && !signals.stopped {
            signals.stopped = true;
            tracing::info!("stopping: all flows end; a second signal ends at once");
            streamer.stopper().stop();
        }
        if signals.reload.swap(false, Ordering::Relaxed) {
            streamer.reload_plugins();
            self.reopen = true;
        }
        if self.reopen {
            self.reopen = is_reopening_due(sink.reopen());
        }
        let losses = sink.losses();
        self.drain.note(streamer.flows_begun(), &losses);
        self.tell(streamer, &losses, false);
    }

    /// Tells how the run ended.
    pub(super) fn end(&mut self, streamer: &Streamer, losses: &Losses) {
        self.tell(streamer, losses, true);
        if let Some(performance) = &self.performance {
            performance.end();
        }
    }

    fn tell(&mut self, streamer: &Streamer, losses: &Losses, now: bool) {
        if let Some(performance) = &mut self.performance
            && (now || performance.is_due())
        {
            performance.write(&streamer.summary(), losses);
        }
        if now || Instant::now() >= self.refresh {
            self.refresh = Instant::now() + REFRESH;
            self.files.warn_of_replaced();
            if let Some(metrics) = &self.metrics {
                metrics.show(&streamer.summary(), losses);
            }
        }
    }
}

/// Says what came of opening the output anew. Returns whether that has to be tried again.
fn is_reopening_due(reopened: io::Result<()>) -> bool {
    match reopened {
        Ok(()) => tracing::info!("the output is opened anew"),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
        Err(error) => tracing::error!("the output is not opened anew: {error}"),
    }
    false
}

/// What is known of flows when a run has to end before they are all written.
#[derive(Default)]
struct Drain {
    /// Those that have begun.
    begun: AtomicU64,
    losses: OnceLock<Arc<Losses>>,
}

impl Drain {
    fn note(&self, begun: u64, losses: &Arc<Losses>) {
        self.begun.store(begun, Ordering::Relaxed);
        self.losses.get_or_init(|| Arc::clone(losses));
    }

    /// Waits for a signal to stop, in a thread of its own, and ends the process if it has not ended so
    /// long after it: a plugin may take its time, and an output may be stuck for ever.
    fn watch(self: &Arc<Self>, signal: &UnixStream, limit: Duration) -> io::Result<()> {
        let (drain, mut signal) = (Arc::clone(self), signal.try_clone()?);
        let thread = thread::Builder::new().name("flowloom-drain".into());
        thread.spawn(move || {
            if signal.read_exact(&mut [0]).is_ok() {
                thread::sleep(limit);
                drain.give_up(limit);
            }
        })?;
        Ok(())
    }

    fn give_up(&self, limit: Duration) -> ! {
        // In this order, so that no flow seems lost that was given and written meanwhile.
        let losses = self.losses.get();
        let written = losses.map_or(0, |losses| losses.written());
        let given = losses.map_or(0, |losses| losses.given());
        let begun = self.begun.load(Ordering::Relaxed).max(given);
        tracing::error!(
            "not all flows could be written within {} s of the signal: of {begun}, {} are lost",
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

    /// An output that can be stuck.
    #[derive(Clone, Default)]
    struct Stuck {
        stuck: Arc<Mutex<()>>,
        reopened: Arc<AtomicUsize>,
    }

    impl Sink for Stuck {
        fn write(&mut self, _: &Flow) -> io::Result<()> {
            Ok(())
        }

        fn reopen(&mut self) -> io::Result<()> {
            let _free = self.stuck.lock();
            self.reopened.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_whose_queue_is_full_is_opened_anew_when_it_has_room() {
        let stuck = Stuck::default();
        let mut sink = BackgroundSink::live(stuck.clone(), OnFailure::GoOn);
        let held = stuck.stuck.lock().unwrap();
        let mut asked = 1;
        while !is_reopening_due(sink.reopen()) {
            asked += 1;
        }
        drop(held);
        while is_reopening_due(sink.reopen()) {
            thread::yield_now();
        }
        sink.finish().unwrap();
        assert_eq!(stuck.reopened.load(Ordering::Relaxed), asked);
    }
}
