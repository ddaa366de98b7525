//! One instance of a plugin, in its own store.

use std::time::Duration;

use flowloom_core::time::Time;
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use super::call_stack::CallStack;
use super::deadline::Deadline;
use super::host_cost::HostCost;
use super::host_state::{HostState, WasiState};
use super::log::Log;
use super::memory_limiter::MemoryLimiter;
use crate::config::limits::{Limits, MAX_ANSWER_BYTES, MAX_HANDLES};
use crate::contract::{batch_feature, feature, manifest};
use crate::error::{LoadErrorKind, Trap};

/// An instance of a plugin. After a failed call, its memory may be inconsistent, and the caller must drop it.
pub(crate) struct Instance {
    store: Store<HostState>,
    feature: Option<feature::Guest>,
    batch: Option<batch_feature::Guest>,
    limits: Limits,
}

/// The interfaces of the contract that a component exports.
#[derive(Clone)]
pub(crate) struct Exports {
    pub(crate) feature: Option<feature::GuestIndices>,
    pub(crate) batch: Option<batch_feature::GuestIndices>,
}

impl Instance {
    /// Instantiates a component. This may run code of the plugin.
    pub(crate) fn new(
        engine: &Engine,
        component: &InstancePre<HostState>,
        exports: &Exports,
        cost: HostCost,
        name: &str,
        limits: Limits,
    ) -> Result<Self, LoadErrorKind> {
        let limits = limits.enforceable();
        // Host memory for the instance counts as its memory.
        let memory = MemoryLimiter::new(limits.memory, cost.instance);
        if cost.instance > limits.memory {
            return Err(LoadErrorKind::OpenTrapped(Trap::Memory {
                requested: cost.instance,
                allowed: limits.memory,
                stack: CallStack::default(),
            }));
        }
        let state = HostState {
            deadline: Deadline::default(),
            memory,
            log: Log::new(name),
            wasi: WasiState::default(),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().deadline.check()));
        store.set_hostcall_fuel(MAX_ANSWER_BYTES);
        store.set_max_component_handles(MAX_HANDLES);
        let mut instance = Self {
            store,
            feature: None,
            batch: None,
            limits,
        };
        let raw = instance
            .call(limits.open, |instance| {
                component.instantiate(&mut instance.store)
            })
            .map_err(LoadErrorKind::OpenTrapped)?;
        // Loading checks the types of the functions.
        let other_types = |error: wasmtime::Error| LoadErrorKind::OtherTypes {
            reason: format!("{error:#}"),
        };
        instance.feature = exports
            .feature
            .as_ref()
            .map(|e| e.load(&mut instance.store, &raw))
            .transpose()
            .map_err(other_types)?;
        instance.batch = exports
            .batch
            .as_ref()
            .map(|e| e.load(&mut instance.store, &raw))
            .transpose()
            .map_err(other_types)?;
        Ok(instance)
    }

    /// Calls `open`. The inner error is the text of the plugin.
    pub(crate) fn open(
        &mut self,
        options: &[(String, String)],
        available: manifest::Available<'_>,
    ) -> Result<Result<manifest::Manifest, String>, Trap> {
        let options: Vec<_> = options
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        self.call(self.limits.open, |instance| {
            match (&instance.batch, &instance.feature) {
                (Some(guest), _) => guest.call_open(&mut instance.store, &options, available),
                (None, Some(guest)) => guest.call_open(&mut instance.store, &options, available),
                (None, None) => {
                    unreachable!("the linker rejects a component with neither interface")
                }
            }
        })
    }

    pub(crate) fn init(
        &mut self,
        flow: u64,
        packet: feature::Packet,
        values: feature::Values<'_>,
    ) -> Result<feature::Verdict, Trap> {
        self.event(|guest, store| guest.call_init(store, flow, packet, values))
    }

    pub(crate) fn update(
        &mut self,
        flow: u64,
        packet: feature::Packet,
        values: feature::Values<'_>,
    ) -> Result<feature::Verdict, Trap> {
        self.event(|guest, store| guest.call_update(store, flow, packet, values))
    }

    pub(crate) fn expire(
        &mut self,
        flow: u64,
        values: feature::Values<'_>,
    ) -> Result<Vec<feature::ValueResult>, Trap> {
        self.event(|guest, store| guest.call_expire(store, flow, values))
    }

    pub(crate) fn process(
        &mut self,
        batch: batch_feature::Batch<'_>,
    ) -> Result<Vec<batch_feature::OutputColumn>, Trap> {
        self.call(self.limits.call, |instance| {
            let Some(guest) = &instance.batch else {
                unreachable!("batches are delivered only to plugins with `batch-feature`")
            };
            guest.call_process(&mut instance.store, batch)
        })
    }

    /// Calls `finish` of the interface that received the events.
    pub(crate) fn finish(&mut self, by_event: bool) -> Result<(), Trap> {
        self.call(self.limits.call, |instance| {
            match (&instance.batch, &instance.feature) {
                (_, Some(guest)) if by_event => guest.call_finish(&mut instance.store),
                (Some(guest), _) => guest.call_finish(&mut instance.store),
                _ => Ok(()),
            }
        })
    }

    /// Sets the packet time.
    pub(crate) fn at(&mut self, now: Time) {
        self.store.data_mut().wasi.now = now;
    }

    /// Returns the number of log lines that were not written.
    pub(crate) fn lines_dropped(&self) -> u64 {
        self.store.data().log.dropped
    }

    /// Returns the time of the last call after its first epoch, if it took that long.
    #[inline]
    pub(crate) fn late_time(&self) -> Option<Duration> {
        self.store.data().deadline.late_time()
    }

    /// Returns the bytes of memories, tables and host memory for the instance.
    pub(crate) fn memory(&self) -> usize {
        self.store.data().memory.used
    }

    fn event<T>(
        &mut self,
        call: impl FnOnce(&feature::Guest, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, Trap> {
        self.call(self.limits.call, |instance| {
            let Some(guest) = &instance.feature else {
                unreachable!("single events are delivered only to plugins with `feature`")
            };
            call(guest, &mut instance.store)
        })
    }

    /// Calls into the guest. Every entry into the guest goes through here, so that lowering, the call and
    /// post-return are all under the deadline.
    fn call<T>(
        &mut self,
        allowed: Duration,
        call: impl FnOnce(&mut Self) -> wasmtime::Result<T>,
    ) -> Result<T, Trap> {
        let state = self.store.data_mut();
        state.deadline.start(allowed);
        // A failure of an earlier call is not the reason if this one fails.
        state.memory.refused = None;
        state.log.begin(state.wasi.now);
        self.store.set_epoch_deadline(1);
        match call(self) {
            Ok(done) => {
                self.store.data_mut().log.write_held();
                Ok(done)
            }
            Err(error) => Err(self.trap(&error, allowed)),
        }
    }

    /// Returns the reason why a call failed. Writes the last error line to the log, unless it is the reason.
    fn trap(&mut self, error: &wasmtime::Error, allowed: Duration) -> Trap {
        let stack = CallStack::of(error);
        let state = self.store.data_mut();
        if state.deadline.passed {
            state.log.write_held();
            Trap::Deadline {
                allowed_ms: allowed.as_millis(),
                stack,
            }
        } else if let Some(requested) = state.memory.refused {
            state.log.write_held();
            Trap::Memory {
                requested,
                allowed: self.limits.memory,
                stack,
            }
        } else if let Some(line) = state.log.last_error.take() {
            state.log.drop_held();
            Trap::Failed(line)
        } else {
            let reason = match error.downcast_ref::<wasmtime::Trap>() {
                Some(trap) => trap.to_string(),
                None => error.root_cause().to_string(),
            };
            Trap::Stopped { reason, stack }
        }
    }
}
