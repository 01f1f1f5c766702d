//! Functions under a table lock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::result::Error as DieselError;
use diesel_locks::{Error, LockableTable, TableLock, with_lock, with_table_lock};

use crate::support::schema::{Database, audit_log, customers, places, restaurants};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{assert_all_free, depth, is_writable, log, logged, session};

#[derive(LockableTable)]
struct Place;

#[derive(LockableTable)]
#[lockable(parents(Place))]
struct Restaurant;

#[derive(LockableTable)]
struct Customer;

#[test]
fn the_tables_are_locked_in_the_body_and_unlocked_after_it() {
    #[with_table_lock(read(Customer), write(Restaurant, "audit_log"), timeout = 5)]
    fn repair(conn: &mut MysqlConnection, db: &Database) -> QueryResult<i64> {
        for table in ["customers", "restaurants", "places", "audit_log"] {
            assert!(!is_writable(db, table), "{table}");
        }
        log(conn, "repaired")?;
        customers::table.count().get_result(conn)
    }

    let db = Database::with_tables();
    let mut conn = db.connect();
    let before = session(&mut conn);
    assert_eq!(repair(&mut conn, &db), Ok(0));
    assert_all_free(&db);
    assert_eq!(logged(&db), ["repaired"]);
    assert_eq!(session(&mut conn), before);
    assert_eq!(depth(&mut conn), Some(0));
}

#[test]
fn an_error_and_a_panic_roll_back_and_unlock() {
    #[with_table_lock(write(audit_log::table))]
    fn fail(conn: &mut MysqlConnection, panics: bool) -> QueryResult<()> {
        log(conn, "lost")?;
        assert!(!panics, "on purpose");
        Err(DieselError::NotFound)
    }

    let db = Database::with_tables();
    let mut conn = db.connect();
    let before = session(&mut conn);
    assert_eq!(fail(&mut conn, false), Err(DieselError::NotFound));
    assert_all_free(&db);
    catch_unwind(AssertUnwindSafe(|| fail(&mut conn, true))).unwrap_err();
    assert_all_free(&db);
    assert!(logged(&db).is_empty());
    assert_eq!(session(&mut conn), before);
    assert_eq!(depth(&mut conn), Some(0));
}

#[test]
fn eight_threads_count_without_losing_one() {
    #[with_table_lock(write(places::table), timeout = 30)]
    fn add(conn: &mut MysqlConnection) -> Result<(), Error> {
        let seen: i64 = places::table.count().get_result(conn)?;
        let name = places::name.eq(seen.to_string());
        diesel::insert_into(places::table).values(name).execute(conn)?;
        Ok(())
    }

    let db = Database::with_tables();
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                let mut conn = db.connect();
                for _ in 0..5 {
                    add(&mut conn).unwrap();
                }
            });
        }
    });
    let names = places::table.select(places::name).order(places::id);
    let expected: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(names.load::<String>(&mut db.connect()).unwrap(), expected);
}

#[test]
fn tables_that_stay_locked_are_a_timeout() {
    #[with_table_lock(write(Customer), timeout = 0.5)]
    fn wait(conn: &mut MysqlConnection) -> Result<(), Error> {
        unreachable!("{}: the table is locked elsewhere", connection_id(conn))
    }

    let db = Database::with_tables();
    let (mut holder, mut waiter) = (db.connect(), db.connect());
    let guard = TableLock::new().read::<Customer>().acquire(&mut holder).unwrap();
    let error = wait(&mut waiter).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    guard.release().unwrap();
}

#[test]
fn a_table_of_another_database_may_be_named() {
    #[with_table_lock(read(("mysql", "help_topic"), Customer))]
    fn both(conn: &mut MysqlConnection) -> QueryResult<usize> {
        diesel::sql_query("SELECT 1 FROM mysql.help_topic WHERE FALSE").execute(conn)
    }

    let db = Database::with_tables();
    both(&mut db.connect()).unwrap();
    assert_all_free(&db);
}

#[test]
fn a_table_lock_inside_a_transaction_is_refused() {
    #[with_table_lock(write(Customer))]
    fn repair(conn: &mut MysqlConnection) -> Result<(), Error> {
        unreachable!("{}", connection_id(conn))
    }

    #[with_table_lock(write(Customer))]
    fn again(conn: &mut MysqlConnection) -> Result<(), Error> {
        repair(conn)
    }

    let db = Database::with_tables();
    let mut conn = db.connect();
    assert!(matches!(again(&mut conn), Err(Error::InTransaction { .. })));
    assert_all_free(&db);
    conn.batch_execute("BEGIN").unwrap();
    assert!(matches!(repair(&mut conn), Err(Error::InTransaction { .. })));
}

#[test]
fn methods_lock_with_their_own_connection() {
    struct Repository {
        conn: PooledConnection<ConnectionManager<MysqlConnection>>,
        written: usize,
    }

    impl Repository {
        #[with_table_lock(write(audit_log::table), conn = self.conn)]
        fn repair(&mut self, db: &Database) -> QueryResult<()> {
            assert!(!is_writable(db, "audit_log"));
            self.conn.transaction(|conn| log(conn, "savepoint"))?;
            self.written += log(&mut self.conn, "written")?;
            Ok(())
        }
    }

    let db = Database::with_tables();
    let pool = db.pool(1);
    let mut repository = Repository { conn: pool.get().unwrap(), written: 0 };
    repository.repair(&db).unwrap();
    assert_eq!(repository.written, 1);
    assert_eq!(logged(&db), ["savepoint", "written"]);
    assert_all_free(&db);
}

#[test]
fn a_named_lock_around_a_table_lock_is_held_longer() {
    #[with_lock("repair")]
    #[with_table_lock(write(Restaurant, Place))]
    fn repair(conn: &mut MysqlConnection, db: &Database) -> QueryResult<i64> {
        let id = connection_id(conn);
        assert_eq!(Admin::new().holder(&db.full_name("repair")), Some(id));
        assert!(!is_writable(db, "places"));
        restaurants::table.count().get_result(conn)
    }

    let db = Database::with_tables();
    let mut conn = db.connect();
    assert_eq!(repair(&mut conn, &db), Ok(0));
    assert_all_free(&db);
    assert_eq!(count_and_release_locks(&mut conn), 0);

    // A function that waits for the tables already holds the named lock.
    let (mut holder, mut waiter, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut waiter);
    let guard = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| repair(&mut waiter, &db));
        admin.until_waiting(id);
        assert_eq!(admin.holder(&db.full_name("repair")), Some(id));
        guard.release().unwrap();
        waiting.join().unwrap().unwrap();
    });
}
