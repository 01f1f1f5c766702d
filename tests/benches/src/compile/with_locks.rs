use diesel::prelude::*;
use diesel_locks::{LockableTable, with_lock, with_table_lock};

diesel::table! { invoices (id) { id -> Integer, paid -> Bool, } }

#[derive(Debug, Queryable, Selectable, LockableTable)]
#[diesel(table_name = invoices)]
struct Invoice {
    id: i32,
    paid: bool,
}

#[with_lock("invoice-{id}")]
fn pay(conn: &mut MysqlConnection, id: i32) -> QueryResult<usize> {
    diesel::update(invoices::table.find(id)).set(invoices::paid.eq(true)).execute(conn)
}

#[with_table_lock(write(Invoice))]
fn repair(conn: &mut MysqlConnection) -> QueryResult<usize> {
    diesel::delete(invoices::table.filter(invoices::paid.eq(false))).execute(conn)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let conn = &mut MysqlConnection::establish(&std::env::var("DATABASE_URL")?)?;
    pay(conn, 1)?;
    repair(conn)?;
    println!("{:?}", invoices::table.select(Invoice::as_select()).load(conn)?);
    Ok(())
}
