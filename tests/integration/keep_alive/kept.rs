//! Locks that are kept alive, and given back.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, KeptLock, Lock};

use crate::support::alone;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{log, logged, session};

const LOCK: Lock = Lock::new("lock");
const OFTEN: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(3600);

pub(super) fn keep(
    lock: &Lock<'_>,
    conn: MysqlConnection,
    every: Duration,
) -> KeptLock<MysqlConnection> {
    lock.acquire_owned(conn).unwrap().keep_alive(every).unwrap()
}

#[test]
fn a_kept_lock_is_held_until_it_is_released() {
    let db = Database::new();
    let mut other = db.connect();
    let mut conn = db.connect();
    conn.batch_execute("SET wait_timeout = 77").unwrap();
    let found = session(&mut conn);
    let kept = keep(&LOCK, conn, OFTEN);
    assert!(kept.is_held());
    assert!(!kept.wait_until_lost(Duration::from_millis(1)));
    assert!(LOCK.try_acquire(&mut other).unwrap().is_none());
    assert_eq!(kept.fencing_token(), None);
    assert!(format!("{kept:?}").contains("lock"));
    let mut conn = kept.release().unwrap();
    assert!(LOCK.try_acquire(&mut other).unwrap().is_some());
    assert_eq!(session(&mut conn), found);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_session_whose_idle_timeout_is_short_keeps_the_lock() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    conn.batch_execute("SET wait_timeout = 2").unwrap();
    let id = connection_id(&mut conn);
    let kept = keep(&LOCK, conn, OFTEN);
    // Longer than the session's own timeout.
    assert!(!kept.wait_until_lost(Duration::from_secs(4)));
    assert_eq!(admin.holder(&db.full_name("lock")), Some(id));
    let mut conn = kept.release().unwrap();
    assert_eq!(session(&mut conn).wait_timeout, 2);
}

#[test]
fn the_server_frees_the_lock_within_the_interval_and_the_grace() {
    let db = Database::new();
    for (every, expected) in [(OFTEN, 6), (Duration::from_secs(1), 7), (LONG, 3606)] {
        let proxy = Proxy::new();
        let set = proxy.record(|| drop(keep(&LOCK, db.connect_through(&proxy), every)));
        let setting = format!("wait_timeout = {expected}");
        assert!(set.iter().any(|request| request.ends_with(&setting)), "{set:#?}");
    }
}

