use diesel::connection::LoadConnection;
use diesel::mysql::Mysql;
use diesel::prelude::*;
use diesel_locks::with_lock;

#[with_lock("nightly")]
fn parameter<C: Connection>(db: &mut C, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn loading<C>(conn: &mut C) -> QueryResult<()>
where
    C: LoadConnection<Backend = Mysql>,
{
    Ok(())
}

#[with_lock("nightly")]
fn hidden(conn: &mut impl Connection<Backend = Mysql>) -> QueryResult<()> {
    Ok(())
}

fn main() {}
