//! The counters of a run.

use flowloom::{RunSummary, Streamer};
use serde_json::{Map, Value, json};

/// Returns the counters of a run so far, as JSON.
pub(crate) fn json_of(streamer: &Streamer) -> String {
    summary(&streamer.summary()).to_string()
}

fn summary(run: &RunSummary<'_>) -> Value {
    let ignored: Map<_, _> = run
        .counters
        .ignored()
        .map(|(reason, count)| (reason.name().to_owned(), json!(count)))
        .collect();
    let dropped = run.packets_dropped.unwrap_or_default();
    let plugins: Vec<_> = run
        .plugins
        .iter()
        .map(|plugin| {
            json!({
                "name": plugin.name,
                "version": plugin.version,
                "state": plugin.state.to_string(),
                "events": plugin.events,
                "calls": plugin.calls,
                "seconds": plugin.time.as_secs_f64(),
                "traps": plugin.traps,
                "flows_lost": plugin.flows_lost,
                "flows_skipped": plugin.flows_skipped,
                "flows_cut": plugin.flows_cut,
                "bad_outputs": plugin.bad_outputs,
                "memory_bytes": plugin.memory,
            })
        })
        .collect();
    let meters: f64 = run
        .cpu_time
        .meters
        .iter()
        .map(|time| time.as_secs_f64())
        .sum();
    json!({
        "packets_read": run.packets_read,
        "packets_filtered": run.packets_filtered,
        "packets_metered": run.counters.metered,
        "packets_of_other_shards": run.counters.other_shards,
        "packets_ignored": ignored,
        "packets_dropped": {
            "kernel": dropped.kernel,
            "interface": dropped.interface,
            "gone": dropped.gone,
        },
        "packets_out_of_order": run.counters.clamped,
        "bytes_read": run.bytes_read,
        "captures": run.captures,
        "files_skipped": run.files_skipped,
        "flows": run.counters.flows,
        "flows_live": run.flows_live,
        "flows_excluded": run.flows_excluded,
        "flows_withheld": run.flows_withheld,
        "flows_evicted": run.counters.evicted,
        "flows_undissected": run.flows_undissected,
        "memory_bytes": run.memory,
        "meter_seconds": meters,
        "ndpi": run.ndpi.map(|ndpi| json!({"version": ndpi.version(), "library": ndpi.path()})),
        "system": run.system.map(|system| json!({
            "polls": system.polls,
            "polls_failed": system.polls_failed,
            "polls_cut": system.polls_cut,
        })),
        "plugins": plugins,
        // The problems that every machine would find.
        "damage": run
            .problems
            .iter()
            .filter(|problem| problem.is_in_file())
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        "problems": run.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
