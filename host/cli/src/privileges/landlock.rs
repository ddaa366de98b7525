//! Files and ports.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Files;

/// The newest Landlock that is asked for; older kernels enforce what they know of it.
const LANDLOCK: ABI = ABI::V6;

/// What libpcap and the C library read: counters of interfaces, names of ports and hosts.
const SYSTEM: [&str; 13] = [
    "/sys/class/net",
    "/sys/devices",
    "/proc/self",
    "/proc/net",
    "/etc/ethers",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/networks",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
];

/// What a process that runs this very command again needs besides its file.
const LIBRARIES: [&str; 5] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/etc/ld.so.cache",
];

/// Closes all files and TCP ports but these: a file that is read is open alone, without its folder.
pub(super) fn close_files(files: &Files) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let own = write | AccessFs::MakeDir | AccessFs::RemoveDir;
    let command = std::env::current_exe().ok();
    // A pipe or socket without a name, as behind /dev/stdout, is none of Landlock's files.
    let written = files.writable().filter(|path| path.canonicalize().is_ok());
    let status = landlock::Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(LIBRARIES, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(command, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(&files.read, read))?
        .add_rules(path_beneath_rules(written, write))?
        .add_rules(path_beneath_rules(&files.own, own))?
        .restrict_self()?;
    Ok(status.ruleset)
}
