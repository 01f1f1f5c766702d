use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

#[with_lock("nightly")]
const fn constant(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
extern "C" fn foreign(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

trait Repair {
    #[with_lock("nightly")]
    fn without_body(conn: &mut MysqlConnection) -> QueryResult<()>;
}

fn main() {}
