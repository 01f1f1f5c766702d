//! The work: a report of the day.

use std::fmt;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Integer, Text, Unsigned};

diesel::table! {
    nightly_reports (day) {
        day -> Text,
        made_by -> Unsigned<BigInt>,
    }
}

/// One a day.
#[derive(Debug, Queryable)]
pub(crate) struct Report {
    day: String,
    made_by: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the report of {}, made by connection {}", self.day, self.made_by)
    }
}

pub(crate) fn create_table(conn: &mut MysqlConnection) -> QueryResult<()> {
    // The key would refuse a second report; the lock keeps it from being begun.
    conn.batch_execute(
        "CREATE TABLE IF NOT EXISTS nightly_reports
         (day VARCHAR(10) PRIMARY KEY, made_by BIGINT UNSIGNED NOT NULL)",
    )
}

pub(crate) fn of_today(conn: &mut MysqlConnection) -> QueryResult<Option<Report>> {
    let today = sql::<Text>("DATE_FORMAT(CURRENT_DATE, '%Y-%m-%d')");
    nightly_reports::table.filter(nightly_reports::day.eq(today)).first(conn).optional()
}

pub(crate) fn make(conn: &mut MysqlConnection, seconds: u32) -> QueryResult<Report> {
    diesel::select(sql::<Integer>("SLEEP(").bind::<Unsigned<Integer>, _>(seconds).sql(")"))
        .execute(conn)?;
    diesel::sql_query(
        "INSERT INTO nightly_reports
         VALUES (DATE_FORMAT(CURRENT_DATE, '%Y-%m-%d'), CONNECTION_ID())",
    )
    .execute(conn)?;
    of_today(conn)?.ok_or(diesel::NotFound)
}
