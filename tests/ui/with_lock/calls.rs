use std::sync::Mutex;

use diesel::r2d2::{ConnectionManager, Pool};
use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

struct Repository {
    conn: Mutex<MysqlConnection>,
    shards: Vec<MysqlConnection>,
}

// A connection that only the attribute can name is of no use to the body.

#[with_lock("nightly", conn = pool.get()?)]
fn pool(pool: &Pool<ConnectionManager<MysqlConnection>>, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", conn = connect())]
fn call() -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly", conn = &mut { conn })]
fn block(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

impl Repository {
    #[with_lock("nightly", conn = self.conn.lock().unwrap())]
    fn guard(&self) -> QueryResult<()> {
        Ok(())
    }

    #[with_lock("nightly", conn = self.shards[self.next()])]
    #[with_lock("again", conn = self.shards[0])]
    fn index(&mut self) -> QueryResult<()> {
        Ok(())
    }
}

fn main() {}
