//! Named locks and transactions: `Lock::transaction`, and locks inside open transactions.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_locks::{Error, Lock, TableLock};

use crate::support::proxy::Proxy;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{depth, has_open_transaction, is_broken};

const LOCK: Lock = Lock::new("lock");

fn write(conn: &mut MysqlConnection) -> QueryResult<usize> {
    diesel::insert_into(audit_log::table).values(audit_log::message.eq("row")).execute(conn)
}

fn rows(conn: &mut MysqlConnection) -> i64 {
    audit_log::table.count().get_result(conn).unwrap()
}

#[test]
fn a_read_only_session_stays_read_only_in_a_transaction() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute("SET SESSION TRANSACTION READ ONLY").unwrap();
    for _ in 0..2 {
        assert!(LOCK.transaction(&mut conn, write).is_err());
        assert_eq!(LOCK.transaction(&mut conn, |conn| QueryResult::Ok(rows(conn))), Ok(0));
        // A failed table lock does not allow the next transaction to write either.
        assert!(TableLock::new().read_table("unknown").acquire(&mut conn).is_err());
        assert!(conn.transaction(write).is_err());
    }
}

#[test]
fn a_transaction_is_committed_if_the_body_succeeds_and_rolled_back_otherwise() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let value = LOCK.transaction(&mut conn, |conn| {
        write(conn)?;
        assert_eq!(rows(&mut other), 0);
        QueryResult::Ok(7)
    });
    assert_eq!(value, Ok(7));
    assert_eq!(rows(&mut other), 1);

    let failed = LOCK.transaction(&mut conn, |conn| {
        write(conn)?;
        Err::<(), _>(diesel::result::Error::NotFound)
    });
    assert_eq!(failed, Err(diesel::result::Error::NotFound));
    assert_eq!(rows(&mut other), 1);

    let panicked = thread::scope(|threads| {
        threads
            .spawn(|| {
                LOCK.transaction(&mut conn, |conn| -> QueryResult<()> {
                    write(conn)?;
                    panic!("in the transaction")
                })
            })
            .join()
    });
    assert!(panicked.is_err());
    assert_eq!(rows(&mut conn), 1);
    assert_eq!(count_and_release_locks(&mut conn), 0);
    // Diesel knows that no transaction is open.
    conn.transaction(write).unwrap();
    assert_eq!(rows(&mut other), 2);
}

#[test]
fn the_lock_is_released_after_the_commit() {
    let db = Database::with_tables();
    let proxy = Proxy::new();
    let (mut conn, mut next, mut admin) = (db.connect_through(&proxy), db.connect(), Admin::new());
    let next_id = connection_id(&mut next);
    for expected in 1..=20 {
        thread::scope(|threads| {
            let waiting = LOCK
                .transaction(&mut conn, |conn| {
                    let waiting =
                        threads.spawn(|| LOCK.with(&mut next, |conn| QueryResult::Ok(rows(conn))));
                    admin.until_waiting(next_id);
                    write(conn)?;
                    QueryResult::Ok(waiting)
                })
                .unwrap();
            // The next holder of the lock sees the rows that were written under it.
            assert_eq!(waiting.join().unwrap().unwrap(), expected);
        });
    }

    // On the wire, the last request releases the lock.
    for succeeds in [true, false] {
        let end = if succeeds { "SET autocommit = 1" } else { "ROLLBACK" };
        let requests = proxy.record(|| {
            let result = LOCK.transaction(&mut conn, |_| {
                if succeeds { Ok(()) } else { Err(diesel::result::Error::NotFound) }
            });
            assert_eq!(result.is_ok(), succeeds);
        });
        let ended = requests.iter().position(|request| request.contains(end));
        let released = requests.iter().rposition(|request| request.starts_with("execute"));
        assert!(ended.unwrap() < released.unwrap(), "{requests:#?}");
    }
}

#[test]
fn a_nested_transaction_is_a_savepoint() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    LOCK.transaction(&mut conn, |conn| {
        write(conn)?;
        let inner = conn.transaction(|conn| {
            write(conn)?;
            Err::<(), _>(diesel::result::Error::RollbackTransaction)
        });
        assert!(inner.is_err());
        conn.transaction(write)?;
        assert_eq!(rows(&mut other), 0);
        QueryResult::Ok(())
    })
    .unwrap();
    assert_eq!(rows(&mut other), 2);
}

