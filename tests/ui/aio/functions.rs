use std::pin::Pin;

use diesel::QueryResult;
use diesel_async::AsyncMysqlConnection;
use diesel_locks::with_lock;

#[with_lock("nightly")]
fn plain(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("nightly")]
async fn nothing(conn: &mut AsyncMysqlConnection) {}

#[with_lock("nightly")]
async fn not_a_result(conn: &mut AsyncMysqlConnection) -> u32 {
    1
}

struct Service;

#[async_trait::async_trait]
trait Job {
    async fn run(&self, conn: &mut AsyncMysqlConnection) -> QueryResult<()>;
}

#[async_trait::async_trait]
impl Job for Service {
    #[with_lock("nightly")]
    async fn run(&self, conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
        Ok(())
    }
}

#[with_lock("nightly")]
fn pinned(conn: &mut AsyncMysqlConnection) -> Pin<Box<dyn Future<Output = QueryResult<()>> + Send>> {
    Box::pin(async { Ok(()) })
}

fn main() {}
