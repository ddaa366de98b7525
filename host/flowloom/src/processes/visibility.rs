//! The thread that polls the sockets of this machine.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use caps::{CapSet, Capability, CapsHashSet};
use flowloom_core::record::{FlowKey, SystemProcess};
use flowloom_plugin::{ThreadPanics, spawn_supervised};

use super::process_scan::ProcessScan;
use super::process_table::ProcessTable;
use super::socket_cache::SocketCache;
use super::socket_list::SocketList;

/// The maximum number of sockets that one poll reads.
const MAX_POLLED: usize = 65_536;

/// The maximum number of sockets that are remembered.
const MAX_SOCKETS: usize = 131_072;

/// The time, besides the idle timeout, for which a closed socket is remembered. Flows are looked up when they are
/// written.
const MARGIN: Duration = Duration::from_secs(10);

/// The interval at which the addresses of this machine are read again.
const ADDRESSES: Duration = Duration::from_secs(5);

/// The capabilities that are needed to see the processes of other users: to list their files, and to read what these are.
const NEEDED: [Capability; 2] = [Capability::CAP_DAC_READ_SEARCH, Capability::CAP_SYS_PTRACE];

/// Finds the processes of this machine that own the sockets of flows.
///
/// A thread polls the kernel for sockets, and `/proc` for the processes that have them, until the value is dropped. It
/// gives up all capabilities but `CAP_DAC_READ_SEARCH` and `CAP_SYS_PTRACE`, which it needs to see the processes of
/// other users.
///
/// A program that restricts itself with Landlock must start it before: Landlock denies access to the files of all
/// processes outside.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flowloom::ThreadPanics;
/// use flowloom::processes::SystemVisibility;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let idle_timeout = Duration::from_secs(15);
/// let poll = Duration::from_millis(100);
/// let system = SystemVisibility::start(poll, idle_timeout, &ThreadPanics::default())?;
/// assert!(system.report().polls > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SystemVisibility {
    table: Arc<ProcessTable>,
    counters: Arc<Counters>,
    /// The capabilities that the thread lacks.
    missing: Vec<Capability>,
    /// Ends the thread when it is dropped.
    _stop: SyncSender<()>,
}

/// Why the processes of this machine cannot be found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// The system refuses to start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// The thread cannot give up its capabilities.
    #[error("cannot drop capabilities: {0}")]
    Capabilities(String),
    /// The kernel does not list its sockets.
    #[error("cannot list the sockets of this machine: {0}")]
    Sockets(#[source] io::Error),
    /// `/proc` cannot be read.
    #[error("cannot list the processes of this machine: {0}")]
    Processes(#[source] io::Error),
}

/// The counters of [`SystemVisibility`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemReport {
    /// The number of polls.
    pub polls: u64,
    /// The number of polls that failed.
    pub polls_failed: u64,
    /// The number of polls that reached a limit of sockets, processes, files or time.
    pub polls_cut: u64,
}

#[derive(Debug, Default)]
struct Counters {
    polls: AtomicU64,
    failed: AtomicU64,
    cut: AtomicU64,
}

impl SystemVisibility {
    /// Starts to poll at this interval. `panics` counts the panics of the thread.
    ///
    /// # Errors
    ///
    /// The first poll fails, or the thread cannot be started or cannot give up its capabilities.
    pub fn start(
        interval: Duration,
        idle_timeout: Duration,
        panics: &ThreadPanics,
    ) -> Result<Self, SystemError> {
        let table = Arc::new(ProcessTable::default());
        let counters = Arc::new(Counters::default());
        let keep = idle_timeout.saturating_add(MARGIN);
        let (stop, stopped) = mpsc::sync_channel(0);
        let (first, ready) = mpsc::sync_channel(1);
        let mut first = Some(first);
        let (shared, counted) = (Arc::clone(&table), Arc::clone(&counters));
        // Only this thread receives. The lock makes the closure one that other threads may call.
        let stopped = Mutex::new(stopped);
        spawn_supervised("flowloom-system", panics, move || {
            // After a panic, the state is made anew.
            shared.clear();
            let mut poller = Poller::new(keep, Arc::clone(&shared), Arc::clone(&counted));
            if let Some(first) = first.take() {
                let missing = limit_capabilities();
                let missing = missing.and_then(|missing| poller.poll().map(|()| missing));
                let has_failed = missing.is_err();
                let _ = first.send(missing);
                if has_failed {
                    return;
                }
            }
            let stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            poller.run(interval, &stopped);
        })
        .map_err(SystemError::Thread)?;
        let missing = ready.recv().unwrap_or_else(|_| {
            let error = io::Error::other("the thread panicked");
            Err(SystemError::Thread(error))
        })?;
        Ok(Self {
            table,
            counters,
            missing,
            _stop: stop,
        })
    }

    /// Returns whether the processes of other users can be seen. Without the capabilities for that, only the processes of
    /// the own user are found.
    pub fn sees_other_users(&self) -> bool {
        self.missing.is_empty()
    }

    /// Returns the counters so far.
    pub fn report(&self) -> SystemReport {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SystemReport {
            polls: count(&self.counters.polls),
            polls_failed: count(&self.counters.failed),
            polls_cut: count(&self.counters.cut),
        }
    }

    /// Returns the process that owns a socket of this flow, if it is known.
    pub(crate) fn find(&self, flow: &FlowKey) -> Option<SystemProcess> {
        self.table.find(flow)
    }

    /// Logs what cannot be seen.
    pub(crate) fn warn_of_missing(&self) {
        let missing: Vec<_> = self.missing.iter().map(ToString::to_string).collect();
        if !missing.is_empty() {
            tracing::warn!(
                "system visibility finds only processes of this user: the run has no {}",
                missing.join(" and no ")
            );
        }
    }
}

