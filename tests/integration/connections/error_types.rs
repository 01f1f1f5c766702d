//! The error types of applications: what comes out of a body, and how the lock's error is found.

use std::error::Error as StdError;
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::result::Error as DieselError;
use diesel_locks::{AcquireOwnedError, Error, Lock, with_lock};

use crate::support::schema::Database;
use crate::support::server::{connection_id, count_and_release_locks};

const LOCK: Lock = Lock::new("lock").timeout(Duration::ZERO);

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;
type Boxed = Box<dyn StdError + Send + Sync>;

#[derive(Debug, thiserror::Error)]
enum App {
    #[error("the database failed")]
    Diesel(#[from] DieselError),
    #[error("could not lock")]
    Acquire(#[from] AcquireOwnedError<Pooled>),
    #[error("no money")]
    NoMoney,
}

/// Runs the same body in every way, with this error type.
macro_rules! bodies_return {
    ($test:ident, $error:ty, $own:expr, |$found:ident| $as_error:expr) => {
        #[test]
        fn $test() {
            #[with_lock("lock", timeout = 0)]
            fn attribute(conn: &mut MysqlConnection, fail: bool) -> Result<u64, $error> {
                if fail { Err($own) } else { Ok(connection_id(conn)) }
            }
            fn body(conn: &mut MysqlConnection, fail: bool) -> Result<u64, $error> {
                if fail { Err($own) } else { Ok(connection_id(conn)) }
            }
            fn find($found: &$error) -> Option<&Error> {
                Error::find($as_error)
            }
            let calls: [fn(&mut MysqlConnection, bool) -> Result<u64, $error>; 4] = [
                attribute,
                |conn, fail| LOCK.with(conn, |conn| body(conn, fail)),
                |conn, fail| LOCK.transaction(conn, |conn| body(conn, fail)),
                |conn, fail| {
                    LOCK.acquire(conn)
                        .map_err(DieselError::from)?
                        .transaction(|conn| body(conn, fail))
                },
            ];
            let db = Database::new();
            let (mut conn, mut other) = (db.connect(), db.connect());
            let id = connection_id(&mut conn);
            for call in calls {
                assert_eq!(call(&mut conn, false).unwrap(), id);
                let own = call(&mut conn, true).unwrap_err();
                assert!(find(&own).is_none(), "{own:?}");
                assert!(own.to_string().contains("no money"), "{own:?}");

                let held = LOCK.acquire(&mut other).unwrap();
                let busy = call(&mut conn, false).unwrap_err();
                assert!(matches!(find(&busy), Some(Error::Timeout { .. })), "{busy:?}");
                held.release().unwrap();
            }
            assert_eq!(count_and_release_locks(&mut conn), 0);
        }
    };
}

bodies_return!(bodies_return_anyhow, anyhow::Error, anyhow::anyhow!("no money"), |error| &**error);
bodies_return!(bodies_return_eyre, eyre::Report, eyre::eyre!("no money"), |error| &**error);
bodies_return!(bodies_return_boxed_errors, Boxed, "no money".into(), |error| &**error);
bodies_return!(bodies_return_an_applications_enum, App, App::NoMoney, |error| error);

#[test]
fn the_librarys_error_is_found_under_context() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let _held = LOCK.acquire(&mut other).unwrap();
    let mut busy = || LOCK.with(&mut conn, |_| QueryResult::Ok(()));

    let error =
        anyhow::Error::from(busy().unwrap_err()).context("while paying").context("at night");
    assert!(matches!(Error::find(&*error), Some(Error::Timeout { .. })), "{error:?}");
    assert!(format!("{error:#}").contains("is not free"), "{error:#}");

    let report =
        eyre::Report::from(busy().unwrap_err()).wrap_err("while paying").wrap_err("at night");
    assert!(matches!(Error::find(&*report), Some(Error::Timeout { .. })), "{report:?}");

    let nested = anyhow::Error::from(App::from(busy().unwrap_err())).context("at night");
    assert!(matches!(Error::find(&*nested), Some(Error::Timeout { .. })), "{nested:?}");
}

/// Expects that a pooled connection can be taken while the lock is busy, into this error type.
macro_rules! question_mark_into {
    ($test:ident, $error:ty, keeps: $keeps:expr, |$found:ident| $as_error:expr) => {
        #[test]
        fn $test() {
            fn take(conn: Pooled) -> Result<(), $error> {
                LOCK.acquire_owned(conn)?.release()?;
                Ok(())
            }
            fn try_take(conn: Pooled) -> Result<bool, $error> {
                Ok(Lock::new("").try_acquire_owned(conn)?.is_some())
            }
            fn find($found: &$error) -> Option<&Error> {
                Error::find($as_error)
            }
            let db = Database::new();
            let (pool, mut other) = (db.pool(1), db.connect());
            take(pool.get().unwrap()).unwrap();
            let _held = LOCK.acquire(&mut other).unwrap();
            let error = take(pool.get().unwrap()).unwrap_err();
            assert!(matches!(find(&error), Some(Error::Timeout { .. })), "{error:?}");
            // The connection lives as long as the error, unless it was converted into ours.
            assert_eq!(pool.state().idle_connections == 0, $keeps);
            drop(error);
            let error = try_take(pool.get().unwrap()).unwrap_err();
            assert!(matches!(find(&error), Some(Error::InvalidName { .. })), "{error:?}");
            drop(error);
            assert_eq!(pool.state().idle_connections, 1);
        }
    };
}

question_mark_into!(an_owned_acquire_fails_into_anyhow, anyhow::Error, keeps: true, |e| &**e);
question_mark_into!(an_owned_acquire_fails_into_eyre, eyre::Report, keeps: true, |e| &**e);
question_mark_into!(an_owned_acquire_fails_into_a_box, Boxed, keeps: true, |e| &**e);
question_mark_into!(an_owned_acquire_fails_into_an_enum, OwnedApp, keeps: true, |e| e);
question_mark_into!(an_owned_acquire_fails_into_the_librarys_error, Error, keeps: false, |e| e);
question_mark_into!(an_owned_acquire_fails_into_diesels_error, DieselError, keeps: false, |e| e);

#[test]
fn the_error_is_found_behind_a_transparent_variant_for_diesels() {
    #[derive(Debug, thiserror::Error)]
    enum Transparent {
        #[error(transparent)]
        Diesel(#[from] DieselError),
    }
    let error = Transparent::from(DieselError::from(Error::NoTables));
    assert_eq!(error.to_string(), Error::NoTables.to_string());
    assert!(matches!(Error::find(&error), Some(Error::NoTables)));
    let error: anyhow::Error = error.into();
    assert!(matches!(Error::find(&*error), Some(Error::NoTables)));
    // Diesel's own errors are not the library's.
    assert!(Error::find(&Transparent::from(DieselError::NotFound)).is_none());
}

/// An enum with both: what takes the lock, and what releases it.
#[derive(Debug, thiserror::Error)]
enum OwnedApp {
    #[error(transparent)]
    Acquire(#[from] AcquireOwnedError<Pooled>),
    #[error(transparent)]
    Lock(#[from] Error),
}

#[test]
fn the_error_of_an_owned_acquire_shows_its_parts_and_is_send_and_sync() {
    fn can_be_sent<E: StdError + Send + Sync + 'static>(error: E) -> E {
        error
    }
    // Clippy warns of functions that return an error of more than 128 bytes.
    assert!(size_of::<AcquireOwnedError<Pooled>>() <= size_of::<Error>());
    assert!(size_of::<Error>() <= 128);
    let db = Database::new();
    let (pool, mut other) = (db.pool(1), db.connect());
    let _held = LOCK.acquire(&mut other).unwrap();
    let mut conn = pool.get().unwrap();
    let id = connection_id(&mut conn);
    let failed = can_be_sent(LOCK.acquire_owned(conn).map(drop).unwrap_err());
    assert!(matches!(failed.error(), Error::Timeout { .. }), "{failed:?}");
    let source: &Error = failed.source().unwrap().downcast_ref().unwrap();
    assert!(std::ptr::eq(source, failed.error()));
    assert!(std::ptr::eq(Error::find(&failed).unwrap(), source));
    // The text of the source is not repeated.
    assert!(!failed.to_string().contains(&source.to_string()), "{failed}");

    let app = App::from(failed);
    assert!(matches!(Error::find(&app), Some(Error::Timeout { .. })), "{app:?}");
    let App::Acquire(failed) = app else { panic!("{app:?}") };
    let (error, mut conn) = failed.into_parts();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(connection_id(&mut conn), id);
    assert_eq!(count_and_release_locks(&mut conn), 0);
    Lock::new("another").acquire_owned(conn).unwrap().release().unwrap();
}
