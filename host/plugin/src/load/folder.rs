//! A folder of plugins. A watched folder is kept in step with the registry while packets flow.
//!
//! A change notification, or a timer, causes a scan. For each file, the scan compares its state on disk and its policy
//! with what was last handled:
//!
//! ```text
//!   new or changed file ──> changing ──────────────────────> handled
//!                            │    ^    unchanged for 200 ms   │    ^
//!                            └────┘                           └────┘
//!                         changes again                  its policy changes
//!
//!   handled ── the file changes ──> changing
//!   handled ── the file is gone ──> the plugin is removed, if it came from this file
//! ```
//!
//! - A file is handled once for each state, even if it is rejected.
//! - The first scan handles files at once: the run has loaded them already.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify_debouncer_mini::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_mini::{Debouncer, new_debouncer};

use super::registry::Registry;
use crate::config::policy::{Policy, PolicyError};
use crate::config::spec::{CallMode, PluginSpec, SpecError};
use crate::error::{LoadErrorKind, PluginError};
use crate::grants::Grants;
use crate::source::PluginSource;
use crate::supervised::{ThreadPanics, spawn_supervised};

/// How long a file must be unchanged before it is loaded. Copying a file takes several writes.
const SETTLE_TIME: Duration = Duration::from_millis(200);

/// The interval of scans without notifications. Some file systems send none.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// A folder of plugins: its files `*.wasm` and `*.features`. Each file's name, up to its first dot, is the name of its plugin.
#[derive(Clone, Debug)]
pub struct PluginFolder {
    path: PathBuf,
    is_watched: bool,
    grants: Vec<(String, Grants)>,
    calls: CallMode,
}

/// The reason why a folder cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {reason}", crate::escape::escaped_path(path))]
pub struct FollowError {
    /// The folder.
    pub path: PathBuf,
    /// The reason.
    pub reason: String,
}

/// Watches a folder until it is dropped.
pub struct FolderWatch {
    _watcher: Debouncer<RecommendedWatcher>,
}

/// A file as it was last handled.
#[derive(Clone, PartialEq)]
struct HandledFile {
    file: PathBuf,
    /// The plugin with its policy; `None` if the policy does not allow it.
    spec: Option<PluginSpec>,
    state: Option<FileState>,
}

/// The metadata that changes with a file's content: device, inode, size, and the times of modification and
/// change with their ns.
type FileState = (u64, u64, u64, [i64; 4]);

