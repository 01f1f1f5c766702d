//! Failures that repeat, and servers on which nothing more can be prepared, or which keep no
//! errors.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::Text;
use diesel_locks::{Error, Lock, Server, TableLock};

use super::character_sets::session;
use crate::support::alone;
use crate::support::private_server::PrivateServer;
use crate::support::schema::audit_log;
use crate::support::server::{Admin, connection_id};
use crate::support::table_checks::is_broken;
use crate::support::watchdog;

const LOCK: Lock = Lock::new("lock");

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// Returns how many statements are prepared at the server. No other test uses it.
fn prepared(admin: &mut Admin) -> usize {
    let status = "SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'";
    diesel::sql_query(status).get_result::<Status>(&mut admin.0).unwrap().value.parse().unwrap()
}

type Failure = fn(&mut MysqlConnection, &str);

/// Calls that fail, each with a name that is too long.
const FAILURES: [(&str, Failure); 10] = [
    ("acquire", |conn, long| drop(Lock::new(long).acquire(conn).unwrap_err())),
    ("try_acquire", |conn, long| drop(Lock::new(long).try_acquire(conn).unwrap_err())),
    ("a fraction of a second", |conn, long| {
        let timeout = Duration::from_millis(5);
        drop(Lock::new(long).timeout(timeout).acquire(conn).unwrap_err());
    }),
    ("release", |conn, long| drop(Lock::new(long).release(conn).unwrap_err())),
    ("is_held", |conn, long| drop(Lock::new(long).is_held(conn).unwrap_err())),
    ("holder", |conn, long| drop(Lock::new(long).holder(conn).unwrap_err())),
    ("server_wide", |conn, long| drop(Lock::new(long).server_wide().is_held(conn).unwrap_err())),
    ("in_database", |conn, long| {
        drop(Lock::new(long).in_database("d").acquire(conn).unwrap_err());
    }),
    ("sets of many sizes", |conn, long| {
        for size in 2..12 {
            let set = Lock::all((0..size).map(|number| number.to_string()));
            set.acquire(conn).unwrap().release().unwrap();
        }
        drop(Lock::all(["a", "b", long]).acquire(conn).unwrap_err());
    }),
    ("inspect under a table lock", |conn, _| {
        Server::inspect(conn).unwrap();
        let inspect = |conn: &mut MysqlConnection| {
            Server::inspect(conn).unwrap();
            assert!(LOCK.waiters(conn).is_err());
            assert!(!LOCK.is_held(conn).unwrap());
            Ok::<_, Error>(())
        };
        TableLock::new().write_table("places").with(conn, inspect).unwrap();
    }),
];

alone! {
    fn failures_do_not_pile_up_prepared_statements() {
        watchdog(|| {
            const MOST: usize = 16 * 4 + 8;
            let Some(server) = PrivateServer::start() else { return };
            let mut admin = Admin(server.connect("shop"));
            let long = "n".repeat(500);
            // Open to the end, so that none of its statements is freed.
            let mut conns: Vec<_> = FAILURES.iter().map(|_| server.connect("shop")).collect();
            for ((failure, fail), conn) in FAILURES.iter().zip(&mut conns) {
                let before = prepared(&mut admin);
                for _ in 0..200 {
                    fail(conn, &long);
                }
                let grown = prepared(&mut admin).saturating_sub(before);
                assert!(grown <= MOST, "{failure}: {grown} more statements");
                LOCK.acquire(conn).unwrap().release().unwrap();
            }
            let mut conn = server.connect("shop");
            let before = prepared(&mut admin);
            for (_, fail) in FAILURES.iter().cycle().take(400) {
                fail(&mut conn, &long);
            }
            let grown = prepared(&mut admin).saturating_sub(before);
            assert!(grown <= MOST, "all: {grown} more statements");
        });
    }

    fn killed_waits_do_not_pile_up_prepared_statements() {
        watchdog(|| {
            let Some(server) = PrivateServer::start() else { return };
            let mut admin = Admin(server.connect("shop"));
            let (mut holder, mut conn) = (server.connect("shop"), server.connect("shop"));
            let id = connection_id(&mut conn);
            let held = LOCK.acquire(&mut holder).unwrap();
            let before = prepared(&mut admin);
            for _ in 0..200 {
                thread::scope(|threads| {
                    let killed = threads.spawn(|| LOCK.acquire(&mut conn).map(drop));
                    admin.until_waiting(id);
                    admin.kill_query(id);
                    let killed = killed.join().unwrap();
                    assert!(matches!(killed, Err(Error::Interrupted { .. })), "{killed:?}");
                });
            }
            let grown = prepared(&mut admin).saturating_sub(before);
            assert!(grown <= 40, "{grown} more statements");
            held.release().unwrap();
            LOCK.acquire(&mut conn).unwrap().release().unwrap();
        });
    }
}

