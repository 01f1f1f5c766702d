use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("nightly", if_busy = 5)]
fn if_busy(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", in_database = String::from("shop"))]
fn in_database(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", if_busy = , in_database = , shortened = true)]
fn missing(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", if_busy, in_database, without_timeout = 5)]
fn no_value(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
