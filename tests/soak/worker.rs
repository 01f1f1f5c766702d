//! A thread: it borrows a connection, acquires a lock in one of all the ways, works, and releases
//! it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use diesel_locks::{Lock, TableLock};

use crate::job::{Counted, Job, Planned};
use crate::killer::Slot;
use crate::ledger::Ledger;
use crate::scene::{self, Connections, Scene};
use crate::ways::{NAMED, Pooled, TABLES, Wanted};

/// The timeouts of the locks in milliseconds; `None` waits forever.
const TIMEOUTS: [Option<u64>; 5] = [Some(50), Some(250), Some(1_000), Some(2_500), None];

pub(crate) struct Worker<'s> {
    pub(crate) scene: &'s Scene,
    pub(crate) ledger: &'s Ledger,
    pub(crate) slot: &'s Slot,
    pub(crate) random: fastrand::Rng,
}

impl Worker<'_> {
    pub(crate) fn work(&mut self, pool: &Connections, deadline: Instant) {
        while Instant::now() < deadline {
            // The pool tests each connection before it hands it out.
            let Ok(mut conn) = pool.get() else {
                self.ledger.outcome("no connection");
                continue;
            };
            let Some(id) = self.check(&mut conn) else { continue };
            self.slot.set(Some(id));
            for _ in 0..self.random.u32(1..20) {
                let Some(same) = self.job(conn, id) else { break };
                conn = same;
                if Instant::now() > deadline || self.ledger.kills(id).killed {
                    break;
                }
            }
            self.slot.set(None);
        }
    }

    /// Checks that a connection from the pool has no locks, and its original session variables.
    fn check(&self, conn: &mut Pooled) -> Option<u64> {
        let (id, session) = scene::session(conn).ok()?;
        if session != self.scene.session {
            let began = &self.scene.session;
            self.ledger
                .fault(format!("connection {id} came back with {session}, and began with {began}"));
        }
        let left = Lock::release_all(conn).ok()?;
        if left > 0 {
            self.ledger.fault(format!("{left} locks were left on connection {id}"));
        }
        Some(id)
    }

    /// Does one job, and returns the connection unless it was lost.
    fn job(&mut self, conn: Pooled, connection: u64) -> Option<Pooled> {
        let (ledger, locks, random) = (self.ledger, self.scene.locks, &mut self.random);
        let before = ledger.kills(connection);
        let of_tables = random.u32(..15) == 0;
        let way = random.choice(if of_tables { &TABLES[..] } else { &NAMED[..] })?;
        let number = random.usize(..locks);
        let table = number % scene::TABLES;
        let fence = format!("fence_{table}");
        let timeout = random.choice(TIMEOUTS)?.map(Duration::from_millis);
        let (name, tables) = (scene::name(number), TableLock::new().write_table(fence.as_str()));
        // A different lock: after a kill it is unknown how often a lock is still held.
        let second = scene::name((number + random.usize(1..locks)) % locks);
        let (lock, set) = (Lock::new(&name), Lock::all([&name, &second]));
        let wanted = Wanted {
            lock: timeout.map_or(lock.without_timeout(), |timeout| lock.timeout(timeout)),
            set: timeout.map_or(set.clone().without_timeout(), |timeout| set.timeout(timeout)),
            second: Lock::new(&second).timeout(Duration::from_millis(50)),
            tables: timeout.map_or(tables.clone(), |timeout| tables.timeout(timeout)),
        };
        let row = i32::try_from(number).unwrap_or_default();
        let mut job = Job {
            ledger,
            connection,
            place: if of_tables { locks + table } else { number },
            fence: if of_tables { (fence, 0) } else { ("fences".to_owned(), row) },
            hold_ms: if random.u32(..50) == 0 { 100 } else { random.u32(..5) },
            panics: random.u32(..50) == 0,
            fails: random.u32(..50) == 0,
            started: Instant::now(),
            of_tables,
            counted: Counted::No,
        };

        let result = catch_unwind(AssertUnwindSafe(|| (way.run)(&wanted, conn, &mut job)));

        job.count(way.end, matches!(result, Ok(Ok(_))));
        let error = match result {
            Ok(Ok(conn)) => return conn,
            Ok(Err(error)) => error,
            Err(panic) if panic.is::<Planned>() => return None,
            Err(panic) => resume_unwind(panic),
        };
        let killed = ledger.kills(connection).since(before);
        job.judge(way.name, timeout, killed, &error);
        None
    }
}
