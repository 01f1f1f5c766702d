//! Transactions of fenced locks: what a holder writes that has lost its lock is never committed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, with_lock};

use crate::support::schema::{Database, places};
use crate::support::server::{Admin, count_and_release_locks};
use crate::support::table_checks::{depth, has_open_transaction, is_broken, log, logged, session};

const LOCK: Lock = Lock::new("lock").fenced();

/// Takes the lock from its holder, who does not notice, and gives it to another connection for a
/// moment.
fn supersede(db: &Database, holder: &mut MysqlConnection) {
    assert_eq!(count_and_release_locks(holder), 1);
    let later = LOCK.acquire_owned(db.connect()).unwrap();
    assert!(later.fencing_token().is_some());
}

#[track_caller]
fn is_superseded<T: std::fmt::Debug>(result: Result<T, Error>, expected: u64) {
    match result {
        Err(Error::Superseded { lock, token, .. }) => {
            assert!(lock.contains(".lock"), "{lock}");
            assert_eq!(token, expected);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_holder_that_was_superseded_commits_nothing() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let found = session(&mut conn);
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    guard.transaction(|conn| log(conn, "before")).unwrap();
    supersede(&db, &mut guard);
    for _ in 0..2 {
        let refused: Result<(), Error> = guard.transaction(|_| panic!("the body runs"));
        is_superseded(refused, 1);
    }
    assert!(!has_open_transaction(&mut guard));
    assert_eq!(depth(&mut guard), Some(0));
    assert_eq!(session(&mut guard), found);
    assert!(matches!(guard.release(), Err(Error::NotHeld { .. })));
    assert_eq!(logged(&db), ["before"]);
    // The connection can go on.
    LOCK.transaction(&mut conn, |conn| log(conn, "after")).unwrap();
    assert_eq!(logged(&db), ["before", "after"]);
}

#[test]
fn a_later_holder_begins_only_after_the_transaction_of_an_earlier_one() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let result = LOCK.transaction(&mut conn, |conn| {
        log(conn, "one")?;
        assert_eq!(count_and_release_locks(conn), 1);
        // The lock is free, but its row is not.
        assert!(LOCK.try_acquire(&mut db.connect())?.is_none());
        log(conn, "two")
    });
    // Committed, and reported as not exclusive: the lock was lost.
    let error = Error::from(result.unwrap_err());
    assert!(matches!(error, Error::NotHeld { committed: Some(true), .. }), "{error:?}");
    assert_eq!(logged(&db), ["one", "two"]);
    assert!(LOCK.try_acquire(&mut db.connect()).unwrap().is_some());
}

#[test]
fn bodies_that_fail_or_panic_release_the_lock_and_the_row() {
    #[with_lock("lock", fenced, transaction)]
    fn fails(conn: &mut MysqlConnection) -> QueryResult<()> {
        log(conn, "rolled back")?;
        Err(DieselError::NotFound)
    }

    let db = Database::with_fences();
    let (mut conn, mut other) = (db.connect(), db.connect());
    conn.batch_execute("SET wait_timeout = 77").unwrap();
    let found = session(&mut conn);
    let mut is_free = || LOCK.try_acquire(&mut other).unwrap().is_some();
    assert_eq!(fails(&mut conn), Err(DieselError::NotFound));
    assert!(is_free());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        LOCK.transaction(&mut conn, |conn| -> QueryResult<()> {
            log(conn, "rolled back")?;
            panic!("in the body")
        })
    }));
    panicked.unwrap_err();
    assert!(is_free());
    assert!(!is_broken(&mut conn));
    assert_eq!(session(&mut conn), found);
    assert!(!has_open_transaction(&mut conn));
    assert_eq!(logged(&db), [""; 0]);
}

#[test]
fn a_body_that_ends_the_transaction_is_reported() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let ended = LOCK.transaction(&mut conn, |conn| conn.batch_execute("COMMIT"));
    let error = Error::from(ended.unwrap_err());
    assert!(matches!(error, Error::TransactionEnded { .. }), "{error:?}");
    assert_eq!(Admin::new().holder(&db.full_name("lock")), None);
}

/// As a node of a Galera cluster may end one without an error.
#[test]
fn what_follows_a_transaction_that_was_ended_is_not_committed_statement_by_statement() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let found = session(&mut conn);
    let ended = LOCK.transaction(&mut conn, |conn| {
        log(conn, "before")?;
        conn.batch_execute("ROLLBACK")?;
        log(conn, "after")
    });
    let error = Error::from(ended.unwrap_err());
    assert!(matches!(error, Error::TransactionEnded { .. }), "{error:?}");
    assert_eq!(logged(&db), [""; 0]);
    assert_eq!(session(&mut conn), found);
}

#[test]
fn a_row_that_is_gone_counts_as_superseded() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    db.connect().batch_execute("DELETE FROM diesel_locks_fences").unwrap();
    is_superseded(guard.transaction(|conn| Ok::<_, Error>(log(conn, "lost")?)), 1);
    assert_eq!(logged(&db), [""; 0]);
}

#[test]
fn a_second_acquisition_on_the_same_connection_supersedes_the_first() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let mut outer = LOCK.acquire(&mut conn).unwrap();
    LOCK.with(&mut outer, |_| QueryResult::Ok(())).unwrap();
    is_superseded(outer.transaction(|_| Ok::<_, Error>(())), 1);
    assert!(outer.is_still_held().unwrap());
    outer.release().unwrap();
}

#[test]
fn holders_that_take_turns_lose_no_update() {
    const EACH: i64 = 20;
    let db = Database::with_fences();
    db.connect().batch_execute("INSERT INTO places (id, name) VALUES (1, '0')").unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut conn = db.connect();
                for _ in 0..EACH {
                    LOCK.without_timeout()
                        .transaction(&mut conn, |conn| {
                            let place = places::table.find(1);
                            let now: String = place.select(places::name).get_result(conn)?;
                            let next = (now.parse::<i64>().unwrap() + 1).to_string();
                            diesel::update(place).set(places::name.eq(next)).execute(conn)
                        })
                        .unwrap();
                }
            });
        }
    });
    let conn = &mut db.connect();
    assert_eq!(
        places::table.select(places::name).get_result::<String>(conn),
        Ok((4 * EACH).to_string())
    );
    assert_eq!(LOCK.acquire(conn).unwrap().fencing_token(), Some(81));
}
