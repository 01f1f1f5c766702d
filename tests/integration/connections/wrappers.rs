//! Wrappers of a program: a newtype, and ones that Diesel executes queries on.

use diesel::connection::{
    AnsiTransactionManager, CacheSize, Connection, ConnectionSealed, Instrumentation,
    LoadConnection, SimpleConnection, TransactionManager, TransactionManagerStatus,
};
use diesel::expression::QueryMetadata;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel_locks::{Error, Lock, LockConnection, with_lock, with_table_lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{connection_id, count_and_release_locks};
use crate::support::table_checks::{
    all_tables, assert_all_free, depth, has_locked_tables, is_writable, logged, session,
};

const LOCK: Lock = Lock::new("lock");

/// A wrapper that Diesel knows nothing about.
struct Tenant {
    id: i32,
    conn: MysqlConnection,
}

impl LockConnection for Tenant {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        Some(&mut self.conn)
    }
}

/// Defines a wrapper that counts queries, and on which Diesel executes them.
macro_rules! counting_wrapper {
    ($(#[$doc:meta])* $name:ident, $manager:ty, |$wrapper:ident| $state:expr) => {
        $(#[$doc])*
        struct $name {
            conn: MysqlConnection,
            #[allow(dead_code, reason = "not every one of them has a use for it")]
            own_state: AnsiTransactionManager,
            queries: u32,
        }

        impl SimpleConnection for $name {
            fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
                self.queries += 1;
                self.conn.batch_execute(query)
            }
        }

        impl ConnectionSealed for $name {}

        impl Connection for $name {
            type Backend = Mysql;
            type TransactionManager = $manager;

            fn establish(url: &str) -> ConnectionResult<Self> {
                let conn = MysqlConnection::establish(url)?;
                Ok(Self { conn, own_state: AnsiTransactionManager::default(), queries: 0 })
            }

            fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
            where
                T: QueryFragment<Mysql> + QueryId,
            {
                self.queries += 1;
                self.conn.execute_returning_count(source)
            }

            fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
                let $wrapper = self;
                $state
            }

            fn instrumentation(&mut self) -> &mut dyn Instrumentation {
                self.conn.instrumentation()
            }

            fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
                self.conn.set_instrumentation(instrumentation);
            }

            fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
                self.conn.set_prepared_statement_cache_size(size);
            }
        }

        impl LoadConnection for $name {
            type Cursor<'conn, 'query> = <MysqlConnection as LoadConnection>::Cursor<'conn, 'query>;
            type Row<'conn, 'query> = <MysqlConnection as LoadConnection>::Row<'conn, 'query>;

            fn load<'conn, 'query, T>(
                &'conn mut self,
                source: T,
            ) -> QueryResult<Self::Cursor<'conn, 'query>>
            where
                T: Query + QueryFragment<Mysql> + QueryId + 'query,
                Mysql: QueryMetadata<T::SqlType>,
            {
                self.queries += 1;
                self.conn.load(source)
            }
        }

        impl LockConnection for $name {
            fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
                Some(&mut self.conn)
            }
        }

        impl $name {
            fn log(&mut self, message: &str) -> QueryResult<usize> {
                let row = audit_log::message.eq(message);
                diesel::insert_into(audit_log::table).values(row).execute(self)
            }
        }
    };
}

counting_wrapper!(
    /// Its transaction manager runs that of the connection inside, as `diesel_logger` does.
    Delegating, Delegate, |wrapper| wrapper.conn.transaction_state()
);
counting_wrapper!(
    /// It shares the transaction state of the connection inside, as `diesel-tracing` does.
    Sharing, AnsiTransactionManager, |wrapper| wrapper.conn.transaction_state()
);
counting_wrapper!(
    /// It has a separate transaction state, against the contract of `LockConnection`.
    Separate, AnsiTransactionManager, |wrapper| &mut wrapper.own_state
);

struct Delegate;

type Inner = AnsiTransactionManager;

impl TransactionManager<Delegating> for Delegate {
    type TransactionStateData = AnsiTransactionManager;

    fn begin_transaction(conn: &mut Delegating) -> QueryResult<()> {
        Inner::begin_transaction(&mut conn.conn)
    }

    fn rollback_transaction(conn: &mut Delegating) -> QueryResult<()> {
        Inner::rollback_transaction(&mut conn.conn)
    }

    fn commit_transaction(conn: &mut Delegating) -> QueryResult<()> {
        Inner::commit_transaction(&mut conn.conn)
    }

