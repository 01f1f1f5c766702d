//! `locks-top`, printed once.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

mod harness;
mod live;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use diesel::connection::SimpleConnection;

use crate::harness::{
    Plugin, Private, Waiter, as_user, cells, connect, connection_id, get_lock, is_mysql, output_of,
    refusal_of, shared, unique,
};

/// What makes MariaDB's `performance_schema` list locks; MySQL's does already.
const LISTING: &[&str] =
    &["--performance-schema=ON", "--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON"];

/// Holds three locks, two of them waited for, and looks for them in what is printed.
fn three_locks(url: &str, waiters_are_listed: bool) {
    let prefix = unique("shop.");
    let name = |name: &str| format!("{prefix}{name}");
    let (mut first, mut second) = (connect(url), connect(url));
    assert!(get_lock(&mut first, &name("nightly"), 0));
    assert!(get_lock(&mut first, &name("free"), 0));
    assert!(get_lock(&mut second, &name("invoice-17"), 0));
    let nightly = [Waiter::new(url, &name("nightly")), Waiter::new(url, &name("nightly"))];
    let invoice = Waiter::new(url, &name("invoice-17"));

    let output = output_of(url, &["--once", "--prefix", &prefix]);
    let ids = |waiters: &[&Waiter]| -> String {
        if !waiters_are_listed {
            return "?".to_owned();
        }
        let mut ids: Vec<_> = waiters.iter().map(|waiter| waiter.id).collect();
        ids.sort_unstable();
        let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
        format!("{}: {}", ids.len(), ids.join(", "))
    };
    for (lock, holder, waiters) in [
        ("nightly", &mut first, ids(&[&nightly[0], &nightly[1]])),
        ("invoice-17", &mut second, ids(&[&invoice])),
    ] {
        let cells = cells(&output, &name(lock));
        assert_eq!(cells[1], connection_id(holder).to_string(), "{output}");
        assert!(cells[2].starts_with("root@"), "{output}");
        assert_eq!((cells[3], cells[5]), ("Sleep", waiters.as_str()), "{output}");
        assert!(is_time(cells[4]), "{output}");
        assert_eq!(is_time(cells[6]), waiters_are_listed, "{output}");
    }
    let free = cells(&output, &name("free"));
    assert_eq!(free[5], if waiters_are_listed { "-" } else { "?" }, "{output}");
    assert_eq!(output.matches(&prefix).count(), 3, "{output}");
    if waiters_are_listed {
        // What is waited for comes first.
        assert!(output.find("invoice-17") < output.find("free"), "{output}");
    } else {
        assert!(output.contains("does not list which connection waits for which lock: "));
        assert!(output.contains("performance_schema = ON"), "{output}");
        for waiter in nightly.iter().chain([&invoice]) {
            let cells = cells(&output, &waiter.id.to_string());
            assert_eq!(cells[2], "User lock", "{output}");
        }
    }
}

/// In the largest unit: `5s`, `2m`.
fn is_time(text: &str) -> bool {
    text.strip_suffix(['s', 'm', 'h']).is_some_and(|number| number.parse::<u32>().is_ok())
}

#[test]
fn three_locks_are_listed_with_their_holders_and_waiters() {
    let _plugin = Plugin::loaded();
    three_locks(&shared(), is_mysql());
}

#[test]
fn the_performance_schema_lists_waiters_with_the_plugin_and_without() {
    let Some(server) = Private::start(LISTING) else { return };
    three_locks(&server.url, true);
    if !is_mysql() {
        connect(&server.url).batch_execute("INSTALL SONAME 'metadata_lock_info'").unwrap();
        three_locks(&server.url, true);
    }
}

#[test]
fn the_holder_of_an_unlisted_lock_with_waiters_is_inspected_by_name() {
    let Some(server) = Private::start(LISTING) else { return };
    let mut conn = connect(&server.url);
    let instrument = |conn: &mut diesel::MysqlConnection, enabled: &str| {
        conn.batch_execute(&format!(
            "UPDATE performance_schema.setup_instruments SET ENABLED = '{enabled}' \
             WHERE NAME = 'wait/lock/metadata/sql/mdl'"
        ))
        .unwrap();
    };
    instrument(&mut conn, "NO");
    assert!(get_lock(&mut conn, "unlisted", 0));
    instrument(&mut conn, "YES");
    let waiter = Waiter::new(&server.url, "unlisted");
    let output = output_of(&server.url, &["--once"]);
    let cells = cells(&output, "unlisted");
    assert_eq!(cells[1], connection_id(&mut conn).to_string(), "{output}");
    assert_eq!(cells[5], format!("1: {}", waiter.id), "{output}");
}

