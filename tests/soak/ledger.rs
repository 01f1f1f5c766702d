//! The holders of all locks as the threads see them, and a record of everything that has happened.
//!
//! Two checks show that a lock was not exclusive. In memory, a thread that enters finds another one
//! inside. A thread whose connection was killed has lost its locks without knowing it yet, so it
//! does not count. In the database, a holder raises a counter only if the counter still has the
//! value that the holder read before. Two holders at the same time have read the same value, and
//! one of them fails. A killed connection cannot write, so this check needs no exception.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// The kills that were sent to a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kills {
    count: u32,
    /// One was sent, and may not have arrived yet.
    on_its_way: bool,
    pub(crate) killed: bool,
}

impl Kills {
    /// Returns whether a kill may have arrived since `before`.
    pub(crate) fn since(self, before: Self) -> bool {
        before.on_its_way || before.killed || self != before
    }
}

pub(crate) struct Ledger {
    /// The connection that is inside each lock.
    inside: Vec<Mutex<Option<u64>>>,
    /// The greatest fencing token of each lock.
    tokens: Vec<Mutex<u64>>,
    kills: Mutex<HashMap<u64, Kills>>,
    faults: Mutex<Vec<String>>,
    longest_wait: Mutex<Duration>,
    /// How often a counter was certainly raised.
    hand_overs: AtomicU64,
    /// How often a counter may have been raised: the connection was killed before the answer.
    uncertain: AtomicU64,
    outcomes: Mutex<HashMap<&'static str, u64>>,
}

/// No thread panics while it has the ledger locked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic with the ledger locked")
}

impl Ledger {
    pub(crate) fn new(locks: usize) -> Self {
        Self {
            inside: (0..locks).map(|_| Mutex::default()).collect(),
            tokens: (0..locks).map(|_| Mutex::default()).collect(),
            kills: Mutex::default(),
            faults: Mutex::default(),
            longest_wait: Mutex::default(),
            hand_overs: AtomicU64::new(0),
            uncertain: AtomicU64::new(0),
            outcomes: Mutex::default(),
        }
    }

    /// Records a kill both before and after it is sent.
    pub(crate) fn kill(&self, connection: u64, killed: bool, kill: impl FnOnce()) {
        let note = |on_its_way| {
            let mut kills = locked(&self.kills);
            let kills = kills.entry(connection).or_default();
            kills.count += 1;
            kills.on_its_way = on_its_way;
            kills.killed |= killed;
        };
        note(true);
        kill();
        note(false);
    }

    pub(crate) fn kills(&self, connection: u64) -> Kills {
        locked(&self.kills).get(&connection).copied().unwrap_or_default()
    }

    /// Records that a thread holds the lock, until the value is dropped, which must be before the
    /// lock is released.
    ///
    /// Either of two holders may have been killed, even the second: between the answer and this
    /// line, the lock may have gone to the other. A kill is recorded before it is sent, so it is
    /// known here.
    pub(crate) fn enter(&self, lock: usize, connection: u64) -> Inside<'_> {
        let mut inside = locked(&self.inside[lock]);
        let killed = self.kills(connection).killed;
        if let Some(other) = *inside {
            if !killed && !self.kills(other).killed {
                self.fault(format!(
                    "connections {connection} and {other} hold lock {lock} at once"
                ));
            }
        }
        // A connection that has lost the lock must not hide the present holder.
        if !killed {
            *inside = Some(connection);
        }
        drop(inside);
        Inside { ledger: self, lock, connection }
    }

    /// Records the token of a holder, which is greater than those of all holders before it.
    pub(crate) fn token(&self, lock: usize, connection: u64, token: Option<u64>) {
        let mut last = locked(&self.tokens[lock]);
        match token {
            Some(token) if token > *last => *last = token,
            // It has lost the lock, and a later holder has come first.
            Some(_) if self.kills(connection).killed => {}
            token => self.fault(format!("lock {lock} has drawn {token:?} after {last}")),
        }
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

    /// Returns the least and the greatest possible sum of all counters.
    pub(crate) fn expected_count(&self) -> (u64, u64) {
        let least = self.hand_overs.load(Ordering::SeqCst);
        (least, least + self.uncertain.load(Ordering::SeqCst))
    }

    #[allow(clippy::cast_precision_loss, reason = "it is shown without decimals")]
    pub(crate) fn report(&self, time: Duration) {
        let hand_overs = self.hand_overs.load(Ordering::SeqCst);
        println!(
            "{hand_overs} hand-overs, {:.0} per second; longest wait {:.2?}",
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
        // A connection that entered in the meantime has recorded a fault, or is excused by a kill.
        if *inside == Some(self.connection) {
            *inside = None;
        }
    }
}
