//! A folder of plugins, and what happens in it while packets flow.

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
use crate::supervised::{ThreadPanics, spawn_supervised};

/// How long a file must be left alone before it is looked at: copying one takes several writes.
const QUIET: Duration = Duration::from_millis(200);

/// A folder of plugins, whose files `*.wasm` are run under the names that they have.
#[derive(Clone, Debug)]
pub struct PluginFolder {
    path: PathBuf,
    is_followed: bool,
    grants: Vec<(String, Grants)>,
    calls: CallMode,
}

/// Why a folder is not followed.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be watched: {reason}", crate::escape::escaped_path(path))]
pub struct FollowError {
    /// What was to be watched.
    pub path: PathBuf,
    /// The system's words.
    pub reason: String,
}

/// Follows a folder for as long as it lives.
pub struct Following {
    _watcher: Debouncer<RecommendedWatcher>,
}

/// What the follower knows of a file that it has dealt with.
#[derive(Clone, PartialEq)]
struct Seen {
    file: PathBuf,
    /// As it was allowed, if it was.
    spec: Option<PluginSpec>,
    state: Option<FileState>,
}

/// What changes with a file's content: device, number, size, and both of its times with their ns.
type FileState = (u64, u64, u64, [i64; 4]);

impl PluginFolder {
    /// The folder at this path, as it is when the run begins.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            is_followed: false,
            grants: Vec::new(),
            calls: CallMode::default(),
        }
    }

    /// Whether the run keeps to the folder while packets flow: new files are loaded, changed ones
    /// replaced, and plugins whose files are gone removed. What is wrong with one is logged, and
    /// changes nothing. A file that is granted more than the default needs its digest in the policy,
    /// which is followed too.
    #[must_use]
    pub fn followed(self, is_followed: bool) -> Self {
        Self {
            is_followed,
            ..self
        }
    }

    /// Grants the plugin of this name more than the policy does.
    #[must_use]
    pub fn grant(mut self, name: impl Into<String>, grants: Grants) -> Self {
        self.grants.push((name.into(), grants));
        self
    }

    /// Through which of the contract's worlds its plugins are called.
    #[must_use]
    pub fn calls(self, calls: CallMode) -> Self {
        Self { calls, ..self }
    }

    /// Its plugins as they are now, in the order of their names.
    pub fn specs(&self) -> Result<Vec<PluginSpec>, SpecError> {
        let mut specs = PluginSpec::folder(&self.path)?;
        for spec in &mut specs {
            spec.calls = self.calls;
            // Whoever may put files there may not choose which others are read.
            spec.follows_links = !self.is_followed;
            for (_, grants) in self.grants.iter().filter(|(name, _)| *name == spec.name) {
                spec.grants = spec.grants.and(*grants);
            }
        }
        Ok(specs)
    }

    /// One of its plugins as the policy has it.
    pub fn allowed(&self, spec: PluginSpec, policy: &Policy) -> Result<PluginSpec, PluginError> {
        match self.is_followed {
            true => policy.apply_to_found(spec),
            false => policy.apply(spec),
        }
    }

    /// Keeps the registry as the folder and the policy are, if that is wanted.
    pub fn follow(
        self,
        policy: Option<PathBuf>,
        registry: &Registry,
        panics: &ThreadPanics,
    ) -> Result<Option<Following>, FollowError> {
        if !self.is_followed {
            return Ok(None);
        }
        let (tell, told) = channel();
        let fail = |path: &Path, reason: &dyn fmt::Display| FollowError {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        let mut watcher = new_debouncer(QUIET, tell).map_err(|error| fail(&self.path, &error))?;
        // Of a file its folder is watched: whoever saves one may put another in its place.
        let beside = policy.as_deref().map(|file| match file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        });
        for path in [Some(self.path.as_path()), beside].into_iter().flatten() {
            let watch = watcher.watcher().watch(path, RecursiveMode::NonRecursive);
            watch.map_err(|error| fail(path, &error))?;
        }
        let path = self.path.clone();
        let mut follower = Follower {
            folder: self,
            policy,
            registry: registry.clone(),
            seen: BTreeMap::new(),
            moving: BTreeMap::new(),
            has_looked: false,
            trouble: None,
        };
        let shown = path.display().to_string();
        let run = move || {
            follower.look();
            tracing::debug!("{shown} is followed");
            while let Ok(_) | Err(RecvTimeoutError::Timeout) = told.recv_timeout(follower.pause()) {
                // What was told while a plugin was compiled is one look's.
                while told.try_recv().is_ok() {}
                follower.look();
            }
        };
        spawn_supervised("flowloom-folder", panics, run).map_err(|error| fail(&path, &error))?;
        Ok(Some(Following { _watcher: watcher }))
    }
}

