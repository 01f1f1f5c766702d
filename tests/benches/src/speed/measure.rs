//! Measuring contenders side by side.

use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};

use crate::clock::Clock;
use crate::contenders::Contender;

/// A load that comes and goes is longer than one round, so that it meets all contenders of the
/// round alike.
const ROUNDS: usize = 30;

/// How long once takes, in microseconds, as often as it was measured.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Returns the time that a tenth of the samples does not exceed: whatever else the machine does
    /// only adds to it.
    pub(crate) fn time(&self) -> f64 {
        let mut samples = self.0.clone();
        samples.sort_by(f64::total_cmp);
        samples[samples.len() / 10]
    }
}

pub(crate) fn measure(
    group: &str,
    contenders: &mut [Contender],
    clock: Clock,
    into: &Path,
) -> Vec<Samples> {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .output_directory(into)
        .sample_size(10)
        .nresamples(1_001)
        .warm_up_time(Duration::from_millis(10))
        .measurement_time(Duration::from_millis(50));
    let mut samples: Vec<_> = contenders.iter().map(|_| Samples::default()).collect();
    for round in 0..ROUNDS {
        let mut group_of_round = criterion.benchmark_group(group);
        // Each round begins with another one, so that no row always follows the same one.
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let id = BenchmarkId::new(index.to_string(), round);
            let Contender { run, helper, is_countable, .. } = &mut contenders[index];
            let clock = if *is_countable { clock } else { Clock::Wall };
            group_of_round.bench_function(id, |bencher| {
                bencher.iter_custom(|times| clock.measure(*helper, || run(times)));
            });
        }
        group_of_round.finish();
        for (index, samples) in samples.iter_mut().enumerate() {
            let folder = into.join(group).join(index.to_string()).join(round.to_string());
            samples.0.extend(read(&folder.join("new/sample.json")));
        }
    }
    samples
}

/// As criterion has written them.
fn read(file: &Path) -> Vec<f64> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let samples: serde_json::Value = serde_json::from_str(&text).expect("criterion writes JSON");
    let numbers = |key: &str| {
        let numbers = samples[key].as_array().expect("a list").iter();
        numbers.map(|number| number.as_f64().expect("a number")).collect::<Vec<_>>()
    };
    let (nanoseconds, times) = (numbers("times"), numbers("iters"));
    nanoseconds.iter().zip(times).map(|(total, times)| total / times / 1_000.0).collect()
}
