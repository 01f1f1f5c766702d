//! The database, its connections, and the check that nothing is left of them in the end.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Error as PoolError, Pool};
use diesel::sql_types::{BigInt, Text, Unsigned};
use diesel_locks::Lock;

use crate::ledger::Ledger;

pub(crate) type Connections = Pool<ConnectionManager<MysqlConnection>>;

/// The number of tables for table locks.
pub(crate) const TABLES: usize = 3;

/// How often to check, a hundredth of a second apart.
const TRIES: u32 = 1_000;

pub(crate) struct Scene {
    url: String,
    database: String,
    pub(crate) locks: usize,
    /// The state in which a session begins.
    pub(crate) session: String,
}

impl Scene {
    pub(crate) fn new(url: &str, locks: usize) -> Self {
        let database = format!("diesel_locks_soak_{}", std::process::id());
        let mut scene = Self { url: url.to_owned(), database, locks, session: String::new() };
        let mut conn = scene.outside();
        scene.session = session(&mut conn).expect("a session has a state").1;
        let name = &scene.database;
        conn.batch_execute(&format!("CREATE DATABASE {name}; USE {name}")).unwrap();
        Lock::create_fences(&mut conn).unwrap();
        // A counter for each named lock, in one table, and a counter in each table for table locks.
        let fences = (0..TABLES).map(|n| (format!("fence_{n}"), 1));
        for (table, rows) in fences.chain([("fences".to_owned(), locks)]) {
            conn.batch_execute(&format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, counter BIGINT)"
            ))
            .unwrap();
            for id in 0..rows {
                conn.batch_execute(&format!("INSERT INTO {table} VALUES ({id}, 0)")).unwrap();
            }
        }
        scene
    }

    /// Connects without a default database.
    pub(crate) fn outside(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn inside(&self) -> MysqlConnection {
        let mut conn = self.outside();
        conn.batch_execute(&format!("USE {}", self.database)).unwrap();
        conn
    }

    /// Returns the URL with the database, for diesel-async.
    pub(crate) fn url_inside(&self) -> String {
        format!("{}/{}", self.url.trim_end_matches('/'), self.database)
    }

    pub(crate) fn pool(&self, size: u32) -> Connections {
        #[derive(Debug)]
        struct Use(String);
        impl CustomizeConnection<MysqlConnection, PoolError> for Use {
            fn on_acquire(&self, conn: &mut MysqlConnection) -> Result<(), PoolError> {
                conn.batch_execute(&self.0).map_err(PoolError::QueryError)
            }
        }
        Pool::builder()
            .max_size(size)
            .connection_customizer(Box::new(Use(format!("USE {}", self.database))))
            .build(ConnectionManager::new(&self.url))
            .expect("the server allows this many connections")
    }

    pub(crate) fn version(&self) -> String {
        diesel::select(sql::<Text>("VERSION()")).get_result(&mut self.outside()).unwrap()
    }

    /// Returns the locks that are still held. All connections must still be open, because closing
    /// them would release the locks.
    pub(crate) fn still_held(&self) -> Vec<String> {
        let mut conn = self.inside();
        // The connections that were killed last may take a moment to end.
        let mut held = Vec::new();
        for _ in 0..TRIES {
            held = (0..self.locks)
                .map(name)
                .filter(|name| Lock::new(name).is_held(&mut conn).unwrap())
                .collect();
            // Any other name too, if the server lists held locks.
            held.extend(Lock::held_with_prefix("", &mut conn).unwrap_or_default().into_keys());
            if held.is_empty() {
                break;
            }
            conn.batch_execute("DO SLEEP(0.01)").unwrap();
        }
        let mut faults: Vec<_> =
            held.into_iter().map(|name| format!("the lock {name} was left")).collect();
        conn.batch_execute("SET lock_wait_timeout = 10").unwrap();
        for n in 0..TABLES {
            if conn.batch_execute(&format!("LOCK TABLES fence_{n} WRITE; UNLOCK TABLES")).is_err() {
                faults.push(format!("the table fence_{n} was left locked"));
            }
        }
        faults
    }

    /// Returns the connections that are still open, and counters that cannot be right. All
    /// connections must be closed.
    pub(crate) fn still_there(&self, ledger: &Ledger) -> Vec<String> {
        let mut faults = Vec::new();
        let mut admin = self.outside();
        let connected = format!(
            "(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{}')",
            self.database
        );
        // The server notices a closed connection a moment later.
        let mut left = 0;
        for _ in 0..TRIES {
            left = diesel::select(sql::<BigInt>(&connected)).get_result(&mut admin).unwrap();
            if left == 0 {
                break;
            }
            admin.batch_execute("DO SLEEP(0.01)").unwrap();
        }
        if left > 0 {
            faults.push(format!("{left} connections were left"));
        }
        let conn = &mut self.inside();
        let tables = (0..TABLES).map(|n| format!("fence_{n}"));
        let counted =
            tables.fold(count(conn, "fences"), |counted, table| counted + count(conn, &table));
        let (least, most) = ledger.expected_count();
        if !(least..=most).contains(&counted) {
            faults.push(format!("the counters say {counted}, and not {least} to {most}"));
        }
        faults
    }

    pub(crate) fn remove(&self) {
        self.outside().batch_execute(&format!("DROP DATABASE {}", self.database)).unwrap();
    }
}

/// The session variables that a lock may change while it is held.
pub(crate) const SESSION: &str = "CONCAT_WS(' ', 'autocommit', @@autocommit, \
     'innodb_table_locks', @@innodb_table_locks, 'lock_wait_timeout', @@lock_wait_timeout, \
     'innodb_lock_wait_timeout', @@innodb_lock_wait_timeout, 'wait_timeout', @@wait_timeout)";

/// Returns the connection ID, and the session variables that a lock may change while it is held.
pub(crate) fn session(conn: &mut MysqlConnection) -> QueryResult<(u64, String)> {
    diesel::select((sql::<Unsigned<BigInt>>("CONNECTION_ID()"), sql::<Text>(SESSION)))
        .get_result(conn)
}

/// Returns the name of the lock with this number.
pub(crate) fn name(number: usize) -> String {
    format!("soak-{number}")
}

fn count(conn: &mut MysqlConnection, table: &str) -> u64 {
    let sum: i64 = diesel::select(sql::<BigInt>(&format!(
        "(SELECT CAST(SUM(counter) AS SIGNED) FROM {table})"
    )))
    .get_result(conn)
    .unwrap();
    sum.try_into().unwrap()
}
