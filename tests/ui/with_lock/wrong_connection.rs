use diesel::{MysqlConnection, QueryResult};
use diesel_locks::with_lock;

struct Repository {
    conn: MysqlConnection,
    id: i32,
}

#[with_lock("nightly")]
fn text(conn: &mut String) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
fn shared(conn: &MysqlConnection) -> QueryResult<()> {
    Ok(())
}

impl Repository {
    #[with_lock("nightly", conn = self.connection)]
    fn no_field(&mut self) -> QueryResult<()> {
        Ok(())
    }

    #[with_lock("nightly", conn = self.id)]
    fn no_conn(&mut self) -> QueryResult<()> {
        Ok(())
    }

    #[with_lock("nightly", conn = self.conn)]
    fn not_mutable(&self) -> QueryResult<()> {
        Ok(())
    }
}

fn main() {}
