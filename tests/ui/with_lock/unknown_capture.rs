use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("invoice-{ix}")]
fn pay(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

fn main() {}
