//! The configuration of a run as data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use flowloom_core::meter::Settings;
use flowloom_plugin::{CallMode, GrantError, Grants, PluginSource, PluginSpec, Sha256};
use serde::{Deserialize, Serialize, Serializer};

use crate::capture::Grouping;
use crate::dissect::NdpiConfig;
use crate::storage::public;

/// The configuration of a run: sources, parameters, plugins and policy.
///
/// It can be read from a file and written to one with serde. Missing fields have their defaults, and unknown
/// fields are an error. The key of anonymised columns is not part of it: give it to the
/// [builder](Self::builder).
///
/// # Examples
///
/// ```
/// use flowloom::RunConfig;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let mut config: RunConfig = serde_json::from_str(r#"{"settings": {"idle_timeout": 60}}"#)?;
/// config.sources.push(capture.into());
/// let flows = config.builder()?.build()?.count();
/// assert_eq!(flows, 9);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RunConfig {
    /// Captures, folders of captures, `-` for standard input, or one interface. Captures and folders can be URLs of
    /// objects in stores; their query strings are not written.
    #[serde(serialize_with = "public_names")]
    pub sources: Vec<PathBuf>,
    /// How files are joined into captures.
    pub grouping: Grouping,
    /// Whether captures that cannot be read are skipped and counted.
    pub skip_unreadable: bool,
    /// The parameters of metering.
    pub settings: Settings,
    /// The seed of Community IDs; flows have the column `community_id` if there is a seed.
    pub community_id: Option<u16>,
    /// Whether flows have the column `flow_uid`.
    pub flow_uid: bool,
    /// Whether flows have the column `source_file`.
    pub source_file: bool,
    /// Whether flows of an interface have the process of this machine that owns their socket.
    pub system_visibility: bool,
    /// The interval at which the sockets of this machine are read, in milliseconds: 1 to 60,000.
    pub system_visibility_poll_ms: u32,
    /// The nDPI that determines applications.
    pub ndpi: NdpiConfig,
    /// A filter in the language of libpcap: other packets are not metered.
    pub bpf_filter: Option<String>,
    /// The most bytes of a packet that are captured or read; at least 1.
    pub snapshot_length: Option<u32>,
    /// Whether an interface captures packets to other hosts too.
    pub promiscuous_mode: bool,
    /// The bytes of the kernel's buffer for an interface; 0 is 32 MiB.
    pub socket_buffer_size: u32,
    /// Whether the kernel distributes the packets of an interface to the meters.
    pub fanout: bool,
    /// A condition on flows: others are not returned.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// The columns that are written, in this order; all if there are none.
    pub select: Vec<String>,
    /// The number of flows after which the run ends; 0 is no limit.
    pub max_nflows: u64,
    /// The number of meters; 0 is one for each core but one.
    pub n_meters: usize,
    /// Plugins, in the order of their columns.
    pub plugins: Vec<PluginConfig>,
    /// A folder of plugins, after those of `plugins`.
    pub plugin_folder: Option<PathBuf>,
    /// The folder of plugins that are named by their digests: `<SHA-256>.wasm`.
    pub plugin_store: Option<PathBuf>,
    /// The file of the policy that plugins are under.
    pub policy: Option<PathBuf>,
    /// The columns whose values are replaced by keyed hashes.
    pub columns_to_anonymize: Vec<String>,
}

/// The configuration of one plugin.
///
/// # Examples
///
/// ```
/// use flowloom::PluginConfig;
///
/// let plugin: PluginConfig = serde_json::from_str(
///     r#"{"name": "dns", "source": {"file": "dns.wasm"}, "grants": "payload:512"}"#,
/// )?;
/// assert_eq!(plugin.name.as_deref(), Some("dns"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PluginConfig {
    /// The component: a file, bytes, or the digest of a component in the store.
    pub source: PluginSource,
    /// The name in columns and messages. By default, it is the name of the file up to its first dot. Other sources
    /// need a name.
    #[serde(default)]
    pub name: Option<String>,
    /// Options that the plugin gets when it is opened.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Grants in the form of `--grant`: `addresses,payload:1500`.
    #[serde(default)]
    pub grants: String,
    /// The SHA-256 digest that the component must have, as 64 hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<Sha256>,
    /// Whether the plugin gets every event in a call of its own.
    #[serde(default)]
    pub calls_per_event: bool,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The grants of a plugin are not valid.
    #[error("plugin '{}': {error}", name.escape_debug())]
    Grant {
        /// The name of the plugin.
        name: String,
        /// What is wrong.
        #[source]
        error: GrantError,
    },
    /// A plugin has no name, and none follows from its source.
    #[error("{plugin} has no name; set the name of the plugin")]
    NoName {
        /// The source of the plugin.
        plugin: PluginSource,
    },
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            grouping: Grouping::default(),
            skip_unreadable: false,
            settings: Settings::default(),
            community_id: None,
            flow_uid: false,
            source_file: false,
            system_visibility: false,
            system_visibility_poll_ms: 100,
            ndpi: NdpiConfig::default(),
            bpf_filter: None,
            snapshot_length: None,
            promiscuous_mode: true,
            socket_buffer_size: 0,
            fanout: false,
            filter: None,
            select: Vec::new(),
            max_nflows: 0,
            n_meters: 1,
            plugins: Vec::new(),
            plugin_folder: None,
            plugin_store: None,
            policy: None,
            columns_to_anonymize: Vec::new(),
        }
    }
}

