use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("nightly", timeout = 5, server_wide, timeout = 6, server_wide)]
fn both(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", conn = conn, transaction, conn = conn, transaction)]
fn others(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
