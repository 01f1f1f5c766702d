//! Connections that are lost at any request of a call that inspects.

use diesel_locks::{Error, Lock, Server};

use crate::support::cuts::{Call, LOCK, cut_everywhere};
use crate::support::listings::Listings;
use crate::support::table_checks::all_tables;
use crate::support::watchdog;

/// Not every server tells.
fn if_told<T>(answer: Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(Error::Unsupported { .. }) => Ok(()),
        told => told.map(drop),
    }
}

/// Each call that asks.
const ASKING: [(&str, Call); 9] = [
    ("is_held", |conn| LOCK.is_held(conn).map(|held| assert!(!held))),
    ("holding_connection_id", |conn| LOCK.holding_connection_id(conn).map(drop)),
    ("is_still_held", |conn| {
        let mut guard = LOCK.acquire(conn)?;
        let answer = guard.is_still_held().map(|held| assert!(held));
        // Its release could be cut too, and would not tell.
        guard.leak();
        answer
    }),
    ("holder", |conn| {
        let conn = LOCK.acquire(conn)?.leak();
        LOCK.holder(conn).map(|holder| assert!(holder.is_some()))
    }),
    ("waiters", |conn| if_told(LOCK.waiters(conn))),
    ("held_with_prefix", |conn| if_told(Lock::held_with_prefix("", conn))),
    ("blockers", |conn| if_told(all_tables().blockers(conn))),
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
            for (what, call) in ASKING {
                cut_everywhere(what, call);
            }
        });
    });
}
