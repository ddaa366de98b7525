//! The processes that own sockets, from `/proc`.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowloom_core::record::SystemProcess;

/// The longest name of a process in bytes, as the kernel has it.
const NAME_BYTES: usize = 15;

/// The limits of one scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanLimits {
    /// The number of processes.
    pub(super) processes: usize,
    /// The number of open files, over all processes.
    pub(super) files: usize,
    pub(super) time: Duration,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self {
            processes: 32_768,
            files: 1 << 20,
            time: Duration::from_millis(500),
        }
    }
}

/// Finds the processes that own sockets.
#[derive(Debug)]
pub(super) struct ProcessScan {
    /// `/proc`, except in tests.
    folder: PathBuf,
    limits: ScanLimits,
    /// The process after which the next scan begins. A scan that was cut does not begin with the same processes again.
    last_pid: u32,
}

/// The result of a scan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// The process of each socket, by its inode.
    pub(super) processes: HashMap<u64, SystemProcess>,
    /// Whether a limit was reached.
    pub(super) is_cut: bool,
}

impl Default for ProcessScan {
    fn default() -> Self {
        Self::of(Path::new("/proc"), ScanLimits::default())
    }
}

impl ProcessScan {
    fn of(folder: &Path, limits: ScanLimits) -> Self {
        Self {
            folder: folder.to_owned(),
            limits,
            last_pid: 0,
        }
    }

    /// Returns the processes that own these sockets. If several processes share a socket, the smallest process ID
    /// counts.
    ///
    /// Processes that end meanwhile, or whose files may not be read, have no sockets.
    ///
    /// # Errors
    ///
    /// The list of processes cannot be read.
    pub(super) fn owners(&mut self, sockets: &HashSet<u64>) -> io::Result<Owners> {
        let start = Instant::now();
        let mut owners = Owners::default();
        let mut pids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let Some(pid) = entry
                .ok()
                .and_then(|entry| number(entry.file_name().as_bytes()))
            else {
                continue;
            };
            pids.push(pid);
        }
        pids.sort_unstable();
        let first = pids.partition_point(|&pid| pid <= self.last_pid);
        pids.rotate_left(first);
        let mut files = self.limits.files;
        for (count, pid) in pids.into_iter().enumerate() {
            if count == self.limits.processes || files == 0 || start.elapsed() >= self.limits.time {
                owners.is_cut = true;
                return Ok(owners);
            }
            self.add(pid, sockets, &mut files, &mut owners);
            self.last_pid = pid;
        }
        self.last_pid = 0;
        Ok(owners)
    }

    /// Adds the sockets of a process. Takes the number of its open files from `files`.
    fn add(&self, pid: u32, sockets: &HashSet<u64>, files: &mut usize, owners: &mut Owners) {
        let folder = self.folder.join(pid.to_string());
        let Ok(entries) = fs::read_dir(folder.join("fd")) else {
            return;
        };
        let mut process = None;
        for entry in entries {
            if *files == 0 {
                owners.is_cut = true;
                return;
            }
            *files -= 1;
            let link = entry.and_then(|entry| fs::read_link(entry.path()));
            let inode = link
                .ok()
                .and_then(|link| inode(link.as_os_str().as_bytes()));
            let Some(inode) = inode.filter(|inode| sockets.contains(inode)) else {
                continue;
            };
            let process = process.get_or_insert_with(|| SystemProcess {
                pid,
                name: name(&folder),
            });
            let known = owners.processes.get(&inode);
            if known.is_none_or(|known| known.pid > pid) {
                owners.processes.insert(inode, process.clone());
            }
        }
    }
}

