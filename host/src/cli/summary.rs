//! What is said at the end of a run, on standard error.

use std::io::{self, Write};

use flowloom::Report;
use flowloom::decode::Ignored;
use flowloom::plugin::PluginReport;

/// Writes a line each for packets, flows and every plugin.
pub(super) fn write(out: &mut impl Write, report: &Report<'_>, flows: u64) -> io::Result<()> {
    let accounts = &report.accounts;
    writeln!(
        out,
        "packets  {} read, {} metered",
        report.packets_read, accounts.metered
    )?;
    if report.packets_filtered > 0 {
        writeln!(out, "         {} filtered out", report.packets_filtered)?;
    }
    for (reason, count) in accounts.ignored() {
        write!(out, "         {count} ignored, {}: {reason}", reason.name())?;
        if reason == Ignored::UnknownLinkType {
            let links: Vec<_> = report
                .unknown_links
                .iter()
                .map(ToString::to_string)
                .collect();
            write!(out, ": {}", links.join(", "))?;
        }
        writeln!(out)?;
    }
    if accounts.clamped > 0 {
        writeln!(
            out,
            "         {} out of order, given the time of an earlier one",
            accounts.clamped
        )?;
    }
    write!(out, "flows    {flows}")?;
    match report.flows_withheld {
        0 => writeln!(out)?,
        withheld => writeln!(out, " written, {withheld} more withheld by --max-nflows")?,
    }
    if accounts.evicted > 0 {
        writeln!(
            out,
            "         {} of them ended early, for the table was full",
            accounts.evicted
        )?;
    }
    report
        .plugins
        .iter()
        .try_for_each(|plugin| write_plugin(out, plugin))
}

fn write_plugin(out: &mut impl Write, plugin: &PluginReport) -> io::Result<()> {
    let ns = plugin
        .time
        .as_nanos()
        .checked_div(plugin.events.into())
        .unwrap_or_default();
    write!(
        out,
        "plugin   {} {}: {} events in {} calls, {ns} ns an event, {} KiB, {} traps",
        plugin.name,
        plugin.version.escape_debug(),
        plugin.events,
        plugin.calls,
        plugin.memory / 1024,
        plugin.traps
    )?;
    for (count, what) in [
        (plugin.flows_lost, "flows without its values after a trap"),
        (
            plugin.flows_skipped,
            "flows not offered, for it held as many as it may",
        ),
        (plugin.bad_outputs, "values not of the declared type"),
    ] {
        if count > 0 {
            write!(out, ", {count} {what}")?;
        }
    }
    writeln!(out)
}
