//! Faults of Diesel 2.3 with the C client libraries of MySQL and MariaDB, in plain Diesel, for
//! reports to those projects. A test fails as long as the fault is there. CONTRIBUTING.md says how
//! to run them with each library, and how this library works around the faults.
// Tests unwrap what they expect, and their names are their documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod awaited;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Integer, Text};

diesel::table! {
    items (id) {
        id -> Integer,
    }
}

diesel::define_sql_function! {
    fn get_lock(name: Text, seconds: Integer) -> Nullable<Integer>;
}

fn connect() -> MysqlConnection {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is the address of a server");
    MysqlConnection::establish(&url).unwrap()
}

/// With Oracle's libmysqlclient (9.5.0, 9.7.4) the last insert fails with "Duplicate entry '1'",
/// and is never sent. Diesel looks at `mysql_stmt_errno` after `mysql_stmt_bind_param`, and this
/// library keeps the error of the last run until the statement is run again.
#[test]
fn a_cached_insert_works_again_after_it_has_failed_once() {
    let mut conn = connect();
    conn.batch_execute(
        "CREATE DATABASE IF NOT EXISTS driver_faults; USE driver_faults; \
         CREATE TEMPORARY TABLE items (id INT PRIMARY KEY)",
    )
    .unwrap();
    let mut insert =
        |id: i32| diesel::insert_into(items::table).values(items::id.eq(id)).execute(&mut conn);
    assert_eq!(insert(1), Ok(1));
    let duplicate = insert(1);
    assert!(
        matches!(duplicate, Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))),
        "{duplicate:?}"
    );
    assert_eq!(insert(2), Ok(1));
}

/// With MariaDB Connector/C 3.3 the second call never returns, on MySQL and on MariaDB: the library
/// waits for the rows of the first one. With Oracle's it works.
///
/// The server reports the name that is too long (error 4163, 3057 or 1059) only after it has begun
/// to send the answer.
#[test]
fn a_cached_select_works_again_after_it_has_failed_while_sending_rows() {
    let (done, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut conn = connect();
        let mut lock =
            |name: &str| diesel::select(get_lock(name, 0)).get_result::<Option<i32>>(&mut conn);
        let too_long = lock(&"n".repeat(200));
        assert!(too_long.is_err(), "{too_long:?}");
        done.send(lock("driver faults")).unwrap();
    });
    let second = answer.recv_timeout(Duration::from_secs(10));
    assert_eq!(second.expect("the second call has not returned for ten seconds"), Ok(Some(1)));
}