#[test]
fn a_dropped_lock_is_released_and_a_pooled_connection_is_as_it_was() {
    let db = Database::new();
    let pool = db.pool(1);
    let found = session(&mut pool.get().unwrap());
    let id = connection_id(&mut pool.get().unwrap());
    drop(LOCK.acquire_owned(pool.get().unwrap()).unwrap().keep_alive(OFTEN).unwrap());
    Admin::new().until_free(&db.full_name("lock"));
    // The pool has one connection.
    let mut conn = pool.get().unwrap();
    assert_eq!(connection_id(&mut conn), id);
    assert_eq!(session(&mut conn), found);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_release_waits_for_the_minimum_and_a_drop_does_not() {
    const AT_LEAST: Duration = Duration::from_secs(7);
    let db = Database::new();
    let lock = LOCK.hold_at_least(AT_LEAST);
    // Longer than the grace.
    let started = Instant::now();
    let kept = keep(&lock, db.connect(), OFTEN);
    let conn = kept.release().unwrap();
    assert!(started.elapsed() >= AT_LEAST);

    let long = LOCK.hold_at_least(LONG);
    drop(keep(&long, conn, OFTEN));
    Admin::new().until_free(&db.full_name("lock"));
}

#[test]
fn a_thread_that_panics_while_it_has_the_lock_releases_it() {
    let db = Database::new();
    let kept = keep(&LOCK, db.connect(), OFTEN);
    let panicked = std::thread::spawn(move || {
        let _kept = kept;
        std::panic::resume_unwind(Box::new(()))
    });
    panicked.join().map(|(): ()| ()).unwrap_err();
    Admin::new().until_free(&db.full_name("lock"));
}

#[test]
fn a_fenced_lock_ties_transactions_on_another_connection_to_it() {
    let db = Database::with_fences();
    let (mut other, lock) = (db.connect(), LOCK.fenced());
    let kept = keep(&lock, db.connect(), OFTEN);
    assert_eq!(kept.fencing_token(), Some(1));
    kept.transaction(&mut other, |conn| log(conn, "first")).unwrap();
    other.batch_execute("SET wait_timeout = 77").unwrap();
    let found = session(&mut other);
    kept.transaction(&mut other, |conn| {
        assert_eq!(session(conn).wait_timeout, 6, "a holder that is stopped keeps no other out");
        log(conn, "second")
    })
    .unwrap();
    assert_eq!(session(&mut other), found);
    let failed = kept.transaction(&mut other, |conn| {
        log(conn, "rolled back")?;
        Err::<(), _>(diesel::result::Error::NotFound)
    });
    assert_eq!(failed, Err(diesel::result::Error::NotFound));
    assert_eq!(session(&mut other), found);
    let mut conn = kept.release().unwrap();
    let kept = keep(&lock, db.connect(), OFTEN);
    // Behind the back of the thread.
    Admin::new().kill_connection(Admin::new().holder(&db.full_name("lock")).unwrap());
    Admin::new().until_free(&db.full_name("lock"));
    lock.acquire(&mut conn).unwrap().release().unwrap();
    let refused = kept.transaction(&mut other, |conn| log(conn, "third")).map_err(Error::from);
    assert!(matches!(refused, Err(Error::Superseded { token: 2, .. })), "{refused:?}");
    assert_eq!(logged(&db), ["first", "second"]);
}

#[test]
fn a_lock_without_a_fence_refuses_transactions_on_another_connection() {
    let db = Database::with_tables();
    let kept = keep(&LOCK, db.connect(), OFTEN);
    let refused = kept.transaction(&mut db.connect(), |conn| log(conn, "never"));
    let error = Error::from(refused.unwrap_err());
    assert!(matches!(&error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("fenced"), "{error}");
    assert_eq!(logged(&db), [""; 0]);
}

#[test]
fn a_kept_lock_can_be_shared_by_threads() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    let db = Database::with_fences();
    let kept = keep(&LOCK.fenced(), db.connect(), OFTEN);
    is_shared(&kept);
    std::thread::scope(|threads| {
        for n in 0..3 {
            let (kept, db) = (&kept, &db);
            threads.spawn(move || {
                assert!(kept.is_held());
                kept.transaction(&mut db.connect(), |conn| log(conn, &n.to_string())).unwrap();
            });
        }
    });
    assert_eq!(logged(&db).len(), 3);
}

alone! {
    fn an_interval_costs_one_round_trip() {
        const EVERY: Duration = Duration::from_millis(50);
        let (db, proxy) = (Database::new(), Proxy::new());
        let mut conn = db.connect_through(&proxy);
        LOCK.acquire(&mut conn).unwrap().is_still_held().unwrap();
        let guard = LOCK.acquire_owned(conn).unwrap();
        let mut kept = None;
        proxy.expect("keep_alive, to begin", 3, || {
            kept = Some(guard.keep_alive(LONG).unwrap());
        });
        let mut conn = None;
        proxy.expect("KeptLock::release", 4, || conn = Some(kept.take().unwrap().release().unwrap()));

        let started = Instant::now();
        let requests = proxy.record(|| {
            let kept = keep(&LOCK, conn.take().unwrap(), EVERY);
            assert!(!kept.wait_until_lost(10 * EVERY));
            kept.release().unwrap();
        });
        let asked = requests.len() - 1 - 3 - 4;
        let most = started.elapsed().as_millis() / EVERY.as_millis();
        println!("{asked} round trips in {most} intervals");
        assert!(asked >= 1 && asked as u128 <= most, "{requests:#?}");
    }
}
