//! Reloads the plugins of a run that were given one by one, when that is asked for.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use flowloom_plugin::{
    PluginSpec, Policy, Registry, ThreadPanics, UpdateError, spawn_supervised, tell,
};

/// Reloads plugins in one thread, which starts with the first request.
///
/// Requests that come while one waits are one with it. Each reads the policy anew, so that the newest is
/// what counts in the end.
pub(crate) struct Reloader {
    asked: Asked,
    panics: ThreadPanics,
    worker: Mutex<Option<SyncSender<()>>>,
}

/// The plugins that were given one by one, and what they are under.
#[derive(Clone)]
struct Asked {
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
        let asked = Asked {
            plugins,
            policy,
            registry,
        };
        Self {
            asked,
            panics,
            worker: Mutex::default(),
        }
    }

    /// Has the policy and the plugins' files read again. Never waits for that.
    pub(crate) fn request(&self) {
        let asked = self.asked.clone();
        self.request_of(move || asked.reload());
    }

    fn request_of(&self, reload: impl FnMut() + Send + 'static) {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if worker.is_none() {
            match start(reload, &self.panics) {
                Ok(started) => *worker = Some(started),
                Err(error) => tracing::error!("plugins cannot be reloaded: {error}"),
            }
        }
        if let Some(worker) = &*worker {
            // A request that waits has not read anything yet: it is as good as this one.
            let _ = worker.try_send(());
        }
    }
}

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

impl Asked {
    /// Makes the registry what files and policy are by now.
    fn reload(&self) {
        if let Err(error) = Policy::at(self.policy.as_deref()) {
            return tracing::error!("{error}; the plugins stay as they are");
        }
        for spec in &self.plugins {
            let (name, file) = (&spec.name, &spec.file);
            let update = || {
                let policy = Policy::at(self.policy.as_deref())?;
                Ok::<_, UpdateError>(policy.apply(spec.clone())?)
            };
            tell(name, file, self.registry.update(name, update));
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
    fn requests_that_come_meanwhile_are_one_and_the_newest_state_counts() {
        let reloader = reloader(&ThreadPanics::default());
        let policy = Arc::new(AtomicU64::new(0));
        let (begun, begins) = channel();
        let (go_on, goes_on) = channel::<()>();
        let (apply, applied) = channel();
        let mut waits = Some(goes_on);
        let read = policy.clone();
        let mut reload = Some(move || {
            let policy = read.load(Ordering::SeqCst);
            begun.send(()).unwrap();
            if let Some(goes_on) = waits.take() {
                goes_on.recv().unwrap();
            }
            apply.send(policy).unwrap();
        });
        let mut request = || match reload.take() {
            Some(reload) => reloader.request_of(reload),
            None => reloader.request(),
        };
        request();
        begins.recv().unwrap();
        for newer in 1..=50 {
            policy.store(newer, Ordering::SeqCst);
            request();
        }
        go_on.send(()).unwrap();
        assert_eq!([applied.recv().unwrap(), applied.recv().unwrap()], [0, 50]);
        // The thread ends with the run, and has nothing more to do by then.
        drop(reloader);
        assert!(applied.recv().is_err());
    }

    #[test]
    fn a_reload_that_panics_is_counted_and_the_next_one_done() {
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
