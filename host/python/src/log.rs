//! Messages of the library for Python's `logging`.
//!
//! A message may come from any thread, also while another one holds Python's lock and waits for it. Therefore messages
//! are queued, and a thread of Python logs them when it comes back from the library.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// The maximum number of messages that wait.
const MAX_MESSAGES: usize = 1_000;

/// The messages that wait.
static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    messages: VecDeque::new(),
    dropped: 0,
});

struct Queue {
    messages: VecDeque<(Level, String)>,
    dropped: u64,
}

struct Queueing;

/// The text of a message.
struct Message(String);

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to queue messages, unless another library of this process takes them.
pub(crate) fn start() {
    // Libraries explain themselves in words, and with names, that are not for the users of this package.
    let ours = ["flowloom", "_flowloom"];
    let filter = Targets::new().with_targets(ours.map(|target| (target, LevelFilter::INFO)));
    let layers = tracing_subscriber::registry().with(Queueing.with_filter(filter));
    let _ = tracing::subscriber::set_global_default(layers);
}

/// Logs the messages that wait.
pub(crate) fn drain(py: Python<'_>) -> PyResult<()> {
    let (messages, dropped) = {
        let mut queue = queue();
        if queue.messages.is_empty() {
            return Ok(());
        }
        let dropped = std::mem::take(&mut queue.dropped);
        (std::mem::take(&mut queue.messages), dropped)
    };
    let logger = py
        .import("logging")?
        .call_method1("getLogger", ("flowloom",))?;
    for (level, message) in messages {
        let number = match level {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        logger.call_method1("log", (number, "%s", message))?;
    }
    if dropped > 0 {
        logger.call_method1("warning", ("%d messages were dropped", dropped))?;
    }
    Ok(())
}

impl<S: Subscriber> Layer<S> for Queueing {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let mut queue = queue();
        match queue.messages.len() < MAX_MESSAGES {
            true => queue
                .messages
                .push_back((*event.metadata().level(), message.0)),
            false => queue.dropped += 1,
        }
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to memory cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