    fn transaction_manager_status_mut(conn: &mut Delegating) -> &mut TransactionManagerStatus {
        Inner::transaction_manager_status_mut(&mut conn.conn)
    }
}

#[test]
fn a_newtype_reaches_the_body_with_everything_it_has() {
    #[with_lock("tenant-{}", tenant.id, conn = tenant)]
    fn locked(tenant: &mut Tenant) -> QueryResult<Option<u64>> {
        assert_eq!(tenant.id, 7);
        let lock = Lock::new("tenant-7");
        Ok(lock.holding_connection_id(tenant)?)
    }
    let db = Database::with_tables();
    let mut tenant = Tenant { id: 7, conn: db.connect() };
    let id = connection_id(&mut tenant.conn);
    assert_eq!(locked(&mut tenant), Ok(Some(id)));
    LOCK.with(&mut tenant, |tenant| {
        tenant.id = 8;
        QueryResult::Ok(())
    })
    .unwrap();
    let guard = LOCK.acquire(&mut tenant).unwrap();
    assert_eq!(guard.id, 8);
    drop(guard);
    let mut guard = all_tables().acquire_owned(Box::new(tenant)).unwrap();
    guard.id = 9;
    let mut tenant: Box<Tenant> = guard.rollback().unwrap();
    assert_eq!(tenant.id, 9);
    assert_eq!(count_and_release_locks(&mut tenant.conn), 0);
}

macro_rules! works_like_the_connection_inside {
    ($test:ident, $name:ident) => {
        #[test]
        fn $test() {
            #[with_table_lock(write(audit_log::table))]
            fn attribute(conn: &mut $name) -> QueryResult<usize> {
                conn.transaction(|conn| conn.log("attribute"))
            }

            let db = Database::with_tables();
            let mut conn = $name::establish(&db.url()).unwrap();
            let found = session(&mut conn.conn);
            all_tables()
                .with(&mut conn, |conn| {
                    conn.transaction(|conn| conn.log("a savepoint"))?;
                    let undone = conn.transaction(|conn| {
                        conn.log("rolled back")?;
                        Err::<(), _>(diesel::result::Error::RollbackTransaction)
                    });
                    assert_eq!(undone, Err(diesel::result::Error::RollbackTransaction));
                    assert!(!is_writable(&db, "audit_log"));
                    assert_eq!(depth(&mut conn.conn), Some(1));
                    conn.log("under the lock")
                })
                .unwrap();
            attribute(&mut conn).unwrap();
            LOCK.transaction(&mut conn, |conn| conn.transaction(|conn| conn.log("twice"))).unwrap();

            let mut guard = LOCK.acquire_owned(Box::new(conn)).unwrap();
            guard.transaction(|conn| conn.log("owned")).unwrap();
            let mut guard = all_tables().acquire_owned(guard.release().unwrap()).unwrap();
            guard.transaction(|conn| conn.log("owned tables")).unwrap();
            let mut conn = guard.release().unwrap();

            // The wrapper's transaction is the connection's: a table lock would commit it.
            let refused = conn.transaction(|conn| {
                all_tables().with(conn, |_| -> Result<(), Error> { panic!("the body runs") })
            });
            assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
            assert!(conn.queries > 5);
            let messages =
                ["a savepoint", "under the lock", "attribute", "twice", "owned", "owned tables"];
            assert_eq!(logged(&db), messages);
            assert_eq!((session(&mut conn.conn), depth(&mut conn.conn)), (found, Some(0)));
            assert!(!has_locked_tables(&mut conn.conn));
            assert_all_free(&db);
        }
    };
}

works_like_the_connection_inside!(
    nested_transactions_of_a_manager_that_delegates_keep_the_tables_locked,
    Delegating
);
works_like_the_connection_inside!(
    nested_transactions_of_a_manager_that_shares_the_state_keep_the_tables_locked,
    Sharing
);

#[test]
fn a_wrapper_with_a_transaction_state_of_its_own_is_told_that_it_ended_the_lock() {
    let db = Database::with_tables();
    let mut conn = Separate::establish(&db.url()).unwrap();
    let ended = all_tables().with(&mut conn, |conn| {
        conn.transaction(|conn| conn.log("after its own BEGIN"))?;
        Result::<_, Error>::Ok(())
    });
    assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{ended:?}");
    assert!(!has_locked_tables(&mut conn.conn));
    assert_eq!(depth(&mut conn.conn), Some(0));
    assert_all_free(&db);
}
