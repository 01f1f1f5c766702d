use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{LockableTable, with_table_lock};

diesel::table! { customers (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Customer;

#[with_table_lock(Customer)]
fn no_level(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock("customers")]
fn no_level_of_a_name(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(write(Customer), transaction, server_wide)]
fn of_the_other_attribute(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
