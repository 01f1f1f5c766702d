//! Bodies that end the transaction under which they run, in every way, and statements that do not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, TableLock, with_lock, with_table_lock};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::schema::{Database, audit_log, places};
use crate::support::server::count_and_release_locks;
use crate::support::table_checks::{
    assert_all_free, depth, has_locked_tables, has_open_transaction, is_broken, log, logged,
    session,
};
use crate::support::watchdog;

const LOCK: Lock = Lock::new("lock");

fn tables() -> TableLock {
    TableLock::new().write::<audit_log::table>().write::<places::table>()
}

pub(super) type Body<'b> = &'b dyn Fn(&mut MysqlConnection) -> Result<(), Error>;

/// Each runs the body under a lock, in one transaction, to its end.
pub(super) type Way = fn(&mut MysqlConnection, Body<'_>) -> Result<(), Error>;

#[with_table_lock(write(audit_log::table, places::table))]
fn locked_tables(conn: &mut MysqlConnection, body: Body<'_>) -> Result<(), Error> {
    body(conn)
}

#[with_lock("lock", transaction)]
fn in_transaction(conn: &mut MysqlConnection, body: Body<'_>) -> Result<(), Error> {
    body(conn)
}

const TABLE_WAYS: [(&str, Way); 3] = [
    ("with", |conn, body| tables().with(conn, body)),
    ("release", |conn, body| {
        let mut guard = tables().acquire(conn)?;
        match body(&mut guard) {
            Ok(()) => guard.release().map(drop),
            Err(error) => {
                drop(guard);
                Err(error)
            }
        }
    }),
    ("with_table_lock", locked_tables),
];

const TRANSACTION_WAYS: [(&str, Way); 3] = [
    ("transaction", |conn, body| LOCK.transaction(conn, body)),
    ("with_lock", in_transaction),
    ("a guard's transaction", |conn, body| {
        let mut guard = LOCK.acquire(conn)?;
        let ended = guard.transaction(body);
        guard.release()?;
        ended
    }),
];

/// Statements that end a transaction or a table lock, even where they are refused.
const ENDINGS: [&str; 15] = [
    "CREATE TABLE more (id INT)",
    "DROP TABLE IF EXISTS no_such_table",
    "DROP TABLE no_such_table",
    "ALTER TABLE no_such_table ADD more INT",
    "GRANT SELECT ON *.* TO no_such_user@nowhere",
    "COMMIT",
    "BEGIN",
    "START TRANSACTION",
    "ROLLBACK",
    "UNLOCK TABLES; BEGIN",
    "LOCK TABLES audit_log WRITE, places WRITE",
    "SET autocommit = 1; COMMIT",
    "ANALYZE TABLE places",
    "FLUSH TABLES",
    "TRUNCATE TABLE places",
];

/// Counts warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<usize>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("diesel_locks") && *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        *self.0.lock().unwrap() += 1;
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn warnings<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let warnings = Warnings::default();
    let result = tracing::subscriber::with_default(warnings.clone(), work);
    let count = *warnings.0.lock().unwrap();
    (result, count)
}

fn end(sql: &str, conn: &mut MysqlConnection) {
    // Refused, and yet it has committed.
    let _ = conn.batch_execute(sql);
}

#[track_caller]
pub(super) fn expect_usable(what: &str, conn: &mut MysqlConnection, db: &Database) {
    assert_eq!(depth(conn), Some(0), "{what}");
    assert!(!is_broken(conn), "{what}");
    assert!(!has_open_transaction(conn), "{what}");
    assert!(!has_locked_tables(conn), "{what}");
    assert_eq!(count_and_release_locks(conn), 0, "{what}");
    assert_all_free(db);
    tables().with(conn, |conn| log(conn, "usable")).unwrap();
    LOCK.transaction(conn, |conn| log(conn, "usable")).unwrap();
}

pub(super) fn each_way() -> impl Iterator<Item = (&'static str, Way)> {
    TABLE_WAYS.into_iter().chain(TRANSACTION_WAYS)
}

