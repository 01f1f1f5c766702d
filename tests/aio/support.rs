//! A database for each test, connections, and what the server holds.

use std::sync::atomic::{AtomicU32, Ordering};

use diesel::sql_types::{BigInt, Unsigned};
use diesel_async::SimpleAsyncConnection as _;
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, RunQueryDsl as _};
use url::Url;

/// A database of its own on the server, dropped when the test succeeds.
pub(crate) struct Database {
    pub(crate) name: String,
    url: Url,
}

impl Database {
    pub(crate) async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("diesel_locks_aio_{}_{number}", std::process::id());
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: run `./dev test`");
        let mut url: Url = url.parse().unwrap();
        url.set_path("");
        let mut conn = AsyncMysqlConnection::establish(url.as_str()).await.unwrap();
        let create = format!("DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}");
        conn.batch_execute(&create).await.unwrap();
        url.set_path(&name);
        Self { name, url }
    }

    pub(crate) fn url(&self) -> &str {
        self.url.as_str()
    }

    pub(crate) async fn connect(&self) -> AsyncMysqlConnection {
        AsyncMysqlConnection::establish(self.url()).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let (name, mut url) = (self.name.clone(), self.url.clone());
        url.set_path("");
        // On a thread of its own, since a destructor cannot wait on the test's runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut conn = AsyncMysqlConnection::establish(url.as_str()).await.unwrap();
                conn.batch_execute(&format!("DROP DATABASE {name}")).await.unwrap();
            });
        });
        dropped.join().unwrap();
    }
}

#[derive(diesel::QueryableByName)]
struct Id {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}

pub(crate) async fn connection_id(conn: &mut AsyncMysqlConnection) -> u64 {
    let query = diesel::sql_query("SELECT CONNECTION_ID() AS id");
    query.get_result::<Id>(conn).await.unwrap().id
}
