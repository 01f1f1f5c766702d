//! The database, the connections, and what may be left of them in the end.

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Error as PoolError, Pool};
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_locks::Lock;

use crate::ledger::Ledger;

pub(crate) type Connections = Pool<ConnectionManager<MysqlConnection>>;

/// How many tables are locked as tables.
pub(crate) const TABLES: usize = 3;

pub(crate) struct Scene {
    url: String,
    database: String,
    locks: usize,
}

impl Scene {
    pub(crate) fn new(url: &str, locks: usize) -> Self {
        let database = format!("diesel_locks_soak_{}", std::process::id());
        let scene = Self { url: url.to_owned(), database, locks };
        let mut conn = scene.outside();
        let name = &scene.database;
        conn.batch_execute(&format!("CREATE DATABASE {name}; USE {name}")).unwrap();
        // One counter for each lock, in one table; one for each table that is locked as such.
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

    /// A connection that is not in the database.
    pub(crate) fn outside(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn inside(&self) -> MysqlConnection {
        let mut conn = self.outside();
        conn.batch_execute(&format!("USE {}", self.database)).unwrap();
        conn
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
            .expect("the server lets in as many connections")
    }

    pub(crate) fn version(&self) -> String {
        diesel::select(sql::<Text>("VERSION()")).get_result(&mut self.outside()).unwrap()
    }

    /// What should not be there when all threads have ended.
    pub(crate) fn left_behind(&self, ledger: &Ledger) -> Vec<String> {
        let mut faults = Vec::new();
        let mut admin = self.outside();
        let connected = format!(
            "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = '{}')",
            self.database
        );
        // The server notices a closed connection a moment later.
        let mut tries = 0;
        while diesel::select(sql::<Bool>(&connected)).get_result(&mut admin).unwrap() {
            tries += 1;
            if tries > 1_000 {
                faults.push("a connection was left".to_owned());
                break;
            }
            admin.batch_execute("DO SLEEP(0.01)").unwrap();
        }
        let conn = &mut self.inside();
        for n in 0..self.locks {
            if Lock::new(&name(n)).is_held(conn).unwrap() {
                faults.push(format!("the lock {} was left", name(n)));
            }
        }
        conn.batch_execute("SET lock_wait_timeout = 1").unwrap();
        let mut counted = count(conn, "fences");
        for n in 0..TABLES {
            if conn.batch_execute(&format!("LOCK TABLES fence_{n} WRITE; UNLOCK TABLES")).is_err() {
                faults.push(format!("the table fence_{n} was left locked"));
            }
            counted += count(conn, &format!("fence_{n}"));
        }
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

/// The name of the lock with a number.
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
