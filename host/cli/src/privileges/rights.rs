//! User, groups and capabilities.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs;

use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};

use super::Account;

/// Becomes this user, if one is given, and drops all capabilities except the one to capture. Returns the
/// capabilities that the process had.
///
/// # Errors
///
/// A privilege cannot be dropped. The process must then end.
pub(super) fn drop(account: Option<&Account>) -> Result<HashSet<Capability>, String> {
    let threads = fs::read_dir("/proc/self/task").map_err(of("threads"))?;
    let threads = threads.count();
    if threads != 1 {
        return Err(format!(
            "the process has {threads} threads, and only one would drop them"
        ));
    }
    let had = read(CapSet::Permitted)?;
    let may_bound = caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP);
    if may_bound.map_err(of("capabilities"))? {
        for capability in caps::runtime::thread_all_supported() {
            caps::drop(None, CapSet::Bounding, capability).map_err(of("bounding set"))?;
        }
    }
    // Older kernels have no ambient set.
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient).map_err(of("ambient set"))?;
    }
    caps::clear(None, CapSet::Inheritable).map_err(of("inheritable set"))?;
    if let Some(account) = account.filter(|account| !account.is_root()) {
        become_user(account)?;
    }
    let kept: HashSet<_> = had
        .intersection(&[Capability::CAP_NET_RAW].into())
        .copied()
        .collect();
    set(CapSet::Effective, &kept)?;
    prctl::set_no_new_privs().map_err(of("no_new_privs"))?;
    Ok(had)
}

/// Makes another permitted capability effective again.
pub(super) fn raise(capability: Capability) -> Result<(), String> {
    let mut kept = read(CapSet::Effective)?;
    kept.insert(capability);
    set(CapSet::Effective, &kept)
}

/// Reduces the permitted capabilities to the effective ones, so that no other can become effective again.
///
/// # Errors
///
/// The process still has other capabilities, users or groups.
pub(super) fn seal(account: Option<&Account>) -> Result<HashSet<Capability>, String> {
    let kept = read(CapSet::Effective)?;
    set(CapSet::Permitted, &kept)?;
    if read(CapSet::Permitted)? != kept || read(CapSet::Effective)? != kept {
        return Err("the process still has other capabilities".into());
    }
    if let Some(account) = account.filter(|account| !account.is_root()) {
        let users = getresuid().map_err(of("user"))?;
        let groups = getresgid().map_err(of("group"))?;
        let is_only = |uid: Uid, gid: Gid| {
            [users.real, users.effective, users.saved] == [uid; 3]
                && [groups.real, groups.effective, groups.saved] == [gid; 3]
        };
        let others = getgroups().map_err(of("groups"))?;
        if !is_only(account.uid, account.gid) || !others.is_empty() {
            return Err(format!(
                "the process still has other users or groups than those of {}",
                account.name
            ));
        }
    }
    Ok(kept)
}

/// Becomes this user. Keeps the permitted capabilities, and loses the effective ones.
fn become_user(account: &Account) -> Result<(), String> {
    let (uid, gid) = (account.uid, account.gid);
    let cannot = |error| format!("cannot become user {}: {error}", account.name);
    prctl::set_keepcaps(true).map_err(cannot)?;
    setgroups(&[]).map_err(cannot)?;
    setresgid(gid, gid, gid).map_err(cannot)?;
    setresuid(uid, uid, uid).map_err(cannot)?;
    prctl::set_keepcaps(false).map_err(cannot)
}

/// Adds the object of a failed operation to its error.
fn of<E: Display>(what: &str) -> impl FnOnce(E) -> String {
    move |error| format!("{what}: {error}")
}

fn read(set: CapSet) -> Result<HashSet<Capability>, String> {
    caps::read(None, set).map_err(of("capabilities"))
}

fn set(set: CapSet, kept: &HashSet<Capability>) -> Result<(), String> {
    caps::set(None, set, kept).map_err(of("capabilities"))
}
