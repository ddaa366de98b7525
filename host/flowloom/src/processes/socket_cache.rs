//! What the polling thread remembers of sockets: their processes, and when it saw them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use flowloom_core::record::SystemProcess;

use super::process_scan::Owners;
use super::process_table::Change;
use super::socket_list::{Socket, SocketKey};

/// The number of scans for the process of a socket, until the next complete one. A socket whose process may not be read
/// must not cause a scan with each poll.
const TRIES: u8 = 3;

/// The time after which all processes are read again: a process may have another name, and a socket another process.
const REFRESH: Duration = Duration::from_secs(2);

/// The sockets of this machine, and their processes.
#[derive(Debug)]
pub(super) struct SocketCache {
    /// The time for which a socket is kept after it was closed.
    keep: Duration,
    /// The maximum number of sockets.
    most: usize,
    /// The sockets that the table has.
    sockets: HashMap<SocketKey, KnownSocket>,
    /// The processes of open sockets, by inode.
    owners: HashMap<u64, SystemProcess>,
    /// The number of scans that did not find the process of an open socket, by inode.
    tries: HashMap<u64, u8>,
    refreshed: Option<Instant>,
}

#[derive(Debug)]
struct KnownSocket {
    process: SystemProcess,
    last_seen: Instant,
}

impl SocketCache {
    /// Creates an empty cache of at most `most` sockets, which are kept for the time `keep` after they were closed.
    pub(super) fn new(keep: Duration, most: usize) -> Self {
        Self {
            keep,
            most,
            sockets: HashMap::new(),
            owners: HashMap::new(),
            tries: HashMap::new(),
            refreshed: None,
        }
    }

    /// Returns the inodes whose processes must be read, because one of them is not known yet or the others are old.
    pub(super) fn wanted(&mut self, sockets: &[Socket], now: Instant) -> Option<HashSet<u64>> {
        let inodes = sockets.iter().map(|socket| socket.inode);
        let open: HashSet<u64> = inodes.filter(|&inode| inode != 0).collect();
        self.owners.retain(|inode, _| open.contains(inode));
        self.tries.retain(|inode, _| open.contains(inode));
        let refreshed = self.refreshed;
        if refreshed.is_none_or(|then| now.saturating_duration_since(then) >= REFRESH) {
            self.refreshed = Some(now);
            self.tries.clear();
            return (!open.is_empty()).then_some(open);
        }
        let is_unknown = |inode: &u64| {
            !self.owners.contains_key(inode)
                && self.tries.get(inode).is_none_or(|&tries| tries < TRIES)
        };
        let has_unknown = open.iter().any(is_unknown);
        has_unknown.then_some(open)
    }

    /// Adds the result of a scan for the processes of these sockets.
    pub(super) fn add_owners(&mut self, wanted: &HashSet<u64>, owners: Owners) {
        self.owners.extend(owners.processes);
        for inode in wanted {
            if !self.owners.contains_key(inode) {
                let tries = self.tries.entry(*inode).or_default();
                *tries = tries.saturating_add(1);
            }
        }
    }

