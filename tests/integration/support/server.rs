//! The server under test: its address, its kind, and the state of its connections.

use std::env;
use std::sync::LazyLock;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Unsigned};

use super::until;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    MariaDb,
    MySql,
}

/// Returns the kind of server. Where the two differ, a test has an expectation for each.
pub(crate) fn kind() -> Kind {
    static KIND: LazyLock<Kind> = LazyLock::new(|| {
        let version: String =
            diesel::select(sql::<Text>("VERSION()")).get_result(&mut connect()).unwrap();
        if version.contains("MariaDB") { Kind::MariaDb } else { Kind::MySql }
    });
    *KIND
}

pub(crate) fn is_mysql() -> bool {
    kind() == Kind::MySql
}

/// `DATABASE_URL`, taken apart.
#[derive(Debug)]
struct Address {
    user: String,
    /// Host and port.
    host: String,
    /// Including the leading `?`.
    options: String,
}

static ADDRESS: LazyLock<Address> = LazyLock::new(|| {
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| {
        panic!(
            "DATABASE_URL is not set. Run `./dev test`, which starts the servers and sets it, or \
             set it to the address of a server on which databases may be created, such as \
             mysql://root@127.0.0.1:3306/"
        )
    });
    let well_formed = "DATABASE_URL looks like mysql://user@host:port/";
    let rest = url.strip_prefix("mysql://").expect(well_formed);
    let (user, rest) = rest.rsplit_once('@').expect(well_formed);
    let (rest, options) = rest
        .split_once('?')
        .map_or((rest, String::new()), |(rest, options)| (rest, format!("?{options}")));
    let host = rest.split('/').next().unwrap_or_default();
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:3306") };
    Address { user: user.to_owned(), host, options }
});

/// Host and port of the server.
pub(crate) fn host() -> &'static str {
    &ADDRESS.host
}

/// Returns the URL of a database, or of no database, reached through `host`.
pub(crate) fn url_through(host: &str, database: &str) -> String {
    format!("mysql://{}@{host}/{database}{}", ADDRESS.user, ADDRESS.options)
}

/// Connects without a default database.
pub(crate) fn connect() -> MysqlConnection {
    let url = url_through(host(), "");
    MysqlConnection::establish(&url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

pub(crate) fn connection_id(conn: &mut MysqlConnection) -> u64 {
    diesel::select(sql::<Unsigned<BigInt>>("CONNECTION_ID()")).get_result(conn).unwrap()
}

/// Releases all named locks of the connection, without using the library, and returns how many it
/// held, including re-entries.
pub(crate) fn count_and_release_locks(conn: &mut MysqlConnection) -> u64 {
    diesel::select(sql::<Unsigned<BigInt>>("CAST(RELEASE_ALL_LOCKS() AS UNSIGNED)"))
        .get_result(conn)
        .unwrap()
}

/// A connection that inspects other connections, and can kill them.
pub(crate) struct Admin(pub(crate) MysqlConnection);

impl Admin {
    pub(crate) fn new() -> Self {
        Self(connect())
    }

    /// Returns the connection that holds a named lock, given its full name.
    pub(crate) fn holder(&mut self, full_name: &str) -> Option<u64> {
        let holder = sql::<Nullable<Unsigned<BigInt>>>("CAST(IS_USED_LOCK(")
            .bind::<Text, _>(full_name)
            .sql(") AS UNSIGNED)");
        diesel::select(holder).get_result(&mut self.0).unwrap()
    }

    pub(crate) fn until_free(&mut self, full_name: &str) {
        until(&format!("{full_name} is free"), || self.holder(full_name).is_none());
    }

    pub(crate) fn kill_query(&mut self, id: u64) {
        // The connection may be gone by then.
        let _ = self.0.batch_execute(&format!("KILL QUERY {id}"));
    }

    pub(crate) fn kill_connection(&mut self, id: u64) {
        let _ = self.0.batch_execute(&format!("KILL CONNECTION {id}"));
    }

    /// Blocks until the connection waits for a named lock or a table.
    pub(crate) fn until_waiting(&mut self, id: u64) {
        until(&format!("connection {id} waits"), || self.is_waiting(id));
    }

    /// Blocks until the connection is in a `SLEEP()`.
    pub(crate) fn until_sleeping(&mut self, id: u64) {
        until(&format!("connection {id} sleeps"), || self.is(&process(id, "STATE = 'User sleep'")));
    }

    pub(crate) fn is_waiting(&mut self, id: u64) -> bool {
        self.is(&process(
            id,
            "STATE = 'User lock' OR STATE = 'User level lock' OR STATE LIKE 'Waiting for table%' \
             OR STATE LIKE 'Waiting for%metadata lock'",
        ))
    }

    /// Blocks until the server has ended a connection and freed its locks. MySQL frees them a
    /// moment after the connection has left the process list, but before its thread ends.
    pub(crate) fn until_gone(&mut self, id: u64) {
        let exists = if is_mysql() {
            format!("EXISTS (SELECT 1 FROM performance_schema.threads WHERE PROCESSLIST_ID = {id})")
        } else {
            process(id, "TRUE")
        };
        until(&format!("connection {id} is gone"), || !self.is(&exists));
    }

    fn is(&mut self, expression: &str) -> bool {
        diesel::select(sql::<Bool>(expression)).get_result(&mut self.0).unwrap()
    }

    /// Counts the connections of a database that wait for a named lock.
    pub(crate) fn waiting_in(&mut self, database: &str) -> i64 {
        let count = sql::<BigInt>(
            "(SELECT COUNT(*) FROM information_schema.PROCESSLIST \
             WHERE STATE IN ('User lock', 'User level lock') AND DB = ",
        );
        diesel::select(count.bind::<Text, _>(database).sql(")")).get_result(&mut self.0).unwrap()
    }

    /// Kills all connections whose default database is this one.
    pub(crate) fn kill_all_in(&mut self, database: &str) {
        let ids = diesel::sql_query(
            "SELECT CAST(ID AS UNSIGNED) AS id FROM information_schema.PROCESSLIST WHERE DB = ?",
        )
        .bind::<Text, _>(database)
        .load::<Process>(&mut self.0)
        .unwrap_or_default();
        for Process { id } in ids {
            self.kill_connection(id);
        }
    }
}

fn process(id: u64, condition: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {id} AND ({condition}))"
    )
}

#[derive(QueryableByName)]
struct Process {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
}
