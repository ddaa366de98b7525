//! The configuration of a run as data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use flowloom_core::meter::Settings;
use flowloom_plugin::{CallMode, GrantError, PluginSpec, Sha256, SpecError};
use serde::{Deserialize, Serialize};

use crate::capture::Grouping;
use crate::dissect::NdpiFiles;

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
    /// Captures, folders of captures, `-` for standard input, or one interface.
    pub sources: Vec<PathBuf>,
    /// How files are joined into captures.
    pub grouping: Grouping,
    /// Whether captures that cannot be read are skipped and counted.
    pub skip_unreadable: bool,
    /// The parameters of metering.
    pub settings: Settings,
    /// Files with additional protocols and categories.
    pub ndpi_files: NdpiFiles,
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
    /// The number of flows after which the run ends; 0 is no limit.
    pub max_nflows: u64,
    /// The number of meters; 0 is one for each core but one.
    pub n_meters: usize,
    /// Plugins, in the order of their columns.
    pub plugins: Vec<PluginConfig>,
    /// A folder of plugins, after those of `plugins`.
    pub plugin_folder: Option<PathBuf>,
    /// The file of the policy that plugins are under.
    pub policy: Option<PathBuf>,
    /// The columns whose values are replaced by keyed hashes.
    pub columns_to_anonymize: Vec<String>,
}

/// The configuration of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PluginConfig {
    /// The file of the component.
    pub file: PathBuf,
    /// The name in columns and messages; by default the name of the file without its extension.
    pub name: Option<String>,
    /// Options that the plugin gets when it is opened.
    pub options: BTreeMap<String, String>,
    /// Grants in the form of `--grant`: `addresses,payload:1500`.
    pub grants: String,
    /// The SHA-256 digest that the file must have, as 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Whether the plugin gets every event in a call of its own.
    pub calls_per_event: bool,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The grants of a plugin are not valid.
    #[error("plugin '{}': {error}", file.display())]
    Grant {
        /// The file of the plugin.
        file: PathBuf,
        /// What is wrong.
        #[source]
        error: GrantError,
    },
    /// The digest of a plugin is not valid.
    #[error("plugin '{}': {error}", file.display())]
    Digest {
        /// The file of the plugin.
        file: PathBuf,
        /// What is wrong.
        #[source]
        error: flowloom_plugin::DigestError,
    },
    /// The plugin is not valid.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            grouping: Grouping::default(),
            skip_unreadable: false,
            settings: Settings::default(),
            ndpi_files: NdpiFiles::default(),
            bpf_filter: None,
            snapshot_length: None,
            promiscuous_mode: true,
            socket_buffer_size: 0,
            fanout: false,
            max_nflows: 0,
            n_meters: 1,
            plugins: Vec::new(),
            plugin_folder: None,
            policy: None,
            columns_to_anonymize: Vec::new(),
        }
    }
}

impl PluginConfig {
    /// Returns the plugin to load.
    ///
    /// # Errors
    ///
    /// Its grants or its digest are not valid.
    pub fn spec(self) -> Result<PluginSpec, ConfigError> {
        let mut spec = PluginSpec::new(&self.file);
        if let Some(name) = self.name {
            spec = spec.name(name);
        }
        for (key, value) in self.options {
            spec = spec.option(key, value);
        }
        if !self.grants.is_empty() {
            let grants = self.grants.parse().map_err(|error| ConfigError::Grant {
                file: self.file.clone(),
                error,
            })?;
            spec = spec.grant(grants);
        }
        if let Some(digest) = &self.sha256 {
            let digest: Sha256 = digest.parse().map_err(|error| ConfigError::Digest {
                file: self.file.clone(),
                error,
            })?;
            spec.sha256 = Some(digest);
        }
        if self.calls_per_event {
            spec = spec.calls(CallMode::PerEvent);
        }
        Ok(spec)
    }
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
            file: "ja4.wasm".into(),
            grants: "payload:1500".into(),
            ..PluginConfig::default()
        });
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RunConfig>(&text).unwrap(), config);
        let spec = config.plugins.remove(0).spec().unwrap();
        assert_eq!((spec.name.as_str(), spec.grants.payload()), ("ja4", 1_500));
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
            file: "x.wasm".into(),
            grants: "everything".into(),
            ..PluginConfig::default()
        };
        let error = wrong.spec().unwrap_err().to_string();
        assert!(error.starts_with("plugin 'x.wasm': "), "{error}");
    }
}
