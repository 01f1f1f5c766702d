//! Sessions without autocommit, in which most queries begin a transaction.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Lock, Server, TableLock};

use crate::support::listings::Listings;
use crate::support::schema::{Database, audit_log};
use crate::support::user::User;

const LOCK: Lock = Lock::new("lock");

/// Calls everything that only looks, and returns whether a transaction is open then.
fn leaves_a_transaction_open(name: &str, conn: &mut MysqlConnection) -> bool {
    match name {
        "is_held" => drop(LOCK.is_held(conn)),
        "holder" => drop(LOCK.holder(conn)),
        "waiters" => drop(LOCK.waiters(conn)),
        "held_with_prefix" => drop(Lock::held_with_prefix("", conn)),
        "blockers" => drop(TableLock::new().write::<audit_log::table>().blockers(conn)),
        "inspect" => drop(Server::inspect(conn).unwrap()),
        other => panic!("{other}"),
    }
    // It refuses an open transaction, even one that Diesel does not know.
    TableLock::new().read::<audit_log::table>().acquire(conn).is_err()
}

const CALLS: [&str; 6] =
    ["is_held", "holder", "waiters", "held_with_prefix", "blockers", "inspect"];

#[test]
fn calls_that_only_look_leave_no_transaction_open() {
    Listings::each(|_| {
        let db = Database::with_tables();
        let user = User::new(&db, &[]);
        let mut other = db.connect();
        let _held = LOCK.acquire(&mut other).unwrap();
        // In turn, so that each user is also the one after the other.
        for _ in 0..2 {
            for mut conn in [user.connect(), db.connect()] {
                conn.batch_execute("SET autocommit = 0").unwrap();
                for call in CALLS {
                    assert!(!leaves_a_transaction_open(call, &mut conn), "{call}");
                }
            }
        }
    });
}

#[test]
fn a_transaction_that_was_open_before_stays_open() {
    Listings::each(|_| {
        let db = Database::with_tables();
        let mut conn = db.connect();
        conn.batch_execute("SET autocommit = 0").unwrap();
        for call in CALLS {
            conn.batch_execute("INSERT INTO audit_log (message) VALUES ('kept open')").unwrap();
            assert!(leaves_a_transaction_open(call, &mut conn), "{call}");
            conn.batch_execute("ROLLBACK").unwrap();
        }
        let rows = audit_log::table.count().get_result::<i64>(&mut conn).unwrap();
        assert_eq!(rows, 0);
    });
}
