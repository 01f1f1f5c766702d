//! Inspecting the server under test, and the cost of that.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_locks::{
    BinlogFormat, Error, Flavor, Lock, LockListing, NameLimit, Server, TableLock, Warning,
};

use crate::support::alone;
use crate::support::listings::Listings;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id};
use crate::support::user::User;

/// Returns a variable of the server, if it has one of this name.
fn variable(name: &str) -> Option<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text, column_name = "Value")]
        value: String,
    }
    diesel::sql_query(format!("SHOW GLOBAL VARIABLES WHERE Variable_name = '{name}'"))
        .get_result::<Row>(&mut server::connect())
        .optional()
        .unwrap()
        .map(|row| row.value)
}

fn is_on(name: &str) -> bool {
    variable(name).is_some_and(|value| value == "ON" || value == "1")
}

#[test]
fn an_inspection_agrees_with_the_servers_variables() {
    let db = Database::new();
    let server = Server::inspect(&mut db.connect()).unwrap();
    let mysql = server::is_mysql();
    assert!(
        if mysql {
            matches!(server.flavor, Flavor::MySql | Flavor::Percona)
        } else {
            server.flavor == Flavor::MariaDb
        },
        "{server:?}"
    );
    assert_eq!(Some(&server.version), variable("version").as_ref());
    assert_eq!(
        server.name_limit,
        Some(if mysql { NameLimit::Characters(64) } else { NameLimit::Bytes(192) })
    );
    assert_eq!(server.names_differ_by_case, Some(!mysql));
    assert_eq!(server.detects_deadlocks, Some(true));
    assert_eq!(server.innodb_deadlock_detect, Some(is_on("innodb_deadlock_detect")));
    assert_eq!(server.innodb_table_locks, Some(is_on("innodb_table_locks")));
    assert_eq!(server.binary_log, is_on("log_bin"));
    let format = variable("binlog_format").map(|format| match format.as_str() {
        "ROW" => BinlogFormat::Row,
        "MIXED" => BinlogFormat::Mixed,
        _ => BinlogFormat::Statement,
    });
    assert_eq!(server.binlog_format, format);
    assert_eq!(server.read_only, is_on("read_only"));
    assert_eq!(server.galera, is_on("wsrep_on"));
    let warned = server.warnings().contains(&Warning::Galera);
    assert_eq!(warned, server.galera);
    let group = variable("group_replication_group_name").filter(|group| !group.is_empty());
    assert_eq!(server.group_replication.map(|group| group.group), group);
}

#[test]
fn the_name_limit_is_that_of_the_server() {
    let db = Database::new();
    let mut conn = db.connect();
    let limit = Server::inspect(&mut conn).unwrap().name_limit.unwrap();
    let prefix = db.full_name("").len();
    // A character of two bytes.
    let longest = match limit {
        NameLimit::Characters(limit) => "é".repeat(limit - prefix),
        NameLimit::Bytes(limit) => "é".repeat((limit - prefix) / 2),
        other => panic!("{other:?}"),
    };
    Lock::new(&longest).acquire(&mut conn).unwrap().release().unwrap();
    let too_long = Lock::new(&format!("{longest}é")).acquire(&mut conn).map(drop);
    assert!(matches!(too_long, Err(Error::InvalidName { .. })), "{too_long:?}");
}

#[test]
fn an_inspection_says_where_held_locks_are_read() {
    let db = Database::new();
    let other_db = Database::new();
    let users = [User::new(&db, &[]), User::new(&other_db, &["SELECT ON performance_schema.*"])];
    Listings::each(|listings| {
        for (mut conn, privileged) in
            [(db.connect(), true), (users[0].connect(), false), (users[1].connect(), true)]
        {
            for _ in 0..2 {
                let held = Server::inspect(&mut conn).unwrap().lock_listing;
                match held {
                    LockListing::Plugin => assert!(listings.plugin),
                    LockListing::PerformanceSchema => {
                        assert!(listings.performance_schema && privileged && !listings.plugin);
                    }
                    LockListing::Nowhere { ref remedy, .. } => {
                        assert!(!listings.plugin);
                        assert!(!listings.performance_schema || !privileged);
                        assert!(remedy.contains('`'), "{remedy}");
                    }
                    ref other => panic!("{other:?}"),
                }
                let listed = Lock::held_with_prefix("", &mut conn);
                let nowhere = matches!(held, LockListing::Nowhere { .. });
                assert_eq!(listed.is_err(), nowhere, "{held:?}, but {listed:?}");
            }
        }
    });
}

