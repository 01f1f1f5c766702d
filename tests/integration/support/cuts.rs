//! Calls whose connection is lost at each of their requests in turn.

use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
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

pub(crate) type Call = fn(&mut MysqlConnection) -> Result<(), Error>;

/// Cuts the connection at each request of a call in turn, in every way, and expects each time an
/// error, a connection that a pool discards, and a lock that is free again.
pub(crate) fn cut_everywhere(what: &str, call: Call) {
    let db = Database::with_tables();
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
            assert!(matches!(result, Err(Error::Diesel(_))), "{place}: {result:?}");
            assert!(conn.is_broken(), "{place}");
            admin.until_gone(id);
            assert!(LOCK.try_acquire(&mut db.connect()).unwrap().is_some(), "{place}");
            // The connection stays unusable.
            assert!(LOCK.acquire(&mut conn).is_err(), "{place}");
            requests += 1;
        }
        assert!(requests > 0, "{what}");
    }
}