    /// Updates the sockets to a complete or partial list. Returns the changes, and the number of sockets for which the
    /// cache has no room.
    pub(super) fn update(&mut self, sockets: &[Socket], now: Instant) -> (Vec<Change>, u64) {
        let mut changes = Vec::new();
        let mut seen: HashMap<SocketKey, Option<&SystemProcess>> = HashMap::new();
        for socket in sockets {
            let owner = self.owners.get(&socket.inode);
            // Several sockets of UDP can have the same address.
            let known = seen.entry(socket.key).or_default();
            if let Some(owner) = owner
                && known.is_none_or(|known| known.pid > owner.pid)
            {
                *known = Some(owner);
            }
        }
        let mut omitted = 0;
        // A socket without an owner was closed by its process, and the kernel still sends its data.
        for (key, owner) in &seen {
            if let Some(known) = self.sockets.get_mut(key) {
                known.last_seen = now;
                if let Some(owner) = *owner
                    && known.process != *owner
                {
                    known.process = owner.clone();
                    changes.push((*key, Some(owner.clone())));
                }
            }
        }
        self.sockets.retain(|key, known| {
            let age = now.saturating_duration_since(known.last_seen);
            let is_kept = age <= self.keep;
            if !is_kept {
                changes.push((*key, None));
            }
            is_kept
        });
        for (key, owner) in seen {
            let Some(owner) = owner else { continue };
            let is_full = self.sockets.len() >= self.most;
            if let Entry::Vacant(place) = self.sockets.entry(key) {
                if is_full {
                    omitted += 1;
                    continue;
                }
                place.insert(KnownSocket {
                    process: owner.clone(),
                    last_seen: now,
                });
                changes.push((key, Some(owner.clone())));
            }
        }
        (changes, omitted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::process_table::ProcessTable;
    use super::super::process_table::tests::{flow, key, process};
    use super::super::socket_list::Transport;
    use super::*;

    const KEEP: Duration = Duration::from_secs(25);

    fn socket(local: &str, remote: Option<&str>, inode: u64) -> Socket {
        Socket {
            key: key(Transport::Udp, local, remote),
            inode,
        }
    }

    /// A cache with its table, whose processes have the inodes of their sockets as numbers.
    struct Tested {
        cache: SocketCache,
        table: ProcessTable,
        start: Instant,
    }

    impl Tested {
        fn new(most: usize) -> Self {
            Self {
                cache: SocketCache::new(KEEP, most),
                table: ProcessTable::default(),
                start: Instant::now(),
            }
        }

        /// Polls after this many seconds. Returns the number of omitted sockets.
        fn poll(&mut self, seconds: u64, sockets: &[Socket], owners: &[(u64, u32)]) -> u64 {
            let now = self.start + Duration::from_secs(seconds);
            if let Some(wanted) = self.cache.wanted(sockets, now) {
                let processes = owners.iter().map(|&(inode, pid)| (inode, process(pid)));
                let owners = Owners {
                    processes: processes.collect(),
                    is_cut: false,
                };
                self.cache.add_owners(&wanted, owners);
            }
            let (changes, omitted) = self.cache.update(sockets, now);
            self.table.apply(&changes);
            omitted
        }

        fn pid(&self, local: &str) -> Option<u32> {
            let found = self.table.find(&flow(17, local, "198.51.100.9:9"));
            found.map(|process| process.pid)
        }
    }

    const A: &str = "192.0.2.1:1";
    const B: &str = "192.0.2.1:2";

    #[test]
    fn a_closed_socket_is_kept_for_some_time() {
        let mut tested = Tested::new(10);
        tested.poll(0, &[socket(A, None, 7)], &[(7, 70)]);
        assert_eq!(tested.pid(A), Some(70));
        assert_eq!(tested.pid(B), None);
        tested.poll(20, &[], &[]);
        assert_eq!(tested.pid(A), Some(70));
        // The kernel still sends data of the process, which has ended.
        tested.poll(24, &[socket(A, None, 0)], &[]);
        tested.poll(49, &[], &[]);
        assert_eq!(tested.pid(A), Some(70));
        tested.poll(50, &[], &[]);
        assert_eq!(tested.pid(A), None);
        assert!(tested.cache.sockets.is_empty() && tested.cache.owners.is_empty());
    }

    #[test]
    fn the_newest_process_of_an_address_counts() {
        let mut tested = Tested::new(10);
        tested.poll(0, &[socket(A, None, 7)], &[(7, 70)]);
        tested.poll(1, &[socket(A, None, 8)], &[(8, 80)]);
        assert_eq!(tested.pid(A), Some(80));
        // After the refresh, the socket has another process.
        tested.poll(5, &[socket(A, None, 8)], &[(8, 81)]);
        assert_eq!(tested.pid(A), Some(81));
        // Of two sockets, the process with the smaller ID counts.
        let both = [socket(B, None, 3), socket(B, None, 4), socket(B, None, 5)];
        tested.poll(9, &both, &[(3, 31), (4, 30)]);
        assert_eq!(tested.pid(B), Some(30));
    }

    #[test]
    fn a_full_cache_omits_new_sockets_and_counts_them() {
        let mut tested = Tested::new(1);
        let sockets = [socket(A, None, 7)];
        assert_eq!(tested.poll(0, &sockets, &[(7, 70)]), 0);
        let sockets = [socket(A, None, 7), socket(B, None, 8)];
        assert_eq!(tested.poll(1, &sockets, &[(7, 70), (8, 80)]), 1);
        assert_eq!((tested.pid(A), tested.pid(B)), (Some(70), None));
        let sockets = [socket(B, None, 8)];
        assert_eq!(tested.poll(27, &sockets, &[(8, 80)]), 0);
        assert_eq!((tested.pid(A), tested.pid(B)), (None, Some(80)));
        assert_eq!(tested.cache.sockets.len(), 1);
    }

    #[test]
    fn processes_are_read_for_new_sockets_and_after_some_time() {
        let mut cache = SocketCache::new(KEEP, 10);
        let now = Instant::now();
        let known = socket(A, None, 7);
        let unreadable = socket(B, None, 8);
        assert_eq!(cache.wanted(&[], now), None);
        let mut scans = 0;
        for _ in 0..10 {
            let Some(wanted) = cache.wanted(&[known, unreadable], now) else {
                continue;
            };
            assert_eq!(wanted, [7, 8].into());
            let owners = Owners {
                processes: [(7, process(70))].into(),
                is_cut: false,
            };
            cache.add_owners(&wanted, owners);
            scans += 1;
        }
        assert_eq!(scans, u32::from(TRIES));
        let orphan = socket(B, Some(A), 0);
        assert_eq!(cache.wanted(&[known, unreadable, orphan], now), None);
        let later = now + REFRESH;
        assert_eq!(
            cache.wanted(&[known, unreadable], later),
            Some([7, 8].into())
        );
    }

    #[test]
    fn an_unchanged_list_changes_nothing() {
        let mut tested = Tested::new(10);
        let sockets = [socket(A, None, 7), socket(B, Some(A), 8)];
        tested.poll(0, &sockets, &[(7, 70), (8, 80)]);
        let now = tested.start + Duration::from_secs(1);
        assert_eq!(tested.cache.update(&sockets, now), (Vec::new(), 0));
    }
}
