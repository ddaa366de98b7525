//! What can be wrong with a plugin.

use std::path::PathBuf;

use crate::digest::Sha256;
use crate::escape::{escaped_path, shown};

/// Why a plugin is not loaded. The text names the plugin and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{}`: {problem}", name.escape_debug())]
pub struct PluginError {
    /// The operator's name for it.
    pub name: String,
    /// What is wrong.
    pub problem: Box<LoadErrorKind>,
}

impl PluginError {
    pub(crate) fn new(name: &str, problem: LoadErrorKind) -> Self {
        Self {
            name: name.to_owned(),
            problem: Box::new(problem),
        }
    }
}

/// What is wrong with a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the texts say what each is")]
pub enum LoadErrorKind {
    #[error("{} cannot be read: {error}", escaped_path(path))]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{} is not a regular file", escaped_path(path))]
    NotAFile { path: PathBuf },
    #[error(
        "{} is a symbolic link, which a folder that is followed may not have: move the file itself there",
        escaped_path(path)
    )]
    Link { path: PathBuf },
    #[error("{} has {size} bytes; at most {most} are accepted", escaped_path(path))]
    TooLarge { path: PathBuf, size: u64, most: u64 },
    #[error(
        "{} is not a WebAssembly component: {}",
        escaped_path(path),
        shown(reason)
    )]
    NotAComponent { path: PathBuf, reason: String },
    #[error("{} does not compile: {}", escaped_path(path), shown(reason))]
    DoesNotCompile { path: PathBuf, reason: String },
    #[error("needs flowloom:plugin {}, this host has {has}", shown(wanted), has = crate::contract::CONTRACT_VERSION)]
    OtherVersion { wanted: String },
    #[error(
        "imports `{import}`, which this host does not give to plugins; only flowloom:plugin/log and wasi 0.2 may be imported"
    )]
    UnknownImport { import: String },
    #[error("exports neither flowloom:plugin/feature nor flowloom:plugin/batch-feature {has}", has = crate::contract::CONTRACT_VERSION)]
    NoExports,
    #[error("does not fit the contract: {}", shown(reason))]
    OtherTypes { reason: String },
    #[error("failed while it was opened: {0}")]
    OpenTrapped(Trap),
    #[error("refused its options: {}", shown(.0))]
    Refused(String),
    #[error("asks for the {of} field `{field}`, which this host does not know")]
    UnknownField { of: &'static str, field: String },
    #[error("asks for the flow field `{field}`, which this run does not have: it is there {when}")]
    NotThere {
        field: &'static str,
        when: &'static str,
    },
    #[error(
        "asks for the {of} field `{field}`, which was not granted: add `--grant {name}={grant}`"
    )]
    NotGranted {
        name: String,
        of: &'static str,
        field: String,
        grant: String,
    },
    #[error(
        "asks for {asked} bytes of each {of}, which were not granted: add `--grant {name}={grant}:{asked}`"
    )]
    BytesNotGranted {
        name: String,
        of: &'static str,
        grant: &'static str,
        asked: u32,
    },
    #[error("asks for {asked} bytes of each {of}; a packet has at most {most}")]
    TooManyBytes {
        of: &'static str,
        asked: u32,
        most: u32,
    },
    #[error("asks for the {of} field `{field}` twice")]
    FieldTwice { of: &'static str, field: String },
    #[error("declares {count} outputs; at most {most} are accepted")]
    TooManyOutputs { count: usize, most: usize },
    #[error("declares an output `{}`, which is not a name: give [a-z][a-z0-9_]{{0,31}}", name.escape_debug())]
    BadOutputName { name: String },
    #[error("gives a {of} of {len} bytes; at most {most} are accepted")]
    TextTooLong {
        of: &'static str,
        len: usize,
        most: usize,
    },
    #[error("declares the output `{name}` twice")]
    OutputTwice { name: String },
    #[error("says packets-per-flow 0; give at least 1, or none")]
    NoPackets,
    #[error(
        "says that it cuts flows, but does not export flowloom:plugin/feature, through which that is done"
    )]
    CannotCut,
    #[error("gave another manifest when it was opened again with the same options")]
    OtherManifest,
    #[error("there is a plugin of that name already: give each its own with NAME=FILE")]
    NameTaken,
    #[error(
        "{} has the SHA-256 {is}, and {wanted} is what may be loaded",
        escaped_path(path)
    )]
    OtherFile {
        path: PathBuf,
        is: Sha256,
        wanted: Sha256,
    },
    #[error("is not in the policy, which refuses plugins that are not")]
    Unlisted,
    #[error(
        "is granted more than the default, and was found in a folder that is followed: give the sha256 of its file in the policy"
    )]
    NotPinned,
    #[error(
        "is granted pseudonyms, and with `addresses` or `bytes` what stands behind them: grant one or the other"
    )]
    Unveiled,
    #[error("there is no plugin of that name")]
    NotLoaded,
    #[error("needs one meter, and this run has {meters}")]
    NeedsOneMeter { meters: usize },
    #[error(
        "declares other outputs than the columns that this run has of it, which cannot change under way; JSON lines take any"
    )]
    OtherColumns,
    #[error("`{}` is not a name for a plugin: give [A-Za-z0-9_-]{{1,64}}, as in NAME=FILE", name.escape_debug())]
    BadName { name: String },
}

/// How a call into a plugin failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trap {
    /// It took longer than it may.
    #[error("it took more than {allowed_ms} ms of CPU time")]
    Deadline {
        /// What it may take.
        allowed_ms: u128,
    },
    /// Its calls each took no longer than they may, and together they did.
    #[error("it took {taken} ns of CPU time an event; {allowed} are allowed")]
    TooSlow {
        /// What an event took.
        taken: u64,
        /// What it may take.
        allowed: u64,
    },
    /// It needed more memory than it may have.
    #[error("it asked for {asked} bytes of memory; {allowed} are allowed")]
    Memory {
        /// What it asked for.
        asked: usize,
        /// What it may have.
        allowed: usize,
    },
    /// It stopped itself, or did what WebAssembly forbids.
    #[error("{}{}", shown(reason), said.as_ref().map(|said| format!(": {}", shown(said))).unwrap_or_default())]
    Stopped {
        /// The runtime's words.
        reason: String,
        /// The last error line that the plugin logged: its panic message, most often.
        said: Option<String>,
    },
}
