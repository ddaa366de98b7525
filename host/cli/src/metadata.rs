//! The metadata of Parquet and Arrow files: what made the flows.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flowloom::capture;
use flowloom::sink::FileMetadata;
use flowloom::{RunConfig, Streamer, public_name};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The time between two updates of the counters, which rotated files contain.
const INTERVAL: Duration = Duration::from_secs(1);

/// The metadata of the files of a run.
pub(super) struct RunMetadata {
    file: FileMetadata,
    captures: Vec<PathBuf>,
    /// Whether the metadata has the digests of the captures.
    has_digests: bool,
    updated: Instant,
}

impl RunMetadata {
    /// Describes a run. `captures` are its files.
    pub(super) fn new(
        config: &RunConfig,
        streamer: &Streamer,
        captures: Vec<PathBuf>,
        has_digests: bool,
    ) -> Self {
        let file = FileMetadata::default();
        file.set("flowloom.version", env!("CARGO_PKG_VERSION"));
        if let Some(ndpi) = streamer.summary().ndpi {
            file.set("flowloom.ndpi_version", ndpi.version().unwrap_or_default());
            let path = ndpi.path().unwrap_or(Path::new(""));
            file.set("flowloom.ndpi_library", path.to_string_lossy());
        }
        file.set("flowloom.run", json!(config).to_string());
        let plugins: Vec<_> = streamer
            .summary()
            .plugins
            .iter()
            .map(|plugin| {
                let loaded = streamer.registry().and_then(|all| all.get(&plugin.name));
                json!({
                    "name": plugin.name,
                    "version": plugin.version,
                    "sha256": loaded.map(|plugin| plugin.sha256().to_string()),
                })
            })
            .collect();
        file.set("flowloom.plugins", json!(plugins).to_string());
        let metadata = Self {
            file,
            captures,
            has_digests,
            updated: Instant::now(),
        };
        metadata.set_captures(|_| Value::Null);
        metadata.set_counters(streamer);
        metadata
    }

    /// Returns the texts that the files get.
    pub(super) fn file(&self) -> &FileMetadata {
        &self.file
    }

    /// Updates the counters, at most once a second.
    pub(super) fn update(&mut self, streamer: &Streamer) {
        if self.updated.elapsed() >= INTERVAL {
            self.set_counters(streamer);
            self.updated = Instant::now();
        }
    }

    /// Updates the counters after the last packet, and computes the digests of the captures. A digest is null if its
    /// file cannot be read again.
    pub(super) fn end(&self, streamer: &Streamer) {
        self.set_counters(streamer);
        if self.has_digests {
            self.set_captures(|path| sha256(path).ok().into());
        }
    }

    fn set_captures(&self, mut digest: impl FnMut(&PathBuf) -> Value) {
        let captures: Vec<_> = self
            .captures
            .iter()
            .map(|path| {
                let bytes = fs::metadata(path).ok().filter(|is| is.is_file());
                let mut capture = json!({
                    "path": public_name(path).to_string_lossy(),
                    "bytes": bytes.map(|is| is.len()),
                });
                if self.has_digests {
                    capture["sha256"] = digest(path);
                }
                capture
            })
            .collect();
        self.file
            .set("flowloom.captures", json!(captures).to_string());
    }

    fn set_counters(&self, streamer: &Streamer) {
        let summary = streamer.summary();
        let counters = &summary.counters;
        let ignored: u64 = counters.ignored().map(|(_, count)| count).sum();
        let dropped = summary.packets_dropped.unwrap_or_default();
        let counters = json!({
            "packets_read": summary.packets_read,
            "packets_metered": counters.metered,
            "packets_ignored": ignored,
            "packets_dropped": dropped.sum(),
            "flows": counters.flows,
            "flows_excluded": summary.flows_excluded,
            "flows_withheld": summary.flows_withheld,
            "problems": summary.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        self.file.set("flowloom.counters", counters.to_string());
    }
}

/// Returns whether a read can be repeated: a signal arrived, or a store had no data for a while.
fn is_transient(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// Returns the SHA-256 of a file or object in hexadecimal.
fn sha256(path: &Path) -> io::Result<String> {
    let (mut digest, mut block) = (Sha256::new(), vec![0; 1 << 18]);
    let mut file = capture::open_stored(path.to_owned()).map_err(io::Error::other)?;
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(hex::encode(digest.finalize())),
            Ok(len) => digest.update(&block[..len]),
            Err(error) if is_transient(error.kind()) => {}
            Err(error) => return Err(error),
        }
    }
}
