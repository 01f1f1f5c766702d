//! Errors as callers see them, and conversion between the library's and Diesel's.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_locks::{Error, Lock};

use crate::support::schema::Database;
use crate::support::server;

const LOCK: Lock = Lock::new("lock");

/// Returns one error of each kind that a named lock can return.
fn some_errors() -> Vec<Error> {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let _held = LOCK.acquire(&mut other).unwrap();
    let in_transaction = conn.transaction(|conn| {
        Ok::<_, Error>(LOCK.transaction(conn, |_| Ok::<_, Error>(())).unwrap_err())
    });
    vec![
        LOCK.timeout(Duration::ZERO).acquire(&mut conn).map(drop).unwrap_err(),
        LOCK.release(&mut conn).unwrap_err(),
        Lock::new("").acquire(&mut conn).map(drop).unwrap_err(),
        Lock::new(&"n".repeat(300)).acquire(&mut conn).map(drop).unwrap_err(),
        LOCK.acquire(&mut server::connect()).map(drop).unwrap_err(),
        in_transaction.unwrap(),
        Lock::all::<[&str; 0]>([]).acquire(&mut conn).map(drop).unwrap_err(),
        Error::NoTables,
    ]
}

#[test]
fn the_librarys_errors_survive_conversion_to_diesels_and_back() {
    for error in some_errors() {
        let (shown, debugged) = (error.to_string(), format!("{error:?}"));
        let through = DieselError::from(error);
        assert!(through.to_string().contains(&shown), "{through}");
        let back = Error::from(through);
        assert_eq!(back.to_string(), shown);
        assert_eq!(format!("{back:?}"), debugged);
    }
}

#[test]
fn diesels_errors_survive_conversion_to_the_librarys_and_back() {
    let broken: Box<dyn std::error::Error + Send + Sync> = "a third party's".into();
    for error in [
        DieselError::NotFound,
        DieselError::RollbackTransaction,
        DieselError::AlreadyInTransaction,
        DieselError::DatabaseError(
            DatabaseErrorKind::UniqueViolation,
            Box::new("twice".to_owned()),
        ),
        DieselError::QueryBuilderError(broken),
    ] {
        let (shown, debugged) = (error.to_string(), format!("{error:?}"));
        let through = Error::from(error);
        assert!(matches!(through, Error::Diesel(_)), "{through:?}");
        assert_eq!(through.to_string(), shown);
        let back = DieselError::from(through);
        assert_eq!(format!("{back:?}"), debugged);
    }
}

#[test]
fn a_body_may_return_diesels_result_without_losing_the_librarys_errors() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let _held = LOCK.acquire(&mut other).unwrap();
    let busy = LOCK.timeout(Duration::ZERO).with(&mut conn, |_| QueryResult::Ok(())).unwrap_err();
    assert!(matches!(Error::from(busy), Error::Timeout { .. }));

    let unknown: QueryResult<()> =
        Lock::new("other").with(&mut conn, |conn| conn.batch_execute("SELECT * FROM nowhere"));
    assert!(matches!(unknown, Err(DieselError::DatabaseError(..))), "{unknown:?}");
}

#[test]
fn a_body_may_return_a_custom_error() {
    #[derive(Debug)]
    enum Own {
        Lock(Error),
        Full,
    }
    impl From<DieselError> for Own {
        fn from(error: DieselError) -> Self {
            Self::Lock(error.into())
        }
    }
    let db = Database::new();
    let mut conn = db.connect();
    let full = LOCK.with(&mut conn, |_| Err::<(), _>(Own::Full));
    assert!(matches!(full, Err(Own::Full)));
    let invalid = Lock::new("").with(&mut conn, |_| Ok::<(), Own>(()));
    assert!(matches!(invalid, Err(Own::Lock(Error::InvalidName { .. }))), "{invalid:?}");
}

#[test]
fn errors_can_be_boxed_and_sent() {
    fn can_be_boxed<E: std::error::Error + Send + Sync + 'static>(_: &E) {}
    for error in some_errors() {
        can_be_boxed(&error);
    }
    let db = Database::new();
    let (conn, mut other) = (db.connect(), db.connect());
    let _held = LOCK.acquire(&mut other).unwrap();
    let failed = LOCK.timeout(Duration::ZERO).acquire_owned(conn).map(drop).unwrap_err();
    can_be_boxed(&failed);
    let source = std::error::Error::source(&failed).unwrap();
    assert!(matches!(source.downcast_ref(), Some(Error::Timeout { .. })), "{source}");
}

#[test]
fn messages_are_one_line_that_names_the_lock() {
    for error in some_errors() {
        let text = error.to_string();
        assert!(!text.contains('\n') && !text.ends_with('.') && !text.is_empty(), "{text}");
        if let Error::Timeout { .. } | Error::NotHeld { .. } = error {
            assert!(text.contains("lock"), "{text}");
        }
    }
}
