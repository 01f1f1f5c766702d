//! Fencing tokens: a number that grows with every holder.

use diesel::prelude::*;
use diesel_locks::{Lock, with_lock};

use crate::support::private_server::PrivateServer;
use crate::support::schema::Database;
use crate::support::server::Admin;

const LOCK: Lock = Lock::new("lock").fenced();

/// Acquires and releases the lock.
fn draw(lock: &Lock<'_>, conn: &mut MysqlConnection) -> u64 {
    let guard = lock.acquire(conn).unwrap();
    let token = guard.fencing_token().unwrap();
    guard.release().unwrap();
    token
}

#[test]
fn each_acquisition_draws_a_greater_token() {
    let db = Database::with_fences();
    let (mut conn, mut other) = (db.connect(), db.connect());
    assert_eq!(draw(&LOCK, &mut conn), 1);
    assert_eq!(draw(&LOCK, &mut conn), 2);
    assert_eq!(draw(&LOCK, &mut other), 3);
    assert_eq!(draw(&LOCK, &mut db.connect()), 4);
    assert_eq!(LOCK.try_acquire(&mut conn).unwrap().unwrap().fencing_token(), Some(5));
    let owned = LOCK.acquire_owned(other).unwrap();
    assert_eq!(owned.fencing_token(), Some(6));
    drop(owned);
    LOCK.with(&mut conn, |_| QueryResult::Ok(())).unwrap();
    assert_eq!(draw(&LOCK, &mut conn), 8);
}

#[test]
fn each_name_has_its_own_tokens() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    assert_eq!(draw(&LOCK, &mut conn), 1);
    assert_eq!(draw(&Lock::new("another").fenced(), &mut conn), 1);
    assert_eq!(draw(&LOCK, &mut conn), 2);
}

#[test]
fn a_lock_without_a_fence_draws_none() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let guard = Lock::new("lock").acquire(&mut conn).unwrap();
    assert_eq!(guard.fencing_token(), None);
    drop(guard);
    assert_eq!(draw(&LOCK, &mut conn), 1);
}

#[test]
fn a_lock_that_is_busy_draws_none() {
    let db = Database::with_fences();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let guard = LOCK.acquire(&mut conn).unwrap();
    assert!(LOCK.try_acquire(&mut other).unwrap().is_none());
    LOCK.timeout(std::time::Duration::from_secs(1)).acquire(&mut other).map(drop).unwrap_err();
    drop(guard);
    assert_eq!(draw(&LOCK, &mut other), 2);
}

#[test]
fn tokens_grow_across_a_restart_and_a_crash_of_the_server() {
    let Some(mut server) = PrivateServer::start() else { return };
    let mut conn = server.connect("shop");
    Lock::create_fences(&mut conn).unwrap();
    assert_eq!(draw(&LOCK, &mut conn), 1);
    server.terminate();
    server.start_again();
    assert_eq!(draw(&LOCK, &mut server.connect("shop")), 2);
    server.kill();
    server.start_again();
    // With `innodb_flush_log_at_trx_commit = 1`, the default, the last commit survives too; the
    // tests' servers flush once a second.
    assert!(draw(&LOCK, &mut server.connect("shop")) >= 2);
}

#[test]
fn attributes_fence_their_lock() {
    #[with_lock("lock", fenced)]
    fn plain(conn: &mut MysqlConnection) -> QueryResult<()> {
        diesel::sql_query("DO 0").execute(conn).map(drop)
    }

    #[with_lock("lock", fenced, transaction)]
    fn in_transaction(conn: &mut MysqlConnection) -> QueryResult<()> {
        diesel::sql_query("DO 0").execute(conn).map(drop)
    }

    #[with_lock("lock", fenced, if_busy = Ok(()))]
    fn if_free(conn: &mut MysqlConnection) -> QueryResult<()> {
        diesel::sql_query("DO 0").execute(conn).map(drop)
    }

    #[with_lock("lock", server_wide, fenced_in = database, shortened)]
    fn server_wide(conn: &mut MysqlConnection, database: &str) -> QueryResult<()> {
        diesel::sql_query("DO 0").execute(conn).map(drop)
    }

    let db = Database::with_fences();
    let mut conn = db.connect();
    plain(&mut conn).unwrap();
    in_transaction(&mut conn).unwrap();
    if_free(&mut conn).unwrap();
    assert_eq!(draw(&LOCK, &mut conn), 4);
    let name = format!("{}-everywhere", db.name());
    let wide = Lock::new(&name).server_wide().fenced_in(db.name());
    server_wide(&mut conn, db.name()).unwrap();
    assert_eq!(draw(&wide, &mut conn), 1);
}

#[test]
fn a_second_acquisition_on_the_same_connection_draws_a_token_too() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    assert_eq!(LOCK.acquire(&mut guard).unwrap().fencing_token(), Some(2));
    assert_eq!(guard.fencing_token(), Some(1));
    guard.release().unwrap();
    assert_eq!(Admin::new().holder(&db.full_name("lock")), None);
}
