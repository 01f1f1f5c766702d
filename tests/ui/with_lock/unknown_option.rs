use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("nightly", time_out = 5)]
fn key(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("invoice-{id}", serverwide)]
fn flag(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock("invoice-{}", id, transactional, tries = 3, timeout)]
fn several(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

fn main() {}
