use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("nightly", timeout = -2.5)]
fn negative(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", timeout = "5s")]
fn text(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", timeout = , transaction = true)]
fn missing(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", conn = )]
fn no_conn(db: &mut MysqlConnection, other: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", timeout = 5 transaction)]
fn comma(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", crate = "diesel_locks")]
fn root(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", hold_at_least = -10, if_busy = Ok(()))]
fn negative_minimum(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", hold_at_least = "10s")]
fn text_minimum(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", hold_at_least)]
fn no_minimum(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