const RESET: &str = "SET GLOBAL max_prepared_stmt_count = 16382";

/// Makes every call in a transaction of the caller's and under its own lock.
fn expect_nothing_of_the_callers_is_lost(what: &str, server: &PrivateServer, setting: &str) {
    for sql_of_stale_error in
        ["DO 0", "SELECT * FROM no_such_table", "NONSENSE", "SET character_set_results = utf16"]
    {
        let mut admin = Admin(server.connect("shop"));
        let mut conn = server.connect("shop");
        let id = connection_id(&mut conn);
        let what = format!("{what}, after {sql_of_stale_error}");
        assert_eq!(admin.holder("shop.lock"), None, "{what}");
        let rows: i64 = audit_log::table.count().get_result(&mut admin.0).unwrap();
        conn.batch_execute(
            "DO GET_LOCK('shop.lock', 0); DO GET_LOCK('mine', 0); \
             BEGIN; INSERT INTO audit_log (message) VALUES ('kept')",
        )
        .unwrap();
        admin.0.batch_execute(setting).unwrap();
        let stale = |conn: &mut MysqlConnection| drop(conn.batch_execute(sql_of_stale_error));
        let long = "n".repeat(500);
        for lock in [LOCK, Lock::new("another"), Lock::new("mine").server_wide(), Lock::new(&long)]
        {
            for _ in 0..2 {
                stale(&mut conn);
                // Some of these still work.
                drop(lock.acquire(&mut conn));
                stale(&mut conn);
                drop(lock.try_acquire(&mut conn));
                stale(&mut conn);
                drop(lock.timeout(Duration::from_millis(5)).acquire(&mut conn));
                stale(&mut conn);
                let _ = lock.is_held(&mut conn);
                stale(&mut conn);
                let _ = lock.holder(&mut conn);
                let _ = lock.waiters(&mut conn);
                let _ = Lock::held_with_prefix("", &mut conn);
                let _ = Server::inspect(&mut conn);
                stale(&mut conn);
                let open = lock.transaction(&mut conn, |_| Ok::<_, Error>(()));
                assert!(open.is_err(), "{what}");
                stale(&mut conn);
                let open = TableLock::new().write_table("audit_log").acquire(&mut conn).map(drop);
                assert!(open.is_err(), "{what}");
                assert!(!is_broken(&mut conn), "{what}");
                admin.0.batch_execute(RESET).unwrap();
                assert_eq!(admin.holder("shop.lock"), Some(id), "{what}");
                assert_eq!(admin.holder("mine"), Some(id), "{what}");
                admin.0.batch_execute(setting).unwrap();
            }
        }
        admin.0.batch_execute(RESET).unwrap();
        assert_eq!(admin.holder("shop.another"), None, "{what}");
        let seen = audit_log::table.count().get_result::<i64>(&mut admin.0);
        assert_eq!(seen, Ok(rows), "{what}: committed");
        conn.batch_execute("COMMIT; DO RELEASE_ALL_LOCKS()").unwrap();
        let seen = audit_log::table.count().get_result::<i64>(&mut admin.0);
        assert_eq!(seen, Ok(rows + 1), "{what}: rolled back");
        admin.0.batch_execute(setting).unwrap();
        expect_table_locks_to_work(&what, &mut conn, &mut admin, rows + 1, &stale);
        let mut fresh = server.connect("shop");
        stale(&mut fresh);
        assert_eq!(session(&mut conn), session(&mut fresh), "{what}");
    }
}

