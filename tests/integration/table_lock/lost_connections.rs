//! Connections that are cut or killed at any request of a table lock.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, TableLock, with_table_lock};

use crate::support::cuts::{expect_lost, in_body};
use crate::support::proxy::{Cut, Proxy};
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id};
use crate::support::table_checks::{all_tables, is_broken, log, logged, until_all_free};
use crate::support::watchdog;

type Call = fn(&mut MysqlConnection) -> Result<(), Error>;

/// Cuts the connection at each request of a call in turn, in every way, and expects each time a
/// connection that a pool discards, free tables, and two rows or none.
fn cut_everywhere(call: Call, reports: bool) {
    watchdog(move || {
        let db = Database::with_tables();
        for cut in Cut::ALL {
            for requests in 0.. {
                db.connect().batch_execute("TRUNCATE audit_log").unwrap();
                let proxy = Proxy::new();
                let mut conn = db.connect_through(&proxy);
                proxy.cut_after(requests, cut);
                let result = call(&mut conn);
                if !proxy.was_cut() {
                    result.unwrap();
                    assert!(requests > 3);
                    break;
                }
                let place = format!("{cut:?} at request {requests}");
                if reports {
                    expect_lost(&result, &place);
                }
                assert!(is_broken(&mut conn), "{place}");
                until_all_free(&db);
                let written = logged(&db).len();
                assert!(written == 0 || written == 2, "{place}: {written} rows");
                let again = all_tables().acquire(&mut conn).map(drop);
                let refused =
                    matches!(again, Err(Error::Diesel(DieselError::BrokenTransactionManager)));
                assert!(refused, "{place}: {again:?}");
            }
        }
    });
}

fn write_two(conn: &mut MysqlConnection) -> QueryResult<()> {
    in_body(|| {
        log(conn, "one")?;
        conn.transaction(|conn| log(conn, "two"))
    })?;
    Ok(())
}

#[test]
fn a_body_that_loses_its_connection_leaves_the_tables_free() {
    cut_everywhere(|conn| all_tables().with(conn, |conn| Ok(write_two(conn)?)), true);
}

#[test]
fn a_function_that_loses_its_connection_leaves_the_tables_free() {
    #[with_table_lock(write(audit_log::table), timeout = 5)]
    fn write_two_locked(conn: &mut MysqlConnection) -> QueryResult<()> {
        write_two(conn)
    }
    cut_everywhere(|conn| Ok(write_two_locked(conn)?), true);
}

#[test]
fn a_guard_that_loses_its_connection_leaves_the_tables_free() {
    cut_everywhere(
        |conn| {
            let mut guard = all_tables().timeout(Duration::from_secs(5)).acquire(conn)?;
            write_two(&mut guard)?;
            guard.release().map(drop)
        },
        true,
    );
}

#[test]
fn a_rollback_that_loses_its_connection_leaves_the_tables_free() {
    cut_everywhere(
        |conn| {
            let mut guard = all_tables().acquire_owned(conn)?;
            write_two(&mut guard)?;
            guard.rollback().map(drop)
        },
        true,
    );
}

#[test]
fn a_drop_that_loses_its_connection_leaves_the_tables_free() {
    cut_everywhere(
        |conn| {
            let mut guard = all_tables().acquire(conn)?;
            write_two(&mut guard)?;
            drop(guard);
            Ok(())
        },
        false,
    );
}

#[test]
fn a_failing_acquire_that_loses_its_connection_leaves_the_tables_free() {
    cut_everywhere(
        |conn| {
            let lock = TableLock::new().write::<audit_log::table>().read_table("unknown");
            match lock.acquire(conn).map(drop) {
                Err(Error::Diesel(DieselError::DatabaseError(_, unknown)))
                    if unknown.message().contains("unknown") =>
                {
                    Ok(())
                }
                other => other,
            }
        },
        true,
    );
}

#[test]
fn a_waiter_that_loses_its_connection_leaves_the_tables_to_others() {
    let db = Database::with_tables();
    let (mut holder, mut admin) = (db.connect(), Admin::new());
    let proxy = Proxy::new();
    let mut conn = db.connect_through(&proxy);
    let id = connection_id(&mut conn);
    let held = TableLock::new().write::<audit_log::table>().acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| all_tables().acquire(&mut conn).map(drop));
        admin.until_waiting(id);
        proxy.cut_now();
        let lost = waiting.join().unwrap();
        assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
    });
    assert!(is_broken(&mut conn));
    held.release().unwrap();
    until_all_free(&db);
}