impl PluginConfig {
    /// Creates a configuration without options and grants.
    pub fn new(source: PluginSource) -> Self {
        Self {
            source,
            name: None,
            options: BTreeMap::new(),
            grants: String::new(),
            sha256: None,
            calls_per_event: false,
        }
    }

    /// Returns the plugin to load.
    ///
    /// # Errors
    ///
    /// Its grants are not valid, or it has no name.
    pub fn spec(self) -> Result<PluginSpec, ConfigError> {
        let mut spec = match (self.name, self.source) {
            (Some(name), source) => PluginSpec::named(name, source),
            (None, PluginSource::File(file)) => PluginSpec::new(file),
            (None, plugin) => return Err(ConfigError::NoName { plugin }),
        };
        for (key, value) in self.options {
            spec = spec.option(key, value);
        }
        if !self.grants.is_empty() {
            let grants = self.grants.parse().map_err(|error| ConfigError::Grant {
                name: spec.name.clone(),
                error,
            })?;
            spec = spec.grant(grants);
        }
        spec.sha256 = self.sha256;
        if self.calls_per_event {
            spec = spec.calls(CallMode::PerEvent);
        }
        Ok(spec)
    }
}

impl From<PluginSpec> for PluginConfig {
    /// Returns the configuration that [`spec`](PluginConfig::spec) makes the plugin from. It has the default limits.
    fn from(spec: PluginSpec) -> Self {
        Self {
            source: spec.source,
            name: Some(spec.name),
            options: spec.options.into_iter().collect(),
            grants: match spec.grants == Grants::default() {
                true => String::new(),
                false => spec.grants.to_string(),
            },
            sha256: spec.sha256,
            calls_per_event: spec.calls == CallMode::PerEvent,
        }
    }
}

/// Writes names without the secrets that URLs may contain.
fn public_names<S: Serializer>(names: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(|name| public(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_the_same_after_a_round_trip() {
        let mut config = RunConfig {
            sources: vec!["a.pcap".into(), "b.pcap".into()],
            grouping: Grouping::Each,
            snapshot_length: Some(96),
            ..RunConfig::default()
        };
        config.settings.decode_tunnels = "gtp,vxlan".parse().unwrap();
        config.settings.idle_timeout = 60;
        config.plugins.push(PluginConfig {
            grants: "payload:1500".into(),
            sha256: Some(Sha256::of(b"")),
            ..PluginConfig::new(PluginSource::File("ja4.wasm".into()))
        });
        let digest = PluginSource::Digest(Sha256::of(b""));
        config.plugins.push(PluginConfig {
            name: Some("dns".into()),
            ..PluginConfig::new(digest.clone())
        });
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RunConfig>(&text).unwrap(), config);
        let spec = config.plugins.remove(0).spec().unwrap();
        assert_eq!((spec.name.as_str(), spec.grants.payload()), ("ja4", 1_500));
        let spec = config.plugins.remove(0).spec().unwrap();
        assert_eq!((spec.name.as_str(), &spec.source), ("dns", &digest));
    }

    #[test]
    fn defaults_are_those_of_the_builder_and_unknown_fields_an_error() {
        assert_eq!(
            serde_json::from_str::<RunConfig>("{}").unwrap(),
            RunConfig::default()
        );
        let error = serde_json::from_str::<RunConfig>(r#"{"idle_timeout": 1}"#).unwrap_err();
        assert!(
            error.to_string().contains("unknown field `idle_timeout`"),
            "{error}"
        );
        let wrong = PluginConfig {
            grants: "everything".into(),
            ..PluginConfig::new(PluginSource::File("x.wasm".into()))
        };
        let error = wrong.spec().unwrap_err().to_string();
        assert!(error.starts_with("plugin 'x': "), "{error}");
    }

    #[test]
    fn a_component_without_a_file_needs_a_name_and_cannot_be_written() {
        let bytes = PluginConfig::new(PluginSource::Bytes(b"\0asm".as_slice().into()));
        assert_eq!(
            bytes.clone().spec().unwrap_err().to_string(),
            "the component of 4 bytes has no name; set the name of the plugin"
        );
        assert!(serde_json::to_string(&bytes).is_err());
    }
}
