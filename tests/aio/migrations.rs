//! Replicas that migrate the database when they start: one does, the others find nothing to do.

use diesel::migration::{Migration, MigrationMetadata, MigrationName, MigrationSource, Result};
use diesel::mysql::Mysql;
use diesel_async::AsyncMigrationHarness;
use diesel_locks::aio::Lock;
use diesel_migrations::MigrationHarness as _;
use futures_util::future::join_all;

use crate::support::{Admin, Database, number, soon};

const MIGRATIONS: Lock = Lock::new("migrations");

/// Statements that fail if they are run twice.
struct Statements;

#[derive(Clone, Copy)]
struct Statement(&'static str, &'static str);

impl std::fmt::Display for Statement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl MigrationName for Statement {
    fn version(&self) -> diesel::migration::MigrationVersion<'_> {
        self.0.into()
    }
}

impl MigrationMetadata for Statement {
    fn run_in_transaction(&self) -> bool {
        false
    }
}

impl Migration<Mysql> for Statement {
    fn run(&self, conn: &mut dyn diesel::connection::BoxableConnection<Mysql>) -> Result<()> {
        Ok(conn.batch_execute(self.1)?)
    }

    fn revert(&self, _: &mut dyn diesel::connection::BoxableConnection<Mysql>) -> Result<()> {
        unreachable!("no test reverts a migration")
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self
    }

    fn name(&self) -> &dyn MigrationName {
        self
    }
}

impl MigrationSource<Mysql> for Statements {
    fn migrations(&self) -> Result<Vec<Box<dyn Migration<Mysql>>>> {
        Ok(vec![
            Box::new(Statement("1", "CREATE TABLE customers (id INT PRIMARY KEY)")),
            Box::new(Statement("2", "ALTER TABLE customers ADD COLUMN name VARCHAR(50)")),
        ])
    }
}

/// The harness owns the guard, which is a connection itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_four_replicas_that_start_together_one_migrates() {
    let database = Database::create().await;
    let pool = database.bb8(4).await;
    let replicas = (0..4).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let conn = pool.get_owned().await.unwrap();
            let guard = MIGRATIONS.without_timeout().acquire_owned(conn).await.unwrap();
            let mut harness = AsyncMigrationHarness::new(guard);
            let run = harness.run_pending_migrations(Statements).unwrap().len();
            harness.into_inner().release().await.unwrap();
            run
        })
    });
    let mut run: Vec<_> = soon("the replicas", join_all(replicas))
        .await
        .into_iter()
        .map(std::result::Result::unwrap)
        .collect();
    run.sort_unstable();
    assert_eq!(run, [0, 0, 0, 2]);
    let mut conn = pool.get().await.unwrap();
    assert_eq!(number("(SELECT COUNT(*) FROM __diesel_schema_migrations)", &mut conn).await, Ok(2));
    assert_eq!(Admin::connect().await.holder(&database.full_name("migrations")).await, None);
}