#[test]
fn an_idle_server_is_asked_two_statements() {
    let Some(server) = Private::start(LISTING) else { return };
    let mut conn = connect(&server.url);
    let mut cost_of = |asks: &dyn Fn()| {
        let before = statements(&mut conn);
        asks();
        statements(&mut conn) - before
    };
    let connecting = cost_of(&|| drop(connect(&server.url)));
    let asking = cost_of(&|| drop(output_of(&server.url, &["--once"]))) - connecting;
    // What server it is, and the list.
    assert_eq!(asking, 2);
    let output = output_of(&server.url, &["--once"]);
    assert!(output.ends_with("\n\nNo named lock is held.\n"), "{output}");
    let output = output_of(&server.url, &["--once", "--prefix", "shop.\u{1b}"]);
    assert!(output.contains("held whose name begins with shop.\\u{1b}."), "{output}");
}

/// Returns how many statements the server has run.
fn statements(conn: &mut diesel::MysqlConnection) -> i64 {
    use diesel::prelude::*;
    #[derive(QueryableByName)]
    struct Status {
        #[diesel(sql_type = diesel::sql_types::Text, column_name = "Value")]
        value: String,
    }
    let status: Status =
        diesel::sql_query("SHOW GLOBAL STATUS WHERE Variable_name = 'Com_stmt_execute'")
            .get_result(conn)
            .unwrap();
    status.value.parse().unwrap()
}

#[test]
fn without_a_list_of_locks_it_fails_and_says_what_to_do() {
    if let Some(server) = Private::start(&["--performance-schema=OFF"]) {
        let remedy = if is_mysql() { "performance_schema = ON" } else { "INSTALL SONAME" };
        let text = refusal_of(&server.url);
        assert!(text.contains(remedy), "{text}");
    }
    let unreachable = refusal_of("mysql://root@127.0.0.1:1/");
    assert!(unreachable.contains("127.0.0.1"), "{unreachable}");
}

#[test]
fn a_user_with_few_privileges_gets_the_remedy_or_the_ids() {
    let mut plugin = Plugin::loaded();
    let mut conn = connect(&shared());
    let user = unique("user");
    conn.batch_execute(&format!("CREATE USER '{user}'@'%'")).unwrap();
    let url = as_user(&shared(), &user);
    assert!(get_lock(&mut conn, &user, 0));
    if plugin.is_loaded() {
        let output = output_of(&url, &["--once", "--prefix", &user]);
        let cells = cells(&output, &user);
        assert_eq!(cells[1..6], [&connection_id(&mut conn).to_string(), "?", "?", "?", "?"]);
    } else {
        let refused = refusal_of(&url);
        assert!(
            refused.contains("grant this user `SELECT` on `performance_schema.*`"),
            "{refused}"
        );
    }
    conn.batch_execute(&format!("DROP USER '{user}'@'%'")).unwrap();
}

#[test]
fn no_name_reaches_the_terminal_as_a_command() {
    let _plugin = Plugin::loaded();
    let mut conn = connect(&shared());
    let prefix = unique("");
    let names = ["\u{1b}[2J\u{7}", "a\nb\tc\r", "\u{202e}live", "\u{9b}31m", "it's \"wide\" 字"];
    for name in names {
        assert!(get_lock(&mut conn, &format!("{prefix}{name}"), 0));
    }
    let output = output_of(&shared(), &["--once", "--prefix", &prefix]).to_lowercase();
    assert!(!output.contains('\u{202e}'), "{output:?}");
    for shown in ["\\u{1b}[2j\\u{7}", "a\\nb\\tc\\r", "\\u{202e}live", "\\u{9b}31m", names[4]] {
        assert!(output.contains(&format!("{prefix}{shown} ")), "{shown} in {output}");
    }
}

