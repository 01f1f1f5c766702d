//! How long an acquire waits for a named lock, which is the same on both servers.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};
use crate::support::{keep, lasts_as_long_as, watchdog};

const LOCK: Lock = Lock::new("slow");

/// Waits for a busy lock.
#[track_caller]
fn time_out(timeout: Duration, conn: &mut MysqlConnection) {
    match LOCK.timeout(timeout).acquire(conn).map(drop) {
        Err(Error::Timeout { timeout: reported, .. }) => assert_eq!(reported, timeout),
        other => panic!("timeout of {timeout:?}: {other:?}"),
    }
}

#[test]
fn a_wait_is_never_shorter_than_its_timeout_and_not_much_longer() {
    let db = Database::new();
    let mut holder = db.connect();
    let _held = LOCK.acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        for micros in [
            0, 1, 999, 1_000, 50_000, 400_000, 499_999, 600_000, 999_001, 1_000_000, 1_000_001,
            1_500_000, 2_000_000,
        ] {
            let mut conn = db.connect();
            threads.spawn(move || {
                let timeout = Duration::from_micros(micros);
                // The second time, the statements are cached.
                for _ in 0..2 {
                    lasts_as_long_as(timeout, || time_out(timeout, &mut conn));
                    assert_eq!(count_and_release_locks(&mut conn), 0);
                }
            });
        }
    });
}

#[test]
fn a_timeout_error_names_the_lock_the_timeout_and_the_holder() {
    let db = Database::new();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    let id = connection_id(&mut holder);
    let _held = LOCK.acquire(&mut holder).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(20), Duration::from_secs(1)] {
        let error = LOCK.timeout(timeout).acquire(&mut conn).map(drop).unwrap_err();
        let text = error.to_string();
        let Error::Timeout { lock, timeout: reported, holder, .. } = error else {
            panic!("{error:?}")
        };
        assert!(lock.contains("slow"), "{lock}");
        assert_eq!(reported, timeout);
        assert_eq!(holder, Some(id));
        for part in ["slow", &id.to_string()] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let waits = !timeout.is_zero();
        assert_eq!(text.contains(&format!("{timeout:?}")), waits, "{text}");
    }
}

#[test]
fn a_free_lock_is_acquired_whatever_the_timeout() {
    let db = Database::new();
    let mut conn = db.connect();
    for timeout in [
        Duration::ZERO,
        Duration::from_millis(250),
        Duration::from_secs(1),
        Duration::from_millis(u64::from(u32::MAX)),
        Duration::from_millis(u64::from(u32::MAX) + 2),
        Duration::new(u64::MAX, 0),
        Duration::MAX,
    ] {
        let guard = LOCK.timeout(timeout).acquire(&mut conn);
        assert!(guard.unwrap().is_still_held().unwrap(), "{timeout:?}");
    }
    assert!(LOCK.without_timeout().acquire(&mut conn).unwrap().is_still_held().unwrap());
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_timeout_that_no_server_accepts_is_a_long_wait() {
    const MILLIS: u64 = 1 << 32;
    let db = Database::new();
    let (mut holder, mut conn, mut clock) = (db.connect(), db.connect(), db.connect());
    let mut admin = Admin::new();
    let id = connection_id(&mut conn);
    let other = Lock::new("other").acquire(&mut holder).unwrap();
    let holder = other.leak();
    for lock in [
        LOCK.without_timeout(),
        LOCK.timeout(Duration::MAX),
        LOCK.timeout(Duration::from_secs(u64::MAX)),
        LOCK.timeout(Duration::from_secs(1 << 32)),
        LOCK.timeout(Duration::from_secs((1 << 31) + 1)),
        // If these wrapped at 32 bits, no time or 50 milliseconds would remain.
        LOCK.timeout(Duration::from_millis(MILLIS)),
        LOCK.timeout(Duration::from_millis(MILLIS + 50)),
        LOCK.timeout(Duration::from_micros(MILLIS * 1000 + 49_900)),
    ] {
        let held = LOCK.acquire(holder).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| lock.acquire(&mut conn).map(drop));
            admin.until_waiting(id);
            // This wait is longer than the remaining time would be.
            let timeout = Duration::from_millis(150);
            let passed = Lock::new("other").timeout(timeout).acquire(&mut clock).map(drop);
            assert!(matches!(passed, Err(Error::Timeout { .. })), "{passed:?}");
            assert!(!waiting.is_finished(), "{lock:?}: {:?}", waiting.join());
            drop(held);
            waiting.join().unwrap().unwrap();
        });
    }
}

