//! A wrapper that returns another connection than before: nothing of that one is touched.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel_locks::{Error, Lock, LockConnection, TableLock, with_lock, with_table_lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{connection_id, count_and_release_locks};
use crate::support::table_checks::{
    all_tables, depth, has_open_transaction, log, logged, session, until_all_free,
};

const LOCK: Lock = Lock::new("lock");

/// Hands out whichever connection is current.
struct Switch {
    conns: [MysqlConnection; 2],
    current: usize,
}

impl LockConnection for Switch {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        self.conns.get_mut(self.current)
    }
}

/// Hands out the next connection at each call.
struct RoundRobin(Switch);

impl LockConnection for RoundRobin {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        self.0.current = 1 - self.0.current;
        self.0.mysql_connection()
    }
}

type Begin = fn(&mut MysqlConnection);

fn begin(conn: &mut MysqlConnection) {
    AnsiTransactionManager::begin_transaction(conn).unwrap();
}

/// What the other connection may be in the middle of.
const STATES: [(&str, u32, Begin); 5] = [
    ("nothing", 0, |_| ()),
    ("a transaction in plain SQL", 0, |conn| conn.batch_execute("BEGIN").unwrap()),
    ("a transaction", 1, begin),
    ("a nested transaction", 2, |conn| {
        begin(conn);
        begin(conn);
    }),
    ("a test transaction", 1, |conn| conn.begin_test_transaction().unwrap()),
];

type Body<'b> = &'b dyn Fn(&mut Switch) -> QueryResult<()>;
type Call = fn(&mut Switch, Body<'_>) -> QueryResult<()>;

/// The calls that end something after a body, and whether that is a transaction too.
const CALLS: [(&str, bool, Call); 6] = [
    ("Lock::with", false, |conn, body| LOCK.with(conn, |conn| body(conn))),
    ("Lock::transaction", true, |conn, body| LOCK.transaction(conn, |conn| body(conn))),
    ("TableLock::with", true, |conn, body| all_tables().with(conn, |conn| body(conn))),
    ("with_lock", false, locked),
    ("with_lock, transaction", true, in_transaction),
    ("with_table_lock", true, table_locked),
];

#[with_lock("lock")]
fn locked(conn: &mut Switch, body: Body<'_>) -> QueryResult<()> {
    body(conn)
}

#[with_lock("lock", transaction)]
fn in_transaction(conn: &mut Switch, body: Body<'_>) -> QueryResult<()> {
    body(conn)
}

#[with_table_lock(write(audit_log::table))]
fn table_locked(conn: &mut Switch, body: Body<'_>) -> QueryResult<()> {
    body(conn)
}

/// Returns the call's result. Fails if the other connection does not keep its lock, its transaction
/// and its session.
fn switch_under(
    (name, ends_transaction, call): (&str, bool, Call),
    (state, deep, begin): (&str, u32, Begin),
    fail: bool,
) -> Error {
    let context = format!("{name}, the other connection in {state}, fails: {fail}");
    let db = Database::with_tables();
    let mut conn = Switch { conns: [db.connect(), db.connect()], current: 0 };
    let other = &mut conn.conns[1];
    Lock::new("others").acquire(other).unwrap().leak();
    let found = session(other);
    let id = connection_id(other);
    begin(other);
    let in_transaction = deep > 0 || has_open_transaction(other);
    if in_transaction {
        other.batch_execute("SAVEPOINT others").unwrap();
    }

    let result = call(&mut conn, &|conn| {
        log(&mut conn.conns[0], "not committed without the lock").unwrap();
        conn.current = 1;
        if fail { Err(diesel::result::Error::NotFound) } else { Ok(()) }
    });

    let other = &mut conn.conns[1];
    assert_eq!(depth(other), Some(deep), "{context}");
    assert_eq!(session(other), found, "{context}");
    assert_eq!(connection_id(other), id, "{context}");
    if in_transaction {
        // It is gone if the transaction was committed or rolled back.
        other.batch_execute("RELEASE SAVEPOINT others").unwrap_or_else(|_| panic!("{context}"));
    }
    assert_eq!(count_and_release_locks(other), 1, "{context}");
    drop(conn);
    if ends_transaction {
        assert_eq!(logged(&db), [""; 0], "{context}");
    }
    Error::from(result.unwrap_err())
}

#[test]
fn a_call_that_ends_on_another_connection_reports_it_and_leaves_that_one_alone() {
    for state in STATES {
        for call in CALLS {
            let error = switch_under(call, state, false);
            let expected = call.1.then_some(false);
            assert!(
                matches!(error, Error::NotHeld { committed, .. } if committed == expected),
                "{}, {}: {error:?}",
                call.0,
                state.0
            );
            // The body's own error comes first.
            let error = switch_under(call, state, true);
            assert!(matches!(error, Error::Diesel(diesel::result::Error::NotFound)), "{error:?}");
        }
    }
}

#[test]
fn a_guard_that_ends_on_another_connection_reports_it_and_leaves_that_one_alone() {
    let db = Database::with_tables();
    let mut conn = RoundRobin(Switch { conns: [db.connect(), db.connect()], current: 1 });
    let guard = LOCK.acquire(&mut conn).unwrap();
    let released = guard.release().map(drop);
    assert!(matches!(released, Err(Error::NotHeld { committed: None, .. })), "{released:?}");
    assert_eq!(count_and_release_locks(&mut conn.0.conns[0]), 1);
    drop(LOCK.acquire(&mut conn).unwrap());
    assert_eq!(count_and_release_locks(&mut conn.0.conns[0]), 1);

    // The other one holds the same tables, so only one of the two can hold them for writing.
    let [first, second] = &mut conn.0.conns;
    log(first, "before").unwrap();
    let lock = TableLock::new().read::<audit_log::table>();
    let mut others = lock.acquire_owned(Box::new(second)).unwrap();
    let mut pair = Pair { now: first, later: &mut others, switched: false };
    let released = lock.acquire(&mut pair).unwrap().release().map(drop);
    assert!(matches!(released, Err(Error::NotHeld { .. })), "{released:?}");
    assert_eq!(audit_log::table.count().get_result(&mut **others), Ok(1_i64));
    others.release().unwrap();
    drop(conn);
    until_all_free(&db);
}

/// Hands out one connection at first, and another one after that.
struct Pair<'c, Later> {
    now: &'c mut MysqlConnection,
    later: &'c mut Later,
    switched: bool,
}

impl<Later: LockConnection> LockConnection for Pair<'_, Later> {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        if std::mem::replace(&mut self.switched, true) {
            self.later.mysql_connection()
        } else {
            Some(self.now)
        }
    }
}

#[test]
fn a_call_in_a_test_transaction_that_ends_on_another_connection_commits_nothing_there() {
    // In a transaction as deep as the one in the test, a savepoint of the other connection is
    // released: that it is another connection does not show.
    for (state, deep, begin) in STATES.into_iter().filter(|(_, deep, _)| *deep < 2) {
        let db = Database::with_tables();
        let mut conn = Switch { conns: [db.connect(), db.connect()], current: 0 };
        conn.conns[0].begin_test_transaction().unwrap();
        begin(&mut conn.conns[1]);
        let ended = LOCK.transaction(&mut conn, |conn| {
            log(&mut conn.conns[0], "in a test")?;
            conn.current = 1;
            QueryResult::Ok(())
        });
        let error = Error::from(ended.unwrap_err());
        assert!(
            matches!(error, Error::NotHeld { .. } | Error::TransactionEnded { .. }),
            "{state}: {error:?}"
        );
        assert_eq!(depth(&mut conn.conns[1]), Some(deep), "{state}");
    }
}
