//! `--metrics`: the counters of a run for Prometheus.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use flowloom::plugin::{PluginReport, PluginState};
use flowloom::sink::Losses;
use flowloom::{RunSummary, ThreadPanics, spawn_supervised};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::exit::Failure;
use super::http::{Page, Server};
use super::log;
use super::performance::resident_bytes;

/// The media type of OpenMetrics, which `prometheus_client` writes.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Parses an address and a port, or a port of the loopback interface.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    match port.parse::<u16>() {
        Ok(port) => Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into()),
        Err(_) => text
            .parse()
            .map_err(|_| "give PORT, or ADDRESS:PORT as in 127.0.0.1:9100 or [::]:9100".into()),
    }
}

/// Binds the port. Must be called before privileges are dropped.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).map_err(|error| {
        Failure::failed(format_args!("cannot serve metrics on {address}: {error}"))
    })
}

/// The text that is served.
pub(super) struct Metrics(Arc<Mutex<Arc<str>>>);

impl Metrics {
    /// Starts a thread that serves the metrics. `panics` counts its panics.
    pub(super) fn serve(listener: TcpListener, panics: &ThreadPanics) -> Result<Self, Failure> {
        let fail = |error| Failure::failed(format_args!("cannot serve metrics: {error}"));
        if let Ok(address) = listener.local_addr() {
            tracing::info!("serving metrics on http://{address}/metrics");
        }
        let text: Arc<Mutex<Arc<str>>> = Arc::new(Mutex::new("".into()));
        let served = Arc::clone(&text);
        let pages = move |path: &str| page(path, &served);
        let mut server = Server::new(listener, Box::new(pages)).map_err(fail)?;
        spawn_supervised("flowloom-metrics", panics, move || server.run()).map_err(fail)?;
        Ok(Self(text))
    }

    /// Replaces the text that is served.
    pub(super) fn show(&self, report: &RunSummary<'_>, losses: &Losses) {
        if let Some(text) = text(report, losses) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
        }
    }
}

fn page(path: &str, text: &Mutex<Arc<str>>) -> Option<Page> {
    let (content_type, body) = match path {
        "/metrics" => {
            let text = text.lock().unwrap_or_else(PoisonError::into_inner);
            (CONTENT_TYPE, Arc::clone(&text))
        }
        "/" => (
            "text/plain; charset=utf-8",
            "the metrics are at /metrics\n".into(),
        ),
        _ => return None,
    };
    Some(Page {
        // There is no text while plugins are being loaded.
        status: if body.is_empty() { 503 } else { 200 },
        content_type,
        body,
    })
}

/// Returns a counter of a plugin.
type Count = fn(&PluginReport) -> u64;

