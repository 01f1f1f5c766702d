use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{LockableTable, with_table_lock};

diesel::table! { customers (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Customer;

#[with_table_lock(read = Customer)]
fn equals(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(read(&Customer, 5, Customer Customer))]
fn types(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(write(("other_db", Customer), ("a", "b", "c"), ()))]
fn pairs(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
