use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{LockableTable, with_table_lock};

diesel::table! { customers (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Customer;

#[with_table_lock(read(Customer), read("log"), timeout = 5, timeout = 6)]
fn options(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(write(Customer, "log", Customer, "log"))]
fn tables(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
