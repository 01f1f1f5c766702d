//! Measuring contenders side by side.

use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};

use crate::contenders::Contender;

/// A load that comes and goes is longer than one round, so that it meets all contenders of the
/// round alike, and their ratios in it are the thing to compare.
const ROUNDS: usize = 9;

/// The median of one pair in each round, in microseconds.
pub(crate) type Medians = Vec<f64>;

pub(crate) fn measure(group: &str, contenders: &mut [Contender], into: &Path) -> Vec<Medians> {
    let mut criterion = Criterion::default()
        .configure_from_args()
        .output_directory(into)
        .sample_size(20)
        .nresamples(1_001)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200));
    let mut medians = vec![Medians::new(); contenders.len()];
    for round in 0..ROUNDS {
        let mut group_of_round = criterion.benchmark_group(group);
        // Each round begins with another one, so that nobody always follows the same.
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let id = BenchmarkId::new(index.to_string(), round);
            group_of_round.bench_function(id, |bencher| bencher.iter(&mut contenders[index].run));
        }
        group_of_round.finish();
        for (index, medians) in medians.iter_mut().enumerate() {
            let folder = into.join(group).join(index.to_string()).join(round.to_string());
            medians.push(median_of(&folder.join("new/estimates.json")));
        }
    }
    medians
}

/// As criterion has estimated it.
fn median_of(estimates: &Path) -> f64 {
    let text = fs::read_to_string(estimates)
        .unwrap_or_else(|error| panic!("{}: {error}", estimates.display()));
    let estimates: serde_json::Value = serde_json::from_str(&text).expect("criterion writes JSON");
    let nanoseconds = &estimates["median"]["point_estimate"];
    nanoseconds.as_f64().expect("an estimate of the median") / 1_000.0
}