impl PluginFolder {
    /// Creates a folder that is read when the run begins.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            is_watched: false,
            grants: Vec::new(),
            calls: CallMode::default(),
        }
    }

    /// Sets whether the folder is watched while packets flow.
    ///
    /// Flowloom then loads new files, replaces plugins whose files changed, and removes plugins whose files are
    /// gone. It also follows the policy. Errors are logged and change nothing. A file with more than the
    /// default grants needs its digest in the policy.
    #[must_use]
    pub fn followed(self, is_watched: bool) -> Self {
        Self { is_watched, ..self }
    }

    /// Adds grants for the plugin of this name, in addition to the policy.
    #[must_use]
    pub fn grant(mut self, name: impl Into<String>, grants: Grants) -> Self {
        self.grants.push((name.into(), grants));
        self
    }

    /// Sets how its plugins are called.
    #[must_use]
    pub fn calls(self, calls: CallMode) -> Self {
        Self { calls, ..self }
    }

    /// Returns the specs of its present plugins, in the order of their names.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or has too many plugins.
    pub fn specs(&self) -> Result<Vec<PluginSpec>, SpecError> {
        let mut specs = PluginSpec::folder(&self.path)?;
        for spec in &mut specs {
            spec.calls = self.calls;
            // A user who can write to the folder must not be able to have other files read.
            spec.follows_links = !self.is_watched;
            for (_, grants) in self.grants.iter().filter(|(name, _)| *name == spec.name) {
                spec.grants = spec.grants.and(*grants);
            }
        }
        Ok(specs)
    }

    /// Applies the policy to one of its plugins.
    ///
    /// # Errors
    ///
    /// The policy does not allow the plugin.
    pub fn allowed(&self, spec: PluginSpec, policy: &Policy) -> Result<PluginSpec, PluginError> {
        match self.is_watched {
            true => policy.apply_to_found(spec),
            false => policy.apply(spec),
        }
    }

    /// Starts the thread that keeps the registry in step with the folder and the policy. Returns `None` if the
    /// folder is not watched.
    ///
    /// # Errors
    ///
    /// The folder cannot be watched.
    pub fn follow(
        self,
        policy: Option<PathBuf>,
        registry: &Registry,
        panics: &ThreadPanics,
    ) -> Result<Option<FolderWatch>, FollowError> {
        if !self.is_watched {
            return Ok(None);
        }
        let (notify, notifications) = channel();
        let fail = |path: &Path, reason: &dyn fmt::Display| FollowError {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let mut watcher =
            new_debouncer(SETTLE_TIME, notify).map_err(|error| fail(&self.path, &error))?;
        // The folder of the policy is watched instead of the file, because a new version of the file may
        // replace it.
        let policy_folder = policy.as_deref().map(|file| match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        });
        let folders = [Some(self.path.as_path()), policy_folder];
        for path in folders.into_iter().flatten() {
            let watch = watcher.watcher().watch(path, RecursiveMode::NonRecursive);
            watch.map_err(|error| fail(path, &error))?;
        }
        let path = self.path.clone();
        let mut sync = FolderSync {
            folder: self,
            policy,
            registry: registry.clone(),
            handled: BTreeMap::new(),
            changing: BTreeMap::new(),
            has_scanned: false,
            last_error: None,
        };
        let escaped = crate::escape::escaped_path(&path);
        let run = move || {
            sync.scan();
            tracing::debug!("watching {escaped}");
            while let Ok(_) | Err(RecvTimeoutError::Timeout) =
                notifications.recv_timeout(sync.wait())
            {
                // One scan is enough for all notifications that arrived during the last one.
                while notifications.try_recv().is_ok() {}
                sync.scan();
            }
        };
        spawn_supervised("flowloom-folder", panics, run).map_err(|error| fail(&path, &error))?;
        Ok(Some(FolderWatch { _watcher: watcher }))
    }
}

/// The reason why an update changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The plugin is not valid, or not allowed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Logs the result of an update.
pub fn log_update(name: &str, source: &PluginSource, result: Result<bool, UpdateError>) {
    match result {
        Ok(true) => tracing::info!("plugin {name}: loaded {source}; newly started flows use it"),
        Ok(false) => {}
        Err(error) => {
            let error = error.to_string();
            // An error in a text of features has several lines.
            let separator = if error.contains('\n') { "\n" } else { "; " };
            tracing::error!("{error}{separator}the loaded plugins are unchanged");
        }
    }
}

/// Keeps a registry in step with a folder.
struct FolderSync {
    folder: PluginFolder,
    policy: Option<PathBuf>,
    registry: Registry,
    /// Files that were handled, by plugin name.
    handled: BTreeMap<String, HandledFile>,
    /// Files that changed and may still change, by plugin name: their state, and since when it is the same.
    changing: BTreeMap<String, (Option<FileState>, Instant)>,
    /// Whether there was a scan. The run has loaded the files of the first one.
    has_scanned: bool,
    /// The last error of the folder or the policy. Each error is logged once.
    last_error: Option<String>,
}

impl FolderSync {
    /// Applies the changes of the folder and the policy since the last scan.
    fn scan(&mut self) {
        let (policy, specs) = match self.read() {
            Ok(read) => read,
            Err(error) => {
                if self.last_error.as_ref() != Some(&error) {
                    tracing::error!("{error}; the loaded plugins are unchanged");
                }
                self.last_error = Some(error);
                return;
            }
        };
        self.last_error = None;
        self.changing
            .retain(|name, _| specs.iter().any(|spec| spec.name == *name));
        let is_gone = |name: &&String| !specs.iter().any(|spec| spec.name == **name);
        let gone: Vec<_> = self.handled.keys().filter(is_gone).cloned().collect();
        for name in gone {
            if self
                .handled
                .remove(&name)
                .is_some_and(|handled| self.is_from(&name, &handled.file))
            {
                let _ = self.registry.remove(&name);
                tracing::info!("plugin {name}: removed, because its file is gone");
            }
        }
        for spec in specs {
            self.handle(spec, &policy);
        }
        self.has_scanned = true;
    }

