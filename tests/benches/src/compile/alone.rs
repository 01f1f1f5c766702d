use diesel::prelude::*;

diesel::table! { invoices (id) { id -> Integer, paid -> Bool, } }

#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = invoices)]
struct Invoice {
    id: i32,
    paid: bool,
}

fn pay(conn: &mut MysqlConnection, id: i32) -> QueryResult<usize> {
    diesel::update(invoices::table.find(id)).set(invoices::paid.eq(true)).execute(conn)
}

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