#[test]
fn every_user_gets_the_same_inspection() {
    let db = Database::new();
    let user = User::new(&db, &[]);
    let _listings = Listings::without_plugin();
    let mut root = Server::inspect(&mut db.connect()).unwrap();
    let mut unprivileged = Server::inspect(&mut user.connect()).unwrap();
    let mut nowhere = Server::inspect(&mut server::connect()).unwrap();
    let group = root.group_replication.take();
    assert_eq!(group.is_some(), unprivileged.group_replication.take().is_some());
    nowhere.group_replication = None;
    assert_eq!(root, nowhere);
    unprivileged.lock_listing = root.lock_listing.clone();
    assert_eq!(root, unprivileged);
}

#[test]
fn an_inspection_works_in_every_sql_mode_and_while_tables_are_locked() {
    let db = Database::with_tables();
    let _listings = Listings::without_plugin();
    let expected = Server::inspect(&mut db.connect()).unwrap();
    let mut settings = vec![
        "sql_select_limit = 1",
        "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'",
        "NAMES latin1",
        "character_set_results = NULL",
        "collation_connection = utf8mb4_bin",
        "autocommit = 0",
        "SESSION TRANSACTION READ ONLY",
    ];
    if !server::is_mysql() {
        settings.push("sql_mode = 'ORACLE'");
    }
    for setting in settings {
        let mut conn = db.connect();
        conn.batch_execute(&format!("SET {setting}")).unwrap();
        let server = Server::inspect(&mut conn);
        assert_eq!(server.as_ref().ok(), Some(&expected), "{setting}: {server:?}");
    }
    let mut conn = db.connect();
    let mut guard = TableLock::new().write_table("places").acquire(&mut conn).unwrap();
    let mut server = Server::inspect(&mut guard).unwrap();
    if expected.lock_listing == LockListing::PerformanceSchema {
        match &server.lock_listing {
            LockListing::Nowhere { remedy, .. } => {
                assert!(remedy.contains("another connection"), "{remedy}");
            }
            other => panic!("{other:?}"),
        }
        server.lock_listing = LockListing::PerformanceSchema;
    }
    assert_eq!(server, expected);
    drop(guard);
    assert_eq!(Server::inspect(&mut conn).unwrap(), expected);
}

#[test]
fn an_inspection_leaves_an_open_transaction_open() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute("BEGIN; INSERT INTO places (name) VALUES ('Kunming')").unwrap();
    Server::inspect(&mut conn).unwrap();
    conn.batch_execute("ROLLBACK").unwrap();
    let left: i64 = crate::support::schema::places::table.count().get_result(&mut conn).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn an_inspection_over_a_lost_connection_is_an_error() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    Server::inspect(&mut conn).unwrap();
    let id = connection_id(&mut conn);
    admin.kill_connection(id);
    admin.until_gone(id);
    let lost = Server::inspect(&mut conn);
    assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
    let lost = Lock::held_with_prefix("", &mut conn);
    assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
}

alone! {
    fn an_inspection_costs_one_round_trip_and_one_more_to_prepare() {
        let (db, proxy) = (Database::new(), Proxy::new());
        for first in [true, false] {
            let conn = &mut db.connect_through(&proxy);
            println!("first connection of the process: {first}");
            proxy.expect("inspect, prepared", 2, || drop(Server::inspect(conn).unwrap()));
            proxy.expect("inspect", 1, || drop(Server::inspect(conn).unwrap()));
            proxy.expect("inspect", 1, || drop(Server::inspect(conn).unwrap()));
        }
    }

    fn an_inspection_costs_a_user_with_few_privileges_one_round_trip_more() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let user = User::new(&db, &[]);
        let through = |user: &str| {
            let url = db.url_through(&proxy);
            let (_, rest) = url.rsplit_once('@').unwrap();
            MysqlConnection::establish(&format!("mysql://{user}@{rest}")).unwrap()
        };
        // The first query of the process needs a privilege and is refused.
        let conn = &mut through(user.name());
        proxy.expect("inspect, first of the process", 5, || drop(Server::inspect(conn).unwrap()));
        // Whether autocommit is on, and the query.
        proxy.expect("inspect", 2, || drop(Server::inspect(conn).unwrap()));
        let conn = &mut through(user.name());
        proxy.expect("inspect, prepared", 4, || drop(Server::inspect(conn).unwrap()));
        proxy.expect("inspect", 2, || drop(Server::inspect(conn).unwrap()));

        // A different user costs more queries each time the users alternate.
        let root = &mut db.connect_through(&proxy);
        proxy.expect("inspect, privileged, prepared", 6, || drop(Server::inspect(root).unwrap()));
        proxy.expect("inspect, privileged", 1, || drop(Server::inspect(root).unwrap()));
        proxy.expect("inspect, unprivileged again", 3, || drop(Server::inspect(conn).unwrap()));
        proxy.expect("inspect, privileged again", 3, || drop(Server::inspect(root).unwrap()));
        proxy.expect("inspect, privileged", 1, || drop(Server::inspect(root).unwrap()));
    }
}
