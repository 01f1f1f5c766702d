use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("nightly")]
fn copy(from: &mut MysqlConnection, into: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
