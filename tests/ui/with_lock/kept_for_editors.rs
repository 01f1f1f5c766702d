use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

// A function whose attribute is wrong is still there: calling it is no second error.

#[with_lock]
fn nightly<'c>(conn: &'c mut MysqlConnection, id: i32) -> QueryResult<i32> {
    Ok(id)
}

struct Repository;

impl Repository {
    #[with_lock("nightly", unknown = 1)]
    fn nightly(&self, conn: &mut MysqlConnection) -> QueryResult<i32> {
        nightly(conn, 1)
    }
}

pub fn call(conn: &mut MysqlConnection) -> QueryResult<i32> {
    Repository.nightly(conn)
}

fn main() {}
