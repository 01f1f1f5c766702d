//! The server under test, and the state of its connections.

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Unsigned};
use diesel_async::{
    AsyncConnection as _, AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
};
use tokio::sync::OnceCell;

use super::database::server_url;
use super::{number, until};

pub(crate) async fn is_mysql() -> bool {
    static MYSQL: OnceCell<bool> = OnceCell::const_new();
    let ask = async || {
        let mut admin = Admin::connect().await;
        number("VERSION() NOT LIKE '%MariaDB%'", &mut admin.conn).await.unwrap() == 1
    };
    *MYSQL.get_or_init(ask).await
}

/// A connection that inspects other connections, and can kill them.
pub(crate) struct Admin {
    pub(crate) conn: AsyncMysqlConnection,
}

#[derive(diesel::QueryableByName)]
struct Process {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}

impl Admin {
    pub(crate) async fn connect() -> Self {
        Self { conn: AsyncMysqlConnection::establish(server_url().as_str()).await.unwrap() }
    }

    /// Returns the connection that holds a named lock, given its full name.
    pub(crate) async fn holder(&mut self, full_name: &str) -> Option<u64> {
        let holder = format!("COALESCE(IS_USED_LOCK('{full_name}'), 0)");
        let holder = number(&holder, &mut self.conn).await.unwrap();
        (holder != 0).then_some(holder)
    }

    pub(crate) async fn until_free(&mut self, full_name: &str) {
        until(&format!("{full_name} is free"), async || self.holder(full_name).await.is_none())
            .await;
    }

    pub(crate) async fn kill_query(&mut self, id: u64) {
        // The connection may be gone by then.
        let _ = self.conn.batch_execute(&format!("KILL QUERY {id}")).await;
    }

    pub(crate) async fn kill_connection(&mut self, id: u64) {
        let _ = self.conn.batch_execute(&format!("KILL CONNECTION {id}")).await;
    }

    /// Returns whether the connection waits for a named lock, a table or a fencing token. The
    /// process list does not show that a statement waits for a row, but a draw that waits has a
    /// text that no other statement has.
    pub(crate) async fn is_waiting(&mut self, id: u64) -> bool {
        let waiting = "STATE = 'User lock' OR STATE = 'User level lock' \
                       OR STATE LIKE 'Waiting for table%' OR STATE LIKE 'Waiting for%metadata lock' \
                       OR COMMAND = 'Execute' AND INFO LIKE 'INSERT INTO %diesel_locks_fences%'";
        self.is(&process(id, waiting)).await
    }

    pub(crate) async fn until_waiting(&mut self, id: u64) {
        until(&format!("connection {id} waits"), async || self.is_waiting(id).await).await;
    }

    /// Waits until the connection runs a statement like this.
    pub(crate) async fn until_running(&mut self, id: u64, pattern: &str) {
        let running = process(id, &format!("INFO LIKE '{pattern}'"));
        until(&format!("connection {id} runs {pattern}"), async || self.is(&running).await).await;
    }

    /// Waits until the server has ended a connection and freed its locks. MySQL frees them a moment
    /// after the connection has left the process list, but before its thread ends.
    pub(crate) async fn until_gone(&mut self, id: u64) {
        let exists = if super::is_mysql().await {
            format!("EXISTS (SELECT 1 FROM performance_schema.threads WHERE PROCESSLIST_ID = {id})")
        } else {
            process(id, "TRUE")
        };
        until(&format!("connection {id} is gone"), async || !self.is(&exists).await).await;
    }

    async fn is(&mut self, expression: &str) -> bool {
        number(expression, &mut self.conn).await.unwrap() == 1
    }

    pub(crate) async fn kill_all_in(&mut self, database: &str) {
        let list = format!(
            "SELECT CAST(ID AS UNSIGNED) AS id FROM information_schema.PROCESSLIST \
             WHERE DB = '{database}'"
        );
        let ids: QueryResult<Vec<Process>> = diesel::sql_query(list).load(&mut self.conn).await;
        for Process { id } in ids.unwrap_or_default() {
            self.kill_connection(id).await;
        }
    }
}

fn process(id: u64, condition: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND ({condition}))"
    )
}
