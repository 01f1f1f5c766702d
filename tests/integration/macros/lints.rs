//! The expansions under every lint that a user may have forbidden. That they compile is the test.
#![forbid(
    deprecated,
    keyword_idents,
    let_underscore_drop,
    nonstandard_style,
    path_statements,
    redundant_semicolons,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unreachable_code,
    unreachable_pub,
    unsafe_code,
    unused_assignments,
    unused_attributes,
    unused_braces,
    unused_import_braces,
    unused_imports,
    unused_labels,
    unused_lifetimes,
    unused_must_use,
    unused_mut,
    unused_parens,
    unused_qualifications,
    unused_results,
    unused_variables,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::pattern_type_mismatch,
    clippy::let_underscore_untyped,
    clippy::unwrap_used,
    clippy::expect_used
)]
#![deny(rust_2018_idioms)]
// No function is called.
#![allow(dead_code)]

use std::time::Duration;

use diesel::prelude::*;
use diesel::result::Error::NotFound;
use diesel_locks::{Lock, LockConnection, LockableTable, TableLock, with_lock, with_table_lock};

use crate::support::schema::{audit_log, places};

#[derive(Debug, LockableTable)]
struct Place;

#[derive(Debug, LockableTable)]
#[diesel(table_name = audit_log)]
#[lockable(parents(Place))]
struct Entry<'e, T, const N: usize>(&'e [T; N])
where
    T: Clone;

#[with_lock("lock")]
fn one_line(conn: &mut MysqlConnection) -> QueryResult<i64> {
    count(conn)
}

#[with_lock("lock")]
fn nothing_is_used(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock-{id}")]
fn only_the_name_uses_it(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock")]
fn underscore(_conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock", conn = _db)]
fn owned_underscore(mut _db: MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock")]
fn reassigned<'c>(
    mut conn: &'c mut MysqlConnection,
    other: &'c mut MysqlConnection,
) -> QueryResult<i64> {
    conn = other;
    count(conn)
}

#[with_lock("lock", transaction, server_wide, shortened, timeout = Duration::from_secs(1))]
fn options(mut conn: MysqlConnection) -> QueryResult<i64> {
    count(&mut conn)
}

#[with_lock("{}-{n:04}", name, n = 1 + 1, if_busy = Ok(0), in_database = "other")]
fn busy(conn: &mut MysqlConnection, name: &str) -> QueryResult<i64> {
    count(conn)
}

#[with_lock("{name}", if_busy = Err(NotFound))]
fn returned(conn: &mut MysqlConnection, name: &str) -> QueryResult<i64> {
    count(conn)
}

#[with_lock("lock", without_timeout)]
fn diverges(conn: &mut MysqlConnection) -> QueryResult<()> {
    loop {
        drop(count(conn));
    }
}

#[with_lock("lock", if_busy = panic!("busy"))]
fn panics_if_busy(conn: &mut MysqlConnection) -> QueryResult<i64> {
    count(conn)
}

#[with_lock("lock")]
fn hidden(conn: &mut MysqlConnection) -> QueryResult<impl Iterator<Item = i64> + use<>> {
    Ok(std::iter::once(count(conn)?))
}

#[with_table_lock(read(Place, Place as "p"), write(audit_log::table, "log" as "l"), timeout = 1)]
fn tables(conn: &mut MysqlConnection) -> QueryResult<i64> {
    count(conn)
}

#[with_lock("outer")]
#[with_lock("inner", if_busy = Ok(0))]
#[with_table_lock(read(Entry<'static, u8, 2>))]
fn stacked(conn: &mut MysqlConnection) -> QueryResult<i64> {
    count(conn)
}

#[with_lock("generic", crate = diesel_locks)]
fn generic<C: LockConnection>(conn: &mut C) -> QueryResult<bool> {
    Ok(conn.mysql_connection().is_some())
}

#[derive(Debug)]
struct Repository<C> {
    conn: C,
    id: i32,
}

impl<C: LockConnection> Repository<C> {
    #[with_lock("lock-{}", self.id, conn = self.conn)]
    fn method(&mut self) -> QueryResult<bool> {
        Ok(self.conn.mysql_connection().is_some())
    }
}

/// The names are imported, so that a path that repeats them would be an unused qualification.
fn imported() -> (Lock<'static>, TableLock) {
    (Lock::new("lock"), TableLock::new())
}

fn count(conn: &mut MysqlConnection) -> QueryResult<i64> {
    places::table.count().get_result(conn)
}