    /// Returns whether a file that was not handled may still be changing.
    fn is_changing(&mut self, name: &str, state: Option<FileState>) -> bool {
        let is_handled = self
            .handled
            .get(name)
            .is_some_and(|handled| handled.state == state);
        let entry = self.changing.entry(name.to_owned());
        let (before, since) = entry.or_insert_with(|| (None, Instant::now()));
        if *before != state {
            (*before, *since) = (state, Instant::now());
        }
        let is_changing = self.has_scanned && !is_handled && since.elapsed() < SETTLE_TIME;
        if !is_changing {
            self.changing.remove(name);
        }
        is_changing
    }

    /// Returns how long to wait for a notification before the next scan.
    fn wait(&self) -> Duration {
        match self.changing.is_empty() {
            true => POLL_INTERVAL,
            false => SETTLE_TIME,
        }
    }

    /// Reads the policy, and lists the plugins of the folder.
    fn read(&self) -> Result<(Policy, Vec<PluginSpec>), String> {
        let policy = Policy::at(self.policy.as_deref()).map_err(|error| error.to_string())?;
        let specs = self.folder.specs().map_err(|error| error.to_string())?;
        Ok((policy, specs))
    }

    /// Returns whether the plugin of this name came from this file, or there is none.
    fn is_from(&self, name: &str, file: &Path) -> bool {
        let plugin = self.registry.get(name);
        plugin.is_none_or(|plugin| plugin.spec().source.file() == Some(file))
    }

    /// Updates the plugin of a file, unless nothing changed or the file is changing.
    fn handle(&mut self, spec: PluginSpec, policy: &Policy) {
        let (name, source) = (spec.name.clone(), spec.source.clone());
        let Some(file) = source.file().map(Path::to_owned) else {
            return;
        };
        let allowed = self.folder.allowed(spec.clone(), policy);
        let handled = HandledFile::new(file.clone(), allowed.ok());
        if self.handled.get(&name) == Some(&handled) || self.is_changing(&name, handled.state) {
            return;
        }
        // A file that is rejected is not tried again either.
        self.handled.insert(name.clone(), handled);
        let update = || {
            if !self.is_from(&name, &file) {
                return Err(PluginError::new(&name, LoadErrorKind::NameTaken).into());
            }
            let policy = Policy::at(self.policy.as_deref())?;
            Ok(self.folder.allowed(spec, &policy)?)
        };
        let result: Result<bool, UpdateError> = self.registry.update(&name, update);
        log_update(&name, &source, result);
    }
}