/// Another connection could acquire the lock before the outer transaction commits.
#[test]
fn a_transaction_is_refused_inside_an_open_one_which_is_left_untouched() {
    let db = Database::with_tables();
    let (mut conn, mut other, mut admin) = (db.connect(), db.connect(), Admin::new());
    let refused = |conn: &mut MysqlConnection| {
        let result = LOCK.transaction(conn, |_| -> Result<(), Error> { panic!("runs") });
        assert!(matches!(result, Err(Error::InTransaction { .. })), "{result:?}");
    };

    let rolled_back = conn.transaction(|conn| {
        write(conn)?;
        refused(conn);
        assert_eq!(admin.holder(&db.full_name("lock")), None);
        assert_eq!(rows(conn), 1);
        assert_eq!(rows(&mut other), 0);
        Err::<(), _>(diesel::result::Error::RollbackTransaction)
    });
    assert!(rolled_back.is_err());
    assert_eq!(rows(&mut conn), 0);

    for begin in [
        "BEGIN",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        "SET autocommit = 0",
        "XA START 'diesel-locks'",
    ] {
        conn.batch_execute(begin).unwrap();
        write(&mut conn).unwrap();
        if begin.starts_with("XA") {
            // The servers do not report it as a transaction, but the library must refuse it too.
            let result = LOCK.transaction(&mut conn, |_| -> Result<(), Error> { panic!("runs") });
            assert!(result.is_err());
        } else {
            refused(&mut conn);
        }
        assert_eq!(admin.holder(&db.full_name("lock")), None);
        assert_eq!(rows(&mut other), 0, "{begin}: committed");
        let end = if begin.starts_with("XA") {
            "XA END 'diesel-locks'; XA ROLLBACK 'diesel-locks'"
        } else {
            "ROLLBACK; SET autocommit = 1"
        };
        conn.batch_execute(end).unwrap();
        assert_eq!(rows(&mut conn), 0, "{begin}: committed");
    }
    LOCK.transaction(&mut conn, write).unwrap();
    assert_eq!(rows(&mut conn), 1);
}

/// A call that is refused anyway must not wait, or cause a deadlock.
#[test]
fn a_transaction_inside_an_open_one_is_refused_without_waiting_for_the_lock() {
    let db = Database::new();
    let (mut conn, mut holder) = (db.connect(), db.connect());
    let _held = LOCK.acquire(&mut holder).unwrap();
    conn.transaction(|conn| {
        let lock = LOCK.timeout(Duration::ZERO);
        let result = lock.transaction(conn, |_| -> Result<(), Error> { panic!("runs") });
        assert!(matches!(result, Err(Error::InTransaction { .. })), "{result:?}");
        QueryResult::Ok(())
    })
    .unwrap();
}

#[test]
fn a_transaction_that_the_body_leaves_open_is_rolled_back() {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let left_open = LOCK.transaction(&mut conn, |conn| {
        write(conn)?;
        AnsiTransactionManager::begin_transaction(conn)?;
        Ok::<_, Error>(())
    });
    assert!(matches!(left_open, Err(Error::InTransaction { .. })), "{left_open:?}");
    assert_eq!(rows(&mut conn), 0);
    assert_eq!(count_and_release_locks(&mut conn), 0);
    conn.transaction(write).unwrap();
    assert_eq!(rows(&mut other), 1);
}

/// Expects the error of a body that has ended its transaction, and a connection as it was before.
#[track_caller]
fn expect_ended<T: std::fmt::Debug>(
    what: &str,
    db: &Database,
    ended: Result<T, Error>,
    conn: &mut MysqlConnection,
) {
    match ended {
        Err(Error::TransactionEnded { lock, .. }) => assert_eq!(lock, db.full_name("lock")),
        other => panic!("{what}: {other:?}"),
    }
    expect_over(what, conn);
}

#[track_caller]
fn expect_over(what: &str, conn: &mut MysqlConnection) {
    assert!(!is_broken(conn), "{what}");
    assert_eq!(depth(conn), Some(0), "{what}");
    assert!(!has_open_transaction(conn), "{what}");
    assert_eq!(count_and_release_locks(conn), 0, "{what}");
}

#[test]
fn a_body_that_ends_the_transaction_gets_an_error_and_nothing_more_is_committed() {
    let ends = [
        ("COMMIT", 1),
        ("ROLLBACK", 0),
        ("BEGIN", 1),
        ("CREATE TABLE more (id INT)", 1),
        ("CREATE TABLE audit_log (id INT)", 1),
        ("ANALYZE TABLE audit_log", 1),
        ("COMMIT AND CHAIN", 1),
        ("ROLLBACK AND CHAIN", 0),
    ];
    for (sql, committed) in ends {
        for autocommit in [true, false] {
            for answer in [Ok(()), Err(diesel::result::Error::NotFound)] {
                let db = Database::with_tables();
                let (mut conn, mut other) = (db.connect(), db.connect());
                conn.batch_execute(&format!("SET autocommit = {autocommit}")).unwrap();
                let fails = answer.is_err();
                let ended = LOCK.transaction(&mut conn, |conn| {
                    write(conn)?;
                    let run = conn.batch_execute(sql);
                    assert!(run.is_ok() || sql.contains("TABLE audit_log"), "{sql}: {run:?}");
                    if !autocommit || sql == "BEGIN" || sql.ends_with("CHAIN") {
                        write(conn)?;
                    }
                    answer
                });
                let what = format!("{sql}, autocommit {autocommit}");
                if fails {
                    assert_eq!(ended, Err(diesel::result::Error::NotFound), "{what}");
                    expect_over(&what, &mut conn);
                } else {
                    expect_ended(&what, &db, ended.map_err(Error::from), &mut conn);
                }
                assert_eq!(rows(&mut other), committed, "{what}");
            }
        }
    }
}

