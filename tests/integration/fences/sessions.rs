//! Sessions with unusual settings: the draw works, is committed, and leaves nothing changed.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Unsigned};
use diesel_locks::Lock;

use crate::environment::character_sets::{session, settings};
use crate::support::schema::Database;
use crate::support::server;
use crate::support::table_checks::{has_open_transaction, log, logged};

const LOCK: Lock = Lock::new("größe").fenced();

#[test]
fn every_session_draws_the_next_token_and_stays_as_it_was() {
    let db = Database::named("größe `fenced`");
    let mut conn = server::connect();
    db.enter(&mut conn);
    Lock::create_fences(&mut conn).unwrap();
    let mut settings = settings();
    settings.extend(
        [
            "SET autocommit = 0",
            "SET autocommit = 0, completion_type = CHAIN",
            "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
            "SET sql_safe_updates = 1",
            "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1",
        ]
        .map(str::to_owned),
    );
    for (setting, token) in settings.iter().zip(1..) {
        let mut conn = server::connect();
        db.enter(&mut conn);
        conn.batch_execute(setting).unwrap();
        let found = session(&mut conn);
        let mut guard =
            LOCK.acquire(&mut conn).unwrap_or_else(|error| panic!("{setting}: {error}"));
        assert_eq!(guard.fencing_token(), Some(token), "{setting}");
        assert_eq!(session(&mut guard), found, "{setting}");
        guard.transaction(|_| QueryResult::Ok(())).unwrap();
        assert_eq!(session(&mut guard), found, "{setting}");
        guard.release().unwrap();
    }
}

#[test]
fn without_autocommit_the_draw_is_committed_and_no_transaction_is_left_open() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    conn.batch_execute("SET autocommit = 0").unwrap();
    let mut guard = Lock::new("lock").fenced().acquire(&mut conn).unwrap();
    assert!(!has_open_transaction(&mut guard));
    guard.batch_execute("ROLLBACK").unwrap();
    guard.transaction(|conn| log(conn, "written")).unwrap();
    guard.release().unwrap();
    assert_eq!(logged(&db), ["written"]);
    let next = Lock::new("lock").fenced().acquire_owned(db.connect()).unwrap();
    assert_eq!(next.fencing_token(), Some(2));
}

#[test]
fn a_session_that_selects_no_rows_draws_too() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    conn.batch_execute("SET sql_select_limit = 0").unwrap();
    let lock = Lock::new("lock").fenced();
    assert_eq!(lock.acquire(&mut conn).unwrap().fencing_token(), Some(1));
    lock.transaction(&mut conn, |conn| log(conn, "written")).unwrap();
    assert_eq!(logged(&db), ["written"]);
}

#[test]
fn the_last_inserted_id_is_the_callers() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    for _ in 0..3 {
        log(&mut conn, "a row").unwrap();
    }
    let id = sql::<Unsigned<BigInt>>("LAST_INSERT_ID()");
    let guard = Lock::new("lock").fenced().acquire(&mut conn).unwrap();
    assert_eq!(guard.fencing_token(), Some(1));
    guard.release().unwrap();
    assert_eq!(diesel::select(id).get_result::<u64>(&mut conn), Ok(3));
}
