use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

// A mistake in the body is reported once.

#[with_lock("nightly")]
fn missing_value(conn: &mut MysqlConnection) -> QueryResult<()> {
    let id = ;
    Ok(())
}

fn main() {}