impl HandledFile {
    fn new(file: PathBuf, spec: Option<PluginSpec>) -> Self {
        let state = std::fs::symlink_metadata(&file).ok().map(|data| {
            let modified = [data.mtime(), data.mtime_nsec()];
            let changed = [data.ctime(), data.ctime_nsec()];
            let times = [modified[0], modified[1], changed[0], changed[1]];
            (data.dev(), data.ino(), data.len(), times)
        });
        Self { file, spec, state }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use flowloom_core::meter::Settings;

    use super::*;
    use crate::load::compile::{CompileError, CompiledModule, Compiler, FeatureText};
    use crate::load::plugin::tests::{MODULE, embedded};
    use crate::load::registry::RegistryConfig;
    use crate::source::PluginSource;

    /// Records the files that it receives, and rejects each of them.
    #[derive(Clone, Default)]
    struct RecordingCompiler(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Compiler for RecordingCompiler {
        fn compile(&self, _: &PluginSource, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
            self.0.lock().unwrap().push(plugin.to_vec());
            assert_ne!(plugin, b"panic");
            Err(CompileError::DoesNotCompile("on purpose".into()))
        }

        fn component_of(&self, features: &FeatureText) -> Result<Vec<u8>, CompileError> {
            features.component()
        }
    }

    #[test]
    fn a_file_is_loaded_once_it_is_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let compiler = RecordingCompiler::default();
        let config = RegistryConfig {
            compiler: Some(Arc::new(compiler.clone())),
            ..RegistryConfig::default()
        };
        let mut sync = FolderSync {
            folder: PluginFolder::new(folder.path()).followed(true),
            policy: None,
            registry: Registry::with(Settings::default().schema(), config).unwrap(),
            handled: BTreeMap::new(),
            changing: BTreeMap::new(),
            has_scanned: true,
            last_error: None,
        };
        for part in ["a", "a third", "a third of it"] {
            std::fs::write(folder.path().join("a.wasm"), part).unwrap();
            sync.scan();
            assert_eq!(sync.wait(), SETTLE_TIME);
        }
        assert!(compiler.0.lock().unwrap().is_empty());
        for _ in 0..3 {
            std::thread::sleep(SETTLE_TIME);
            sync.scan();
            assert_eq!(*compiler.0.lock().unwrap(), [b"a third of it"]);
            assert_eq!(sync.wait(), POLL_INTERVAL);
        }
    }

    #[test]
    fn a_folder_is_watched_after_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &str| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let (compiler, panics) = (RecordingCompiler::default(), ThreadPanics::default());
        let config = RegistryConfig {
            compiler: Some(Arc::new(compiler.clone())),
            thread_panics: panics.clone(),
            ..RegistryConfig::default()
        };
        let registry = Registry::with(Settings::default().schema(), config).unwrap();
        write("a.wasm", "panic");
        write("b.wasm", "second");
        let watched = PluginFolder::new(folder.path()).followed(true);
        let _watch = watched.follow(None, &registry, &panics).unwrap();
        let wait_for = |count| {
            while compiler.0.lock().unwrap().len() < count {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(2);
        // Later files are noticed, and no file is compiled twice.
        write("c.wasm", "third");
        wait_for(3);
        assert_eq!(
            *compiler.0.lock().unwrap(),
            [&b"panic"[..], b"second", b"third"]
        );
        assert_eq!(panics.count(), 1);
    }

    /// A folder in step with a registry, before the first scan. No file is a plugin.
    fn sync(folder: PluginFolder, policy: Option<PathBuf>) -> (FolderSync, RecordingCompiler) {
        let compiler = RecordingCompiler::default();
        let config = RegistryConfig {
            compiler: Some(Arc::new(compiler.clone())),
            ..RegistryConfig::default()
        };
        let sync = FolderSync {
            folder,
            policy,
            registry: Registry::with(Settings::default().schema(), config).unwrap(),
            handled: BTreeMap::new(),
            changing: BTreeMap::new(),
            has_scanned: false,
            last_error: None,
        };
        (sync, compiler)
    }

    #[test]
    fn specs_have_the_properties_of_the_folder() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a.wasm", "b.x.wasm"] {
            std::fs::write(place.path().join(name), "").unwrap();
        }
        let folder = PluginFolder::new(place.path())
            .grant("a", "names".parse().unwrap())
            .grant("a", "payload:7".parse().unwrap())
            .calls(CallMode::PerEvent);
        for is_watched in [false, true] {
            let folder = folder.clone().followed(is_watched);
            let specs = folder.specs().unwrap();
            let grants: Vec<_> = specs
                .iter()
                .map(|spec| (&*spec.name, spec.grants.to_string()))
                .collect();
            let expected = [("a", "names,payload:7".to_owned()), ("b", String::new())];
            assert_eq!(grants, expected);
            assert!(specs.iter().all(|spec| spec.calls == CallMode::PerEvent));
            assert!(specs.iter().all(|spec| spec.follows_links != is_watched));
            // In a watched folder, a plugin with grants needs its digest in the policy.
            let allowed = specs
                .into_iter()
                .map(|spec| folder.allowed(spec, &Policy::default()));
            let allowed: Vec<_> = allowed.map(|spec| spec.is_ok()).collect();
            assert_eq!(allowed, [!is_watched, true]);
        }
        let registry = Registry::new(Settings::default().schema()).unwrap();
        let panics = ThreadPanics::default();
        assert!(folder.follow(None, &registry, &panics).unwrap().is_none());
        let missing = PluginFolder::new(place.path().join("none")).followed(true);
        let error = missing.follow(None, &registry, &panics).err().unwrap();
        assert!(error.to_string().starts_with("cannot watch "), "{error}");
    }

