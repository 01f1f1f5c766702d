use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

struct Repository {
    conn: MysqlConnection,
}

#[with_lock("nightly")]
fn none() -> QueryResult<()> {
    Ok(())
}

impl Repository {
    #[with_lock("nightly")]
    #[with_lock("again")]
    fn method(&mut self, id: i32) -> QueryResult<()> {
        Ok(())
    }
}

#[with_lock("nightly")]
fn shared(db: &MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn unnamed(_: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

type Db = MysqlConnection;

#[with_lock("nightly")]
fn alias(id: i32, db: &mut Db) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn several(ids: &mut Vec<i32>, db: &mut Db) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn owned(id: i32, mut db: Db) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn unclear(first: &mut Db, second: &mut Db) -> QueryResult<()> {
    Ok(())
}

fn main() {}
