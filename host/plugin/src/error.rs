//! Errors of loading and running plugins.

use std::fmt;
use std::path::PathBuf;

use crate::digest::Sha256;
use crate::escape::{escaped_path, shown};
use crate::grants::Grants;
pub use crate::sandbox::call_stack::CallStack;
use crate::source::PluginSource;

/// The reason why a plugin was not loaded. The text names the plugin and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("plugin '{}': {problem}", name.escape_debug())]
pub struct PluginError {
    /// The operator's name for the plugin.
    pub name: String,
    /// The reason.
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

/// The reason why a plugin was not loaded. The text follows the name of the plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the texts describe the variants")]
pub enum LoadErrorKind {
    #[error("cannot read {}: {error}", escaped_path(path))]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{} is not a regular file", escaped_path(path))]
    NotAFile { path: PathBuf },
    #[error(
        "{} is a symbolic link, which is not accepted in a watched folder; move the file itself there",
        escaped_path(path)
    )]
    Link { path: PathBuf },
    #[error("{component} has {size} bytes; at most {max} are accepted")]
    TooLarge {
        component: PluginSource,
        size: u64,
        max: u64,
    },
    #[error("{component} is not a WebAssembly component: {}", shown(reason))]
    NotAComponent {
        component: PluginSource,
        reason: String,
    },
    #[error("{component} does not compile: {}", shown(reason))]
    DoesNotCompile {
        component: PluginSource,
        reason: String,
    },
    /// The text of features has errors. The reason has several lines, which show the places.
    #[error("{reason}")]
    BadFeatures { reason: String },
    #[error("{component} is not UTF-8 text")]
    NotText { component: PluginSource },
    #[error("{component} cannot be found, because the run has no store of plugins")]
    NoStore { component: PluginSource },
    #[error("requires flowloom:plugin {}; this Flowloom has {has}", shown(wanted), has = crate::contract::CONTRACT_VERSION)]
    OtherVersion { wanted: String },
    #[error(
        "imports '{import}', which Flowloom does not provide; only flowloom:plugin/log and wasi 0.2 may be imported"
    )]
    UnknownImport { import: String },
    #[error("exports neither flowloom:plugin/feature nor flowloom:plugin/batch-feature {has}", has = crate::contract::CONTRACT_VERSION)]
    NoExports,
    #[error("does not match the contract: {}", shown(reason))]
    OtherTypes { reason: String },
    #[error("cannot be opened: {0}")]
    OpenTrapped(Trap),
    #[error("cannot be opened: {}", shown(.0))]
    RejectedOptions(String),
    #[error(
        "requests {of} field '{field}', which does not exist in this version of Flowloom; {advice}"
    )]
    UnknownField {
        of: &'static str,
        field: String,
        /// What the author of the plugin can do.
        advice: String,
    },
    /// Several declarations in the manifest are not valid.
    #[error("{}", Problems(.0))]
    Several(Vec<LoadErrorKind>),
    #[error(
        "requests flow field {field}, which plugins cannot request; Flowloom computes it after the flow has ended"
    )]
    FieldFollowsEnd { field: &'static str },
    #[error("requests flow field {field}, which this run does not have; it exists {when}")]
    FieldAbsent {
        field: &'static str,
        when: &'static str,
    },
    /// The plugin requests data without the grants for it.
    #[error(
        "requests {}, which {} not granted; it needs {missing}{}",
        DataList(requested),
        DataList(requested).verb(),
        place.as_ref().map(|place| format!("\n{place}")).unwrap_or_default()
    )]
    NotGranted {
        /// All data that the plugin requests and was not granted.
        requested: Vec<RequestedData>,
        /// The smallest set of further grants that allows it.
        missing: Grants,
        /// The place in a text of features that requests it, with a mark below it.
        place: Option<String>,
    },
    /// No grants allow what the plugin requests.
    #[error(
        "requests {}, but pseudonyms cannot be granted together with addresses or packet bytes, which reveal the addresses behind them",
        DataList(requested)
    )]
    ConflictingRequests {
        /// All data that the plugin requests and was not granted.
        requested: Vec<RequestedData>,
    },
    #[error("requests {requested} bytes of each {of}; a packet has at most {max}")]
    TooManyBytes {
        of: &'static str,
        requested: u32,
        max: u32,
    },
    #[error("requests {of} field '{field}' twice")]
    FieldTwice { of: &'static str, field: String },
    #[error("declares {count} outputs; at most {max} are accepted")]
    TooManyOutputs { count: usize, max: usize },
    #[error("declares output '{}', which is not a valid name; use [a-z][a-z0-9_]{{0,31}}", name.escape_debug())]
    BadOutputName { name: String },
    #[error("declares a {of} of {len} bytes; at most {max} are accepted")]
    TextTooLong {
        of: &'static str,
        len: usize,
        max: usize,
    },
    #[error("declares output '{name}' twice")]
    OutputTwice { name: String },
    #[error("declares {count} options; at most {max} are accepted")]
    TooManyOptions { count: usize, max: usize },
    #[error("declares option '{}', which is not a valid name; use [a-z][a-z0-9_]{{0,31}}", name.escape_debug())]
    BadOptionName { name: String },
    #[error("declares option '{name}' twice")]
    OptionTwice { name: String },
    #[error("declares packets-per-flow 0; declare at least 1, or none")]
    NoPackets,
    #[error("declares that it cuts flows, but does not export flowloom:plugin/feature")]
    CannotCut,
    #[error("returned another manifest when it was opened again with the same options")]
    OtherManifest,
    #[error("another plugin has this name; give each plugin its own name with NAME=FILE")]
    NameTaken,
    #[error("{component} has SHA-256 {is}, but only {wanted} may be loaded")]
    OtherFile {
        component: PluginSource,
        is: Sha256,
        wanted: Sha256,
    },
    #[error(
        "is not listed in the policy, which rejects unlisted plugins; add a section [plugins.NAME]"
    )]
    Unlisted,
    #[error(
        "has grants and is in a watched folder, but the policy has no digest of its file; add its sha256 to the policy"
    )]
    NotPinned,
    #[error(
        "has grants that reveal the addresses behind its pseudonyms; grant either pseudonyms, or addresses and bytes:N"
    )]
    RevealedPseudonyms,
    #[error("no plugin has this name")]
    NotLoaded,
    #[error("requires one meter, but this run has {meters}")]
    NeedsOneMeter { meters: usize },
    #[error(
        "declares outputs that differ from its columns in this run, which cannot change while packets flow; JSON lines accept any outputs"
    )]
    OtherColumns,
    #[error("'{}' is not a valid plugin name; use [A-Za-z0-9_-]{{1,64}}, as in NAME=FILE", name.escape_debug())]
    BadName { name: String },
}