/// Parses a decimal number.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then_some(())?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Returns the inode of a socket from the target of a link, as in `socket:[4026]`.
fn inode(link: &[u8]) -> Option<u64> {
    number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

/// Returns the name of a process, or `None` if it cannot be read.
fn name(folder: &Path) -> Option<Arc<str>> {
    let mut name = Vec::new();
    let file = File::open(folder.join("comm")).ok()?;
    file.take(NAME_BYTES as u64 + 1)
        .read_to_end(&mut name)
        .ok()?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    name.truncate(NAME_BYTES);
    (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// Creates a folder like `/proc`: a process with its name and the targets of its files.
    fn proc(processes: &[(&str, &[u8], &[&str])]) -> TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (pid, name, links) in processes {
            let folder = proc.path().join(pid);
            fs::create_dir_all(folder.join("fd")).unwrap();
            fs::write(folder.join("comm"), name).unwrap();
            for (fd, link) in links.iter().enumerate() {
                symlink(link, folder.join("fd").join(fd.to_string())).unwrap();
            }
        }
        proc
    }

    /// Returns the sockets of a scan with their processes, in the order of the sockets.
    fn found(owners: &Owners) -> Vec<(u64, u32, Option<&str>)> {
        let mut found: Vec<_> = owners
            .processes
            .iter()
            .map(|(inode, process)| (*inode, process.pid, process.name.as_deref()))
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn the_smallest_process_id_counts_and_other_files_do_not() {
        let proc = proc(&[
            (
                "30",
                b"worker\n",
                &["socket:[7]", "socket:[8]", "/dev/null"],
            ),
            ("4", b"main\n", &["pipe:[8]", "socket:[7]", "socket:[9]"]),
            ("self", b"other\n", &["socket:[8]"]),
        ]);
        let mut scan = ProcessScan::of(proc.path(), ScanLimits::default());
        let owners = scan.owners(&[7, 8, 10].into()).unwrap();
        assert_eq!(
            found(&owners),
            [(7, 4, Some("main")), (8, 30, Some("worker"))]
        );
        assert!(!owners.is_cut);
    }

    #[test]
    fn nothing_in_proc_is_trusted() {
        let links: &[&str] = &[
            "socket:[]",
            "socket:[-1]",
            "socket:[18446744073709551616]",
            "socket:[1",
            "socket:[1]]",
            "socket:1",
            "socket:[+1]",
            "socket:[1]",
        ];
        let proc = proc(&[
            ("1", b"\xff\xfe,\"\x1b[2J name that is long\n", links),
            ("99999999999999999999", b"x\n", &["socket:[1]"]),
            ("5", b"\n", &["socket:[5]"]),
            ("6", b"no line feed", &["socket:[6]"]),
        ]);
        // A process that has vanished, and one whose files may not be read.
        fs::create_dir(proc.path().join("2")).unwrap();
        fs::create_dir(proc.path().join("3")).unwrap();
        fs::write(proc.path().join("3/fd"), "no folder").unwrap();
        fs::write(proc.path().join("7"), "no folder").unwrap();
        fs::remove_file(proc.path().join("6/comm")).unwrap();
        let mut scan = ProcessScan::of(proc.path(), ScanLimits::default());
        let owners = scan.owners(&[1, 5, 6].into()).unwrap();
        let name = "\u{fffd}\u{fffd},\"\u{1b}[2J name t";
        assert_eq!(
            found(&owners),
            [(1, 1, Some(name)), (5, 5, None), (6, 6, None)]
        );
        assert!(scan.owners(&HashSet::new()).unwrap().processes.is_empty());
        drop(proc);
        assert!(scan.owners(&[1].into()).is_err());
    }

    #[test]
    fn a_scan_that_was_cut_continues_with_the_next_process() {
        let proc = proc(&[
            ("1", b"a\n", &["/", "socket:[1]"]),
            ("2", b"b\n", &["/", "socket:[2]"]),
            ("3", b"c\n", &["/", "socket:[3]"]),
        ]);
        let limits = ScanLimits {
            files: 3,
            ..ScanLimits::default()
        };
        let mut scan = ProcessScan::of(proc.path(), limits);
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let owners = scan.owners(&[1, 2, 3].into()).unwrap();
            assert!(owners.is_cut);
            assert!(owners.processes.len() <= 2);
            seen.extend(owners.processes.into_keys());
        }
        assert_eq!(seen, [1, 2, 3].into());
        let limits = ScanLimits {
            processes: 2,
            ..ScanLimits::default()
        };
        let mut scan = ProcessScan::of(proc.path(), limits);
        let owners = scan.owners(&[1, 2, 3].into()).unwrap();
        assert_eq!(found(&owners), [(1, 1, Some("a")), (2, 2, Some("b"))]);
        assert!(owners.is_cut);
        let owners = scan.owners(&[1, 2, 3].into()).unwrap();
        assert_eq!(found(&owners), [(1, 1, Some("a")), (3, 3, Some("c"))]);
        let limits = ScanLimits {
            time: Duration::ZERO,
            ..ScanLimits::default()
        };
        let owners = ProcessScan::of(proc.path(), limits).owners(&[1].into());
        assert!(owners.unwrap().is_cut);
    }
}
