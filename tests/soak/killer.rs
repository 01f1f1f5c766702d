//! A thread that kills queries and connections at random.

use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Mutex, PoisonError};

use diesel::connection::SimpleConnection;

use crate::ledger::Ledger;
use crate::scene::Scene;

/// The connections that are in use.
pub(crate) struct Targets(Vec<Slot>);

/// The connection that a thread uses now.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<u64>>);

impl Slot {
    pub(crate) fn set(&self, connection: Option<u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn get(&self) -> Option<u64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Targets {
    pub(crate) fn new(connections: u32) -> Self {
        Self((0..connections).map(|_| Slot::default()).collect())
    }

    pub(crate) fn slot(&self, number: u32) -> &Slot {
        &self.0[number as usize]
    }
}

/// Kills until the other end of the channel is dropped.
pub(crate) fn run(
    scene: &Scene,
    targets: &Targets,
    ledger: &Ledger,
    random: &mut fastrand::Rng,
    end: &Receiver<()>,
) {
    let mut conn = scene.outside();
    while end.try_recv() == Err(TryRecvError::Empty) {
        let pause = format!("DO SLEEP(0.00{})", random.u32(1..9));
        conn.batch_execute(&pause).unwrap();
        let Some(id) = random.choice(&targets.0).and_then(Slot::get) else { continue };
        let whole = random.u32(..8) == 0;
        let (kind, counted) =
            if whole { ("CONNECTION", "connections killed") } else { ("QUERY", "queries killed") };
        ledger.kill(id, whole, || {
            // It may have closed already.
            if conn.batch_execute(&format!("KILL {kind} {id}")).is_ok() {
                ledger.outcome(counted);
            }
        });
    }
}
