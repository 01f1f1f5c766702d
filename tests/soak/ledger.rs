//! What is known of the locks without asking the server, and what has happened.
//!
//! Two things show that a lock was not exclusive. In memory, a thread that enters finds another one inside. But a
//! thread whose connection was killed has lost its locks and does not know it yet, so it does not count. In the
//! database, a holder adds to a counter only if it is still what it has read before: whoever was inside at the same
//! time has read the same, and one of the two fails. A killed connection cannot do that any more, so there it always counts.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What was done to a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Strikes {
    count: u32,
    /// Sent, and perhaps not there yet.
    on_its_way: bool,
    pub(crate) killed: bool,
}

impl Strikes {
    /// Whether one may have struck since `before`.
    pub(crate) fn since(self, before: Self) -> bool {
        before.on_its_way || before.killed || self != before
    }
}

pub(crate) struct Ledger {
    /// The connection inside of each lock.
    inside: Vec<Mutex<Option<u64>>>,
    strikes: Mutex<HashMap<u64, Strikes>>,
    faults: Mutex<Vec<String>>,
    longest_wait: Mutex<Duration>,
    /// The counter was raised for certain.
    hand_overs: AtomicU64,
    /// It may have been: the connection was struck before it could tell.
    uncertain: AtomicU64,
    outcomes: Mutex<HashMap<&'static str, u64>>,
}

/// Nobody panics while having one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic with a ledger in hand")
}

impl Ledger {
    pub(crate) fn new(locks: usize) -> Self {
        Self {
            inside: (0..locks).map(|_| Mutex::default()).collect(),
            strikes: Mutex::default(),
            faults: Mutex::default(),
            longest_wait: Mutex::default(),
            hand_overs: AtomicU64::new(0),
            uncertain: AtomicU64::new(0),
            outcomes: Mutex::default(),
        }
    }

    /// Notes a strike before and after the server hears of it.
    pub(crate) fn strike(&self, connection: u64, killed: bool, strike: impl FnOnce()) {
        let note = |on_its_way| {
            let mut strikes = locked(&self.strikes);
            let strikes = strikes.entry(connection).or_default();
            strikes.count += 1;
            strikes.on_its_way = on_its_way;
            strikes.killed |= killed;
        };
        note(true);
        strike();
        note(false);
    }

    pub(crate) fn strikes(&self, connection: u64) -> Strikes {
        locked(&self.strikes).get(&connection).copied().unwrap_or_default()
    }

    /// A thread has the lock. It leaves when the value is dropped, which must be before the lock is released.
    ///
    /// Either of the two may have been killed, also who comes second: between its answer and this line the
    /// lock may have gone to the other. A kill is noted before the server hears of it, so it is seen here.
    pub(crate) fn enter(&self, lock: usize, connection: u64) -> Inside<'_> {
        let mut inside = locked(&self.inside[lock]);
        let killed = self.strikes(connection).killed;
        if let Some(other) = *inside {
            if !killed && !self.strikes(other).killed {
                self.fault(format!("{connection} and {other} have lock {lock} at once"));
            }
        }
        // One that has lost the lock must not hide who has it now.
        if !killed {
            *inside = Some(connection);
        }
        drop(inside);
        Inside { ledger: self, lock, connection }
    }

    pub(crate) fn fault(&self, fault: impl fmt::Display) {
        locked(&self.faults).push(fault.to_string());
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        locked(&self.faults).clone()
    }

    pub(crate) fn waited(&self, wait: Duration) {
        let mut longest = locked(&self.longest_wait);
        *longest = wait.max(*longest);
    }

    pub(crate) fn handed_over(&self) {
        self.hand_overs.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn uncertain(&self) {
        self.uncertain.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn outcome(&self, what: &'static str) {
        *locked(&self.outcomes).entry(what).or_default() += 1;
    }

    /// What all counters together must be at least, and can be at most.
    pub(crate) fn expected_count(&self) -> (u64, u64) {
        let least = self.hand_overs.load(Ordering::SeqCst);
        (least, least + self.uncertain.load(Ordering::SeqCst))
    }

    #[allow(clippy::cast_precision_loss, reason = "it is shown with no decimals")]
    pub(crate) fn report(&self, time: Duration) {
        let hand_overs = self.hand_overs.load(Ordering::SeqCst);
        println!(
            "{hand_overs} hand-overs, {:.0} a second; longest wait {:.2?}",
            hand_overs as f64 / time.as_secs_f64(),
            locked(&self.longest_wait)
        );
        let mut outcomes: Vec<_> =
            locked(&self.outcomes).iter().map(|(&what, &times)| (what, times)).collect();
        outcomes.sort_unstable();
        let outcomes: Vec<_> =
            outcomes.into_iter().map(|(what, times)| format!("{what} {times}")).collect();
        println!("{}", outcomes.join(", "));
    }
}

pub(crate) struct Inside<'l> {
    ledger: &'l Ledger,
    lock: usize,
    connection: u64,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut inside = locked(&self.ledger.inside[self.lock]);
        // Who came in meanwhile has told, or had reason to.
        if *inside == Some(self.connection) {
            *inside = None;
        }
    }
}