/// Gives up all capabilities of the thread but those that it needs. Returns those that it needs and does not have.
fn limit_capabilities() -> Result<Vec<Capability>, SystemError> {
    let fail = |error: caps::errors::CapsError| SystemError::Capabilities(error.to_string());
    let permitted = caps::read(None, CapSet::Permitted).map_err(fail)?;
    let (kept, missing): (Vec<_>, Vec<_>) = NEEDED
        .into_iter()
        .partition(|capability| permitted.contains(capability));
    let kept: CapsHashSet = kept.into_iter().collect();
    caps::set(None, CapSet::Inheritable, &CapsHashSet::default()).map_err(fail)?;
    caps::set(None, CapSet::Effective, &kept).map_err(fail)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(fail)?;
    Ok(missing)
}

/// Reads sockets and processes, and updates the table.
struct Poller {
    scan: ProcessScan,
    cache: SocketCache,
    table: Arc<ProcessTable>,
    counters: Arc<Counters>,
    /// When the addresses of this machine were read.
    addressed: Option<Instant>,
    /// Whether the last poll failed. Only the first failure in a row is logged.
    is_failing: bool,
}

impl Poller {
    fn new(keep: Duration, table: Arc<ProcessTable>, counters: Arc<Counters>) -> Self {
        Self {
            scan: ProcessScan::default(),
            cache: SocketCache::new(keep, MAX_SOCKETS),
            table,
            counters,
            addressed: None,
            is_failing: false,
        }
    }

    /// Polls until the other end of the channel is dropped. The thread is busy for at most half of the time.
    fn run(&mut self, interval: Duration, stopped: &Receiver<()>) {
        let mut pause = interval;
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let start = Instant::now();
            let result = self.poll();
            if let Err(error) = &result
                && !self.is_failing
            {
                tracing::warn!("{error}; system visibility tries again");
            }
            self.is_failing = result.is_err();
            pause = interval.max(start.elapsed());
        }
    }

    fn poll(&mut self) -> Result<(), SystemError> {
        self.counters.polls.fetch_add(1, Ordering::Relaxed);
        let result = self.try_poll();
        match &result {
            Ok(is_cut) => self
                .counters
                .cut
                .fetch_add((*is_cut).into(), Ordering::Relaxed),
            Err(_) => self.counters.failed.fetch_add(1, Ordering::Relaxed),
        };
        result.map(|_| ())
    }

    /// Returns whether a limit was reached.
    fn try_poll(&mut self) -> Result<bool, SystemError> {
        let now = Instant::now();
        let age = |then| now.saturating_duration_since(then);
        if self.addressed.is_none_or(|then| age(then) >= ADDRESSES) {
            self.addressed = Some(now);
            self.table.set_addresses(addresses());
        }
        let list = SocketList::read(MAX_POLLED).map_err(SystemError::Sockets)?;
        let mut is_cut = list.is_cut;
        if let Some(wanted) = self.cache.wanted(&list.sockets, now) {
            let owners = self.scan.owners(&wanted).map_err(SystemError::Processes)?;
            is_cut |= owners.is_cut;
            self.cache.add_owners(&wanted, owners);
        }
        let (changes, omitted) = self.cache.update(&list.sockets, now);
        self.table.apply(&changes);
        Ok(is_cut || omitted > 0)
    }
}

/// Returns the addresses of this machine, and its broadcast addresses.
fn addresses() -> HashSet<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return HashSet::new();
    };
    let addresses = interfaces.flat_map(|interface| [interface.address, interface.broadcast]);
    let addresses = addresses.flatten().filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

    use super::super::process_table::tests::flow;
    use super::*;

    fn poller() -> Poller {
        Poller::new(Duration::from_secs(25), Arc::default(), Arc::default())
    }

    fn pid(poller: &Poller, protocol: u8, src: SocketAddr, dst: &str) -> Option<u32> {
        let flow = flow(protocol, &src.to_string(), dst);
        Some(poller.table.find(&flow)?.pid)
    }

    #[test]
    fn sockets_of_this_process_are_found_and_remembered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let client = TcpStream::connect(&server).unwrap();
        let tcp = client.local_addr().unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let wildcard = UdpSocket::bind("0.0.0.0:0").unwrap();
        let local = |socket: &UdpSocket| socket.local_addr().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], local(&wildcard).port()));
        let (udp_local, mut poller) = (local(&udp), poller());
        let own = Some(std::process::id());
        poller.poll().unwrap();
        let find = |poller: &Poller| {
            [
                pid(poller, 6, tcp, &server),
                pid(poller, 17, udp_local, "127.0.0.1:9"),
                pid(poller, 17, any, "127.0.0.1:9"),
            ]
        };
        assert_eq!(find(&poller), [own; 3]);
        drop((client, udp, wildcard));
        poller.poll().unwrap();
        assert_eq!(find(&poller), [own; 3]);
        assert_eq!(poller.counters.polls.load(Ordering::Relaxed), 2);
        assert_eq!(poller.counters.failed.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn this_machine_has_addresses() {
        assert!(addresses().contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn the_thread_polls_until_it_is_dropped() {
        let panics = ThreadPanics::default();
        let interval = Duration::from_millis(1);
        let system = SystemVisibility::start(interval, Duration::ZERO, &panics).unwrap();
        let counters = Arc::clone(&system.counters);
        while system.report().polls < 3 {
            std::thread::yield_now();
        }
        assert_eq!(system.report().polls_failed, 0);
        drop(system);
        // The thread drops its reference when it ends.
        while Arc::strong_count(&counters) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(panics.count(), 0);
    }
}