/// Why a plugin stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Logs what became of an update.
pub fn tell(name: &str, file: &Path, done: Result<bool, UpdateError>) {
    match done {
        Ok(true) => tracing::info!(
            "plugin {name}: {} is used from now on",
            crate::escape::escaped_path(file)
        ),
        Ok(false) => {}
        Err(error) => tracing::error!("{error}; the plugins stay as they are"),
    }
}

struct Follower {
    folder: PluginFolder,
    policy: Option<PathBuf>,
    registry: Registry,
    /// The files, by their plugins' names.
    seen: BTreeMap<String, Seen>,
    /// Files that have changed, by their plugins' names, and since when they have not.
    moving: BTreeMap<String, (Option<FileState>, Instant)>,
    /// Whether it has looked before. What is there at first was loaded with the run.
    has_looked: bool,
    /// What was last wrong with the folder or the policy, which is said once.
    trouble: Option<String>,
}

impl Follower {
    /// Does what has become of the folder since the last look.
    fn look(&mut self) {
        let (policy, specs) = match self.read() {
            Ok(read) => read,
            Err(trouble) => {
                if self.trouble.as_ref() != Some(&trouble) {
                    tracing::error!("{trouble}; the plugins stay as they are");
                }
                self.trouble = Some(trouble);
                return;
            }
        };
        self.trouble = None;
        self.moving
            .retain(|name, _| specs.iter().any(|spec| spec.name == *name));
        let is_gone = |name: &&String| !specs.iter().any(|spec| spec.name == **name);
        let gone: Vec<_> = self.seen.keys().filter(is_gone).cloned().collect();
        for name in gone {
            if self
                .seen
                .remove(&name)
                .is_some_and(|seen| self.is_ours(&name, &seen.file))
            {
                let _ = self.registry.remove(&name);
                tracing::info!("plugin {name}: removed, for its file is gone");
            }
        }
        for spec in specs {
            self.see(spec, &policy);
        }
        self.has_looked = true;
    }

    /// Whether a file that was not dealt with may still be written to.
    fn moves(&mut self, name: &str, state: Option<FileState>) -> bool {
        let dealt_with = self.seen.get(name).is_some_and(|seen| seen.state == state);
        let moved = self.moving.entry(name.to_owned());
        let (before, since) = moved.or_insert_with(|| (None, Instant::now()));
        if *before != state {
            (*before, *since) = (state, Instant::now());
        }
        let moves = self.has_looked && !dealt_with && since.elapsed() < QUIET;
        if !moves {
            self.moving.remove(name);
        }
        moves
    }

    /// How long to wait for the next look, where nothing is told: some file systems tell nothing.
    fn pause(&self) -> Duration {
        match self.moving.is_empty() {
            true => LOOK,
            false => QUIET,
        }
    }

    /// The policy, and the folder's plugins.
    fn read(&self) -> Result<(Policy, Vec<PluginSpec>), String> {
        let policy = Policy::at(self.policy.as_deref()).map_err(|error| error.to_string())?;
        let specs = self.folder.specs().map_err(|error| error.to_string())?;
        Ok((policy, specs))
    }

    /// Whether the plugin of this name is the one of this file, or there is none.
    fn is_ours(&self, name: &str, file: &Path) -> bool {
        let plugin = self.registry.get(name);
        plugin.is_none_or(|plugin| plugin.spec().file == file)
    }

