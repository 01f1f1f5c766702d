//! `KILL QUERY` at any moment, even between two statements of a batch: nothing hangs, nothing stays
//! locked, and the session is as it was unless the connection is closed.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id};
use crate::support::storms::{self, StopOnDrop};
use crate::support::table_checks::{
    SESSIONS, Session, all_tables, assert_all_free, depth, has_locked_tables, has_open_transaction,
    is_broken, log, logged, session, until_all_free,
};
use crate::support::watchdog;

fn tries() -> impl Iterator<Item = usize> {
    storms::tries(100, Duration::from_secs(3)).map(|n| n as usize)
}

/// A thread that kills the queries of a connection.
struct Killer {
    admin: Admin,
    id: u64,
    /// How long to wait between two kills, so that they come at a different moment in each try.
    delay: usize,
}

impl Killer {
    /// Kills again and again while the body runs.
    fn during<T>(&mut self, body: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    for _ in 0..self.delay * 300 {
                        spin_loop();
                    }
                    self.admin.kill_query(self.id);
                }
            });
            let _end = StopOnDrop(&over);
            body()
        })
    }
}

/// A connection, and the state in which its session was.
struct Victim {
    conn: MysqlConnection,
    id: u64,
    found: Session,
}

impl Victim {
    fn new(db: &Database, settings: &str) -> Self {
        let mut conn = db.connect();
        conn.batch_execute(settings).unwrap();
        let (id, found) = (connection_id(&mut conn), session(&mut conn));
        Self { conn, id, found }
    }

    /// Returns whether the connection is still usable. If it is, everything must be as it was.
    #[track_caller]
    fn is_as_it_was(&mut self, db: &Database, what: &str) -> bool {
        // A kill that was already sent may hit these.
        for _ in 0..2 {
            let _ = self.conn.batch_execute("DO 0");
        }
        if is_broken(&mut self.conn) {
            // The server unlocks the tables without waiting until the connection is dropped.
            until_all_free(db);
            return false;
        }
        assert_eq!(session(&mut self.conn), self.found, "{what}");
        assert_eq!(depth(&mut self.conn), Some(0), "{what}");
        assert!(!has_open_transaction(&mut self.conn), "{what}");
        assert!(!has_locked_tables(&mut self.conn), "{what}");
        assert_all_free(db);
        true
    }
}

type Call = fn(&mut Killer, &mut MysqlConnection) -> Result<(), Error>;

fn storm(what: &'static str, call: Call) {
    watchdog(move || {
        let db = Database::with_tables();
        let mut killer = Killer { admin: Admin::new(), id: 0, delay: 0 };
        let (mut calls, mut failed, mut lost) = (0, 0, 0);
        for settings in &SESSIONS[..2] {
            let mut victim = Victim::new(&db, settings);
            for n in tries() {
                calls += 1;
                killer.id = victim.id;
                killer.delay = n % 37;
                let result = call(&mut killer, &mut victim.conn);
                failed += u32::from(result.is_err());
                if let Err(error) = &result {
                    let expected = match error {
                        Error::Interrupted { .. } | Error::Diesel(_) => true,
                        Error::ConnectionLost(_) => is_broken(&mut victim.conn),
                        _ => false,
                    };
                    assert!(expected, "{what}: {error:?}");
                }
                if !victim.is_as_it_was(&db, &format!("{what}, try {n}: {result:?}")) {
                    lost += 1;
                    victim = Victim::new(&db, settings);
                }
            }
        }
        println!("{what}: {failed} of {calls} calls failed, {lost} connections closed");
    });
}

#[test]
fn a_killed_acquire_locks_all_tables_or_none() {
    storm("acquire", |killer, conn| {
        let acquired = killer.during(|| all_tables().acquire(conn));
        let mut guard = acquired?;
        // A kill that was already sent may hit the first query.
        let _ = guard.batch_execute("DO 0");
        log(&mut guard, "locked")?;
        guard.release().map(drop)
    });
}

#[test]
fn a_killed_release_unlocks_the_tables() {
    storm("release", |killer, conn| {
        let mut guard = all_tables().acquire(conn)?;
        log(&mut guard, "locked")?;
        killer.during(|| guard.release().map(drop))
    });
}

#[test]
fn a_killed_rollback_unlocks_the_tables() {
    storm("rollback", |killer, conn| {
        let mut guard = all_tables().acquire(conn)?;
        log(&mut guard, "locked")?;
        killer.during(|| guard.rollback().map(drop))
    });
    storm("drop", |killer, conn| {
        let mut guard = all_tables().acquire(conn)?;
        log(&mut guard, "locked")?;
        killer.during(|| drop(guard));
        Ok(())
    });
}

#[test]
fn a_killed_body_is_committed_or_rolled_back_as_a_whole() {
    storm("with", |killer, conn| {
        killer.during(|| {
            all_tables().with(conn, |conn| {
                log(conn, "one")?;
                conn.transaction(|conn| log(conn, "two"))?;
                Ok(())
            })
        })
    });
}

/// Kills while a call is refused because of an open transaction, which must stay open.
fn refuse_in_a_storm(call: fn(&mut MysqlConnection) -> Result<(), Error>) {
    watchdog(move || {
        let db = Database::with_tables();
        let mut killer = Killer { admin: Admin::new(), id: 0, delay: 0 };
        let (mut calls, mut kept) = (0, 0);
        let mut tries = tries();
        // If the kills are too frequent to keep a connection, they become less frequent with each
        // try.
        while tries.next().is_some() || kept == 0 {
            assert!(calls < 1_000, "no connection is ever kept");
            let mut conn = db.connect();
            (killer.id, killer.delay) = (connection_id(&mut conn), calls);
            calls += 1;
            conn.batch_execute("BEGIN; INSERT INTO audit_log (message) VALUES ('open')").unwrap();
            let refused = killer.during(|| call(&mut conn));
            assert!(refused.is_err());
            assert_eq!(logged(&db), [""; 0], "committed: {refused:?}");
            for _ in 0..2 {
                let _ = conn.batch_execute("DO 0");
            }
            if !is_broken(&mut conn) {
                kept += 1;
                assert_eq!(audit_log::table.count().get_result::<i64>(&mut conn), Ok(1));
                conn.batch_execute("ROLLBACK").unwrap();
            }
        }
        println!("{kept} of {calls} connections kept");
    });
}

#[test]
fn a_refused_acquire_under_repeated_kills_leaves_the_open_transaction_alone() {
    refuse_in_a_storm(|conn| all_tables().acquire(conn).map(drop));
}

#[test]
fn a_refused_transaction_under_repeated_kills_leaves_the_open_transaction_alone() {
    refuse_in_a_storm(|conn| Lock::new("lock").transaction(conn, |_| panic!("the body runs")));
}
