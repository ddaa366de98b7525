//! Landlock: access to files and ports.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Files;

/// The newest Landlock version in use. Older kernels enforce what they support.
const LANDLOCK: ABI = ABI::V6;

/// Paths that libpcap and the C library read: counters of interfaces, names of ports and hosts.
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

/// Paths that a process needs to run this command again, besides its file.
const LIBRARIES: [&str; 5] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/etc/ld.so.cache",
];

/// Denies access to all TCP ports, and to all files except these. A file to read is accessible without its folder.
pub(super) fn restrict(files: &Files) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let cache = write | AccessFs::MakeDir | AccessFs::RemoveDir;
    let output = match files.makes_folders {
        true => cache,
        false => write,
    };
    let command = std::env::current_exe().ok();
    // Landlock does not restrict pipes and sockets without a name, for example those of /dev/stdout.
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
        .add_rules(path_beneath_rules(written, output))?
        .add_rules(path_beneath_rules(&files.cache, cache))?
        .restrict_self()?;
    Ok(status.ruleset)
}
