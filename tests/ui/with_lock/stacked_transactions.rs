use diesel::{MysqlConnection, QueryResult};
use diesel_locks::{with_lock, with_table_lock};

#[with_lock("outer", transaction)]
#[with_lock("inner", transaction)]
fn two_locks(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(read("log"))]
#[with_table_lock(write("customers"), conn = conn)]
fn two_table_locks(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("outer", transaction)]
#[with_lock("middle")]
#[with_table_lock(write("customers"))]
fn tables_inside(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_table_lock(write("customers"))]
#[with_lock("inner", transaction)]
fn tables_outside(conn: &mut MysqlConnection) -> QueryResult<()> {
    Ok(())
}

fn main() {}