#[test]
fn json_has_every_lock_in_ascii() {
    let _plugin = Plugin::loaded();
    let mut conn = connect(&shared());
    let name = format!("{}größe\u{9b}\u{202e}\u{7}\"字", unique(""));
    assert!(get_lock(&mut conn, &name, 0));
    let waiter = Waiter::new(&shared(), &name);
    let output = output_of(&shared(), &["--once", "--json", "--prefix", &name]);
    assert!(output.is_ascii() && output.lines().count() == 1, "{output:?}");
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    let lock = &json["named_locks"][0];
    assert_eq!(lock["name"].as_str().unwrap().to_lowercase(), name.to_lowercase(), "{output}");
    assert_eq!(lock["holders"][0]["id"], connection_id(&mut conn), "{output}");
    assert_eq!(lock["holders"][0]["state"], "Sleep", "{output}");
    assert!(lock["holders"][0]["seconds_in_state"].is_u64(), "{output}");
    let waiters = if is_mysql() { &lock["waiters"] } else { &json["waiting"] };
    let mut waiters = waiters.as_array().unwrap().iter();
    assert!(waiters.any(|listed| listed["id"] == waiter.id), "{output}");
    assert_eq!(json["remedy"].is_null(), is_mysql(), "{output}");
    assert_eq!(json["table_locks"], serde_json::json!([]), "{output}");
}

#[test]
fn a_width_shortens_names_and_leaves_columns_out() {
    let _plugin = Plugin::loaded();
    let mut conn = connect(&shared());
    let name = format!("{}-with-a-name-that-is-too-long-for-80-columns", unique("wide"));
    let name = &name[..name.len().min(64)];
    assert!(get_lock(&mut conn, name, 0));
    let output = output_of(&shared(), &["--once", "--prefix", name, "--width", "80"]);
    assert!(output.lines().all(|line| line.chars().count() <= 80), "{output}");
    assert!(!output.contains(name) && output.contains('…') && !output.contains("STATEMENT"));
    let output = output_of(&shared(), &["--once", "--prefix", name]);
    assert!(output.contains(name) && output.contains("STATEMENT"), "{output}");
}

#[test]
fn printed_rows_are_sorted_and_filtered() {
    let _plugin = Plugin::loaded();
    let prefix = unique("sorted-");
    let mut conn = connect(&shared());
    for name in ["b", "a", "c"] {
        assert!(get_lock(&mut conn, &format!("{prefix}{name}"), 0));
    }
    let names = |more: &[&str]| {
        let mut args = vec!["--once", "--prefix", &prefix];
        args.extend(more);
        let output = output_of(&shared(), &args);
        let rows = output.lines().filter_map(|line| line.strip_prefix(&prefix));
        rows.filter_map(|row| row.chars().next()).collect::<String>()
    };
    assert_eq!(names(&["--sort", "name"]), "abc");
    assert_eq!(names(&["--sort", "name", "--reverse"]), "cba");
    assert_eq!(names(&["--filter", &format!("{prefix}b")]), "b");
}

#[test]
fn tables_are_listed_that_are_locked_or_waited_for() {
    let _plugin = Plugin::loaded();
    let database = unique("tables").replace('-', "_");
    let mut conn = connect(&shared());
    let table = format!("`{database}`.places");
    conn.batch_execute(&format!("CREATE DATABASE `{database}`; CREATE TABLE {table} (id INT)"))
        .unwrap();
    conn.batch_execute(&format!("LOCK TABLES {table} WRITE")).unwrap();
    let output = output_of(&shared(), &["--once", "--prefix", &database]);
    let cells = cells(&output, &format!("{database}.places"));
    let id = connection_id(&mut conn).to_string();
    assert_eq!(cells[1..3], ["SHARED_NO_READ_WRITE", &id], "{output}");
    conn.batch_execute(&format!("UNLOCK TABLES; DROP DATABASE `{database}`")).unwrap();
    assert!(!output_of(&shared(), &["--once"]).contains(&database));
}

#[test]
fn locks_that_change_during_the_query_are_neither_errors_nor_wrong() {
    let _plugin = Plugin::loaded();
    let prefix = unique("busy-");
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut conn = connect(&shared());
                while !over.load(Ordering::SeqCst) {
                    for n in 0..3 {
                        get_lock(&mut conn, &format!("{prefix}{n}"), 1);
                        conn.batch_execute(&format!("DO RELEASE_LOCK('{prefix}{n}')")).unwrap();
                    }
                }
            });
        }
        let outputs = std::panic::catch_unwind(|| {
            (0..20)
                .map(|_| output_of(&shared(), &["--once", "--prefix", &prefix]))
                .collect::<Vec<_>>()
        });
        over.store(true, Ordering::SeqCst);
        for output in outputs.unwrap() {
            for line in output.lines().filter(|line| line.starts_with(&prefix)) {
                let cells: Vec<_> = line.split_whitespace().collect();
                assert!(cells[1].parse::<u64>().is_ok(), "{output}");
                assert!(cells[2].starts_with("root@") || cells[2] == "?", "{output}");
            }
        }
    });
}
