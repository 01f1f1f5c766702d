//! A `MultiConnection`: its MySQL variant is locked, and its other variant is refused.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, LockConnection, Server, TableLock, with_lock, with_table_lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{connection_id, count_and_release_locks};
use crate::support::table_checks::{
    all_tables, assert_all_free, depth, is_writable, logged, session,
};

use self::connection::AnyConnection;

const LOCK: Lock = Lock::new("lock");

mod connection {
    use super::*;

    #[derive(diesel::MultiConnection)]
    pub(super) enum AnyConnection {
        Mysql(MysqlConnection),
        Sqlite(SqliteConnection),
    }

    impl LockConnection for AnyConnection {
        fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
            match self {
                Self::Mysql(conn) => Some(conn),
                Self::Sqlite(_) => None,
            }
        }
    }
}

impl AnyConnection {
    fn mysql(&mut self) -> &mut MysqlConnection {
        self.mysql_connection().unwrap()
    }
}

fn log_any(conn: &mut AnyConnection, message: &str) -> QueryResult<usize> {
    diesel::insert_into(audit_log::table).values(audit_log::message.eq(message)).execute(conn)
}

fn sqlite() -> AnyConnection {
    let mut conn = AnyConnection::establish(":memory:").unwrap();
    conn.batch_execute("CREATE TABLE audit_log (id INTEGER PRIMARY KEY, message TEXT)").unwrap();
    conn
}

#[test]
fn the_mysql_variant_is_locked_under_the_type_of_all_variants() {
    let db = Database::with_tables();
    let mut conn = AnyConnection::establish(&db.url()).unwrap();
    let found = session(conn.mysql());
    let id = connection_id(conn.mysql());
    LOCK.with(&mut conn, |conn| {
        assert_eq!(LOCK.holding_connection_id(conn).unwrap(), Some(id));
        log_any(conn, "with")
    })
    .unwrap();
    LOCK.transaction(&mut conn, |conn| conn.transaction(|conn| log_any(conn, "transaction")))
        .unwrap();
    let undone = LOCK.transaction(&mut conn, |conn| {
        log_any(conn, "rolled back")?;
        Err::<(), _>(DieselError::RollbackTransaction)
    });
    assert_eq!(undone, Err(DieselError::RollbackTransaction));

    let mut guard = LOCK.acquire(&mut conn).unwrap();
    guard.transaction(|conn| log_any(conn, "a guard's transaction")).unwrap();
    log_any(&mut guard, "a guard").unwrap();
    guard.release().unwrap();

    assert_eq!(logged(&db), ["with", "transaction", "a guard's transaction", "a guard"]);
    assert_eq!((session(conn.mysql()), depth(conn.mysql())), (found, Some(0)));
    assert_eq!(count_and_release_locks(conn.mysql()), 0);
}

#[test]
fn nested_transactions_of_the_mysql_variant_keep_its_tables_locked() {
    #[with_table_lock(write(audit_log::table))]
    fn attribute(conn: &mut AnyConnection) -> QueryResult<usize> {
        conn.transaction(|conn| log_any(conn, "attribute"))
    }
    let db = Database::with_tables();
    let mut conn = AnyConnection::establish(&db.url()).unwrap();
    all_tables()
        .with(&mut conn, |conn| {
            conn.transaction(|conn| log_any(conn, "a savepoint"))?;
            let undone = conn.transaction(|conn| {
                log_any(conn, "rolled back")?;
                Err::<(), _>(DieselError::RollbackTransaction)
            });
            assert_eq!(undone, Err(DieselError::RollbackTransaction));
            assert!(!is_writable(&db, "audit_log"));
            QueryResult::Ok(())
        })
        .unwrap();
    attribute(&mut conn).unwrap();
    let mut guard = all_tables().acquire_owned(Box::new(conn)).unwrap();
    guard.transaction(|conn| log_any(conn, "owned")).unwrap();
    let mut conn = guard.release().unwrap();

    let refused = conn.transaction(|conn| {
        all_tables().with(conn, |_| -> Result<(), Error> { panic!("the body runs") })
    });
    assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
    assert_eq!(logged(&db), ["a savepoint", "attribute", "owned"]);
    assert_all_free(&db);
}

