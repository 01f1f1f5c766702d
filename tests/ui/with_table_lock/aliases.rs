use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{LockableTable, with_table_lock};

diesel::table! { customers (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Customer;

#[with_table_lock(read(Customer as c, "log" as, Customer as ""))]
fn syntax(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(read(Customer as "c", "log" as "l"), write("orders" as "c", "log" as "l"))]
fn twice(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