/// Table locks prepare nothing unless something fails.
fn expect_table_locks_to_work(
    what: &str,
    conn: &mut MysqlConnection,
    admin: &mut Admin,
    rows: i64,
    stale: &dyn Fn(&mut MysqlConnection),
) {
    stale(conn);
    let unknown = TableLock::new().write_table("unknown").acquire(conn).map(drop);
    let is_diesels = matches!(unknown, Err(Error::Diesel(DieselError::DatabaseError(..))));
    assert!(is_diesels, "{what}: {unknown:?}");
    let lock = TableLock::new().write_table("audit_log");
    let insert = "INSERT INTO audit_log (message) VALUES ('row')";
    lock.with(conn, |conn| conn.batch_execute(insert)).unwrap();
    stale(conn);
    let ended = lock.with(conn, |conn| conn.batch_execute(&format!("{insert}; COMMIT; {insert}")));
    assert!(ended.is_err(), "{what}");
    let failed = lock.with(conn, |conn| {
        conn.batch_execute(insert)?;
        Err::<(), _>(DieselError::NotFound)
    });
    assert_eq!(failed, Err(DieselError::NotFound), "{what}");
    assert!(!is_broken(conn), "{what}");
    admin.0.batch_execute(RESET).unwrap();
    let seen = audit_log::table.count().get_result::<i64>(&mut admin.0);
    assert_eq!(seen, Ok(rows + 2), "{what}");
}

#[test]
fn where_nothing_can_be_prepared_no_call_loses_what_is_the_callers() {
    watchdog(|| {
        let Some(server) = PrivateServer::start() else { return };
        let limit = "SET GLOBAL max_prepared_stmt_count = 0";
        expect_nothing_of_the_callers_is_lost("nothing prepared", &server, limit);
    });
}

#[test]
fn where_errors_are_not_kept_no_call_loses_what_is_the_callers() {
    watchdog(|| {
        let Some(server) = PrivateServer::start() else { return };
        // It counts for the sessions that begin after it.
        let setting = "SET GLOBAL max_error_count = 0";
        server.connect("shop").batch_execute(setting).unwrap();
        expect_nothing_of_the_callers_is_lost("no errors", &server, "DO 0");
        let limit = "SET GLOBAL max_prepared_stmt_count = 0";
        expect_nothing_of_the_callers_is_lost("neither", &server, limit);
    });
}

#[test]
fn a_timeout_where_nothing_can_be_prepared_is_the_one_that_was_set() {
    watchdog(|| {
        let Some(server) = PrivateServer::start() else { return };
        let (mut conn, mut other) = (server.connect("shop"), server.connect("shop"));
        let lock = TableLock::new().write_table("places");
        let held = lock.acquire(&mut other).unwrap();
        let mut admin = server.connect("shop");
        admin.batch_execute("SET GLOBAL max_prepared_stmt_count = 0").unwrap();
        let timeout = lock.clone().timeout(Duration::from_secs(1)).acquire(&mut conn).map(drop);
        let is_one = |error: &Result<(), Error>| matches!(error, Err(Error::Timeout { timeout, .. }) if *timeout == Duration::from_secs(1));
        assert!(is_one(&timeout), "{timeout:?}");
        conn.batch_execute("SET lock_wait_timeout = 1").unwrap();
        let timeout = lock.acquire(&mut conn).map(drop);
        assert!(is_one(&timeout), "{timeout:?}");
        let named = LOCK.acquire(&mut conn).map(drop);
        assert!(matches!(named, Err(Error::Diesel(_))), "{named:?}");
        held.release().unwrap();
        assert!(!is_broken(&mut conn));
    });
}
