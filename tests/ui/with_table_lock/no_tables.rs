use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{LockableTable, with_table_lock};

diesel::table! { customers (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Customer;

#[with_table_lock]
fn bare(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(timeout = 5)]
fn options_only(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(read())]
fn empty_list(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(write("", ("log", "")))]
fn empty_name(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
