//! The connection that holds a named lock.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel_locks::{Error, Lock, TableLock};

use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id};
use crate::support::user::User;
use crate::support::{PATIENCE, until, watchdog};

const LOCK: Lock = Lock::new("Lock").without_timeout();

#[test]
fn any_connection_can_query_the_holder_of_a_lock() {
    const INSPECTED: Lock = Lock::new("inspected");
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let id = connection_id(&mut conn);
    assert!(!INSPECTED.is_held(&mut other).unwrap());
    assert_eq!(INSPECTED.holding_connection_id(&mut other).unwrap(), None);

    let mut guard = INSPECTED.acquire(&mut conn).unwrap();
    for querying in [&mut other, &mut *guard] {
        assert!(INSPECTED.is_held(querying).unwrap());
        assert_eq!(INSPECTED.holding_connection_id(querying).unwrap(), Some(id));
        assert!(!INSPECTED.server_wide().is_held(querying).unwrap());
    }
}

#[test]
fn the_holder_is_returned_with_its_activity() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    assert_eq!(LOCK.holder(&mut conn).unwrap(), None);
    let id = connection_id(&mut other);
    let mut held = LOCK.acquire(&mut other).unwrap();

    let holder = LOCK.holder(&mut conn).unwrap().unwrap();
    assert_eq!(holder.process.id, id);
    assert!(holder.process.user.is_some() && holder.process.host.is_some(), "{holder:?}");
    assert_eq!(holder.process.database.as_deref(), Some(db.name()));
    assert!(holder.process.in_state.unwrap() < PATIENCE, "{holder:?}");
    assert!(holder.to_string().starts_with(&format!("connection {id} of ")), "{holder}");
    // The server may still be busy with the end of the statement that took the lock.
    until("the holder sleeps", || {
        let holder = LOCK.holder(&mut conn).unwrap().unwrap();
        holder.process.state.as_deref() == Some("Sleep") && holder.process.statement.is_none()
    });

    // The holder can query itself.
    let holder = LOCK.holder(&mut held).unwrap().unwrap();
    assert_eq!(holder.process.id, id);
    assert!(holder.process.statement.is_some());
    held.release().unwrap();
    assert_eq!(LOCK.holder(&mut conn).unwrap(), None);
}

#[test]
fn the_holders_statement_is_returned_whatever_it_contains() {
    watchdog(|| {
        let db = Database::new();
        let (mut conn, mut other, mut admin) = (db.connect(), db.connect(), Admin::new());
        let id = connection_id(&mut other);
        LOCK.acquire(&mut other).unwrap().leak();
        let text = format!("SELECT 'ж🔒', 0x00FF, '{}', SLEEP(30)", "x".repeat(5_000));
        thread::scope(|threads| {
            let running = threads.spawn(|| other.batch_execute(&text).is_err());
            until("the statement runs", || {
                let holder = LOCK.holder(&mut conn).unwrap().unwrap();
                let Some(statement) = holder.process.statement else {
                    return false;
                };
                assert!(statement.starts_with("SELECT 'ж"), "{statement}");
                assert!(statement.chars().count() <= 1024);
                true
            });
            admin.kill_connection(id);
            running.join().unwrap();
        });
    });
}

#[test]
fn holder_and_waiters_refuse_the_names_that_acquire_refuses() {
    let db = Database::new();
    let mut conn = db.connect();
    for name in ["", "a\0b", &"n".repeat(500)] {
        let (holder, waiters) =
            (Lock::new(name).holder(&mut conn), Lock::new(name).waiters(&mut conn));
        assert!(matches!(holder, Err(Error::InvalidName { .. })), "{holder:?}");
        assert!(matches!(waiters, Err(Error::InvalidName { .. })), "{waiters:?}");
    }
    let nowhere = LOCK.holder(&mut server::connect());
    assert!(matches!(nowhere, Err(Error::NoDatabase)), "{nowhere:?}");
    assert_eq!(LOCK.server_wide().holder(&mut server::connect()).unwrap(), None);
}

#[test]
fn the_holder_is_returned_inside_a_table_lock() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let _held = LOCK.acquire(&mut other).unwrap();
    let mut guard = TableLock::new().read_table("places").acquire(&mut conn).unwrap();
    let holder = LOCK.holder(&mut guard).unwrap().unwrap();
    assert_eq!(holder.process.database.as_deref(), Some(db.name()));
}

#[test]
fn a_user_with_few_privileges_gets_only_the_connection_id() {
    let db = Database::new();
    let user = User::new(&db, &[]);
    let (mut conn, mut root) = (user.connect(), db.connect());
    let id = connection_id(&mut root);
    let held = LOCK.acquire(&mut root).unwrap();
    let holder = LOCK.holder(&mut conn).unwrap().unwrap();
    assert_eq!(holder.process.id, id);
    let rest = [
        holder.process.user,
        holder.process.host,
        holder.process.database,
        holder.process.state,
        holder.process.statement,
    ];
    let shown: String = rest.into_iter().flatten().collect();
    assert_eq!((shown.as_str(), holder.process.in_state), ("", None));
    held.release().unwrap();

    // A user sees everything about its own connections.
    let mut own = user.connect();
    let _held = LOCK.acquire(&mut own).unwrap();
    let holder = LOCK.holder(&mut conn).unwrap().unwrap();
    assert_eq!(holder.process.user.as_deref(), Some(user.name()));
    assert_eq!(holder.process.database.as_deref(), Some(db.name()));
}

#[test]
fn a_user_with_the_process_privilege_gets_everything() {
    let db = Database::new();
    let (mut root, mut admin) = (db.connect(), server::connect());
    let user = User::new(&db, &[]);
    admin.batch_execute(&format!("GRANT PROCESS ON *.* TO '{}'@'%'", user.name())).unwrap();
    let _held = LOCK.acquire(&mut root).unwrap();
    let holder = LOCK.holder(&mut user.connect()).unwrap().unwrap();
    assert_eq!(holder.process.database.as_deref(), Some(db.name()));
}

#[test]
fn a_timeout_error_names_the_connection_that_holds_the_lock() {
    let db = Database::new();
    let user = User::new(&db, &[]);
    let (mut conn, mut other) = (user.connect(), db.connect());
    let id = connection_id(&mut other);
    let _held = LOCK.acquire(&mut other).unwrap();
    let error = LOCK.timeout(Duration::ZERO).acquire(&mut conn).map(drop).unwrap_err();
    let name = db.full_name(LOCK.name());
    assert_eq!(error.to_string(), format!("{name} is not free (held by connection {id})"));
    assert!(matches!(error, Error::Timeout { holder: Some(holder), .. } if holder == id));
}
