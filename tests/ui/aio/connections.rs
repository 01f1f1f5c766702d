use diesel::QueryResult;
use diesel_async::AsyncMysqlConnection;
use diesel_locks::{with_lock, with_table_lock};

struct Service {
    conn: AsyncMysqlConnection,
}

impl Service {
    #[with_lock("nightly", conn = self.conn)]
    async fn field(&mut self) -> QueryResult<()> {
        Ok(())
    }
}

#[with_table_lock(write("orders"), conn = self)]
async fn of_self(&mut self) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
async fn text(conn: &mut String) -> QueryResult<()> {
    Ok(())
}

fn main() {}
