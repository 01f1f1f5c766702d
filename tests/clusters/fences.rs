//! A counter that is read and then written under a lock that two nodes have granted.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::node::Node;
use crate::{execute, ids, insert};

diesel::table! {
    counters (id) {
        id -> Integer,
        value -> BigInt,
    }
}

/// How often each node raises the counter.
const EACH: i32 = 150;

/// By a statement that is not cached: a cached query that has failed may hang when it is run again.
pub(crate) fn read(conn: &mut MysqlConnection) -> QueryResult<i64> {
    let query = diesel::sql_query("SELECT value FROM counters WHERE id = 1");
    query.get_result::<Counter>(conn).map(|counter| counter.value)
}

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    value: i64,
}

pub(crate) fn write(conn: &mut MysqlConnection, value: i64) -> QueryResult<usize> {
    diesel::update(counters::table.find(1)).set(counters::value.eq(value)).execute(conn)
}

/// Reads the counter, and writes it plus one.
pub(crate) fn raise(conn: &mut MysqlConnection) -> QueryResult<()> {
    let value = read(conn)?;
    write(conn, value + 1).map(drop)
}

/// What came of transactions on both nodes at once.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) committed: i64,
    pub(crate) counted: i64,
    /// How many of the commits that were reported as done are not there.
    pub(crate) missing: usize,
    refused: BTreeMap<&'static str, i64>,
}

impl Outcome {
    pub(crate) fn lost(&self) -> i64 {
        self.committed - self.counted
    }

    pub(crate) fn superseded(&self) -> i64 {
        self.refused.get("superseded").copied().unwrap_or_default()
    }
}

/// Raises the counter under the lock on both nodes at the same time. Each transaction also adds a
/// row, which shows whether it has been committed.
pub(crate) fn raise_on_both(nodes: &[Node; 2], lock: Lock<'static>, sync: &str) -> Outcome {
    execute(&nodes[0], "DELETE FROM orders");
    let before = settled(&nodes[0], sync);
    let together = Barrier::new(2);
    let results: Vec<_> = thread::scope(|threads| {
        let parts = [(&nodes[0], 0), (&nodes[1], EACH)].map(|(node, first)| {
            let together = &together;
            threads.spawn(move || {
                let mut conn = node.connect();
                together.wait();
                let raise_and_insert = |id| {
                    let done = lock.transaction(&mut conn, |conn| {
                        raise(conn)?;
                        insert(conn, id).map(drop)
                    });
                    (id, done.map_err(Error::from))
                };
                (first..first + EACH).map(raise_and_insert).collect::<Vec<_>>()
            })
        });
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let mut all = Outcome { counted: settled(&nodes[0], sync) - before, ..Outcome::default() };
    let there = ids(&mut nodes[0].connect());
    for (id, result) in results {
        match result {
            Ok(()) => {
                all.committed += 1;
                all.missing += usize::from(!there.contains(&id));
            }
            Err(error) => *all.refused.entry(name_of(&error)).or_default() += 1,
        }
    }
    let kind = if lock == Lock::new(lock.name()) { "without a fence" } else { "fenced" };
    println!("{kind}: {all:?}, {} lost", all.lost());
    all
}

/// Returns the counter, once what the other node has committed is here.
fn settled(node: &Node, sync: &str) -> i64 {
    let mut conn = node.connect();
    diesel::sql_query(sync).execute(&mut conn).unwrap();
    read(&mut conn).unwrap()
}

fn name_of(error: &Error) -> &'static str {
    match error {
        Error::Superseded { .. } => "superseded",
        Error::Deadlock { .. } => "deadlock",
        Error::Timeout { .. } => "timeout",
        Error::ConnectionLost(_) => panic!("{error:?}"),
        Error::TransactionEnded { .. } => "transaction ended",
        Error::Interrupted { .. } => "interrupted",
        Error::Diesel(error) => {
            println!("refused: {error}");
            "other"
        }
        error => panic!("{error:?}"),
    }
}
