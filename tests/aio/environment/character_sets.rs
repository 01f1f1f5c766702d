use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection as _;
use diesel_locks::Error;
use diesel_locks::aio::{Lock, TableLock};

use crate::support::{Admin, Database, connection_id, keep};

/// Sessions in which names and messages are read and written in other ways.
const SESSIONS: [&str; 7] = [
    "SET NAMES utf8mb4",
    "SET NAMES latin1",
    "SET NAMES gbk",
    "SET NAMES sjis",
    "SET NAMES big5",
    "SET NAMES latin1 COLLATE latin1_swedish_ci, character_set_connection = utf8mb4",
    "SET character_set_results = NULL, character_set_connection = utf16",
];

/// The driver (`mysql_async` 0.36) cannot read rows in these.
const UNREADABLE: [&str; 2] =
    ["SET character_set_results = utf16", "SET character_set_results = utf32"];

#[tokio::test]
async fn a_session_whose_rows_the_driver_cannot_read_holds_nothing() {
    let database = Database::create().await;
    let mut admin = Admin::connect().await;
    for set in UNREADABLE {
        let mut conn = database.connect().await;
        let id = connection_id(&mut conn).await;
        conn.batch_execute(set).await.unwrap();
        let lock = Lock::new("unreadable");
        let refused = lock.acquire(&mut conn).await.map(keep);
        assert!(matches!(refused, Err(Error::ConnectionLost(_))), "{set}: {refused:?}");
        admin.until_gone(id).await;
        admin.until_free(&database.full_name("unreadable")).await;
    }
}

#[tokio::test]
async fn a_session_s_character_set_does_not_decide_which_lock_a_name_is() {
    let database = Database::create().await;
    let mut admin = Admin::connect().await;
    let mut other = database.connect().await;
    // In GBK, the last byte of `ß` and a quote or a backslash are one character.
    for name in ["straße", "ß'", "ß\\", "名前", "plain"] {
        let lock = Lock::new(name);
        for set in SESSIONS {
            let mut conn = database.connect().await;
            conn.batch_execute(set).await.unwrap();
            let id = connection_id(&mut conn).await;
            let mut guard = lock.acquire(&mut conn).await.unwrap();
            assert_eq!(lock.holding_connection_id(&mut other).await.unwrap(), Some(id), "{set}");
            assert!(guard.is_still_held().await.unwrap(), "{set}");
            let done: QueryResult<()> = guard.transaction(async |_| Ok(())).await;
            assert_eq!(done, Ok(()), "{set}");
            guard.release().await.unwrap();
            assert!(!lock.is_held(&mut other).await.unwrap(), "{set}");
            assert!(!lock.is_held(&mut conn).await.unwrap(), "{set}");
            lock.acquire(&mut other).await.unwrap().leak();
            assert!(lock.try_acquire(&mut conn).await.unwrap().is_none(), "{set}");
            lock.release(&mut other).await.unwrap();
        }
        assert_eq!(admin.holder(&database.full_name("plain")).await, None);
    }
}

#[tokio::test]
async fn errors_are_recognized_in_every_character_set() {
    let database = Database::create().await;
    let mut admin = Admin::connect().await;
    for set in SESSIONS {
        let mut conn = database.connect().await;
        conn.batch_execute(set).await.unwrap();
        let long = "x".repeat(200);
        let refused = Lock::new(&long).acquire(&mut conn).await.map(drop);
        assert!(matches!(refused, Err(Error::InvalidName { .. })), "{set}: {refused:?}");
        conn.batch_execute("BEGIN").await.unwrap();
        let table = TableLock::new().write_table("work");
        let refused = table.acquire(&mut conn).await.map(drop);
        assert!(matches!(refused, Err(Error::InTransaction { .. })), "{set}: {refused:?}");
        conn.batch_execute("ROLLBACK").await.unwrap();
        let result: QueryResult<()> =
            table.with(&mut conn, async |conn| conn.batch_execute("COMMIT").await).await;
        let error = Error::from(result.unwrap_err());
        assert!(matches!(error, Error::TransactionEnded { .. }), "{set}: {error:?}");
        assert!(database.has_free_tables(&mut admin).await, "{set}");
    }
}

#[tokio::test]
async fn tables_are_locked_whatever_their_names_and_the_session() {
    let database = Database::create().await;
    let mut admin = Admin::connect().await;
    for (i, table) in ["ß`", "ß\\", "名前", "a`b"].into_iter().enumerate() {
        let quoted = table.replace('`', "``");
        let create = format!("CREATE TABLE `{}`.`{quoted}` (n INT)", database.name());
        admin.conn.batch_execute(&create).await.unwrap();
        for set in SESSIONS {
            let mut conn = database.connect().await;
            conn.batch_execute(set).await.unwrap();
            let lock = TableLock::new().write_table(table).write_table_as(table, "ß`");
            let guard = match lock.acquire(&mut conn).await {
                Ok(guard) => guard,
                // Two names that are one.
                Err(Error::InvalidName { .. }) if i == 0 => continue,
                Err(error) => panic!("{table}, {set}: {error:?}"),
            };
            guard.release().await.unwrap();
        }
    }
}
