//! A database for each test.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use diesel::QueryResult;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8, deadpool};
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, SimpleAsyncConnection as _};
use url::Url;

use super::{Admin, Proxy, number};

/// A database that only one test uses, with a table `work`. It is dropped with this value, and its
/// connections are killed.
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// Its name is short, because it counts toward the length of a named lock's name.
    pub(crate) async fn create() -> Self {
        static RUN: LazyLock<u32> =
            LazyLock::new(|| (RandomState::new().hash_one(std::process::id()) % 0x100_0000) as u32);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("a{:06x}_{count}", *RUN)).await
    }

    pub(crate) async fn named(name: &str) -> Self {
        let create = format!(
            "CREATE DATABASE `{name}`; \
             CREATE TABLE `{name}`.work (n INT NOT NULL, KEY (n)) ENGINE = InnoDB; \
             CREATE TABLE `{name}`.prices (n INT NOT NULL) ENGINE = InnoDB; \
             CREATE TABLE `{name}`.settings (value VARCHAR(100) NOT NULL) ENGINE = InnoDB; \
             INSERT INTO `{name}`.settings VALUES ('first')"
        );
        Admin::connect().await.conn.batch_execute(&create).await.unwrap();
        Self { name: name.to_owned() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the name by which the server knows a lock of this database.
    pub(crate) fn full_name(&self, lock: &str) -> String {
        format!("{}.{lock}", self.name)
    }

    pub(crate) fn url(&self) -> Url {
        let mut url = server_url();
        url.set_path(&self.name);
        url
    }

    pub(crate) async fn connect(&self) -> AsyncMysqlConnection {
        AsyncMysqlConnection::establish(self.url().as_str()).await.unwrap()
    }

    pub(crate) async fn connect_through(&self, proxy: &Proxy) -> AsyncMysqlConnection {
        let mut url = self.url();
        url.set_ip_host(proxy.address().ip()).unwrap();
        url.set_port(Some(proxy.address().port())).unwrap();
        url.query_pairs_mut().append_pair("prefer_socket", "false");
        AsyncMysqlConnection::establish(url.as_str()).await.unwrap()
    }

    pub(crate) async fn bb8(&self, size: u32) -> bb8::Pool<AsyncMysqlConnection> {
        let manager = AsyncDieselConnectionManager::new(self.url().as_str());
        bb8::Pool::builder().max_size(size).build(manager).await.unwrap()
    }

    pub(crate) fn deadpool(&self, size: usize) -> deadpool::Pool<AsyncMysqlConnection> {
        let manager = AsyncDieselConnectionManager::new(self.url().as_str());
        deadpool::Pool::builder(manager).max_size(size).build().unwrap()
    }

    /// Returns how many rows of the table `work` are committed.
    pub(crate) async fn count(&self, admin: &mut Admin) -> u64 {
        let count = format!("(SELECT COUNT(*) FROM `{}`.work)", self.name);
        number(&count, &mut admin.conn).await.unwrap()
    }

    /// Returns how many of the rows 1 and 2 are committed.
    pub(crate) async fn count_of_pairs(&self, admin: &mut Admin) -> u64 {
        let count = format!("(SELECT COUNT(*) FROM `{}`.work WHERE n IN (1, 2))", self.name);
        number(&count, &mut admin.conn).await.unwrap()
    }

    /// Returns whether the table `settings` has only values that some test has written.
    pub(crate) async fn has_known_settings(&self, admin: &mut Admin) -> bool {
        let known = format!(
            "NOT EXISTS (SELECT 1 FROM `{}`.settings WHERE value NOT IN ('first', 'own'))",
            self.name
        );
        number(&known, &mut admin.conn).await == Ok(1)
    }

    /// Returns whether a connection could lock both tables at once: no other has locked them, or
    /// has an open transaction that has used them.
    pub(crate) async fn has_free_tables(&self, admin: &mut Admin) -> bool {
        let lock = format!(
            "SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1; \
             LOCK TABLES `{0}`.work WRITE, `{0}`.prices WRITE; UNLOCK TABLES",
            self.name
        );
        let locked: QueryResult<()> = admin.conn.batch_execute(&lock).await;
        locked.is_ok()
    }
}

/// Returns the server's URL, without a database.
pub(crate) fn server_url() -> Url {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: run `./dev test`");
    let mut url: Url = url.parse().unwrap();
    url.set_path("");
    url
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // On a separate thread, since a destructor cannot wait on the test's runtime.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut admin = Admin::connect().await;
                admin.kill_all_in(&name).await;
                let drop = format!("SET lock_wait_timeout = 20; DROP DATABASE `{name}`");
                admin.conn.batch_execute(&drop).await
            })
        });
        // A second panic would abort the suite and hide the first.
        let dropped = dropped.join();
        assert!(thread::panicking() || matches!(dropped, Ok(Ok(()))), "{}: {dropped:?}", self.name);
    }
}
