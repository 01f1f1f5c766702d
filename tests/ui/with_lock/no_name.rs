use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock]
fn bare(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock()]
fn empty_list(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("")]
fn empty_name(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock(timeout = 5, conn = conn)]
fn options_only(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("outer")]
#[with_lock]
fn stacked(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
