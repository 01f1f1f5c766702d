use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

const NAME: &str = "nightly";

mod names {
    pub const NAME: &str = "nightly";
}

#[with_lock(NAME)]
fn constant(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock(names::NAME, timeout = 5)]
fn path(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock(format!("invoice-{id}"))]
fn call(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock(b"bytes")]
fn bytes(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock(= "name")]
fn syntax(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