/// With these functions, Diesel knows that no transaction is open.
#[test]
fn a_body_that_ends_diesels_transaction_gets_an_error() {
    use diesel::connection::{AnsiTransactionManager, TransactionManager};
    type End = fn(&mut MysqlConnection) -> QueryResult<()>;
    let ends: [(&str, End, i64); 2] = [
        ("commit", AnsiTransactionManager::commit_transaction, 1),
        ("rollback", AnsiTransactionManager::rollback_transaction, 0),
    ];
    for (what, end, committed) in ends {
        let db = Database::with_tables();
        let (mut conn, mut other) = (db.connect(), db.connect());
        let ended = LOCK.transaction(&mut conn, |conn| {
            write(conn)?;
            end(conn)
        });
        expect_ended(what, &db, ended.map_err(Error::from), &mut conn);
        assert_eq!(rows(&mut other), committed, "{what}");
    }
}

/// InnoDB rolls the whole transaction back.
#[test]
fn a_body_that_ignores_a_deadlock_gets_an_error_and_nothing_is_committed() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let update = |conn: &mut MysqlConnection, id: i32| {
        diesel::update(audit_log::table.find(id)).set(audit_log::message.eq("new")).execute(conn)
    };
    for _ in 0..2 {
        write(&mut conn).unwrap();
    }
    let ids: Vec<i32> = audit_log::table.select(audit_log::id).load(&mut conn).unwrap();
    conn.batch_execute("SET autocommit = 0").unwrap();
    let ended = thread::scope(|threads| {
        LOCK.transaction(&mut conn, |conn| {
            update(conn, ids[0])?;
            // With more writes, so that InnoDB chooses the other transaction.
            other.batch_execute("BEGIN").unwrap();
            for _ in 0..20 {
                write(&mut other).unwrap();
            }
            update(&mut other, ids[1]).unwrap();
            let (first, other) = (ids[0], &mut other);
            let waiting = threads.spawn(move || {
                update(other, first).unwrap();
                other.batch_execute("ROLLBACK").unwrap();
            });
            let deadlock = update(conn, ids[1]);
            assert!(deadlock.is_err(), "{deadlock:?}");
            waiting.join().unwrap();
            write(conn)
        })
    });
    expect_ended("a deadlock", &db, ended.map_err(Error::from), &mut conn);
    let messages: Vec<String> =
        audit_log::table.select(audit_log::message).load(&mut db.connect()).unwrap();
    assert_eq!(messages, ["row", "row"]);
}

#[test]
fn a_lock_acquired_inside_a_transaction_outlives_it_and_commits_nothing() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    for begin in ["BEGIN", "SET autocommit = 0"] {
        conn.batch_execute(begin).unwrap();
        write(&mut conn).unwrap();
        let mut guard = LOCK.acquire(&mut conn).unwrap();
        assert!(LOCK.is_held(&mut guard).unwrap());
        write(&mut guard).unwrap();
        assert!(LOCK.try_acquire(&mut other).unwrap().is_none());
        assert_eq!(rows(&mut other), 0, "{begin}: committed");
        guard.batch_execute("ROLLBACK").unwrap();
        assert_eq!(rows(&mut guard), 0);
        assert!(guard.is_still_held().unwrap());
        guard.release().unwrap();
        conn.batch_execute("ROLLBACK; SET autocommit = 1").unwrap();
    }
}

#[test]
fn a_session_without_autocommit_stays_without_it() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    conn.batch_execute("SET autocommit = 0").unwrap();
    LOCK.transaction(&mut conn, write).unwrap();
    assert_eq!(rows(&mut other), 1);
    LOCK.with(&mut conn, write).unwrap();
    assert_eq!(rows(&mut other), 1);
    let autocommit = diesel::select(sql::<Bool>("@@autocommit")).get_result(&mut conn);
    assert_eq!(autocommit, Ok(false));
    conn.batch_execute("ROLLBACK").unwrap();
    assert_eq!(rows(&mut conn), 1);
}
