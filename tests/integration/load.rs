//! Large numbers: locks of one connection, waiters for one lock, tables of one lock. The duration
//! is printed beside that of the same work in plain SQL (`-- --nocapture` shows it).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_locks::{Lock, TableLock};

use crate::support::schema::Database;
use crate::support::server::{Admin, count_and_release_locks};
use crate::support::{keep, until, watchdog};

fn took<T>(body: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    body();
    started.elapsed()
}

#[test]
fn one_connection_holds_ten_thousand_named_locks() {
    const LOCKS: u64 = 10_000;
    const PART: u64 = 1_000;
    watchdog(|| {
        let db = Database::new();
        let (mut ours, mut plain) = (db.connect(), db.connect());
        for begin in (0..LOCKS).step_by(usize::try_from(PART).unwrap()) {
            let part = begin..begin + PART;
            let library = took(|| {
                for n in part.clone() {
                    keep(Lock::new(&format!("many-{n}")).acquire(&mut ours).unwrap());
                }
            });
            let server = took(|| {
                for n in part.clone() {
                    let taken = sql::<Nullable<BigInt>>("GET_LOCK(")
                        .bind::<Text, _>(db.full_name(&format!("plain-{n}")))
                        .sql(", 10)");
                    assert_eq!(diesel::select(taken).get_result(&mut plain), Ok(Some(1_i64)));
                }
            });
            println!("locks {part:?}: {library:?}, plain SQL {server:?}");
        }
        let mut other = db.connect();
        for n in [0, LOCKS / 2, LOCKS - 1] {
            let name = format!("many-{n}");
            let busy = Lock::new(&name).try_acquire(&mut other).unwrap();
            assert!(busy.is_none(), "{name}");
        }
        for n in (0..LOCKS).step_by(100) {
            Lock::new(&format!("many-{n}")).release(&mut ours).unwrap();
        }
        assert_eq!(Lock::release_all(&mut ours).unwrap(), LOCKS - LOCKS / 100);
        assert_eq!(count_and_release_locks(&mut ours), 0);
        assert_eq!(count_and_release_locks(&mut plain), LOCKS);
    });
}

const POPULAR: Lock = Lock::new("popular").without_timeout();

/// Releases a lock that this many connections wait for, and returns how long it took until each of
/// them had held it.
fn serve(waiters: usize, pass: impl Fn(&mut MysqlConnection, &dyn Fn()) + Sync) -> Duration {
    let db = Database::new();
    let mut holder = db.connect();
    let mut admin = Admin::new();
    let guard = POPULAR.acquire(&mut holder).unwrap();
    let (served, inside) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|threads| {
        for _ in 0..waiters {
            threads.spawn(|| {
                pass(&mut db.connect(), &|| {
                    assert!(!inside.swap(true, Ordering::SeqCst), "two at once");
                    served.fetch_add(1, Ordering::SeqCst);
                    inside.store(false, Ordering::SeqCst);
                });
            });
        }
        until("all wait", || usize::try_from(admin.waiting_in(db.name())) == Ok(waiters));
        took(|| {
            drop(guard);
            until("all are served", || served.load(Ordering::SeqCst) == waiters);
        })
    })
}

#[test]
fn five_hundred_waiters_are_served_one_at_a_time() {
    const WAITERS: usize = 500;
    watchdog(|| {
        let library = serve(WAITERS, |conn, body| {
            POPULAR
                .with(conn, |_| {
                    body();
                    QueryResult::Ok(())
                })
                .unwrap();
        });
        let server = serve(WAITERS, |conn, body| {
            let name = "CONCAT(DATABASE(), '.popular')";
            // The longest timeout that both servers accept.
            conn.batch_execute(&format!("DO GET_LOCK({name}, 1000000)")).unwrap();
            body();
            conn.batch_execute(&format!("DO RELEASE_LOCK({name})")).unwrap();
        });
        println!("{WAITERS} waiters: {library:?}, plain SQL {server:?}");
    });
}

#[test]
fn one_lock_locks_a_thousand_tables() {
    const TABLES: usize = 1_000;
    watchdog(|| {
        let db = Database::new();
        let mut conn = db.connect();
        let mut lock = TableLock::new();
        for n in 0..TABLES {
            conn.batch_execute(&format!("CREATE TABLE table_{n} (id INT PRIMARY KEY)")).unwrap();
            lock = lock.write_table(format!("table_{n}"));
        }
        let plain =
            format!("SET autocommit = 0; {lock}; COMMIT; UNLOCK TABLES; SET autocommit = 1");
        for _ in 0..3 {
            let library = took(|| lock.acquire(&mut conn).unwrap().release().unwrap());
            let server = took(|| conn.batch_execute(&plain).unwrap());
            println!("{TABLES} tables: {library:?}, plain SQL {server:?}");
        }
        let mut guard = lock.acquire(&mut conn).unwrap();
        diesel::sql_query("INSERT INTO table_999 VALUES (1)").execute(&mut *guard).unwrap();
        let mut other = db.connect();
        other.batch_execute("SET lock_wait_timeout = 1").unwrap();
        assert!(other.batch_execute("INSERT INTO table_500 VALUES (1)").is_err());
        guard.release().unwrap();
        other.batch_execute("INSERT INTO table_500 VALUES (1)").unwrap();
    });
}
