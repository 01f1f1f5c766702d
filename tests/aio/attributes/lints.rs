//! The expansions of `async fn`s under every lint that a user may have forbidden. That they compile
//! is the test.
#![forbid(
    deprecated,
    keyword_idents,
    let_underscore_drop,
    nonstandard_style,
    path_statements,
    redundant_semicolons,
    single_use_lifetimes,
    trivial_casts,
    unreachable_code,
    unreachable_pub,
    unsafe_code,
    unused_assignments,
    unused_attributes,
    unused_braces,
    unused_imports,
    unused_lifetimes,
    unused_must_use,
    unused_mut,
    unused_parens,
    unused_qualifications,
    unused_results,
    unused_variables,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::unwrap_used,
    clippy::expect_used
)]
// No function is called.
#![allow(dead_code)]

use diesel::QueryResult;
use diesel_async::pooled_connection::{bb8, deadpool};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_locks::{Error, with_lock, with_table_lock};

async fn count(conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
    diesel::sql_query("DO 0").execute(conn).await
}

#[with_lock("lock")]
async fn one_line(conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
    count(conn).await
}

#[with_lock("lock")]
async fn nothing_is_used(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock-{id}")]
async fn only_the_name_uses_it(conn: &mut AsyncMysqlConnection, id: i32) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock")]
async fn underscore(_conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock", conn = _db)]
async fn owned_underscore(mut _db: Box<AsyncMysqlConnection>) -> QueryResult<()> {
    Ok(())
}

#[with_lock("lock", conn = db)]
async fn deadpools(mut db: deadpool::Object<AsyncMysqlConnection>) -> QueryResult<usize> {
    count(&mut db).await
}

#[with_lock("lock", conn = db)]
async fn bb8s(mut db: bb8::PooledConnection<'_, AsyncMysqlConnection>) -> QueryResult<usize> {
    db.batch_execute("DO 0").await?;
    count(&mut db).await
}

#[with_lock("lock", conn = db, transaction)]
async fn in_a_pattern((mut db, times): (Box<AsyncMysqlConnection>, i32)) -> QueryResult<usize> {
    for _ in 0..times {
        let _ = count(&mut db).await?;
    }
    count(&mut db).await
}

#[with_lock("lock", if_busy = Ok(None))]
async fn early_return(
    conn: &mut AsyncMysqlConnection,
    name: Option<String>,
) -> QueryResult<Option<String>> {
    let Some(name) = name else { return Ok(None) };
    let _ = count(conn).await?;
    Ok(Some(name))
}

#[with_lock("outer")]
#[with_lock("inner", timeout = 1.5)]
async fn stacked<T>(conn: &mut AsyncMysqlConnection, value: T) -> Result<T, Error>
where
    T: Send,
{
    Ok(value)
}

#[with_table_lock(write("orders"), read("log" as "l"))]
async fn tables(
    conn: &mut AsyncMysqlConnection,
    name: impl AsRef<str> + Send + Sync,
) -> QueryResult<usize> {
    diesel::sql_query(name.as_ref().to_owned()).execute(conn).await
}

struct Service {
    tenant: String,
}

impl Service {
    #[with_lock("lock", in_database = &self.tenant)]
    async fn method(&self, conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
        count(conn).await
    }

    #[with_lock("lock-{}", self.tenant)]
    async fn change(&mut self, conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
        let _ = count(conn).await?;
        self.tenant.push('!');
        Ok(())
    }
}

#[with_lock("lock")]
async fn reassigns<'c>(
    mut conn: &'c mut AsyncMysqlConnection,
    other: &'c mut AsyncMysqlConnection,
) -> QueryResult<usize> {
    let _ = count(conn).await?;
    conn = other;
    count(conn).await
}

trait Job {
    fn run(
        self,
        conn: &mut AsyncMysqlConnection,
    ) -> impl Future<Output = QueryResult<usize>> + Send;
}

impl Job for Service {
    #[with_lock("lock")]
    async fn run(self, conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
        count(conn).await
    }
}

/// Every one of these futures can be sent to another thread.
fn futures_are_send(
    conn: &mut AsyncMysqlConnection,
    other: &mut AsyncMysqlConnection,
    db: deadpool::Object<AsyncMysqlConnection>,
    service: &mut Service,
) {
    const fn send<T: Send>(_: &T) {}
    send(&one_line(conn));
    send(&deadpools(db));
    send(&early_return(conn, None));
    send(&stacked(conn, 1));
    send(&tables(conn, "DO 0"));
    send(&service.method(conn));
    send(&service.change(conn));
    send(&reassigns(conn, other));
}
