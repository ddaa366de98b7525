//! The policy: a file in which the operator defines what each plugin may do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::limits::{EventTime, Limits, MAX_ANSWER_BYTES};
use super::spec::PluginSpec;
use crate::bounded_file::BoundedRead;
use crate::digest::Sha256;
use crate::error::{LoadErrorKind, PluginError};
use crate::grants::Grants;

/// A policy: a TOML file, usually `flowloom.toml`, that defines what each plugin may do.
///
/// ```toml
/// version = 1
/// unlisted = "refuse"             # plugins that are not listed below; "allow" by default
///
/// [limits]                        # for every plugin
/// call-ms = 50
///
/// [plugins.first_bytes]
/// sha256 = "5b1e…"                # of its file
/// grants = ["payload:64", "addresses"]
/// options = { n = 64 }            # unless the spec sets them
/// limits = { memory-mib = 32 }    # override the limits for every plugin
/// ```
#[derive(Clone, Debug, Default)]
pub struct Policy {
    refuses_unlisted: bool,
    limits: LimitTable,
    plugins: BTreeMap<String, Entry>,
}

/// The reason why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the texts say what each is")]
pub enum PolicyError {
    #[error("cannot read policy {}: {error}", crate::escape::escaped_path(path))]
    Unreadable {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("policy {}: {reason}", crate::escape::escaped_path(path))]
    Invalid { path: PathBuf, reason: String },
}

/// The maximum size of a policy. 64 plugins with long options need a tenth of it.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// The version of the format.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    version: u32,
    #[serde(default)]
    unlisted: Unlisted,
    #[serde(default)]
    limits: LimitTable,
    #[serde(default)]
    plugins: BTreeMap<String, Entry>,
}

/// The version alone, because the keys of other versions are not known.
#[derive(Deserialize)]
struct Versioned {
    version: Option<i64>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Unlisted {
    #[default]
    Allow,
    Refuse,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    sha256: Option<Sha256>,
    #[serde(default, deserialize_with = "grants")]
    grants: Grants,
    #[serde(default)]
    options: BTreeMap<String, Scalar>,
    #[serde(default)]
    limits: LimitTable,
}

/// An option's value.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "an option is a text, a number, true or false")]
enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl Scalar {
    /// Returns the value as the plugin receives it.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
        }
    }
}

/// Limits of the policy. A limit that is absent does not change.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitTable {
    call_ms: Option<u32>,
    open_ms: Option<u32>,
    memory_mib: Option<u32>,
    flows: Option<u32>,
    ns_per_event: Option<u32>,
    output_kib: Option<u32>,
}

impl LimitTable {
    /// Returns `limits` with the limits of this table.
    fn apply(&self, limits: Limits) -> Limits {
        let ms = |ms: Option<u32>, before| ms.map_or(before, |ms| Duration::from_millis(ms.into()));
        Limits {
            call: ms(self.call_ms, limits.call),
            open: ms(self.open_ms, limits.open),
            memory: self
                .memory_mib
                .map_or(limits.memory, |mib| (mib as usize) << 20),
            flows: self.flows.map_or(limits.flows, |flows| flows as usize),
            event_time: match self.ns_per_event {
                None => limits.event_time,
                Some(0) => EventTime::Unbounded,
                Some(ns) => EventTime::Ns(ns.into()),
            },
            output: self
                .output_kib
                .map_or(limits.output, |kib| (kib as usize) << 10),
        }
    }

