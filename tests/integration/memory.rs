//! The memory that many pairs of acquire and release leave allocated, in this process and in the
//! server. `./dev soak` can check a million.

use allocation_counter::measure;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_locks::{Error, Lock};

use crate::support::alone;
use crate::support::schema::Database;
use crate::support::server::{count_and_release_locks, is_mysql};

const PAIRS: u32 = 10_000;

/// A leak of a few bytes per pair would exceed this.
const NOISE: i64 = 32 * 1024;

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// Counts the statements that this connection has prepared and not closed.
fn prepared(conn: &mut MysqlConnection) -> i64 {
    let mut count = |what: &str| -> i64 {
        let query = format!("SHOW SESSION STATUS LIKE 'Com_stmt_{what}'");
        diesel::sql_query(query).get_result::<Status>(conn).unwrap().value.parse().unwrap()
    };
    let closed = count("close");
    count("prepare") - closed
}

/// Returns how many bytes the server has allocated for this connection.
fn server_memory(conn: &mut MysqlConnection) -> i64 {
    let of_this_connection = sql::<BigInt>(if is_mysql() {
        "(SELECT CAST(SUM(CURRENT_NUMBER_OF_BYTES_USED) AS SIGNED)
          FROM performance_schema.memory_summary_by_thread_by_event_name
          JOIN performance_schema.threads USING (THREAD_ID) WHERE PROCESSLIST_ID = CONNECTION_ID())"
    } else {
        "(SELECT MEMORY_USED FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID())"
    });
    diesel::select(of_this_connection).get_result(conn).unwrap()
}

fn leaves_nothing(what: &str, name: impl Fn(u32) -> String) {
    let db = Database::new();
    let mut conn = db.connect();
    let pair = |conn: &mut MysqlConnection, n: u32| -> Result<(), Error> {
        Lock::new(&name(n)).acquire(conn)?.release().map(drop)
    };
    let state = |conn: &mut MysqlConnection| (prepared(conn), server_memory(conn));
    state(&mut conn);
    (0..100).try_for_each(|n| pair(&mut conn, n)).unwrap();

    let before = state(&mut conn);
    let here = measure(|| (100..100 + PAIRS).try_for_each(|n| pair(&mut conn, n)).unwrap());
    let after = state(&mut conn);
    let grown = after.1 - before.1;
    println!("{PAIRS} pairs, {what}: {grown} bytes more at the server, {here:?}");
    assert_eq!((here.count_current, here.bytes_current), (0, 0), "{what}: {here:?}");
    assert_eq!(after.0, before.0, "{what}: prepared statements");
    assert!(grown < NOISE, "{what}: the server has {grown} bytes more");
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

alone! {
    fn pairs_under_one_name_leave_nothing_behind() {
        leaves_nothing("one name", |_| "pair".to_owned());
    }

    fn pairs_each_under_its_own_name_leave_nothing_behind() {
        // All have one length, because the statement keeps a buffer for the longest.
        leaves_nothing("different names", |n| format!("pair-{n:06}"));
    }
}
