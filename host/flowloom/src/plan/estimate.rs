//! What the tasks of a plan cost, from a sample of their files.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{Plan, PlanError, Task};
use crate::capture::TaskFile;
use crate::run::{Step, StreamerBuilder, StreamerError};

/// The most files that are sampled.
const LARGE_SAMPLES: usize = 4;
const SMALL_SAMPLES: usize = 32;
/// The bytes that are read of a large file, and the most bytes of a small one.
const SAMPLE_BYTES: u64 = 8 << 20;

/// What the tasks of a plan cost, estimated from up to four large files and 32 small ones.
///
/// It is as good as the sample is typical of the other files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The bytes that were read of files.
    pub sampled_bytes: u64,
    /// The packets in them.
    pub sampled_packets: u64,
    /// The packets that all tasks read. Each shard reads all packets of its task.
    pub packets: u64,
    /// The processor time of all tasks on this machine: reading and metering, with dissection and plugins, without
    /// writing. As JSON, it is in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub cpu_time: Duration,
}

fn in_seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// The reason why the cost of a plan cannot be estimated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EstimateError {
    /// A task is not valid.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A task cannot be done, for example because of a condition or a plugin that is not valid.
    #[error(transparent)]
    Run(#[from] StreamerError),
}

/// What samples have cost.
#[derive(Default)]
struct Cost {
    bytes: u64,
    packets: u64,
    time: Duration,
}

impl Plan {
    /// Estimates what the tasks cost: it does a part of some tasks. `prepare` sets what a task does not contain, for
    /// example the compiler of plugins.
    ///
    /// Of large files, a part is read, and the cost is that of their bytes. Small files are read whole, and the cost is
    /// that of their number: a dissector for each capture can cost more than its packets.
    ///
    /// # Errors
    ///
    /// A task that is sampled cannot begin.
    pub fn estimate(
        &self,
        mut prepare: impl FnMut(StreamerBuilder) -> StreamerBuilder,
    ) -> Result<Estimate, EstimateError> {
        let files = |is_large: bool| -> Vec<(&Task, &TaskFile)> {
            let all = self
                .tasks
                .iter()
                .flat_map(|task| task.files.iter().map(move |file| (task, file)));
            all.filter(|(_, file)| (file.bytes > SAMPLE_BYTES) == is_large)
                .collect()
        };
        let (large, small) = (files(true), files(false));
        let mut of_large = Cost::default();
        for (task, file) in spread(&large, LARGE_SAMPLES) {
            of_large.add(task, vec![file.clone()], &mut prepare)?;
        }
        let mut of_small = Cost::default();
        let sampled = spread(&small, SMALL_SAMPLES);
        if let Some((task, _)) = sampled.first() {
            let files = sampled.iter().map(|(_, file)| (*file).clone()).collect();
            of_small.add(task, files, &mut prepare)?;
        }
        let large_bytes: u64 = large.iter().map(|(_, file)| file.bytes).sum();
        let scales = [
            ratio(large_bytes, of_large.bytes),
            ratio(small.len() as u64, sampled.len() as u64),
        ];
        let costs = [&of_large, &of_small];
        let total = |part: fn(&Cost) -> f64| -> f64 {
            costs
                .iter()
                .zip(scales)
                .map(|(cost, scale)| part(cost) * scale)
                .sum()
        };
        Ok(Estimate {
            sampled_bytes: of_large.bytes + of_small.bytes,
            sampled_packets: of_large.packets + of_small.packets,
            packets: total(|cost| cost.packets as f64) as u64,
            cpu_time: Duration::try_from_secs_f64(total(|cost| cost.time.as_secs_f64()))
                .unwrap_or(Duration::MAX),
        })
    }
}

impl Cost {
    /// Meters files with the parameters of a task. Each file is one capture. A single file is metered up to 8 MiB.
    fn add(
        &mut self,
        task: &Task,
        files: Vec<TaskFile>,
        prepare: &mut impl FnMut(StreamerBuilder) -> StreamerBuilder,
    ) -> Result<(), EstimateError> {
        let mut sample = task.clone();
        // The processor time is that of the caller's thread.
        sample.config.n_meters = 1;
        let is_one = files.len() == 1;
        sample.files = files;
        for file in &mut sample.files {
            file.begins = true;
        }
        let mut streamer = prepare(sample.builder()?).build()?;
        let begun: Duration = streamer.summary().cpu_time.meters.iter().sum();
        loop {
            match streamer.step() {
                Step::Flow(_) => {}
                Step::Read if is_one && streamer.progress().0 >= SAMPLE_BYTES => {
                    streamer.stopper().stop();
                }
                Step::Read => {}
                Step::End => break,
            }
        }
        let summary = streamer.summary();
        let spent: Duration = summary.cpu_time.meters.iter().sum();
        self.time += spent.saturating_sub(begun);
        self.packets += summary.packets_read;
        self.bytes += streamer.progress().0;
        Ok(())
    }
}

/// Returns up to `most` items in equal distances.
fn spread<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    let count = most.min(items.len());
    (0..count)
        .map(|nth| items[nth * items.len() / count])
        .collect()
}

fn ratio(whole: u64, part: u64) -> f64 {
    match part {
        0 => 0.0,
        part => whole as f64 / part as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_spread_over_all() {
        let items: Vec<_> = (0..10).collect();
        assert_eq!(spread(&items, 4), [0, 2, 5, 7]);
        assert_eq!(spread(&items[..2], 4), [0, 1]);
        assert!(spread(&items[..0], 4).is_empty());
    }
}
