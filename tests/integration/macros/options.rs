//! The options of `#[with_lock]` and `#[with_table_lock]`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, LockableTable, with_lock, with_table_lock};

use crate::support::schema::{Database, audit_log, places};
use crate::support::server::{Admin, connection_id, count_and_release_locks};

#[derive(LockableTable)]
struct Place;

#[test]
fn a_long_name_may_be_shortened() {
    #[with_lock("{name}", shortened)]
    fn long(conn: &mut MysqlConnection, name: &str) -> QueryResult<bool> {
        let id = connection_id(conn);
        Ok(Lock::new(name).shortened().holding_connection_id(conn)? == Some(id))
    }

    let db = Database::new();
    assert!(long(&mut db.connect(), &"long".repeat(100)).unwrap());
}

#[test]
fn a_lock_without_timeout_waits_until_it_is_free() {
    #[with_lock("endless", without_timeout)]
    fn endless(conn: &mut MysqlConnection) -> QueryResult<u64> {
        Ok(connection_id(conn))
    }

    let db = Database::new();
    let (mut holder, mut waiter, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut waiter);
    let guard = Lock::new("endless").acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| endless(&mut waiter));
        admin.until_waiting(id);
        guard.release().unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(id));
    });
}

#[test]
fn the_database_in_the_name_may_be_given() {
    struct Tenant {
        database: String,
        conn: MysqlConnection,
    }

    #[with_lock("invoice", in_database = "somewhere else")]
    fn literal(conn: &mut MysqlConnection) -> QueryResult<u64> {
        Ok(connection_id(conn))
    }

    #[with_lock("invoice", in_database = &format!("{prefix}_{n}"))]
    fn formatted(conn: &mut MysqlConnection, prefix: &str, n: u32) -> QueryResult<u64> {
        Ok(connection_id(conn))
    }

    impl Tenant {
        #[with_lock("invoice", in_database = &self.database, conn = self.conn)]
        fn holder(&mut self) -> QueryResult<(Option<u64>, u64)> {
            let holder = Admin::new().holder(&format!("{}.invoice", self.database));
            Ok((holder, connection_id(&mut self.conn)))
        }
    }

    let (db, other) = (Database::new(), Database::new());
    let mut conn = db.connect();
    literal(&mut conn).unwrap();
    formatted(&mut conn, "tenant", 42).unwrap();
    let mut tenant = Tenant { database: other.name().to_owned(), conn };
    let (holder, id) = tenant.holder().unwrap();
    assert_eq!(holder, Some(id));
    assert_eq!(count_and_release_locks(&mut tenant.conn), 0);
}

#[test]
fn a_busy_lock_makes_the_function_return_the_given_value_at_once() {
    static EVALUATED: AtomicU32 = AtomicU32::new(0);

    fn busy() -> i32 {
        EVALUATED.fetch_add(1, Ordering::SeqCst);
        -1
    }

    #[with_lock("busy", if_busy = Ok(busy()))]
    fn value(conn: &mut MysqlConnection) -> Result<i32, Error> {
        connection_id(conn);
        Ok(1)
    }

    #[with_lock("busy", if_busy = Err(DieselError::NotFound), transaction)]
    fn error(conn: &mut MysqlConnection) -> QueryResult<()> {
        diesel::insert_into(audit_log::table).values(audit_log::message.eq("a")).execute(conn)?;
        Ok(())
    }

    #[with_lock("outer")]
    #[with_lock("busy", if_busy = return Ok(name.len()))]
    fn stacked(conn: &mut MysqlConnection, name: &str) -> QueryResult<usize> {
        connection_id(conn);
        Ok(0)
    }

    #[with_lock("busy", if_busy = Ok(Vec::new().into_iter()))]
    fn hidden(conn: &mut MysqlConnection) -> QueryResult<impl Iterator<Item = u64> + use<>> {
        Ok(vec![connection_id(conn)].into_iter())
    }

    let db = Database::with_tables();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    let guard = Lock::new("busy").acquire(&mut holder).unwrap();
    assert_eq!(value(&mut conn).unwrap(), -1);
    assert_eq!(error(&mut conn), Err(DieselError::NotFound));
    assert_eq!(stacked(&mut conn, "abc"), Ok(3));
    assert_eq!(hidden(&mut conn).unwrap().count(), 0);
    assert_eq!(count_and_release_locks(&mut conn), 0);
    guard.release().unwrap();

    assert_eq!(value(&mut conn).unwrap(), 1);
    assert_eq!(error(&mut conn), Ok(()));
    assert_eq!(stacked(&mut conn, "abc"), Ok(0));
    assert_eq!(hidden(&mut conn).unwrap().count(), 1);
    assert_eq!(EVALUATED.load(Ordering::SeqCst), 1);
    assert_eq!(count_and_release_locks(&mut conn), 0);
    assert_eq!(audit_log::table.count().get_result(&mut conn), Ok(1_i64));
}

#[test]
fn tables_may_be_locked_under_aliases() {
    #[with_table_lock(
        read(Place as "p", Place, "customers" as "c", ("mysql", "help_topic") as "h"),
        write(audit_log::table as "a", "restaurants" as "r"),
    )]
    fn aliased(conn: &mut MysqlConnection) -> QueryResult<i64> {
        let sql = "UPDATE audit_log a, places p, restaurants r SET a.message = 'x', r.seats = 1
            WHERE a.id = p.id AND r.place_id = p.id";
        diesel::sql_query(sql).execute(conn)?;
        let sql = "SELECT 1 FROM customers c, mysql.help_topic h WHERE FALSE";
        diesel::sql_query(sql).execute(conn)?;
        places::table.count().get_result(conn)
    }

    let db = Database::with_tables();
    assert_eq!(aliased(&mut db.connect()), Ok(0));
}

#[test]
fn transactions_may_be_stacked_on_two_connections() {
    #[with_lock("first", transaction)]
    #[with_table_lock(write(audit_log::table), conn = other)]
    fn both(conn: &mut MysqlConnection, other: &mut MysqlConnection) -> QueryResult<usize> {
        connection_id(conn);
        diesel::insert_into(audit_log::table).values(audit_log::message.eq("a")).execute(other)
    }

    let db = Database::with_tables();
    assert_eq!(both(&mut db.connect(), &mut db.connect()), Ok(1));
}
