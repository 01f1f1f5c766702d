//! Statements of a body after which its transaction and its table lock are still the same.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::Error;

use super::ended_transactions::{each_way, expect_usable};
use crate::support::schema::Database;
use crate::support::table_checks::{log, logged, session};
use crate::support::watchdog;

/// What a body may do between two writes.
type Statement = fn(&mut MysqlConnection);

const HARMLESS: [(&str, Statement); 11] = [
    ("a duplicate key", |conn| {
        let twice = "INSERT INTO places (id, name) VALUES (7, 'a'), (7, 'b')";
        assert!(conn.batch_execute(twice).is_err());
    }),
    ("an unknown table", |conn| assert!(conn.batch_execute("SELECT * FROM unknown").is_err())),
    ("a syntax error", |conn| assert!(conn.batch_execute("NONSENSE").is_err())),
    ("a committed transaction of Diesel's", |conn| {
        conn.transaction(|conn| log(conn, "nested")).unwrap();
    }),
    ("a transaction of Diesel's that is rolled back", |conn| {
        let failed: QueryResult<()> = conn.transaction(|conn| {
            log(conn, "rolled back")?;
            Err(DieselError::RollbackTransaction)
        });
        assert!(failed.is_err());
    }),
    ("transactions in transactions", |conn| {
        conn.transaction(|conn| {
            let failed: QueryResult<()> = conn.transaction(|_| Err(DieselError::NotFound));
            assert!(failed.is_err());
            conn.transaction(|conn| log(conn, "nested"))
        })
        .unwrap();
    }),
    ("a savepoint of the body's", |conn| {
        conn.batch_execute("SAVEPOINT mine; DELETE FROM places; ROLLBACK TO SAVEPOINT mine")
            .unwrap();
    }),
    ("a savepoint that is released", |conn| {
        conn.batch_execute("SAVEPOINT mine; DELETE FROM places; RELEASE SAVEPOINT mine").unwrap();
    }),
    ("a savepoint that does not exist", |conn| {
        assert!(conn.batch_execute("RELEASE SAVEPOINT unknown").is_err());
    }),
    ("a temporary table", |conn| {
        conn.batch_execute("CREATE TEMPORARY TABLE mine (id INT); DROP TEMPORARY TABLE mine")
            .unwrap();
    }),
    ("variables of the session", |conn| {
        conn.batch_execute("SET @mine = 1, sql_mode = 'ANSI'; SET sql_mode = DEFAULT").unwrap();
    }),
];

#[test]
fn statements_that_end_nothing_are_committed_with_the_body() {
    watchdog(|| {
        for (statement, run_statement) in HARMLESS {
            for (way, run) in each_way() {
                let what = format!("{statement}, {way}");
                let db = Database::with_tables();
                let mut conn = db.connect();
                let found = session(&mut conn);
                let body = |conn: &mut MysqlConnection| {
                    log(conn, "before")?;
                    run_statement(conn);
                    log(conn, "after").map(drop).map_err(Error::from)
                };
                run(&mut conn, &body).unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let rows = logged(&db);
                let nests = statement.contains("committed") || statement.contains("in trans");
                let expected: &[&str] =
                    if nests { &["before", "nested", "after"] } else { &["before", "after"] };
                assert_eq!(rows, expected, "{what}");
                assert_eq!(session(&mut conn), found, "{what}");
                expect_usable(&what, &mut conn, &db);
            }
        }
    });
}

#[test]
fn a_body_that_fails_after_such_a_statement_leaves_nothing() {
    watchdog(|| {
        for (statement, run_statement) in HARMLESS {
            for (way, run) in each_way() {
                let what = format!("{statement}, {way}");
                let db = Database::with_tables();
                let mut conn = db.connect();
                let body = |conn: &mut MysqlConnection| {
                    log(conn, "before")?;
                    run_statement(conn);
                    Err(Error::from(DieselError::NotFound))
                };
                let failed = run(&mut conn, &body);
                let own = matches!(failed, Err(Error::Diesel(DieselError::NotFound)));
                assert!(own, "{what}: {failed:?}");
                assert_eq!(logged(&db), [""; 0], "{what}");
                expect_usable(&what, &mut conn, &db);
            }
        }
    });
}