#[test]
fn a_lock_that_is_released_within_the_timeout_is_acquired_at_once() {
    let db = Database::new();
    let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    for timeout in [Duration::from_secs(9), Duration::from_millis(9_900)] {
        lasts_as_long_as(Duration::ZERO, || {
            let held = LOCK.acquire(&mut holder).unwrap();
            thread::scope(|threads| {
                let waiting =
                    threads.spawn(|| LOCK.timeout(timeout).acquire(&mut conn).map(drop).unwrap());
                admin.until_waiting(id);
                drop(held);
                waiting.join().unwrap();
            });
        });
    }
}

#[test]
fn a_statement_limit_of_the_session_is_not_reported_as_a_timeout() {
    let db = Database::new();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    let held = LOCK.acquire(&mut holder).unwrap();
    match server::kind() {
        server::Kind::MySql => {
            // The hint in the statement overrides the limit of the session.
            conn.batch_execute("SET max_execution_time = 500").unwrap();
            for millis in [1_200, 2_000] {
                let timeout = Duration::from_millis(millis);
                lasts_as_long_as(timeout, || time_out(timeout, &mut conn));
            }
        }
        server::Kind::MariaDb => {
            conn.batch_execute("SET max_statement_time = 1").unwrap();
            for lock in [
                LOCK.timeout(Duration::from_millis(4_500)),
                LOCK.timeout(Duration::from_secs(5)),
                LOCK.without_timeout(),
            ] {
                let cut = lock.acquire(&mut conn).map(drop);
                assert!(matches!(cut, Err(Error::Interrupted { .. })), "{lock:?}: {cut:?}");
            }
            // A timeout below the limit of the session is reached first.
            let timeout = Duration::from_millis(30);
            lasts_as_long_as(timeout, || time_out(timeout, &mut conn));
        }
    }
    assert_eq!(count_and_release_locks(&mut conn), 0);

    held.release().unwrap();
    for lock in [LOCK, LOCK.timeout(Duration::from_millis(4_500)), LOCK.without_timeout()] {
        assert!(lock.acquire(&mut conn).unwrap().is_still_held().unwrap());
    }
}

#[test]
fn a_wait_without_a_timeout_outlasts_max_execution_time_on_mysql() {
    if !server::is_mysql() {
        return;
    }
    let db = Database::new();
    let (mut holder, mut conn, mut clock) = (db.connect(), db.connect(), db.connect());
    let (mut admin, id) = (Admin::new(), connection_id(&mut conn));
    conn.batch_execute("SET max_execution_time = 100").unwrap();
    let held = LOCK.acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| LOCK.without_timeout().acquire(&mut conn).map(drop));
        admin.until_waiting(id);
        time_out(Duration::from_millis(300), &mut clock);
        assert!(!waiting.is_finished());
        drop(held);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn the_timeouts_of_table_locks_do_not_affect_named_locks() {
    let db = Database::new();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    conn.batch_execute("SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1").unwrap();
    let _held = LOCK.acquire(&mut holder).unwrap();
    let timeout = Duration::from_secs(2);
    lasts_as_long_as(timeout, || time_out(timeout, &mut conn));
}

/// The timeout may expire after the server has granted the lock and before the statement has ended.
#[test]
fn a_lock_granted_at_the_moment_of_the_timeout_is_acquired_or_not_left_held() {
    const TRIES: u32 = 300;
    const TIMEOUT: Duration = Duration::from_millis(12);
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut conn) = (db.connect(), db.connect());
        let lock = LOCK.timeout(TIMEOUT);
        let (start, started) = mpsc::channel();
        let (taken, may_start) = mpsc::channel();
        let (mut granted, mut timed_out) = (0, 0);
        thread::scope(|threads| {
            threads.spawn(move || {
                for n in 0..TRIES {
                    let held = LOCK.acquire(&mut holder).unwrap();
                    taken.send(()).unwrap();
                    let at: Instant = started.recv().unwrap();
                    // Release at moments around the timeout, earlier and later, so that some
                    // coincide.
                    let release = at + TIMEOUT * 3 / 4 + TIMEOUT * (n % 40) / 120;
                    while Instant::now() < release {
                        std::hint::spin_loop();
                    }
                    held.release().unwrap();
                }
            });
            for n in 0..TRIES {
                may_start.recv().unwrap();
                start.send(Instant::now()).unwrap();
                match lock.acquire(&mut conn).map(keep) {
                    Ok(()) => {
                        granted += 1;
                        assert_eq!(count_and_release_locks(&mut conn), 1, "try {n}");
                    }
                    Err(Error::Timeout { .. }) => {
                        timed_out += 1;
                        assert_eq!(count_and_release_locks(&mut conn), 0, "try {n}");
                    }
                    Err(error) => panic!("try {n}: {error:?}"),
                }
            }
        });
        println!("{granted} granted, {timed_out} timed out");
    });
}
