//! Connections that are cut or killed at any request of a query.

use diesel_locks::{Error, Lock, Server};

use crate::support::cuts::{Call, LOCK, cut_everywhere};
use crate::support::listings::Listings;
use crate::support::table_checks::all_tables;
use crate::support::watchdog;

/// Accepts that a server does not provide the information.
fn if_supported<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(Error::Unsupported { .. }) => Ok(()),
        other => other.map(drop),
    }
}

/// Each call that queries the server.
const QUERIES: [(&str, Call); 9] = [
    ("is_held", |conn| LOCK.is_held(conn).map(|held| assert!(!held))),
    ("holding_connection_id", |conn| LOCK.holding_connection_id(conn).map(drop)),
    ("is_still_held", |conn| {
        let mut guard = LOCK.acquire(conn)?;
        let answer = guard.is_still_held().map(|held| assert!(held));
        // A release on drop could be cut too, without an error.
        guard.leak();
        answer
    }),
    ("holder", |conn| {
        let conn = LOCK.acquire(conn)?.leak();
        LOCK.holder(conn).map(|holder| assert!(holder.is_some()))
    }),
    ("waiters", |conn| if_supported(LOCK.waiters(conn))),
    ("held_with_prefix", |conn| if_supported(Lock::held_with_prefix("", conn))),
    ("blockers", |conn| if_supported(all_tables().blockers(conn))),
    ("inspect", |conn| Server::inspect(conn).map(drop)),
    ("a name that the server refuses", |conn| {
        match Lock::new(&"long".repeat(60)).acquire(conn).map(drop) {
            Err(Error::InvalidName { .. }) => Ok(()),
            other => other,
        }
    }),
];

#[test]
fn a_query_that_loses_its_connection_is_an_error() {
    watchdog(|| {
        Listings::each(|_| {
            for (what, call) in QUERIES {
                cut_everywhere(what, call);
            }
        });
    });
}