#[test]
fn the_sqlite_variant_is_unsupported_in_every_call_and_its_body_is_not_run() {
    let tables = TableLock::new().write::<audit_log::table>();
    let body = |_: &mut AnyConnection| -> Result<(), Error> { panic!("the body runs") };
    let conn = &mut sqlite();
    let results = [
        LOCK.acquire(conn).map(drop),
        LOCK.try_acquire(conn).map(drop),
        LOCK.acquire_owned(&mut *conn).map(drop).map_err(Error::from),
        LOCK.try_acquire_owned(&mut *conn).map(drop).map_err(Error::from),
        LOCK.with(conn, body),
        LOCK.try_with(conn, body).map(drop),
        LOCK.transaction(conn, body),
        LOCK.release(conn),
        Lock::release_all(conn).map(drop),
        LOCK.is_held(conn).map(drop),
        LOCK.holding_connection_id(conn).map(drop),
        LOCK.holder(conn).map(drop),
        LOCK.waiters(conn).map(drop),
        Lock::held_with_prefix("", conn).map(drop),
        tables.acquire(conn).map(drop),
        tables.acquire_owned(&mut *conn).map(drop).map_err(Error::from),
        tables.with(conn, body),
        tables.blockers(conn).map(drop),
        Server::inspect(conn).map(drop),
    ];
    for (call, result) in results.into_iter().enumerate() {
        let error = result.expect_err(&format!("call {call}"));
        assert!(matches!(error, Error::Unsupported { .. }), "call {call}: {error:?}");
        assert!(error.to_string().contains("not a MySQL connection"), "{error}");
    }
    log_any(conn, "it still works").unwrap();
    conn.transaction(|conn| log_any(conn, "with transactions too")).unwrap();
    assert_eq!(audit_log::table.count().get_result(conn), Ok(2_i64));
}

#[test]
fn the_sqlite_variant_is_unsupported_in_every_attribute() {
    #[with_lock("lock")]
    fn locked(conn: &mut AnyConnection) -> Result<(), Error> {
        panic!("the body runs: {}", conn.mysql_connection().is_some())
    }

    #[with_lock("lock", transaction)]
    fn in_transaction(conn: &mut AnyConnection) -> Result<(), Error> {
        panic!("the body runs: {}", conn.mysql_connection().is_some())
    }

    #[with_lock("lock", if_busy = Ok(()))]
    fn if_free(conn: &mut AnyConnection) -> Result<(), Error> {
        panic!("the body runs: {}", conn.mysql_connection().is_some())
    }

    #[with_table_lock(write(audit_log::table))]
    fn table_locked(conn: &mut AnyConnection) -> Result<(), Error> {
        panic!("the body runs: {}", conn.mysql_connection().is_some())
    }

    let conn = &mut sqlite();
    for function in [locked, in_transaction, if_free, table_locked] {
        let refused = function(conn);
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    }
}

#[test]
fn a_pool_of_all_variants_is_locked_like_a_connection() {
    type AnyPool = Pool<ConnectionManager<AnyConnection>>;
    fn pool(url: &str) -> AnyPool {
        Pool::builder().max_size(1).build(ConnectionManager::new(url)).unwrap()
    }
    let db = Database::with_tables();
    let mysql = pool(&db.url());
    let id = connection_id(mysql.get().unwrap().mysql());
    let mut conn = mysql.get().unwrap();
    LOCK.transaction(&mut conn, |conn| log_any(conn, "transaction")).unwrap();
    all_tables().with(&mut conn, |conn| conn.transaction(|conn| log_any(conn, "tables"))).unwrap();
    let mut guard = all_tables().acquire_owned(LOCK.acquire_owned(conn).unwrap().leak()).unwrap();
    guard.transaction(|conn| log_any(conn, "owned")).unwrap();
    let mut conn = guard.release().unwrap();
    LOCK.release(&mut conn).unwrap();
    drop(conn);
    assert_eq!(logged(&db), ["transaction", "tables", "owned"]);
    // The pool has kept the connection, since nothing is open on it.
    assert_eq!(connection_id(mysql.get().unwrap().mysql()), id);
    assert_all_free(&db);

    let sqlite = pool(":memory:");
    let failed = LOCK.acquire_owned(sqlite.get().unwrap()).map(drop).unwrap_err();
    assert!(matches!(failed.error(), Error::Unsupported { .. }), "{failed:?}");
    let (_, mut conn) = failed.into_parts();
    assert!(matches!(&*conn, AnyConnection::Sqlite(_)));
    conn.batch_execute("SELECT 1").unwrap();
}
