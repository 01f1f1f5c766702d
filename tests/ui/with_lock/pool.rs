use std::sync::Arc;

use diesel::r2d2::{ConnectionManager, Pool};
use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

type DbPool = Pool<ConnectionManager<MysqlConnection>>;

#[with_lock("nightly")]
fn borrowed(pool: &Pool<ConnectionManager<MysqlConnection>>) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn shared(id: i32, pool: Arc<DbPool>) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn named(conn: &DbPool) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", conn = pool)]
fn given(pool: &DbPool) -> QueryResult<()> {
    Ok(())
}

struct Data<T>(T);

#[with_lock("nightly")]
fn extracted(db: Data<DbPool>) -> QueryResult<()> {
    Ok(())
}

fn main() {}
