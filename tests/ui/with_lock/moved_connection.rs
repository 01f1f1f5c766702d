use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

// The connection is needed to release the lock.

#[with_lock("nightly")]
fn moved(mut conn: Pooled) -> QueryResult<Pooled> {
    Ok(conn)
}

#[with_lock("nightly")]
fn borrowed<'c>(conn: &'c mut MysqlConnection) -> QueryResult<&'c mut MysqlConnection> {
    Ok(conn)
}

fn main() {}
