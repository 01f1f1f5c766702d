//! Calls whose connection is lost at each of their requests in turn.

use std::cell::Cell;

use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock};

use crate::support::proxy::{Cut, Proxy};
use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id};

pub(crate) const LOCK: Lock = Lock::new("lock");

/// Returns a connection on which the statements are already prepared.
pub(crate) fn warm(db: &Database, proxy: &Proxy) -> MysqlConnection {
    let mut conn = db.connect_through(proxy);
    LOCK.acquire(&mut conn).unwrap().is_still_held().unwrap();
    conn
}

thread_local! {
    static BODY_FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a part of a call whose error is the body's own.
pub(crate) fn in_body<T>(body: impl FnOnce() -> QueryResult<T>) -> QueryResult<T> {
    let result = body();
    BODY_FAILED.set(result.is_err());
    result
}

/// Expects the error of a lost connection: the body's own if a statement in the body has failed,
/// otherwise the library's.
#[track_caller]
pub(crate) fn expect_lost(result: &Result<(), Error>, place: &str) {
    let expected = if BODY_FAILED.replace(false) {
        matches!(result, Err(Error::Diesel(DieselError::DatabaseError(..))))
    } else {
        matches!(result, Err(Error::ConnectionLost(DieselError::DatabaseError(..))))
    };
    assert!(expected, "{place}: {result:?}");
}

pub(crate) type Call = fn(&mut MysqlConnection) -> Result<(), Error>;

/// Cuts the connection at each request of a call in turn, in every way, and expects each time an
/// error, a connection that a pool discards, and a lock that is free again.
pub(crate) fn cut_everywhere(what: &str, call: Call) {
    let db = Database::with_fences();
    let mut admin = Admin::new();
    for cut in Cut::ALL {
        let mut requests = 0;
        loop {
            let proxy = Proxy::new();
            let mut conn = warm(&db, &proxy);
            let id = connection_id(&mut conn);
            proxy.cut_after(requests, cut);
            let result = call(&mut conn);
            if !proxy.was_cut() {
                result.unwrap();
                break;
            }
            let place = format!("{what}: {cut:?} at request {requests}");
            expect_lost(&result, &place);
            assert!(conn.is_broken(), "{place}");
            admin.until_gone(id);
            assert!(LOCK.try_acquire(&mut db.connect()).unwrap().is_some(), "{place}");
            // The connection stays unusable.
            let again = LOCK.acquire(&mut conn).map(drop);
            assert!(matches!(again, Err(Error::ConnectionLost(_))), "{place}: {again:?}");
            requests += 1;
        }
        assert!(requests > 0, "{what}");
    }
}
