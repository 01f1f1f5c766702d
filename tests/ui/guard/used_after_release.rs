use diesel::{MysqlConnection, QueryResult, RunQueryDsl};
use diesel_locks::{Lock, TableLock};

diesel::table! { invoices (id) { id -> Integer, } }

fn pay(conn: &mut MysqlConnection) -> QueryResult<()> {
    let mut guard = Lock::new("invoices").acquire(conn)?;
    guard.release()?;
    diesel::sql_query("UPDATE invoices SET paid = TRUE").execute(&mut *guard)?;
    Ok(())
}

fn pay_all(conn: &mut MysqlConnection) -> QueryResult<()> {
    let mut guard = TableLock::new().write::<invoices::table>().acquire(conn)?;
    guard.rollback()?;
    diesel::sql_query("UPDATE invoices SET paid = TRUE").execute(&mut *guard)?;
    Ok(())
}

fn main() {}