    #[test]
    fn a_file_is_tried_again_only_if_it_or_its_policy_changed() {
        let place = tempfile::tempdir().unwrap();
        let policy = place.path().join("flowloom.toml");
        let allow = |option: u8| {
            let text = format!("version = 1\n[plugins.a.options]\nx = {option}");
            std::fs::write(&policy, text).unwrap();
        };
        allow(1);
        std::fs::write(place.path().join("a.wasm"), "first").unwrap();
        let folder = PluginFolder::new(place.path()).followed(true);
        let (mut sync, compiler) = sync(folder, Some(policy.clone()));
        let mut tries = || {
            sync.scan();
            // Every scan is a first one, so that nothing waits.
            sync.has_scanned = false;
            (compiler.0.lock().unwrap().len(), sync.last_error.is_some())
        };
        assert_eq!([tries(), tries()], [(1, false); 2]);
        allow(2);
        assert_eq!([tries(), tries()], [(2, false); 2]);
        std::fs::write(place.path().join("a.wasm"), "longer").unwrap();
        assert_eq!([tries(), tries()], [(3, false); 2]);
        std::fs::write(&policy, "version = 2").unwrap();
        std::fs::write(place.path().join("b.wasm"), "not tried").unwrap();
        assert_eq!([tries(), tries()], [(3, true); 2]);
        allow(2);
        assert_eq!([tries(), tries()], [(4, false); 2]);
        // A file that is gone and comes back.
        std::fs::remove_file(place.path().join("b.wasm")).unwrap();
        assert_eq!(tries(), (4, false));
        std::fs::write(place.path().join("b.wasm"), "again").unwrap();
        assert_eq!(tries(), (5, false));
    }

    #[test]
    fn only_plugins_of_the_folder_are_replaced_or_removed() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str| place.path().join(name);
        let bytes = embedded(MODULE, "plugin");
        std::fs::write(file("a.wasm"), &bytes).unwrap();
        std::fs::write(file("b.wasm"), &bytes).unwrap();
        std::fs::write(file("c.features"), "n = count()").unwrap();
        let registry = Registry::new(Settings::default().schema()).unwrap();
        // The plugin `b` is from elsewhere.
        let other = PluginSource::Bytes(bytes.into());
        let other = registry.load(PluginSpec::named("b", other)).unwrap();
        let folder = PluginFolder::new(place.path()).followed(true);
        let (mut sync, _) = sync(folder, None);
        sync.registry = registry.clone();
        sync.scan();
        let first = registry.get("a").expect("it is loaded");
        assert_eq!(first.spec().source.file(), Some(&*file("a.wasm")));
        assert!(Arc::ptr_eq(&registry.get("b").unwrap(), &other));
        let outputs = |name| registry.get(name).unwrap().manifest().outputs.len();
        assert_eq!(outputs("c"), 1);
        std::fs::write(file("c.features"), "n = count()\nm = max(ip_size)").unwrap();
        sync.has_scanned = false;
        sync.scan();
        assert_eq!(outputs("c"), 2);
        sync.scan();
        assert!(Arc::ptr_eq(&registry.get("a").unwrap(), &first));
        std::fs::remove_file(file("a.wasm")).unwrap();
        std::fs::remove_file(file("b.wasm")).unwrap();
        sync.scan();
        assert!(registry.get("a").is_none());
        assert!(registry.get("b").is_some());
    }
}
