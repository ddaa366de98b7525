//! `flowloom plan`

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use flowloom::RunConfig;
use flowloom::plan::{EstimateError, Plan as RunPlan, PlanError, PlanOptions, PlannedCapture};
use flowloom::plugin::escaped_path;

use super::compile::{self, CompileOptions};
use super::exit::{Exit, Failure, GrantAdvice};
use super::metering::MeteringOptions;
use super::number::within;
use super::output::OUTPUT;
use super::plugin_options::RunPlugins;
use super::sources::SourceOptions;
use super::{quantity, standard};

const TASKS: &str = "Tasks";
/// The most captures that are listed.
const LISTED: usize = 50;

const EXAMPLES: &str = "\
Examples:
  Show the captures and tasks of a run:
    flowloom plan captures/
  Read all packets first, and divide captures at gaps and into up to four shards:
    flowloom plan captures/ --scan --max-shards 4
  Write each task to a file, and do the tasks with GNU parallel:
    flowloom plan captures/ --statistical-analysis --tasks-to tasks/
    ls tasks/*.json | parallel flowloom run-task {} -o flows/{/.}.parquet

Documentation: docs/scale.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Plan {
    #[command(flatten)]
    from: SourceOptions,

    /// Size of a task.
    ///
    /// Smaller captures are put together. Larger ones are divided at gaps (--scan) and into shards (--max-shards). The units
    /// are kB, MB, GB, TB, KiB, MiB, GiB and TiB.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = quantity::size, help_heading = TASKS)]
    task_size: u64,

    /// Most shards of a task that is larger than --task-size.
    ///
    /// Each shard reads all packets of the task, and meters the flows with some keys. This saves time if the flows cost more
    /// than reading, as with plugins and dissection.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = within(1..=1024_u32), allow_negative_numbers = true, help_heading = TASKS)]
    max_shards: u32,

    /// Read all packets of all files.
    ///
    /// The plan then knows which files overlap, and divides captures between files with a gap of at least the idle timeout.
    /// Without it, files that overlap are found when their task is done.
    #[arg(long, help_heading = TASKS)]
    scan: bool,

    /// Folder that keeps the first packets of files for the next plan [default: ~/.cache/flowloom-files].
    ///
    /// A plan over the same objects then needs a list of them, and no request for each. The folder must be closed to other
    /// users. `none` reads all files again.
    #[arg(long, value_name = "DIR|none", help_heading = TASKS)]
    file_cache: Option<PathBuf>,

    /// Write each task to a file in DIR.
    #[arg(long, value_name = "DIR", help_heading = TASKS)]
    tasks_to: Option<PathBuf>,

    /// Do not estimate the packets and the CPU time of the tasks.
    ///
    /// The estimate does a part of up to four tasks, and is not made with --json.
    #[arg(long, help_heading = TASKS)]
    no_estimate: bool,

    /// Print the plan as JSON, with its tasks.
    #[arg(long, help_heading = TASKS)]
    json: bool,

    /// Write only these columns, in this order.
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', help_heading = OUTPUT)]
    select: Vec<String>,

    #[command(flatten)]
    plugins: RunPlugins,

    #[command(flatten)]
    metering: MeteringOptions,

    #[command(flatten)]
    compile: CompileOptions,
}

impl Plan {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut config = RunConfig::default();
        config.sources = self.from.sources()?;
        self.from.set(&mut config);
        self.metering.set(&mut config);
        config.select.clone_from(&self.select);
        config.policy.clone_from(&self.plugins.policy);
        config.plugins = self.plugins.specs()?.into_iter().map(Into::into).collect();
        config.plugin_folder.clone_from(&self.plugins.folder);
        let mut options = PlanOptions::default();
        options.task_bytes = self.task_size;
        options.max_shards = self.max_shards;
        options.scans = self.scan;
        options.cache = match &self.file_cache {
            Some(folder) if folder == Path::new("none") => None,
            Some(folder) => Some(folder.clone()),
            None => compile::default_folder("flowloom-files"),
        };
        let plan = RunPlan::new(config, &options).map_err(|error| match error {
            PlanError::Parameter { parameter, reason } => {
                let option = parameter.replace('_', "-");
                Failure::usage(format_args!("--{option}: {reason}"))
            }
            error => Failure::failed(error),
        })?;
        if let Some(folder) = &self.tasks_to {
            write_tasks(&plan, folder)?;
        }
        match self.json {
            true => {
                let text = serde_json::to_string(&plan).map_err(Failure::failed)?;
                standard::print(format_args!("{text}\n"))?;
            }
            false => {
                standard::print(format_args!("{}", text_of(&plan)))?;
                if !self.no_estimate {
                    standard::print(format_args!("{}", self.estimate(&plan)?))?;
                }
            }
        }
        Ok(match plan.skipped.is_empty() {
            true => Exit::Done,
            false => Exit::Incomplete,
        })
    }
}

impl Plan {
    /// Returns the line of the estimate.
    fn estimate(&self, plan: &RunPlan) -> Result<String, Failure> {
        let estimate = plan
            .estimate(|builder| builder.compiler(self.compile.compiler(None)))
            .map_err(|error| match error {
                EstimateError::Run(error) => Failure::of_run(error, GrantAdvice::Option),
                error => Failure::failed(error),
            })?;
        Ok(format!(
            "estimate: {} packets, {} of CPU time on this machine without writing (from {})\n",
            rounded(estimate.packets),
            time(estimate.cpu_time),
            size(estimate.sampled_bytes),
        ))
    }
}

/// Returns a number with two significant digits.
fn rounded(number: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "trillion"),
        (1_000_000_000, "billion"),
        (1_000_000, "million"),
        (1_000, "thousand"),
    ];
    match UNITS.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) if number < 10 * unit => {
            format!("{:.1} {name}", number as f64 / unit as f64)
        }
        Some((unit, name)) => format!("{} {name}", number / unit),
        None => number.to_string(),
    }
}

/// Returns a time in the largest unit with a whole part.
fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        ..1.0 => format!("{:.0} ms", time.as_secs_f64() * 1_000.0),
        seconds @ ..120.0 => format!("{seconds:.0} s"),
        seconds @ ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3_600.0),
    }
}

/// Writes each task to a file of a folder, which is created.
fn write_tasks(plan: &RunPlan, folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error| {
        Failure::failed(format_args!("cannot write {}: {error}", escaped_path(path)))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    for (number, task) in plan.tasks.iter().enumerate() {
        let path = folder.join(format!("task-{number:05}.json"));
        let text = serde_json::to_string(task).map_err(Failure::failed)?;
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn text_of(plan: &RunPlan) -> String {
    let mut text = String::new();
    for (number, capture) in plan.captures.iter().take(LISTED).enumerate() {
        let _ = writeln!(text, "capture {number}: {}", line_of(capture));
    }
    if let Some(more) = plan
        .captures
        .len()
        .checked_sub(LISTED)
        .filter(|&more| more > 0)
    {
        let _ = writeln!(text, "and {} more", counted(more, "capture"));
    }
    let files: usize = plan
        .captures
        .iter()
        .map(|capture| capture.files.len())
        .sum();
    let shards = plan
        .tasks
        .iter()
        .filter(|task| task.part.shard.of > 1)
        .count();
    let _ = write!(
        text,
        "{} of {}, {}; {}",
        counted(plan.captures.len(), "capture"),
        counted(files, "file"),
        size(plan.bytes()),
        counted(plan.tasks.len(), "task"),
    );
    let _ = match shards {
        0 => writeln!(text),
        shards => writeln!(
            text,
            ", of which {shards} are shards; all tasks read {}",
            size(plan.bytes_read())
        ),
    };
    for error in &plan.skipped {
        let _ = writeln!(text, "skipped: {error}");
    }
    text
}

fn line_of(capture: &PlannedCapture) -> String {
    let mut line = match capture.files.as_slice() {
        [] => String::new(),
        [file] => escaped_path(file).to_string(),
        [first, .., last] => format!(
            "{} files, {} to {}",
            capture.files.len(),
            escaped_path(first),
            escaped_path(last)
        ),
    };
    let _ = write!(line, ", {}", size(capture.bytes));
    if let Some(packets) = capture.packets {
        let _ = write!(line, ", {packets} packets");
    }
    if !capture.cuts.is_empty() {
        let _ = write!(line, ", {}", counted(capture.cuts.len(), "gap"));
    }
    if capture.overlaps {
        line.push_str(", begins before the previous capture ends");
    }
    line
}

/// Returns a number with its noun.
fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Returns a size in the largest unit with a whole part.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}
