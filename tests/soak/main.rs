//! Many connections, few locks, and all that can go wrong, for as long as one likes: never two holders at
//! once, and nothing left behind.
//!
//! It uses the server of `DATABASE_URL`, in a database of its own. A fault ends it with status 1.
// Where the program itself fails, the place in its code says most.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod killer;
mod ledger;
mod memory;
mod scene;
mod worker;

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use crate::killer::Targets;
use crate::ledger::Ledger;
use crate::scene::Scene;

#[derive(Debug, Clone, Parser)]
struct Options {
    /// The server
    #[arg(env = "DATABASE_URL")]
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
    let hang = thread::scope(|threads| {
        let (done, ended) = mpsc::channel();
        for number in 0..options.connections {
            let (pool, ledger, targets, done) = (pool.clone(), &ledger, &targets, done.clone());
            threads.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(u64::from(number)));
                let slot = targets.slot(number);
                worker::work(&pool, locks, ledger, slot, &mut random, deadline);
                let _ = done.send(());
            });
        }
        drop(done);
        let (killer_done, killer_ended) = mpsc::channel::<()>();
        let (scene, ledger, targets) = (&scene, &ledger, &targets);
        threads.spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed.wrapping_sub(1));
            killer::strike(scene, targets, ledger, &mut random, &killer_ended);
        });
        let mut left = options.connections;
        while left > 0 {
            let patience = deadline.saturating_duration_since(Instant::now()) + PATIENCE;
            match ended.recv_timeout(patience) {
                Ok(()) => left -= 1,
                // A thread that panicked has said why; the others are still waited for.
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    // It cannot be joined, so this is the end.
                    println!("FAULT: {left} threads hang");
                    std::process::exit(1);
                }
            }
        }
        drop(killer_done);
        left > 0
    });
    drop(pool);

    faults.extend(hang.then(|| "a thread panicked by itself".to_owned()));
    faults.extend(ledger.faults());
    faults.extend(scene.left_behind(&ledger));
    ledger.report(Duration::from_secs(options.seconds));
    scene.remove();
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
