//! Locks that are lost while they are kept alive: the holder learns of it, and others get them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, KeptLock, Lock};

use super::kept::keep;
use crate::support::PATIENCE;
use crate::support::private_server::PrivateServer;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::session;

const LOCK: Lock = Lock::new("lock");
const OFTEN: Duration = Duration::from_millis(100);

#[track_caller]
fn is_lost(kept: KeptLock<MysqlConnection>) {
    assert!(kept.wait_until_lost(PATIENCE), "not lost");
    assert!(!kept.is_held());
    assert!(kept.wait_until_lost(Duration::ZERO));
    let released = kept.release().map(drop);
    assert!(matches!(released, Err(Error::ConnectionLost(_))), "{released:?}");
}

#[test]
fn a_killed_connection_is_noticed_at_the_next_query() {
    let db = Database::new();
    let mut conn = db.connect();
    let id = connection_id(&mut conn);
    let kept = keep(&LOCK, conn, OFTEN);
    Admin::new().kill_connection(id);
    is_lost(kept);
    assert!(LOCK.try_acquire(&mut db.connect()).unwrap().is_some());
}

#[test]
fn a_query_that_is_killed_loses_nothing() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let kept = keep(&LOCK, conn, Duration::from_millis(10));
    for _ in 0..500 {
        admin.kill_query(id);
        admin.0.batch_execute("DO SLEEP(0.0005)").unwrap();
    }
    assert!(kept.is_held());
    assert_eq!(admin.holder(&db.full_name("lock")), Some(id));
    kept.release().unwrap();
}

#[test]
fn a_lock_that_was_released_behind_the_guards_back_is_lost_and_the_session_is_restored() {
    let db = Database::new();
    let pool = db.pool(1);
    let found = session(&mut pool.get().unwrap());
    let mut guard = LOCK.acquire_owned(pool.get().unwrap()).unwrap();
    assert_eq!(count_and_release_locks(&mut guard), 1);
    let kept = guard.keep_alive(OFTEN).unwrap();
    assert!(kept.wait_until_lost(PATIENCE));
    let released = kept.release().map(drop);
    assert!(matches!(released, Err(Error::NotHeld { .. })), "{released:?}");
    assert_eq!(session(&mut pool.get().unwrap()), found);
}

#[test]
fn a_server_that_stops_and_comes_back_has_freed_the_lock() {
    let Some(mut server) = PrivateServer::start() else { return };
    for crash in [true, false] {
        let kept = keep(&LOCK, server.connect("shop"), OFTEN);
        if crash {
            server.kill();
        } else {
            server.terminate();
        }
        is_lost(kept);
        server.start_again();
        let kept = keep(&LOCK, server.connect("shop"), OFTEN);
        assert!(kept.is_held());
        kept.release().unwrap();
    }
}

#[test]
fn a_network_that_swallows_packets_frees_the_lock_in_time_and_the_holder_knows_before() {
    let (db, proxy) = (Database::new(), Proxy::new());
    let mut other = db.connect();
    let kept = keep(&LOCK, db.connect_through(&proxy), OFTEN);
    proxy.silence();
    let silent = Instant::now();
    let guard = LOCK.timeout(PATIENCE).acquire(&mut other).unwrap();
    assert!(!kept.is_held(), "two believe to hold the lock");
    println!("free after {:?}", silent.elapsed());
    assert!(kept.wait_until_lost(Duration::ZERO));
    guard.release().unwrap();
    let released = kept.release().map(drop);
    assert!(matches!(released, Err(Error::ConnectionLost(_))), "{released:?}");
}

#[test]
fn a_drop_does_not_wait_for_a_peer_that_is_silent() {
    let (db, proxy) = (Database::new(), Proxy::new());
    let kept = keep(&LOCK, db.connect_through(&proxy), Duration::from_millis(10));
    let long = keep(&Lock::new("long"), db.connect_through(&proxy), Duration::from_secs(3600));
    proxy.silence();
    let started = Instant::now();
    drop(kept);
    drop(long);
    // Each waits a second, and not for the grace, for the interval, or until TCP gives up.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    LOCK.timeout(PATIENCE).acquire(&mut db.connect()).unwrap().release().unwrap();
}

const HOLDER: &str = "DIESEL_LOCKS_TEST_HOLDER";

/// Not a test by itself: it runs in the process that the next test stops.
#[test]
fn holds_the_lock_in_a_process_of_its_own() {
    let Ok(url) = std::env::var(HOLDER) else { return };
    let kept = keep(&LOCK, MysqlConnection::establish(&url).unwrap(), OFTEN);
    println!("held: {}", kept.is_held());
    assert!(kept.wait_until_lost(PATIENCE));
    println!("lost");
}

#[test]
fn a_process_that_is_stopped_loses_the_lock_in_time_and_sees_it_when_it_goes_on() {
    let db = Database::new();
    let mut other = db.connect();
    let test = "keep_alive::lost::holds_the_lock_in_a_process_of_its_own";
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--test-threads=1", "--nocapture"])
        .env(HOLDER, db.url())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let signal = |name: &str, id: u32| {
        let kill = format!("kill -{name} {id}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    };
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.ends_with("held: true")));
    assert!(LOCK.try_acquire(&mut other).unwrap().is_none());
    signal("STOP", holder.id());
    let stopped = Instant::now();
    let guard = LOCK.timeout(PATIENCE).acquire(&mut other).unwrap();
    println!("free after {:?}", stopped.elapsed());
    signal("CONT", holder.id());
    assert!(lines.any(|line| line.ends_with("lost")));
    assert!(holder.wait().unwrap().success());
    guard.release().unwrap();
}