impl LoadErrorKind {
    /// Adds the place in a text of features that requests payload, if that was not granted.
    pub(crate) fn with_payload_place(self, find: impl FnOnce() -> Option<String>) -> Self {
        match self {
            Self::NotGranted {
                requested,
                missing,
                place: None,
            } => {
                let is_payload =
                    |data: &RequestedData| matches!(data, RequestedData::PayloadBytes(_));
                let place = match requested.iter().any(is_payload) {
                    true => find(),
                    false => None,
                };
                Self::NotGranted {
                    requested,
                    missing,
                    place,
                }
            }
            other => other,
        }
    }
}

/// Writes several reasons as one.
struct Problems<'a>(&'a [LoadErrorKind]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; it also " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// Data that a plugin requests in its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestedData {
    /// The packet field of this name.
    PacketField(&'static str),
    /// The flow field of this name.
    FlowField(&'static str),
    /// This many bytes of each packet's transport payload.
    PayloadBytes(u32),
    /// This many bytes of each packet from its IP header on.
    PacketBytes(u32),
}

/// Writes requested data as a part of a sentence, grouped by kind.
struct DataList<'a>(&'a [RequestedData]);

impl DataList<'_> {
    /// Returns "was" for a single field, otherwise "were".
    fn verb(&self) -> &'static str {
        use RequestedData::{FlowField, PacketField};
        match self.0 {
            [PacketField(_) | FlowField(_)] => "was",
            _ => "were",
        }
    }
}

