//! Reloads the plugins of a run on request, except those of a folder.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use flowloom_plugin::{
    PluginSpec, Policy, Registry, ThreadPanics, UpdateError, log_update, spawn_supervised,
};

/// Reloads plugins in one thread, which starts with the first request.
///
/// At most one request waits while a reload runs. Further requests are merged with it. Every reload reads the
/// policy again, so the last reload uses the newest files.
pub(crate) struct Reloader {
    config: ReloadConfig,
    panics: ThreadPanics,
    /// Sends requests to the thread, if it has been started.
    worker: Mutex<Option<SyncSender<()>>>,
}

/// The plugins to reload, with the file of their policy.
#[derive(Clone)]
struct ReloadConfig {
    plugins: Vec<PluginSpec>,
    policy: Option<PathBuf>,
    registry: Registry,
}

impl Reloader {
    pub(crate) fn new(
        plugins: Vec<PluginSpec>,
        policy: Option<PathBuf>,
        registry: Registry,
        panics: ThreadPanics,
    ) -> Self {
        let config = ReloadConfig {
            plugins,
            policy,
            registry,
        };
        Self {
            config,
            panics,
            worker: Mutex::default(),
        }
    }

    /// Requests that the policy and the files of the plugins are read again. Does not wait for the reload.
    pub(crate) fn request(&self) {
        let config = self.config.clone();
        self.request_of(move || config.reload());
    }

    /// Requests a reload. The first request determines the function that reloads.
    fn request_of(&self, reload: impl FnMut() + Send + 'static) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_none() {
            match start(reload, &self.panics) {
                Ok(started) => *worker = Some(started),
                Err(error) => tracing::error!("cannot reload plugins: {error}"),
            }
        }
        if let Some(worker) = &*worker {
            // If the channel is full, a waiting request has not read anything yet and covers this one.
            let _ = worker.try_send(());
        }
    }
}

/// Starts the thread. Returns a sender of requests.
fn start(
    mut reload: impl FnMut() + Send + 'static,
    panics: &ThreadPanics,
) -> std::io::Result<SyncSender<()>> {
    let (request, requests): (_, Receiver<()>) = sync_channel(1);
    spawn_supervised("flowloom-reload", panics, move || {
        for () in &requests {
            reload();
        }
    })?;
    Ok(request)
}

impl ReloadConfig {
    /// Updates the registry from the current files and the current policy.
    fn reload(&self) {
        if let Err(error) = Policy::at(self.policy.as_deref()) {
            return tracing::error!("{error}; the loaded plugins are unchanged");
        }
        for spec in &self.plugins {
            let (name, source) = (&spec.name, &spec.source);
            let update = || {
                let policy = Policy::at(self.policy.as_deref())?;
                Ok::<_, UpdateError>(policy.apply(spec.clone())?)
            };
            log_update(name, source, self.registry.update(name, update));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    use flowloom_core::meter::Settings;

    use super::*;

    fn reloader(panics: &ThreadPanics) -> Reloader {
        let registry = Registry::new(Settings::default().schema()).unwrap();
        Reloader::new(Vec::new(), None, registry, panics.clone())
    }

    #[test]
    fn requests_during_a_reload_are_merged_and_use_the_newest_state() {
        let reloader = reloader(&ThreadPanics::default());
        let policy = Arc::new(AtomicU64::new(0));
        let (started, starts) = channel();
        let (resume, resumed) = channel::<()>();
        let (apply, applied) = channel();
        let mut waits = Some(resumed);
        let read = policy.clone();
        let mut reload = Some(move || {
            let policy = read.load(Ordering::SeqCst);
            started.send(()).unwrap();
            if let Some(resumed) = waits.take() {
                resumed.recv().unwrap();
            }
            apply.send(policy).unwrap();
        });
        let mut request = || match reload.take() {
            Some(reload) => reloader.request_of(reload),
            None => reloader.request(),
        };
        request();
        starts.recv().unwrap();
        for newer in 1..=50 {
            policy.store(newer, Ordering::SeqCst);
            request();
        }
        resume.send(()).unwrap();
        assert_eq!([applied.recv().unwrap(), applied.recv().unwrap()], [0, 50]);
        // The thread ends with the run. No further request waits.
        drop(reloader);
        assert!(applied.recv().is_err());
    }

    #[test]
    fn a_panic_in_a_reload_is_counted_and_the_next_reload_runs() {
        let panics = ThreadPanics::default();
        let reloader = reloader(&panics);
        let (done, waited) = channel();
        let mut calls = 0;
        reloader.request_of(move || {
            calls += 1;
            done.send(calls).unwrap();
            assert!(calls > 1, "the first call");
        });
        assert_eq!(waited.recv().unwrap(), 1);
        reloader.request();
        assert_eq!(waited.recv().unwrap(), 2);
        assert_eq!(panics.count(), 1);
    }
}
