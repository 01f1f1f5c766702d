//! The connections that block a table lock.

use std::thread;
use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::Bool;
use diesel_locks::{Blocker, Error, TableLock, TableName};

use crate::support::listings::Listings;
use crate::support::proxy::Proxy;
use crate::support::schema::{Database, audit_log, places};
use crate::support::server::{self, Admin, connection_id};
use crate::support::user::User;
use crate::support::{PATIENCE, alone, watchdog};

fn lock() -> TableLock {
    TableLock::new().write::<places::table>().read::<audit_log::table>()
}

/// Runs the body for each place where this server lists metadata locks, and expects an error if
/// there is none.
fn wherever_listed(db: &Database, mut body: impl FnMut(&Listings)) {
    Listings::each(|listings| {
        if listings.any() {
            body(listings);
        } else {
            match lock().blockers(&mut db.connect()) {
                Err(Error::Unsupported { remedy, .. }) => {
                    assert!(remedy.contains("INSTALL SONAME"), "{remedy}");
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

fn seen(blockers: &[Blocker]) -> Vec<(&TableName, u64, &str, bool)> {
    blockers
        .iter()
        .map(|blocker| (&blocker.table, blocker.process.id, blocker.mode.as_str(), blocker.granted))
        .collect()
}

#[test]
fn connections_that_use_the_tables_are_listed() {
    let db = Database::with_tables();
    wherever_listed(&db, |_| {
        let (mut conn, mut reader, mut writer) = (db.connect(), db.connect(), db.connect());
        assert_eq!(lock().blockers(&mut conn).unwrap(), []);
        reader.batch_execute("BEGIN; SELECT * FROM audit_log; SELECT * FROM customers").unwrap();
        writer.batch_execute("BEGIN; INSERT INTO places (name) VALUES ('Kunming')").unwrap();
        let (reader_id, writer_id) = (connection_id(&mut reader), connection_id(&mut writer));

        let blockers = lock().blockers(&mut conn).unwrap();
        let (audit_log, places) =
            (TableName::from((db.name(), "audit_log")), TableName::from((db.name(), "places")));
        assert_eq!(
            seen(&blockers),
            [
                (&audit_log, reader_id, "SHARED_READ", true),
                (&places, writer_id, "SHARED_WRITE", true)
            ]
        );
        let writer_seen = &blockers[1];
        assert_eq!(writer_seen.process.database.as_deref(), Some(db.name()));
        assert!(
            writer_seen.process.user.is_some() && writer_seen.process.host.is_some(),
            "{writer_seen:?}"
        );
        assert!(writer_seen.process.in_state.unwrap() < PATIENCE);
        assert_eq!(
            (writer_seen.table.database(), writer_seen.table.table()),
            (Some(db.name()), "places")
        );
        let line = writer_seen.to_string();
        assert!(line.starts_with(&format!("`{}`.`places`: connection {writer_id} of", db.name())));
        assert!(line.contains(" holds SHARED_WRITE"), "{line}");

        // A connection does not block itself.
        assert_eq!(seen(&lock().blockers(&mut writer).unwrap()).len(), 1);
        writer.batch_execute("ROLLBACK").unwrap();
        reader.batch_execute("COMMIT").unwrap();
        assert_eq!(lock().blockers(&mut conn).unwrap(), []);
    });
}

#[test]
fn the_holder_of_a_table_lock_and_its_waiters_are_listed() {
    watchdog(|| {
        let db = Database::with_tables();
        wherever_listed(&db, |listings| {
            let (mut conn, mut holder, mut waiting) = (db.connect(), db.connect(), db.connect());
            let (holder_id, waiting_id) = (connection_id(&mut holder), connection_id(&mut waiting));
            let guard = TableLock::new().write::<places::table>().acquire(&mut holder).unwrap();
            thread::scope(|threads| {
                let waiter = threads.spawn(|| lock().acquire(&mut waiting).map(drop));
                Admin::new().until_waiting(waiting_id);
                let blockers = lock().blockers(&mut conn);
                guard.release().unwrap();
                waiter.join().unwrap().unwrap();

                let blockers = blockers.unwrap();
                let of = |id: u64| -> Vec<_> {
                    blockers.iter().filter(|blocker| blocker.process.id == id).collect()
                };
                let held = of(holder_id);
                assert!(held.iter().all(|blocker| blocker.granted), "{blockers:?}");
                assert!(!held.is_empty() && held[0].mode == "SHARED_NO_READ_WRITE", "{blockers:?}");
                let queued = of(waiting_id);
                assert_eq!(
                    queued.iter().any(|blocker| !blocker.granted),
                    // The plugin lists what is held.
                    listings.performance_schema,
                    "{blockers:?}"
                );
                if let Some(blocker) = queued.iter().find(|blocker| !blocker.granted) {
                    assert!(blocker.process.statement.as_deref().unwrap().contains("LOCK TABLES"));
                    assert!(blocker.to_string().contains(" waits for "), "{blocker}");
                }
            });
        });
    });
}

#[test]
fn tables_are_found_whatever_characters_their_names_contain() {
    let db = Database::new();
    let other = Database::named(&format!("{}`x.é", db.name()));
    let (mut owner, mut other_owner) = (db.connect(), db.connect());
    other.enter(&mut other_owner);
    for conn in [&mut owner, &mut other_owner] {
        conn.batch_execute("CREATE TABLE `a.``b é` (id INT); CREATE TABLE aéb (id INT)").unwrap();
    }
    let lowered = sql::<Bool>("@@lower_case_table_names > 0");
    let ignores_case: bool = diesel::select(lowered).get_result(&mut owner).unwrap();
    wherever_listed(&db, |_| {
        other_owner.batch_execute("BEGIN; SELECT * FROM `a.``b é`").unwrap();
        owner.batch_execute("BEGIN; SELECT * FROM `aéb`").unwrap();
        let (other_id, id) = (connection_id(&mut other_owner), connection_id(&mut owner));
        let mut conn = db.connect();
        let mut blocking = |lock: TableLock| -> Vec<u64> {
            let blockers = lock.blockers(&mut conn).unwrap();
            blockers.iter().map(|blocker| blocker.process.id).collect()
        };
        assert_eq!(blocking(TableLock::new().read_table((other.name(), "a.`b é"))), [other_id]);
        assert!(blocking(TableLock::new().read_table("a.`b é")).is_empty());
        assert_eq!(blocking(TableLock::new().write_table("aéb")), [id]);
        assert!(blocking(TableLock::new().write_table((other.name(), "aéb"))).is_empty());
        assert!(blocking(TableLock::new().write_table("aeb")).is_empty());
        let upper = blocking(TableLock::new().write_table("AÉB"));
        assert_eq!(upper, if ignores_case { vec![id] } else { vec![] });
        assert!(blocking(TableLock::new().write_table("unknown")).is_empty());
        // A table and its alias are the same table, which is listed once.
        diesel::table! { #[sql_name = "aéb"] odd (id) { id -> Integer, } }
        let twice = TableLock::new().read::<odd::table>().read_as::<odd::table>("again");
        assert_eq!(blocking(twice), [id]);
        for conn in [&mut owner, &mut other_owner] {
            conn.batch_execute("COMMIT").unwrap();
        }
    });
}

#[test]
fn blockers_refuses_everything_that_acquire_refuses() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let none = TableLock::new().blockers(&mut conn);
    assert!(matches!(none, Err(Error::NoTables)), "{none:?}");
    let empty = TableLock::new().read_table("").blockers(&mut conn);
    assert!(matches!(empty, Err(Error::InvalidName { .. })), "{empty:?}");
    wherever_listed(&db, |_| {
        let mut nowhere = server::connect();
        let refused = lock().blockers(&mut nowhere);
        assert!(matches!(refused, Err(Error::NoDatabase)), "{refused:?}");
        let elsewhere = TableLock::new().read_table((db.name(), "places"));
        assert_eq!(elsewhere.blockers(&mut nowhere).unwrap(), []);
    });
}

#[test]
fn after_a_timeout_the_blocking_connection_can_be_found() {
    let db = Database::with_tables();
    wherever_listed(&db, |_| {
        let (mut conn, mut writer) = (db.connect(), db.connect());
        writer.batch_execute("BEGIN; INSERT INTO places (name) VALUES ('Kunming')").unwrap();
        let lock = lock().timeout(Duration::from_secs(1));
        let error = lock.acquire(&mut conn).map(drop).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
        let blockers = lock.blockers(&mut conn).unwrap();
        assert_eq!(blockers.len(), 1);
        assert_eq!(blockers[0].process.id, connection_id(&mut writer));
    });
}

#[test]
fn a_user_with_few_privileges_sees_blockers_or_learns_what_is_missing() {
    let db = Database::with_tables();
    let user = User::new(&db, &[]);
    Listings::each(|listings| {
        let (mut conn, mut writer) = (user.connect(), db.connect());
        writer.batch_execute("BEGIN; INSERT INTO places (name) VALUES ('Kunming')").unwrap();
        let blockers = lock().blockers(&mut conn);
        if listings.plugin {
            let blockers = blockers.unwrap();
            assert_eq!(blockers.len(), 1);
            assert_eq!(blockers[0].process.id, connection_id(&mut writer));
            assert_eq!((&blockers[0].process.user, &blockers[0].process.statement), (&None, &None));
        } else {
            let refused = matches!(blockers, Err(Error::Unsupported { .. }));
            assert!(refused, "{blockers:?}");
        }
    });
}

alone! {
    fn blockers_cost_three_round_trips_and_two_more_if_there_are_none() {
        let (db, proxy) = (Database::with_tables(), Proxy::new());
        Listings::each(|listings| {
            if listings.any() {
                let conn = &mut db.connect_through(&proxy);
                lock().blockers(conn).unwrap();
                proxy.expect("blockers, none", 5, || assert!(lock().blockers(conn).unwrap().is_empty()));
                let mut holder = db.connect();
                let _guard = lock().acquire(&mut holder).unwrap();
                proxy.expect("blockers", 3, || assert!(!lock().blockers(conn).unwrap().is_empty()));
            }
        });
    }
}
