use diesel::{MysqlConnection, QueryResult, RunQueryDsl};
use diesel_locks::Lock;

fn pay(conn: &mut MysqlConnection) -> QueryResult<()> {
    let guard = Lock::new("invoices").acquire(conn)?;
    diesel::sql_query("UPDATE invoices SET paid = TRUE").execute(conn)?;
    guard.release()?;
    Ok(())
}

fn main() {}
