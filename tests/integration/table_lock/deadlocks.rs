//! Deadlocks while waiting for tables, and under a table lock.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_locks::{Error, Lock, TableLock};

use crate::support::schema::{Database, places};
use crate::support::server::{Admin, connection_id};
use crate::support::table_checks::{Place, assert_all_free, depth, session};

#[test]
fn a_deadlock_between_a_table_lock_and_a_named_lock_ends_one_of_the_waits() {
    let db = Database::with_tables();
    let (mut conn, mut other, mut admin) = (db.connect(), db.connect(), Admin::new());
    let (id, found) = (connection_id(&mut conn), session(&mut conn));
    let named = Lock::new("named").without_timeout();
    let lock = TableLock::new().write::<Place>().timeout(Duration::from_secs(20));
    named.acquire(&mut other).unwrap().leak();
    thread::scope(|threads| {
        let inside = threads.spawn(|| {
            lock.with(&mut conn, |conn| {
                conn.batch_execute("INSERT INTO places (name) VALUES ('lost')")?;
                named.with(conn, |_| Ok::<_, Error>(()))
            })
        });
        admin.until_waiting(id);
        let outer = lock.acquire(&mut other).map(drop);
        // The server chooses which wait it ends. The other one then succeeds.
        if outer.is_err() {
            assert!(matches!(outer, Err(Error::Deadlock { .. })), "{outer:?}");
            named.release(&mut other).unwrap();
            inside.join().unwrap().unwrap();
        } else {
            let inside = inside.join().unwrap();
            assert!(matches!(inside, Err(Error::Deadlock { .. })), "{inside:?}");
        }
    });
    assert_eq!(session(&mut conn), found);
    assert_eq!(session(&mut other), found);
    assert_all_free(&db);
}

#[test]
fn a_body_that_the_server_rolled_back_leaves_the_session_as_it_was() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    other.batch_execute("INSERT INTO places VALUES (1, 'one'), (2, 'two'), (3, 'three')").unwrap();
    let found = session(&mut conn);
    let write = |conn: &mut MysqlConnection, id: i32| {
        diesel::update(places::table.find(id)).set(places::name.eq("new")).execute(conn)
    };
    other.batch_execute("SET SESSION innodb_lock_wait_timeout = 30").unwrap();
    let ((written, other_goes), (proceed, others_went)) = (mpsc::channel(), mpsc::channel());
    let inside = &mut conn;
    thread::scope(|threads| {
        let inside = threads.spawn(move || {
            TableLock::new().write::<Place>().with(inside, |conn| {
                // No other connection can lock rows of locked tables, so this takes a body that
                // unlocks.
                conn.batch_execute("UNLOCK TABLES")?;
                write(conn, 1)?;
                written.send(()).unwrap();
                others_went.recv().unwrap();
                write(conn, 2)
            })
        });
        other_goes.recv().unwrap();
        other.batch_execute("BEGIN").unwrap();
        // It writes more rows than the body, so that the body is the one that is rolled back.
        write(&mut other, 2).unwrap();
        write(&mut other, 3).unwrap();
        for _ in 0..20 {
            other.batch_execute("INSERT INTO places (name) VALUES ('weight')").unwrap();
        }
        proceed.send(()).unwrap();
        write(&mut other, 1).unwrap();
        let failed = inside.join().unwrap();
        assert!(
            matches!(
                failed,
                Err(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _))
            ),
            "{failed:?}"
        );
    });
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!((session(&mut conn), depth(&mut conn)), (found, Some(0)));
    assert_all_free(&db);
}