    fn see(&mut self, spec: PluginSpec, policy: &Policy) {
        let (name, file) = (spec.name.clone(), spec.file.clone());
        let allowed = self.folder.allowed(spec.clone(), policy);
        let seen = Seen::of(file.clone(), allowed.ok());
        if self.seen.get(&name) == Some(&seen) || self.moves(&name, seen.state) {
            return;
        }
        // It is dealt with, whatever becomes of it: once is enough.
        self.seen.insert(name.clone(), seen);
        let update = || {
            if !self.is_ours(&name, &file) {
                return Err(PluginError::new(&name, LoadErrorKind::NameTaken).into());
            }
            let policy = Policy::at(self.policy.as_deref())?;
            Ok(self.folder.allowed(spec, &policy)?)
        };
        let done: Result<bool, UpdateError> = self.registry.update(&name, update);
        tell(&name, &file, done);
    }
}

impl Seen {
    fn of(file: PathBuf, spec: Option<PluginSpec>) -> Self {
        let state = std::fs::symlink_metadata(&file).ok().map(|data| {
            let modified = [data.mtime(), data.mtime_nsec()];
            let changed = [data.ctime(), data.ctime_nsec()];
            let times = [modified[0], modified[1], changed[0], changed[1]];
            (data.dev(), data.ino(), data.len(), times)
        });
        Self { file, spec, state }
    }
}

/// How often a folder is looked at when nothing is told of it.
const LOOK: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use flowloom_core::meter::Settings;

    use super::*;
    use crate::load::compile::{CompileError, CompiledModule, Compiler};
    use crate::load::registry::RegistryConfig;

    /// Keeps what it is given to compile, which it never does.
    #[derive(Clone, Default)]
    struct Keeps(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Compiler for Keeps {
        fn compile(&self, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
            self.0.lock().unwrap().push(plugin.to_vec());
            assert_ne!(plugin, b"panic");
            Err(CompileError::DoesNotCompile("it is kept".into()))
        }
    }

    #[test]
    fn a_file_is_tried_once_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Keeps::default();
        let config = RegistryConfig {
            compiler: Some(Arc::new(kept.clone())),
            ..RegistryConfig::default()
        };
        let mut follower = Follower {
            folder: PluginFolder::new(folder.path()).followed(true),
            policy: None,
            registry: Registry::with(Settings::default().schema(), config).unwrap(),
            seen: BTreeMap::new(),
            moving: BTreeMap::new(),
            has_looked: true,
            trouble: None,
        };
        for part in ["a", "a third", "a third of it"] {
            std::fs::write(folder.path().join("a.wasm"), part).unwrap();
            follower.look();
            assert_eq!(follower.pause(), QUIET);
        }
        assert!(kept.0.lock().unwrap().is_empty());
        for _ in 0..3 {
            std::thread::sleep(QUIET);
            follower.look();
            assert_eq!(*kept.0.lock().unwrap(), [b"a third of it"]);
            assert_eq!(follower.pause(), LOOK);
        }
    }

    #[test]
    fn a_panic_does_not_end_the_following() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &str| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        let (kept, panics) = (Keeps::default(), ThreadPanics::default());
        let config = RegistryConfig {
            compiler: Some(Arc::new(kept.clone())),
            thread_panics: panics.clone(),
            ..RegistryConfig::default()
        };
        let registry = Registry::with(Settings::default().schema(), config).unwrap();
        write("a.wasm", "panic");
        write("b.wasm", "second");
        let followed = PluginFolder::new(folder.path()).followed(true);
        let _following = followed.follow(None, &registry, &panics).unwrap();
        let wait_for = |count| {
            while kept.0.lock().unwrap().len() < count {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(2);
        // Files that come later are noticed, and none is tried twice.
        write("c.wasm", "third");
        wait_for(3);
        assert_eq!(
            *kept.0.lock().unwrap(),
            [&b"panic"[..], b"second", b"third"]
        );
        assert_eq!(panics.count(), 1);
    }
}
