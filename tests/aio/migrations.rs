use std::error::Error;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl as _;
use diesel_async::{AsyncMigrationHarness, AsyncMysqlConnection};
use diesel_locks::aio::Lock;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use futures_util::future::join_all;

use crate::support::{Database, soon};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../examples/replicas/migrations");

async fn migrate(conn: AsyncMysqlConnection) -> Result<(), Box<dyn Error + Send + Sync>> {
    let lock = Lock::new("schema-migrations").timeout(Duration::from_secs(300));
    let guard = lock.acquire_owned(Box::new(conn)).await?;
    let mut harness = AsyncMigrationHarness::new(guard);
    let migrated = harness.run_pending_migrations(MIGRATIONS).map(drop);
    // After an error, too: a guard that is dropped closes its connection.
    harness.into_inner().release().await?;
    migrated
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_that_start_at_once_run_once() {
    let database = Database::create().await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(tokio::spawn(migrate(database.connect().await)));
    }
    for task in tasks {
        // A migration that runs twice is an error: Diesel's table has a key.
        task.await.unwrap().unwrap();
    }
    let count = diesel::sql_query("SELECT COUNT(*) AS count FROM __diesel_schema_migrations");
    let count: Count = count.get_result(&mut database.connect().await).await.unwrap();
    assert_eq!(count.count, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_replicas_with_a_pool_one_migrates_and_three_find_nothing_to_do() {
    let database = Database::create().await;
    let pool = database.bb8(4).await;
    let replicas = (0..4).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let conn = pool.get_owned().await.unwrap();
            let lock = Lock::new("schema-migrations").without_timeout();
            let guard = lock.acquire_owned(conn).await.unwrap();
            let mut harness = AsyncMigrationHarness::new(guard);
            let run = harness.run_pending_migrations(MIGRATIONS).unwrap().len();
            harness.into_inner().release().await.unwrap();
            run
        })
    });
    let mut run = Vec::new();
    for replica in soon("the replicas", join_all(replicas)).await {
        run.push(replica.unwrap());
    }
    run.sort_unstable();
    assert_eq!(run, [0, 0, 0, 3]);
}