impl fmt::Display for DataList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |kind: &str, name: fn(&RequestedData) -> Option<&'static str>| {
            let names: Vec<_> = self.0.iter().filter_map(name).collect();
            match names.len() {
                0 => None,
                1 => Some(format!("{kind} field {}", names[0])),
                _ => Some(format!("{kind} fields {}", names.join(", "))),
            }
        };
        let packet = fields("packet", |data| match data {
            RequestedData::PacketField(name) => Some(name),
            _ => None,
        });
        let flow = fields("flow", |data| match data {
            RequestedData::FlowField(name) => Some(name),
            _ => None,
        });
        let bytes = self.0.iter().filter_map(|data| match data {
            RequestedData::PayloadBytes(count) => Some(format!("payload bytes ({count})")),
            RequestedData::PacketBytes(count) => Some(format!("packet bytes ({count})")),
            _ => None,
        });
        let groups: Vec<_> = packet.into_iter().chain(flow).chain(bytes).collect();
        for (index, group) in groups.iter().enumerate() {
            let separator = match groups.len() - index {
                _ if index == 0 => "",
                1 => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{group}")?;
        }
        Ok(())
    }
}

/// The reason why a call into a plugin failed, or why the plugin is in back-off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trap {
    /// The call exceeded its CPU time.
    #[error("it took more than {allowed_ms} ms of CPU time{stack}")]
    Deadline {
        /// The limit in ms.
        allowed_ms: u128,
        /// Where it was when the time had passed.
        stack: CallStack,
    },
    /// The calls met their deadlines, but their events took too much CPU time on average.
    #[error("it took {taken} ns of CPU time per event; {allowed} are allowed")]
    TooSlow {
        /// The average in ns per event.
        taken: u64,
        /// The limit in ns per event.
        allowed: u64,
    },
    /// The instance exceeded its memory limit.
    #[error("it requested {requested} bytes of memory{stack}; {allowed} are allowed")]
    Memory {
        /// The bytes that it would have used.
        requested: usize,
        /// The limit in bytes.
        allowed: usize,
        /// Where it stopped after that.
        stack: CallStack,
    },
    /// The plugin stopped itself, violated a rule of WebAssembly, or returned too much.
    #[error("{}{stack}", shown(reason))]
    Stopped {
        /// The text of the runtime.
        reason: String,
        /// The functions that were active.
        stack: CallStack,
    },
    /// The plugin logged an error, and then stopped itself or violated a rule of WebAssembly.
    #[error("{}", shown(.0))]
    Failed(
        /// The last error line of this call: usually a panic message, or the end of a traceback.
        String,
    ),
}

#[cfg(test)]
mod tests {
    use super::RequestedData::{FlowField, PacketBytes, PacketField, PayloadBytes};
    use super::*;

    #[test]
    fn requested_data_is_grouped_by_kind() {
        for (requested, text, verb) in [
            (&[PacketField("src_ip")][..], "packet field src_ip", "was"),
            (&[FlowField("src_mac")], "flow field src_mac", "was"),
            (&[PayloadBytes(64)], "payload bytes (64)", "were"),
            (
                &[PacketField("src_ip"), PayloadBytes(1_500)],
                "packet field src_ip and payload bytes (1500)",
                "were",
            ),
            (
                &[
                    PacketField("src_ip"),
                    PacketField("dst_ip"),
                    PayloadBytes(1),
                    PacketBytes(2),
                    FlowField("user_agent"),
                ],
                "packet fields src_ip, dst_ip, flow field user_agent, payload bytes (1) and packet bytes (2)",
                "were",
            ),
        ] {
            assert_eq!(DataList(requested).to_string(), text);
            assert_eq!(DataList(requested).verb(), verb);
        }
    }
}
