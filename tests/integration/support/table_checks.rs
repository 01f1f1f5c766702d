//! Checks of a session and of its tables, for tests of table locks.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::dsl::sql;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::sql_types::{BigInt, Bool};
use diesel_locks::{LockableTable, Parents, TableLock};

use crate::support::schema::{Database, audit_log, customers, places, restaurants};
use crate::support::until;

pub(crate) struct Customer;

impl LockableTable for Customer {
    type Table = customers::table;
}

pub(crate) struct Place;

impl LockableTable for Place {
    type Table = places::table;
}

/// A place with more columns, which inherits from `Place`.
pub(crate) struct Restaurant;

impl LockableTable for Restaurant {
    type Table = restaurants::table;

    fn parents(parents: &mut Parents<'_>) {
        parents.add::<Place>();
    }
}

/// Locks all tables of the test's database, one of them only for reading.
pub(crate) fn all_tables() -> TableLock {
    TableLock::new()
        .write::<audit_log::table>()
        .write::<Restaurant>()
        .read::<Customer>()
        .read_as::<Place>("parent_place")
}

/// Sessions as a lock may find them: with the server's defaults, and with none of them.
pub(crate) const SESSIONS: [&str; 3] = [
    "DO 0",
    "SET autocommit = 0, innodb_table_locks = 0, lock_wait_timeout = 7, wait_timeout = 77",
    "SET autocommit = 1, innodb_table_locks = 0, lock_wait_timeout = 31536000",
];

/// The variables that a lock changes while it is held, and must restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
#[diesel(check_for_backend(Mysql))]
pub(crate) struct Session {
    #[diesel(sql_type = BigInt)]
    pub(crate) autocommit: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) innodb_table_locks: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) lock_wait_timeout: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) innodb_lock_wait_timeout: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) wait_timeout: i64,
}

pub(crate) fn try_session(conn: &mut MysqlConnection) -> QueryResult<Session> {
    diesel::sql_query(
        "SELECT CAST(@@autocommit + 0 AS SIGNED) AS autocommit, \
         CAST(@@innodb_table_locks + 0 AS SIGNED) AS innodb_table_locks, \
         CAST(@@lock_wait_timeout AS SIGNED) AS lock_wait_timeout, \
         CAST(@@innodb_lock_wait_timeout AS SIGNED) AS innodb_lock_wait_timeout, \
         CAST(@@wait_timeout AS SIGNED) AS wait_timeout",
    )
    .get_result(conn)
}

pub(crate) fn session(conn: &mut MysqlConnection) -> Session {
    try_session(conn).unwrap()
}

/// Returns how many transactions Diesel considers open, or `None` if it considers the connection
/// broken.
pub(crate) fn depth(conn: &mut MysqlConnection) -> Option<u32> {
    let status = AnsiTransactionManager::transaction_manager_status_mut(conn);
    status.transaction_depth().ok().map(|depth| depth.map_or(0, u32::from))
}

/// Returns whether a pool would discard the connection.
pub(crate) fn is_broken(conn: &mut MysqlConnection) -> bool {
    R2D2Connection::is_broken(conn)
}

pub(crate) fn log(conn: &mut MysqlConnection, message: &str) -> QueryResult<usize> {
    diesel::insert_into(audit_log::table).values(audit_log::message.eq(message)).execute(conn)
}

/// Returns the committed messages, in order.
pub(crate) fn logged(db: &Database) -> Vec<String> {
    audit_log::table
        .order(audit_log::id)
        .select(audit_log::message)
        .load(&mut db.connect())
        .unwrap()
}

/// Returns whether another connection can write to a table without waiting.
pub(crate) fn is_writable(db: &Database, table: &str) -> bool {
    let mut other = db.connect();
    other.batch_execute("SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1").unwrap();
    other.batch_execute(&format!("BEGIN; DELETE FROM `{table}` WHERE FALSE; ROLLBACK")).is_ok()
}

/// Fails unless another connection can lock and write every table at once.
#[track_caller]
pub(crate) fn assert_all_free(db: &Database) {
    let mut other = db.connect();
    let tables = "audit_log WRITE, customers WRITE, places WRITE, restaurants WRITE";
    other
        .batch_execute(&format!(
            "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1, autocommit = 0; \
             LOCK TABLES {tables}; ROLLBACK; UNLOCK TABLES"
        ))
        .expect("a table is still locked, or written by a transaction that is still open");
}

/// Waits until another connection can lock every table, once the server has noticed that a
/// connection is gone.
pub(crate) fn until_all_free(db: &Database) {
    let mut other = db.connect();
    other.batch_execute("SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1").unwrap();
    until("all tables are free", || {
        let tables = "audit_log WRITE, customers WRITE, places WRITE, restaurants WRITE";
        other.batch_execute(&format!("LOCK TABLES {tables}; UNLOCK TABLES")).is_ok()
    });
}

/// Returns whether a transaction is open, including one that Diesel does not know about.
pub(crate) fn has_open_transaction(conn: &mut MysqlConnection) -> bool {
    conn.batch_execute("SET TRANSACTION READ WRITE").is_err()
}

/// Returns whether this connection has locked tables, because the server then refuses to use any
/// other. Call it outside of a transaction.
pub(crate) fn has_locked_tables(conn: &mut MysqlConnection) -> bool {
    // No test locks it under this alias.
    let refused = diesel::select(sql::<Bool>("EXISTS (SELECT 1 FROM audit_log AS never_locked)"))
        .get_result::<bool>(conn)
        .is_err();
    // Without autocommit the query itself has begun a transaction. Whatever `completion_type` says.
    conn.batch_execute("ROLLBACK AND NO CHAIN NO RELEASE").unwrap();
    refused
}
