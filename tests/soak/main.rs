//! Many connections, few locks, and all that can go wrong, for as long as one likes: never two holders at
//! once, and nothing left behind.
//!
//! It uses the server of `DATABASE_URL`, in a database of its own. A fault ends it with status 1.
// Where the program itself fails, the place in its code says most.
#![allow(clippy::unwrap_used, clippy::expect_used)]

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

use crate::killer::Targets;
use crate::ledger::Ledger;
use crate::scene::Scene;
use crate::worker::Worker;

#[derive(Debug, Clone, Parser)]
struct Options {
    /// The server; here its password would be seen in the list of processes
    #[arg(env = "DATABASE_URL", hide_env_values = true)]
    url: String,
    /// How long to go on, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many connections, each used by a thread
    #[arg(long, default_value_t = 200)]
    connections: u32,
    /// How many named locks they share
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(2..))]
    locks: u16,
    /// How often to acquire and release a lock on one connection, to see what that leaves in memory
    #[arg(long, default_value_t = 20_000)]
    pairs: u32,
    /// For the same random choices as in another run; when they meet is still up to the server
    #[arg(long)]
    seed: Option<u64>,
}

/// How long the threads may take to end what they are doing.
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
    let pool = scene.pool(options.connections);
    let deadline = Instant::now() + Duration::from_secs(options.seconds);
    thread::scope(|threads| {
        let (scene, ledger, targets) = (&scene, &ledger, &targets);
        let (done, ended) = mpsc::channel();
        for number in 0..options.connections {
            let (pool, done) = (pool.clone(), done.clone());
            threads.spawn(move || {
                let random = fastrand::Rng::with_seed(seed.wrapping_add(u64::from(number)));
                let mut worker = Worker { scene, ledger, slot: targets.slot(number), random };
                if catch_unwind(AssertUnwindSafe(|| worker.work(&pool, deadline))).is_err() {
                    ledger.fault("a thread panicked by itself");
                }
                let _ = done.send(());
            });
        }
        let (killer_done, killer_ended) = mpsc::channel::<()>();
        threads.spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed.wrapping_sub(1));
            killer::strike(scene, targets, ledger, &mut random, &killer_ended);
        });
        for left in (1..=options.connections).rev() {
            let patience = deadline.saturating_duration_since(Instant::now()) + PATIENCE;
            if ended.recv_timeout(patience).is_err() {
                // They cannot be joined, so this is the end.
                println!("FAULT: {left} threads hang");
                std::process::exit(1);
            }
        }
        drop(killer_done);
    });
    faults.extend(ledger.faults());
    faults.extend(scene.still_held());
    drop(pool);
    faults.extend(scene.still_there(&ledger));
    ledger.report(Duration::from_secs(options.seconds));
    scene.remove();
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
