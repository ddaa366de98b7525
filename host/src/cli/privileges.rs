//! What a live capture gives up before it reads what strangers send.
//!
//! Both capabilities and Landlock are of threads, which inherit them from the one that starts them:
//! so they are given up before there is a second one.

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::fs::{Access as Asked, AtFlags, CWD, accessat};

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

/// The files that the run is about.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Files and folders that are read: plugins and their folders, lists for the dissector.
    pub(super) read: Vec<PathBuf>,
    /// A folder of the run's own, which is made if it is not there: compiled plugins are kept in it.
    pub(super) own: Option<PathBuf>,
    /// Where flows go.
    pub(super) output: Option<PathBuf>,
}

impl Files {
    /// What has to be open to be read: a file is replaced by another one in its folder.
    fn readable(&self) -> impl Iterator<Item = &Path> {
        self.read.iter().map(|path| match path.is_dir() {
            true => path.as_path(),
            false => folder_of(path),
        })
    }

    /// What has to be open to be written: the folder in which files are begun anew, or a device or
    /// pipe itself.
    fn writable(&self) -> Option<&Path> {
        let output = self.output.as_deref()?;
        Some(match output.exists() && !output.is_file() {
            true => output,
            false => folder_of(output),
        })
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Gives up all capabilities but those to capture, and all files but these, and says so in the log.
///
/// Whoever runs it as root and has it write where root owns nothing keeps the capability to do that,
/// which then is good for these files only.
pub(super) fn give_up(files: &Files) {
    if let Some(folder) = &files.own {
        // What is wrong with it, who uses it says.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    match give_up_capabilities(files) {
        Ok(Some(kept)) => tracing::info!("kept of all capabilities: {kept}"),
        Ok(None) => {}
        Err(error) => tracing::warn!("capabilities are kept: {error}"),
    }
    match close_files(files) {
        Ok(RulesetStatus::FullyEnforced) => {
            tracing::info!("closed by Landlock: all files but the output's and the plugins', TCP");
        }
        Ok(RulesetStatus::PartiallyEnforced) => tracing::info!(
            "closed by Landlock, as far as this kernel knows it: all files but the output's and the \
             plugins'"
        ),
        Ok(RulesetStatus::NotEnforced) => {
            tracing::warn!("files stay open: this kernel has no Landlock");
        }
        Err(error) => tracing::warn!("files stay open: {error}"),
    }
}

/// Gives up capabilities; says which are kept, if any were there.
fn give_up_capabilities(files: &Files) -> Result<Option<String>, caps::errors::CapsError> {
    let had = caps::read(None, CapSet::Permitted)?;
    if had.is_empty() {
        return Ok(None);
    }
    let mut kept: HashSet<_> = [Capability::CAP_NET_RAW].into();
    kept.retain(|capability| had.contains(capability));
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        for capability in caps::all() {
            // Those that an older kernel does not know are not there to be dropped.
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
    }
    // Older kernels have no ambient set.
    let _ = caps::clear(None, CapSet::Ambient);
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    if let Some(capability) = needed_for(files)
        && had.contains(&capability)
    {
        kept.insert(capability);
        caps::set(None, CapSet::Effective, &kept)?;
    }
    caps::set(None, CapSet::Permitted, &kept)?;
    let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
    names.sort();
    Ok(Some(match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }))
}

/// What it takes to reach the files without being root.
fn needed_for(files: &Files) -> Option<Capability> {
    let refused = |path: &Path, asked| {
        matches!(
            accessat(CWD, path, asked, AtFlags::EACCESS),
            Err(rustix::io::Errno::ACCESS)
        )
    };
    let output = files.output.as_deref();
    if files
        .writable()
        .into_iter()
        .chain(output)
        .any(|path| refused(path, Asked::WRITE_OK))
    {
        return Some(Capability::CAP_DAC_OVERRIDE);
    }
    files
        .readable()
        .chain(files.read.iter().map(PathBuf::as_path))
        .any(|path| refused(path, Asked::READ_OK))
        .then_some(Capability::CAP_DAC_READ_SEARCH)
}

fn close_files(files: &Files) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write =
        read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile;
    let own = write | AccessFs::MakeDir | AccessFs::RemoveDir;
    let command = std::env::current_exe().ok();
    let status = landlock::Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(LIBRARIES, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(command, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(files.readable(), read))?
        .add_rules(path_beneath_rules(files.writable(), write))?
        .add_rules(path_beneath_rules(&files.own, own))?
        .restrict_self()?;
    Ok(status.ruleset)
}