    /// Rejects values that would stop every plugin, or that cannot be enforced.
    fn check(&self, place: &str) -> Result<(), String> {
        let all = 1..=u32::MAX;
        let enforceable = Limits::SHORTEST_CALL.as_millis() as u32..=u32::MAX;
        for (key, value, accepted) in [
            ("call-ms", self.call_ms, &enforceable),
            ("open-ms", self.open_ms, &enforceable),
            ("memory-mib", self.memory_mib, &all),
            ("flows", self.flows, &all),
            (
                "output-kib",
                self.output_kib,
                &(1..=(MAX_ANSWER_BYTES >> 10) as u32),
            ),
        ] {
            let (min, max) = (accepted.start(), accepted.end());
            match value {
                Some(value) if value < *min => {
                    return Err(format!("{place}.{key} is {value}; give at least {min}"));
                }
                Some(value) if value > *max => {
                    return Err(format!("{place}.{key} is {value}; give at most {max}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn grants<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Grants, D::Error> {
    Vec::<String>::deserialize(from)?
        .iter()
        .try_fold(Grants::default(), |grants, word| {
            Ok(grants.and(word.parse().map_err(serde::de::Error::custom)?))
        })
}

impl Policy {
    /// Reads a policy from a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not a regular file, has more than 1 MiB, or is not a policy of a known
    /// version.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PolicyError> {
        let path = path.as_ref();
        let text = BoundedRead::new(MAX_POLICY_BYTES)
            .text(path)
            .map_err(|error| PolicyError::Unreadable {
                path: path.to_owned(),
                error: error.into(),
            })?;
        Self::read(&text).map_err(|reason| PolicyError::Invalid {
            path: path.to_owned(),
            reason,
        })
    }

    /// Returns the policy in a file. Without a file, it returns a policy that allows what each spec contains.
    ///
    /// # Errors
    ///
    /// As [`from_file`](Self::from_file).
    pub fn at(path: Option<&Path>) -> Result<Self, PolicyError> {
        path.map_or_else(|| Ok(Self::default()), Self::from_file)
    }

    /// Returns the names of the plugins that have an entry, in alphabetical order.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        self.plugins.keys().map(String::as_str)
    }

    fn read(text: &str) -> Result<Self, String> {
        let reason = |error: toml::de::Error| error.to_string().trim_end().to_owned();
        // The version is checked before the keys, because another version has other keys.
        let versioned: Versioned = toml::from_str(text).map_err(reason)?;
        match versioned.version {
            Some(1) => {}
            None => return Err(format!("it has no version; add 'version = {VERSION}'")),
            Some(other) => {
                return Err(format!(
                    "it has version {other}, but this Flowloom reads version {VERSION}"
                ));
            }
        }
        let document: Document = toml::from_str(text).map_err(reason)?;
        debug_assert_eq!(document.version, VERSION);
        document.limits.check("limits")?;
        for (name, entry) in &document.plugins {
            entry.limits.check(&format!("plugins.{name}.limits"))?;
        }
        Ok(Self {
            refuses_unlisted: document.unlisted == Unlisted::Refuse,
            limits: document.limits,
            plugins: document.plugins,
        })
    }

    /// Applies the policy to a plugin.
    ///
    /// The result has the grants of both. Options that the spec does not set come from the policy. So do
    /// limits, and the digest that the file must have.
    ///
    /// # Errors
    ///
    /// The policy does not allow the plugin.
    pub fn apply(&self, spec: PluginSpec) -> Result<PluginSpec, PluginError> {
        let mut spec = spec;
        spec.limits = self.limits.apply(spec.limits);
        let Some(entry) = self.plugins.get(&spec.name) else {
            return match self.refuses_unlisted {
                true => Err(PluginError::new(&spec.name, LoadErrorKind::Unlisted)),
                false => Ok(spec),
            };
        };
        spec.limits = entry.limits.apply(spec.limits);
        spec.sha256 = entry.sha256.or(spec.sha256);
        for (key, value) in &entry.options {
            if !spec.options.iter().any(|(given, _)| given == key) {
                spec.options.push((key.clone(), value.text()));
            }
        }
        Ok(spec.grant(entry.grants))
    }

    /// As [`apply`](Self::apply), for a file that was found in a watched folder: it gets more than the default
    /// grants only if the policy has the digest of the file.
    pub(crate) fn apply_to_found(&self, spec: PluginSpec) -> Result<PluginSpec, PluginError> {
        let spec = self.apply(spec)?;
        match spec.grants != Grants::default() && spec.sha256.is_none() {
            true => Err(PluginError::new(&spec.name, LoadErrorKind::NotPinned)),
            false => Ok(spec),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn policy() -> Policy {
        let text = format!(
            "version = 1\nunlisted = \"refuse\"\n[limits]\ncall-ms = 50\nns-per-event = 0\n\
             [plugins.a]\nsha256 = \"{DIGEST}\"\ngrants = [\"payload:64\", \"addresses\"]\n\
             options = {{ n = 64, mode = \"x\", on = true, by = 0.5 }}\n\
             limits = {{ memory-mib = 32 }}\n[plugins.b]\ngrants = [\"names\"]\n"
        );
        Policy::read(&text).unwrap()
    }

    fn error(text: &str) -> String {
        Policy::read(text).unwrap_err()
    }

    #[test]
    fn a_policy_sets_grants_options_limits_and_digest() {
        let spec = PluginSpec::new("a.wasm").option("mode", "given");
        let spec = policy().apply(spec).unwrap();
        let options: Vec<_> = spec.options.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            options,
            [
                ("mode", "given"),
                ("by", "0.5"),
                ("n", "64"),
                ("on", "true")
            ]
        );
        assert_eq!(spec.grants, "payload:64,addresses".parse().unwrap());
        assert_eq!(spec.sha256.unwrap().to_string(), DIGEST);
        assert_eq!(spec.limits.call, Duration::from_millis(50));
        assert_eq!(spec.limits.open, Limits::default().open);
        assert_eq!(spec.limits.memory, 32 << 20);
        assert_eq!(spec.limits.event_time, EventTime::Unbounded);
        let table = LimitTable::default();
        assert_eq!(table.apply(Limits::default()), Limits::default());
        let table = LimitTable {
            ns_per_event: Some(7),
            ..table
        };
        let limits = table.apply(Limits::default());
        assert_eq!(limits.event_time, EventTime::Ns(7));
    }

    #[test]
    fn unlisted_plugins_may_be_rejected() {
        let error = policy().apply(PluginSpec::new("c.wasm")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin 'c': is not listed in the policy, which rejects unlisted plugins; add a section [plugins.NAME]"
        );
        let names: Vec<_> = policy().plugins().map(str::to_owned).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(Policy::at(None).unwrap().plugins().count(), 0);
        let all = Policy::read("version = 1").unwrap();
        assert!(all.apply(PluginSpec::new("c.wasm")).is_ok());
    }

    #[test]
    fn a_found_file_needs_its_digest_for_more_than_the_default() {
        assert!(policy().apply_to_found(PluginSpec::new("a.wasm")).is_ok());
        let error = policy()
            .apply_to_found(PluginSpec::new("b.wasm"))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin 'b': has grants and is in a watched folder, but the policy has no digest of its file; \
             add its sha256 to the policy"
        );
    }

    #[test]
    fn errors_name_the_wrong_key() {
        assert_eq!(error(""), "it has no version; add 'version = 1'");
        assert_eq!(
            error("version = 2\nnew-key = 1"),
            "it has version 2, but this Flowloom reads version 1"
        );
        for (text, part) in [
            ("version = 1\nplugin = 1", "unknown field `plugin`"),
            (
                "version = 1\nlimits = { cal-ms = 1 }",
                "unknown field `cal-ms`",
            ),
            ("version = 1\nlimits = { call-ms = -1 }", "line 2"),
            (
                "version = 1\nlimits = { call-ms = 0 }",
                "limits.call-ms is 0; give at least 20",
            ),
            (
                "version = 1\nlimits = { call-ms = 19 }",
                "limits.call-ms is 19; give at least 20",
            ),
            (
                "version = 1\n[plugins.a.limits]\nopen-ms = 9",
                "plugins.a.limits.open-ms is 9; give at least 20",
            ),
            (
                "version = 1\nlimits = { output-kib = 0 }",
                "limits.output-kib is 0; give at least 1",
            ),
            (
                "version = 1\nlimits = { output-kib = 16385 }",
                "limits.output-kib is 16385; give at most 16384",
            ),
            (
                "version = 1\n[plugins.a.limits]\nflows = 0",
                "plugins.a.limits.flows is 0; give at least 1",
            ),
            (
                "version = 1\n[plugins.a]\nsha256 = \"9f\"",
                "64 hexadecimal digits",
            ),
            (
                "version = 1\n[plugins.a]\ngrants = [\"all\"]",
                "'all' is not a grant",
            ),
            (
                "version = 1\n[plugins.a.options]\nx = []",
                "an option is a text, a number, true or false",
            ),
            ("version = 1\n[plugins.a", "line 2"),
        ] {
            assert!(error(text).contains(part), "{text}: {}", error(text));
        }
    }

    #[test]
    fn a_file_is_read_or_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flowloom.toml");
        let error = Policy::from_file(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot read policy "), "{error}");
        std::fs::write(&path, "version = 1\nunlisted = \"refuse\"").unwrap();
        let policy = Policy::from_file(&path).unwrap();
        assert!(policy.apply(PluginSpec::new("a.wasm")).is_err());
        std::fs::write(&path, "version = 3").unwrap();
        let error = Policy::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("flowloom.toml: it has version 3"), "{error}");
        std::fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
        let error = Policy::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("at most 1048576 are accepted"), "{error}");
    }

    #[test]
    fn every_limit_can_be_set() {
        let text = "version = 1\n[limits]\ncall-ms = 20\nopen-ms = 21\nmemory-mib = 1\n\
                    flows = 2\nns-per-event = 3\noutput-kib = 16384";
        let spec = Policy::read(text).unwrap().apply(PluginSpec::new("a.wasm"));
        let expected = Limits {
            call: Duration::from_millis(20),
            open: Duration::from_millis(21),
            memory: 1_048_576,
            flows: 2,
            event_time: EventTime::Ns(3),
            output: 16_777_216,
        };
        assert_eq!(spec.unwrap().limits, expected);
    }
}
