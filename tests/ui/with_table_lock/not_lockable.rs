use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{LockableTable, with_table_lock};

diesel::table! { customers (id) { id -> Integer, } }

#[derive(LockableTable)]
struct Customer;

struct Place;

#[with_table_lock(read(Customer, Place))]
fn read(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(write(Costumer))]
fn unknown(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
