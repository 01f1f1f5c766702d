use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("nightly", timeout = 5, without_timeout)]
fn two_timeouts(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", if_busy = Ok(()), timeout = 5, without_timeout)]
fn no_wait(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", server_wide, in_database = "shop")]
fn two_databases(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", server_wide, fenced)]
fn no_database_for_the_tokens(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
