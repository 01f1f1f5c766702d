use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{LockableTable, with_table_lock};

diesel::table! { customers (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Customer;

#[with_table_lock(write(Customer))]
fn nothing(conn: &mut MysqlConnection) {}

#[with_table_lock(write(Customer))]
fn number(conn: &mut MysqlConnection) -> usize {
    1
}

#[with_table_lock(write(Customer))]
fn text(conn: &mut MysqlConnection) -> Result<(), String> {
    Ok(())
}

#[with_table_lock(write(Customer))]
fn no_connection() -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(write(Customer))]
struct Place;

fn main() {}