type Labels = Vec<(&'static str, String)>;

/// Registers the metrics of a summary.
struct Writer(Registry);

impl Writer {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstCounter::new(value));
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.0.register(name, help, ConstGauge::new(value));
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'static str, String, u64)>,
    ) {
        let family = Family::<Labels, Counter>::default();
        for (label, of, value) in values {
            family.get_or_create(&vec![(label, of)]).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn seconds(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'static str, String, f64)>,
    ) {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (label, of, value) in values {
            family.get_or_create(&vec![(label, of)]).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn gauges(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge>::default();
        for (labels, value) in values {
            family
                .get_or_create(&labels)
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.0.register(name, help, family);
    }
}

fn text(report: &RunSummary<'_>, losses: &Losses) -> Option<String> {
    let mut writer = Writer(Registry::with_prefix("flowloom"));
    let counters = &report.counters;
    let dropped = report.packets_dropped.unwrap_or_default();
    writer.counter(
        "packets_read",
        "Packets read from the source",
        report.packets_read,
    );
    writer.counter("read_bytes", "Captured bytes read", report.bytes_read);
    writer.counter(
        "packets_metered",
        "Packets metered into flows",
        counters.metered,
    );
    writer.counters(
        "packets_ignored",
        "Packets read that belong to no flow",
        counters
            .ignored()
            .map(|(reason, count)| ("reason", reason.name().to_owned(), count)),
    );
    writer.counters(
        "packets_dropped",
        "Packets lost before they could be read",
        [
            ("stage", "kernel".to_owned(), dropped.kernel),
            ("stage", "interface".to_owned(), dropped.interface),
            ("stage", "gone".to_owned(), dropped.gone),
        ],
    );
    writer.counter(
        "packets_clamped",
        "Packets out of order, which have the time of an earlier packet",
        counters.clamped,
    );
    let per_meter = report.packets_per_meter.iter().enumerate();
    writer.counters(
        "meter_packets",
        "Packets of each meter",
        per_meter.map(|(meter, packets)| ("meter", meter.to_string(), *packets)),
    );
    let reader = report
        .cpu_time
        .reader
        .map(|busy| ("reader".to_owned(), busy));
    let meters = report.cpu_time.meters.iter().enumerate();
    let meters = meters.map(|(meter, busy)| (format!("meter-{meter}"), *busy));
    writer.seconds(
        "cpu_seconds",
        "CPU time of the threads",
        reader
            .into_iter()
            .chain(meters)
            .map(|(name, busy)| ("thread", name, busy.as_secs_f64())),
    );
    writer.counter("flows_ended", "Flows that have ended", counters.flows);
    writer.counter(
        "flows_evicted",
        "Flows that ended early because the table was full",
        counters.evicted,
    );
    writer.counter(
        "flows_undissected",
        "Flows that were not dissected because packets arrived too quickly",
        report.flows_undissected,
    );
    writer.counter(
        "flows_excluded",
        "Flows that ended and for which the condition of --where is not true",
        report.flows_excluded,
    );
    writer.counters(
        "flows_lost",
        "Flows that ended and were not written",
        [
            ("stage", "queue".to_owned(), losses.queue()),
            ("stage", "output".to_owned(), losses.output()),
        ],
    );
    writer.counter(
        "flows_without_values",
        "Flows that were written without values of plugins because the output was slower",
        losses.values(),
    );
    writer.gauge("flows_live", "Flows in the tables", report.flows_live);
    writer.gauge(
        "flow_memory_bytes",
        "Memory of the flow tables and of the flows of the dissectors",
        report.memory,
    );
    if let Some(bytes) = resident_bytes() {
        writer.gauge("resident_memory_bytes", "Memory of the process", bytes);
    }
    writer.counter(
        "captures",
        "Captures that have begun; rotated files form one capture",
        report.captures,
    );
    writer.counter(
        "files_skipped",
        "Files that were skipped because they cannot be read",
        report.files_skipped,
    );
    writer.counter(
        "clock_steps",
        "Steps back of the clock of live packets; each ended all flows",
        report.clock_steps,
    );
    writer.counter(
        "thread_panics",
        "Panics of helper threads; each thread was restarted",
        report.thread_panics,
    );
    writer.counter(
        "log_lines_dropped",
        "Lines for standard error that were dropped because nobody read them",
        log::dropped(),
    );
    if let Some(system) = report.system {
        writer.counter(
            "system_polls",
            "Polls for the processes of flows",
            system.polls,
        );
        writer.counter(
            "system_polls_failed",
            "Polls for the processes of flows that failed",
            system.polls_failed,
        );
        writer.counter(
            "system_polls_cut",
            "Polls for the processes of flows that reached a limit",
            system.polls_cut,
        );
    }
    plugins(&mut writer, &report.plugins);
    let mut text = String::new();
    encode(&mut text, &writer.0).ok()?;
    Some(text)
}

fn plugins(writer: &mut Writer, plugins: &[PluginReport]) {
    let counters: [(_, _, Count); 13] = [
        (
            "plugin_events",
            "Events that were passed to plugins",
            |plugin| plugin.events,
        ),
        ("plugin_calls", "Calls into plugins", |plugin| plugin.calls),
        ("plugin_traps", "Calls into plugins that failed", |plugin| {
            plugin.traps
        }),
        (
            "plugin_flows_lost",
            "Flows without values after a trap",
            |plugin| plugin.flows_lost,
        ),
        (
            "plugin_excesses",
            "Back-offs of plugins that took too much time",
            |plugin| plugin.excesses,
        ),
        (
            "plugin_flows_cut",
            "Flows that plugins ended early",
            |plugin| plugin.flows_cut,
        ),
        (
            "plugin_flows_skipped",
            "Flows that were skipped because the plugin reached its flow limit",
            |plugin| plugin.flows_skipped,
        ),
        ("plugin_generations", "Generations of plugins", |plugin| {
            plugin.generations
        }),
        (
            "plugin_flows_abandoned",
            "Flows without values that ended too long after a plugin was replaced",
            |plugin| plugin.flows_abandoned,
        ),
        (
            "plugin_flows_shed",
            "Flows that were skipped because packets arrived too quickly",
            |plugin| plugin.flows_shed,
        ),
        (
            "plugin_bad_outputs",
            "Values that are null because they do not have the declared type",
            |plugin| plugin.bad_outputs,
        ),
        (
            "plugin_outputs_too_large",
            "Values that are null because the flow reached its limit of bytes",
            |plugin| plugin.outputs_too_large,
        ),
        (
            "plugin_flows_overflowed",
            "Flows without values because waiting flows reached their limit of bytes",
            |plugin| plugin.flows_overflowed,
        ),
    ];
    for (name, help, count) in counters {
        let values = plugins
            .iter()
            .map(|plugin| ("plugin", plugin.name.clone(), count(plugin)));
        writer.counters(name, help, values);
    }
    writer.seconds(
        "plugin_seconds",
        "Time of calls into plugins",
        plugins
            .iter()
            .map(|plugin| ("plugin", plugin.name.clone(), plugin.time.as_secs_f64())),
    );
    writer.gauges(
        "plugin_memory_bytes",
        "Memory of the plugins' instances",
        plugins
            .iter()
            .map(|plugin| (vec![("plugin", plugin.name.clone())], plugin.memory as u64)),
    );
    let states = [
        PluginState::Running,
        PluginState::Restarting,
        PluginState::Quarantined,
    ];
    writer.gauges(
        "plugin_state",
        "1 for the current state of a plugin",
        plugins.iter().flat_map(|plugin| {
            states.map(|state| {
                let labels = vec![
                    ("plugin", plugin.name.clone()),
                    ("state", state.to_string()),
                ];
                (labels, u64::from(plugin.state == state))
            })
        }),
    );
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_of_the_loopback_interface_unless_told_otherwise() {
        let text = |text| address(text).map(|address| address.to_string());
        assert_eq!(text("9100").as_deref(), Ok("127.0.0.1:9100"));
        assert_eq!(text(":9100").as_deref(), Ok("127.0.0.1:9100"));
        assert_eq!(text("0.0.0.0:9100").as_deref(), Ok("0.0.0.0:9100"));
        assert_eq!(text("[::1]:9100").as_deref(), Ok("[::1]:9100"));
        assert!(text("localhost").unwrap_err().starts_with("give PORT"));
    }
}
