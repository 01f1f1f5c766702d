//! A soak test: many connections share few locks, with kills, panics and timeouts. There must never
//! be two holders of a lock at once, and nothing may be left behind.
//!
//! It uses the server of `DATABASE_URL`, in a separate database. A fault ends it with status 1.
// If the program itself fails, the line in its code is the best explanation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod aio;
mod job;
mod killer;
mod ledger;
mod memory;
mod scene;
mod ways;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::aio::Aio;
use crate::killer::Targets;
use crate::ledger::Ledger;
use crate::scene::Scene;
use crate::worker::Worker;

#[derive(Debug, Clone, Parser)]
struct Options {
    /// URL of the server; given here, its password is visible in the list of processes
    #[arg(env = "DATABASE_URL", hide_env_values = true)]
    url: String,
    /// Duration in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Number of connections: three quarters are used by a thread each, the others by async tasks
    #[arg(long, default_value_t = 200)]
    connections: u32,
    /// Number of named locks that they share
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..))]
    locks: u16,
    /// Number of times to acquire and release a lock on one connection, to find memory leaks
    #[arg(long, default_value_t = 20_000)]
    pairs: u32,
    /// Seed that repeats the random choices of another run; their timing still differs
    #[arg(long)]
    seed: Option<u64>,
}

/// How long the threads may take to finish after the deadline.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let locks = usize::from(options.locks);
    let scene = Scene::new(&options.url, locks);
    println!("{}, seed {seed}", scene.version());
    let mut faults = memory::pairs(&scene, options.pairs);

    let ledger = Ledger::new(locks + scene::TABLES);
    let targets = Targets::new(options.connections);
    let tasks = options.connections / 4;
    let workers = options.connections - tasks;
    let (pool, aio) = (scene.pool(workers), Aio::new(&scene, tasks));
    let deadline = Instant::now() + Duration::from_secs(options.seconds);
    thread::scope(|threads| {
        let (scene, ledger, targets) = (&scene, &ledger, &targets);
        let (done, ended) = mpsc::channel();
        for number in 0..workers {
            let (pool, done) = (pool.clone(), done.clone());
            threads.spawn(move || {
                let random = fastrand::Rng::with_seed(seed.wrapping_add(u64::from(number)));
                let mut worker = Worker { scene, ledger, slot: targets.slot(number), random };
                if catch_unwind(AssertUnwindSafe(|| worker.work(&pool, deadline))).is_err() {
                    ledger.fault("a thread panicked unexpectedly");
                }
                let _ = done.send(());
            });
        }
        let aio = &aio;
        threads.spawn(move || {
            let working = || aio.work((scene, ledger, targets), workers, seed, deadline);
            if catch_unwind(AssertUnwindSafe(working)).is_err() {
                ledger.fault("a task panicked unexpectedly");
            }
            let _ = done.send(());
        });
        let (killer_done, killer_ended) = mpsc::channel::<()>();
        threads.spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed.wrapping_sub(1));
            killer::run(scene, targets, ledger, &mut random, &killer_ended);
        });
        for left in (1..=workers + 1).rev() {
            let patience = deadline.saturating_duration_since(Instant::now()) + PATIENCE;
            if ended.recv_timeout(patience).is_err() {
                // Threads that hang cannot be joined.
                println!("FAULT: {left} threads hang");
                std::process::exit(1);
            }
        }
        drop(killer_done);
    });
    faults.extend(ledger.faults());
    faults.extend(scene.still_held());
    drop((pool, aio));
    faults.extend(scene.still_there(&ledger));
    ledger.report(Duration::from_secs(options.seconds));
    scene.remove();
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
