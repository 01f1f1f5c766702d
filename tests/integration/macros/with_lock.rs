//! Functions under a named lock.

mod arguments;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, with_lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{connection_id, count_and_release_locks};

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

/// Returns whether the connection holds this lock.
fn holds(conn: &mut MysqlConnection, name: &str) -> bool {
    let id = connection_id(conn);
    Lock::new(name).holding_connection_id(conn).unwrap() == Some(id)
}

#[test]
fn eight_threads_run_the_function_one_after_another() {
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static RUNS: AtomicU32 = AtomicU32::new(0);

    #[with_lock("exclusive", timeout = 30)]
    fn alone(conn: &mut MysqlConnection) -> QueryResult<()> {
        assert!(!INSIDE.swap(true, Ordering::SeqCst));
        // Gives the other threads time to enter.
        connection_id(conn);
        RUNS.fetch_add(1, Ordering::SeqCst);
        assert!(INSIDE.swap(false, Ordering::SeqCst));
        Ok(())
    }

    let db = Database::new();
    thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                let mut conn = db.connect();
                for _ in 0..20 {
                    alone(&mut conn).unwrap();
                }
            });
        }
    });
    assert_eq!(RUNS.load(Ordering::SeqCst), 160);
}

#[test]
fn the_lock_is_held_in_the_body_and_released_after_it() {
    #[with_lock("nightly")]
    fn nightly(conn: &mut MysqlConnection) -> QueryResult<bool> {
        Ok(holds(conn, "nightly"))
    }

    let db = Database::new();
    let mut conn = db.connect();
    assert!(nightly(&mut conn).unwrap());
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn the_lock_is_released_on_every_way_out() {
    #[derive(Clone, Copy)]
    enum Way {
        Tail,
        Return,
        QuestionMark,
        Error,
        Panic,
    }

    #[with_lock("ways")]
    fn leave(conn: &mut MysqlConnection, way: Way) -> QueryResult<u8> {
        assert!(holds(conn, "ways"));
        match way {
            Way::Tail => {}
            Way::Return => return Ok(2),
            Way::QuestionMark => {
                diesel::sql_query("NOT SQL").execute(conn)?;
            }
            Way::Error => return Err(DieselError::NotFound),
            Way::Panic => panic!("on purpose"),
        }
        Ok(1)
    }

    let db = Database::new();
    let mut conn = db.connect();
    let free = |conn: &mut MysqlConnection| assert_eq!(count_and_release_locks(conn), 0);
    assert_eq!(leave(&mut conn, Way::Tail), Ok(1));
    free(&mut conn);
    assert_eq!(leave(&mut conn, Way::Return), Ok(2));
    free(&mut conn);
    assert!(matches!(leave(&mut conn, Way::QuestionMark), Err(DieselError::DatabaseError(..))));
    free(&mut conn);
    assert_eq!(leave(&mut conn, Way::Error), Err(DieselError::NotFound));
    free(&mut conn);
    let panic = catch_unwind(AssertUnwindSafe(|| leave(&mut conn, Way::Panic))).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    free(&mut conn);
}

#[test]
fn a_lock_that_stays_busy_is_a_timeout_and_the_body_is_not_run() {
    #[with_lock("busy", timeout = seconds)]
    fn busy(conn: &mut MysqlConnection, seconds: f64) -> Result<(), Error> {
        unreachable!("{conn}: the lock is held elsewhere", conn = connection_id(conn))
    }

    let db = Database::new();
    let (mut holder, mut waiter) = (db.connect(), db.connect());
    let _guard = Lock::new("busy").acquire(&mut holder).unwrap();
    for seconds in [0.0, 0.3, 1.0] {
        let started = Instant::now();
        let error = busy(&mut waiter, seconds).unwrap_err();
        assert!(started.elapsed() >= Duration::from_secs_f64(seconds));
        let expected = Duration::from_secs_f64(seconds);
        assert!(matches!(error, Error::Timeout { timeout, .. } if timeout == expected), "{error}");
    }
}

#[test]
fn the_bodys_error_takes_precedence_over_the_locks() {
    #[with_lock("lost")]
    fn lose(conn: &mut MysqlConnection, result: QueryResult<()>) -> QueryResult<()> {
        assert_eq!(count_and_release_locks(conn), 1);
        result
    }

    let db = Database::new();
    let mut conn = db.connect();
    assert_eq!(lose(&mut conn, Err(DieselError::NotFound)), Err(DieselError::NotFound));
    // The body succeeded, but was not exclusive to its end.
    let error = Error::from(lose(&mut conn, Ok(())).unwrap_err());
    assert!(matches!(error, Error::NotHeld { .. }), "{error}");
}

#[test]
fn stacked_locks_are_acquired_from_the_outside_in() {
    #[with_lock("outer-{id}", timeout = 0)]
    #[with_lock("middle", timeout = 0)]
    #[with_lock("inner", timeout = 0)]
    fn stacked(conn: &mut MysqlConnection, id: i32) -> Result<i32, Error> {
        let names = ["outer-1", "middle", "inner"];
        assert!(names.iter().all(|name| holds(conn, name)));
        Ok(id)
    }

    fn refused(error: &Error) -> &str {
        match error {
            Error::Timeout { lock, .. } => lock.rsplit('.').next().unwrap(),
            other => panic!("{other}"),
        }
    }

    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    assert_eq!(stacked(&mut conn, 1).unwrap(), 1);
    assert_eq!(count_and_release_locks(&mut conn), 0);

    // The first lock that is not free is the first that was tried.
    let inner = Lock::new("inner").acquire_owned(&mut other).unwrap();
    assert_eq!(refused(&stacked(&mut conn, 1).unwrap_err()), "inner");
    let middle = Lock::new("middle").acquire_owned(inner.leak()).unwrap();
    assert_eq!(refused(&stacked(&mut conn, 1).unwrap_err()), "middle");
    let _outer = Lock::new("outer-1").acquire_owned(middle.leak()).unwrap();
    assert_eq!(refused(&stacked(&mut conn, 1).unwrap_err()), "outer-1");
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_function_may_call_itself() {
    #[with_lock("recursive")]
    fn factorial(conn: &mut MysqlConnection, n: u64) -> QueryResult<u64> {
        assert!(holds(conn, "recursive"));
        if n == 0 { Ok(1) } else { Ok(n * factorial(conn, n - 1)?) }
    }

    let db = Database::new();
    let mut conn = db.connect();
    assert_eq!(factorial(&mut conn, 5).unwrap(), 120);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn with_a_transaction_the_work_is_committed_before_the_lock_is_released() {
    #[with_lock("transaction", transaction)]
    fn write(conn: &mut MysqlConnection, result: QueryResult<()>) -> QueryResult<()> {
        assert!(holds(conn, "transaction"));
        let row = audit_log::message.eq("written");
        diesel::insert_into(audit_log::table).values(row).execute(conn)?;
        conn.transaction(|conn| {
            diesel::delete(audit_log::table).execute(conn)?;
            Err::<(), _>(DieselError::RollbackTransaction)
        })
        .unwrap_err();
        result
    }

    #[with_lock("transaction", transaction)]
    fn panic_after_writing(conn: &mut MysqlConnection) -> QueryResult<()> {
        diesel::delete(audit_log::table).execute(conn)?;
        panic!("on purpose");
    }

    let db = Database::with_tables();
    let (mut conn, mut reader) = (db.connect(), db.connect());
    let mut written = || audit_log::table.count().get_result::<i64>(&mut reader).unwrap();

    assert_eq!(write(&mut conn, Err(DieselError::NotFound)), Err(DieselError::NotFound));
    assert_eq!(written(), 0);
    write(&mut conn, Ok(())).unwrap();
    assert_eq!(written(), 1);
    let panics = AssertUnwindSafe(|| panic_after_writing(&mut conn));
    catch_unwind(panics).unwrap_err();
    assert_eq!(written(), 1);
    assert_eq!(count_and_release_locks(&mut conn), 0);

    // The lock would be released before the outer transaction ends.
    let nested: Result<(), Error> =
        conn.transaction(|conn| write(conn, Ok(())).map_err(Error::from));
    assert!(matches!(nested, Err(Error::InTransaction { .. })), "{nested:?}");
    conn.batch_execute("BEGIN").unwrap();
    let nested = write(&mut conn, Ok(())).map_err(Error::from);
    assert!(matches!(nested, Err(Error::InTransaction { .. })), "{nested:?}");
    conn.batch_execute("ROLLBACK").unwrap();
    assert_eq!(count_and_release_locks(&mut conn), 0);
    assert_eq!(written(), 1);
}

#[test]
fn the_error_may_be_any_that_works_with_diesel() {
    #[derive(Debug)]
    enum AppError {
        Busy,
        Other,
    }

    impl From<DieselError> for AppError {
        fn from(error: DieselError) -> Self {
            match Error::from(error) {
                Error::Timeout { .. } => Self::Busy,
                _ => Self::Other,
            }
        }
    }

    #[with_lock("app", timeout = 0)]
    fn app(conn: &mut MysqlConnection) -> Result<(), AppError> {
        if holds(conn, "app") { Ok(()) } else { Err(AppError::Other) }
    }

    #[with_lock("app", timeout = 0)]
    fn boxed(conn: &mut MysqlConnection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        "1".parse::<i32>()?;
        app(conn).map_err(|error| format!("{error:?}"))?;
        Ok(())
    }

    let db = Database::new();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    app(&mut conn).unwrap();
    boxed(&mut conn).unwrap();
    let _guard = Lock::new("app").acquire(&mut holder).unwrap();
    assert!(matches!(app(&mut conn), Err(AppError::Busy)));
    let error = boxed(&mut conn).unwrap_err();
    assert!(matches!(Error::find(&*error), Some(Error::Timeout { .. })));
}