/// Runs the statement under a lock in each way, in a body that then succeeds, fails, or panics.
fn expect_ended(sql: &str, found_in: &str, end: &dyn Fn(&mut MysqlConnection)) {
    for (way, run) in each_way() {
        for outcome in ["succeeds", "fails", "panics"] {
            let what = format!("{sql}, {way}, {found_in}, body {outcome}");
            let db = Database::with_tables();
            let mut conn = db.connect();
            conn.batch_execute(found_in).unwrap();
            let found = session(&mut conn);
            let body = |conn: &mut MysqlConnection| {
                log(conn, "before")?;
                end(conn);
                // Refused where the table is no longer locked, or written to be rolled back.
                let _ = log(conn, "after");
                match outcome {
                    "succeeds" => Ok(()),
                    "fails" => Err(Error::from(DieselError::NotFound)),
                    _ => panic!("planned"),
                }
            };
            let (result, warned) =
                warnings(|| catch_unwind(AssertUnwindSafe(|| run(&mut conn, &body))));
            match (outcome, result) {
                ("succeeds", Ok(result)) => {
                    assert!(
                        matches!(result, Err(Error::TransactionEnded { .. })),
                        "{what}: {result:?}"
                    );
                    assert_eq!(warned, 0, "{what}");
                }
                ("fails", Ok(result)) => {
                    let own = matches!(result, Err(Error::Diesel(DieselError::NotFound)));
                    assert!(own, "{what}: {result:?}");
                    assert_eq!(warned, 1, "{what}");
                }
                ("panics", Err(_)) => assert_eq!(warned, 1, "{what}"),
                (_, result) => panic!("{what}: {result:?}"),
            }
            let locks_tables = TABLE_WAYS.iter().any(|(table_way, _)| *table_way == way);
            assert_eq!(session(&mut conn), found, "{what}");
            // Under a named lock the tables are the body's own.
            if !locks_tables && sql.starts_with("LOCK TABLES") {
                conn.batch_execute("UNLOCK TABLES").unwrap();
            }
            // Nothing is left of what came after, unless the body has switched autocommit on.
            if !sql.contains("autocommit = 1") {
                assert!(!logged(&db).contains(&"after".to_owned()), "{what}");
            }
            expect_usable(&what, &mut conn, &db);
        }
    }
}

#[test]
fn a_statement_that_ends_the_transaction_is_an_error_in_every_way() {
    for sql in ENDINGS {
        // Each has its own: with a client library that encrypts, the connections of all of them
        // take minutes.
        watchdog(|| {
            for found_in in ["DO 0", "SET autocommit = 0, lock_wait_timeout = 7, wait_timeout = 77"]
            {
                expect_ended(sql, found_in, &|conn| end(sql, conn));
            }
        });
    }
}

#[test]
fn unlocked_tables_and_autocommit_under_a_table_lock_are_errors() {
    watchdog(|| {
        for sql in ["UNLOCK TABLES", "SET autocommit = 1"] {
            let db = Database::with_tables();
            let mut conn = db.connect();
            let found = session(&mut conn);
            for (way, run) in TABLE_WAYS {
                let ended = run(&mut conn, &|conn| {
                    end(sql, conn);
                    Ok(())
                });
                assert!(
                    matches!(ended, Err(Error::TransactionEnded { .. })),
                    "{sql}, {way}: {ended:?}"
                );
                assert_eq!(session(&mut conn), found, "{sql}, {way}");
                expect_usable(sql, &mut conn, &db);
            }
            // `rollback` cannot roll back what was committed.
            let mut guard = tables().acquire(&mut conn).unwrap();
            end(sql, &mut guard);
            let ended = guard.rollback().map(drop);
            assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{sql}: {ended:?}");
            expect_usable(sql, &mut conn, &db);
        }
    });
}

#[test]
fn a_deadlock_that_the_body_ignores_is_an_error() {
    watchdog(|| {
        for (way, run) in TRANSACTION_WAYS {
            let db = Database::with_tables();
            let mut conn = db.connect();
            conn.batch_execute("INSERT INTO places (name) VALUES ('a'), ('b')").unwrap();
            let found = session(&mut conn);
            let ended = run(&mut conn, &|conn| {
                log(conn, "before")?;
                swallow_a_deadlock(conn, &db);
                // The server has rolled back, and this is not committed by itself.
                log(conn, "after")?;
                Ok(())
            });
            assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{way}: {ended:?}");
            assert_eq!(logged(&db), [""; 0], "{way}");
            assert_eq!(session(&mut conn), found, "{way}");
            expect_usable(way, &mut conn, &db);
        }
    });
}

/// Loses a deadlock of InnoDB against another connection that has written more.
fn swallow_a_deadlock(conn: &mut MysqlConnection, db: &Database) {
    let mut other = db.connect();
    let update = |id: i32| format!("UPDATE places SET name = 'x' WHERE id = {id}");
    conn.batch_execute(&update(1)).unwrap();
    let many = "BEGIN; INSERT INTO audit_log (message) VALUES ('1'), ('2'), ('3'), ('4'), ('5')";
    other.batch_execute(many).unwrap();
    other.batch_execute(&update(2)).unwrap();
    thread::scope(|threads| {
        threads.spawn(|| {
            other.batch_execute(&update(1)).unwrap();
            other.batch_execute("ROLLBACK").unwrap();
        });
        // Whichever waits first, this connection has written less.
        let deadlock = diesel::sql_query(update(2)).execute(conn);
        assert!(deadlock.is_err());
    });
}
