//! Table locks.

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::mysql::MysqlConnection;
use diesel_locks::{Error, TableLock, with_table_lock};

use super::{Contender, Sent, connect, python};
use crate::proxy::Proxy;
use crate::raw::Raw;
use crate::server;

/// The table that is locked.
pub(crate) const TABLE: &str = "locked";

/// What a program sends that does without a library.
const BY_HAND: [&str; 5] = [
    "SET autocommit = 0",
    "LOCK TABLES `locked` WRITE",
    "COMMIT",
    "UNLOCK TABLES",
    "SET autocommit = 1",
];

/// The least that a program can send that uses Diesel's transactions: no statement is left out that
/// it needs, and none is there for safety.
pub(crate) const MINIMAL: [&str; 2] =
    ["SET autocommit = 0; LOCK TABLES `locked` WRITE", "COMMIT; UNLOCK TABLES; SET autocommit = 1"];

/// All of them, on connections to this address, the first one being the floor.
pub(crate) fn tables(url: &str, database: &str) -> Vec<Contender> {
    let mut contenders = vec![
        {
            let conn = Raw::connect(url);
            Contender::new("C client, five statements", move || {
                for statement in BY_HAND {
                    conn.query(statement);
                }
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("Diesel, two minimal batches", move || {
                AnsiTransactionManager::begin_transaction_sql(&mut conn, MINIMAL[0]).unwrap();
                conn.batch_execute(MINIMAL[1]).unwrap();
                #[expect(clippy::default_trait_access, reason = "Diesel hides the type's name")]
                let none_open = Default::default();
                *AnsiTransactionManager::transaction_manager_status_mut(&mut conn) = none_open;
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("Diesel, five statements by `batch_execute`", move || {
                for statement in BY_HAND {
                    conn.batch_execute(statement).unwrap();
                }
            })
        },
        {
            let mut conn = connect(url);
            let batches = recorded(database);
            Contender::new("Diesel, the library's batches", move || {
                for batch in &batches {
                    conn.batch_execute(batch).unwrap();
                }
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("`TableLock::with`", move || {
                TableLock::new()
                    .write_table(TABLE)
                    .with(&mut conn, |_| Ok::<_, Error>(()))
                    .unwrap();
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("`#[with_table_lock]`", move || attribute(&mut conn).unwrap())
        },
    ];
    contenders.extend(python::five_statements(url));
    contenders
}

fn recorded(database: &str) -> Vec<String> {
    let proxy = Proxy::new();
    let mut conn = connect(&server::url_through(&proxy.host(), database));
    Sent::record(&proxy, || {
        TableLock::new().write_table(TABLE).acquire(&mut conn).unwrap().release().unwrap();
    })
    .queries
}

#[with_table_lock(write("locked"))]
fn attribute(conn: &mut MysqlConnection) -> Result<(), Error> {
    Ok(())
}
