//! What goes on beside the metering: signals, reports, metrics.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use clap::{ArgAction, Args};
use flowloom::sink::{BackgroundSink, Losses};
use flowloom::{Streamer, StreamerBuilder, ThreadPanics};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use super::exit::{Exit, Failure};
use super::metrics::{self, Metrics};
use super::performance::Performance;
use super::privileges;
use super::sources::SourceKind;

/// How often metrics are made anew.
const REFRESH: Duration = Duration::from_secs(1);

const LIVE: &str = "Live";

/// Options of live captures, and of watching any run.
#[derive(Args)]
pub(super) struct LiveOptions {
    /// Whether packets to other hosts are captured too.
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL", help_heading = LIVE)]
    promiscuous_mode: bool,

    /// Bytes of the kernel's buffer; 0 is 32 MiB.
    #[arg(long, default_value_t = 0, value_name = "BYTES", help_heading = LIVE)]
    socket_buffer_size: u32,

    /// Have the kernel deal packets out to the meters, each with a socket and a buffer of its own, where
    /// one reader cannot follow. It hashes outer headers, and puts fragments together.
    #[arg(long, help_heading = LIVE)]
    fanout: bool,

    /// Keep all capabilities, and all files open. By default a live capture keeps what it needs: to
    /// capture, to write its output, to read its plugins.
    #[arg(long, help_heading = LIVE)]
    keep_privileges: bool,

    /// Seconds that flows may take to come out after a signal to stop: then the run ends, and what is left
    /// is lost and counted.
    #[arg(long, default_value_t = 30, value_name = "S", help_heading = LIVE)]
    drain_timeout: u64,

    /// Say every so many seconds how the run is doing, in a JSON line; 0 says nothing.
    #[arg(long, default_value_t = 0, value_name = "S", help_heading = LIVE)]
    performance_report: u64,

    /// Where these lines go [default: standard error].
    #[arg(long, value_name = "FILE", requires = "performance_report", help_heading = LIVE)]
    performance_report_file: Option<PathBuf>,

    /// Serve metrics to Prometheus, at /metrics; a port alone is one of the loopback interface.
    #[arg(long, value_name = "[ADDRESS:]PORT", value_parser = metrics::address, help_heading = LIVE)]
    metrics: Option<SocketAddr>,
}

impl LiveOptions {
    pub(super) fn set(&self, builder: StreamerBuilder) -> StreamerBuilder {
        builder
            .promiscuous_mode(self.promiscuous_mode)
            .socket_buffer_size(self.socket_buffer_size)
            .fanout(self.fanout)
    }

    /// Takes what needs privileges, gives them up if this is a live capture, and begins to watch. To be
    /// called before there is a second thread.
    pub(super) fn begin(
        &self,
        kind: SourceKind,
        files: &privileges::Files,
    ) -> Result<Watch, Failure> {
        let listener: Option<TcpListener> = self.metrics.map(metrics::bind).transpose()?;
        let performance = match self.performance_report {
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
        if kind == SourceKind::Interface && !self.keep_privileges {
            privileges::give_up(files);
        }
        let panics = ThreadPanics::default();
        let drain = Arc::new(Drain::default());
        drain
            .watch(&signals.first, Duration::from_secs(self.drain_timeout))
            .map_err(cannot_wait)?;
        Ok(Watch {
            signals,
            drain,
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
    performance: Option<Performance>,
    metrics: Option<Metrics>,
    panics: ThreadPanics,
    /// When metrics are to be made anew.
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
            reload(streamer, sink);
        }
        let losses = sink.losses();
        self.drain.note(streamer.flows_begun(), &losses);
        self.tell(streamer, &losses, false);
    }

    /// Tells how the run ended.
    pub(super) fn end(&mut self, streamer: &Streamer, losses: &Losses) {
        self.tell(streamer, losses, true);
    }

    fn tell(&mut self, streamer: &Streamer, losses: &Losses, now: bool) {
        if let Some(performance) = &mut self.performance
            && (now || performance.is_due())
        {
            performance.write(&streamer.report(), losses);
        }
        if let Some(metrics) = &self.metrics
            && (now || Instant::now() >= self.refresh)
        {
            self.refresh = Instant::now() + REFRESH;
            metrics.show(&streamer.report(), losses);
        }
    }
}

/// What SIGHUP asks for.
fn reload(streamer: &Streamer, sink: &mut BackgroundSink) {
    streamer.reload_plugins();
    match sink.reopen() {
        Ok(()) => tracing::info!("the output is opened anew"),
        Err(error) => tracing::error!("the output is not opened anew: {error}"),
    }
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
        std::process::exit(Exit::Incomplete as i32);
    }
}
