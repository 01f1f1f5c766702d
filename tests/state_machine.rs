//! Locks taken and let go in any order by several connections, compared with a small model of them.

use std::collections::BTreeMap;

use diesel_locks::{Error, Lock, TableLock};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id};

const CONNECTIONS: usize = 4;
const TABLES: [&str; 2] = ["audit_log", "places"];

/// The last one is longer than either server takes.
fn names() -> [String; 6] {
    let long = format!("{}'é", "long".repeat(60));
    ["job".into(), "JOB".into(), "it's \"`50%`\\".into(), "größe".into(), "カギ".into(), long]
}

fn lock(names: &[String], name: usize) -> Lock<'_> {
    Lock::new(&names[name]).shortened()
}

#[derive(Debug, Clone)]
enum Step {
    TryAcquire { name: usize },
    AcquireAndDrop { name: usize },
    With { name: usize },
    Release { name: usize },
    ReleaseAll,
    Kill,
    Table { table: usize, write: bool, commit: bool },
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let name = || 0..names().len();
    let step = prop_oneof![
        6 => name().prop_map(|name| Step::TryAcquire { name }),
        2 => name().prop_map(|name| Step::AcquireAndDrop { name }),
        2 => name().prop_map(|name| Step::With { name }),
        4 => name().prop_map(|name| Step::Release { name }),
        1 => Just(Step::ReleaseAll),
        1 => Just(Step::Kill),
        2 => (0..TABLES.len(), any::<bool>(), any::<bool>())
            .prop_map(|(table, write, commit)| Step::Table { table, write, commit }),
    ];
    (0..CONNECTIONS, step)
}

/// Who holds what, and how often: each lock by one of the connections.
#[derive(Default)]
struct Model(BTreeMap<String, (usize, u64)>);

impl Model {
    /// MySQL takes names for the same that differ by case alone.
    fn key(name: &str) -> String {
        if server::is_mysql() { name.to_lowercase() } else { name.to_owned() }
    }

    fn holder(&self, name: &str) -> Option<usize> {
        self.0.get(&Self::key(name)).map(|(holder, _)| *holder)
    }

    /// Whether the connection has the lock then.
    fn acquire(&mut self, name: &str, conn: usize) -> bool {
        let (holder, count) = self.0.entry(Self::key(name)).or_insert((conn, 0));
        *count += u64::from(*holder == conn);
        *holder == conn
    }

    /// Whether the connection had the lock.
    fn release(&mut self, name: &str, conn: usize) -> bool {
        let key = Self::key(name);
        let Some((holder, count)) = self.0.get_mut(&key) else { return false };
        if *holder != conn {
            return false;
        }
        *count -= 1;
        if *count == 0 {
            self.0.remove(&key);
        }
        true
    }

    /// How many the connection had.
    fn release_all(&mut self, conn: usize) -> u64 {
        let held = self.0.values().filter(|(holder, _)| *holder == conn);
        let count = held.map(|(_, count)| count).sum();
        self.0.retain(|_, (holder, _)| *holder != conn);
        count
    }
}

fn run(db: &Database, steps: Vec<(usize, Step)>) -> Result<(), TestCaseError> {
    let names = names();
    let mut model = Model::default();
    let mut admin = Admin::new();
    let mut conns: Vec<_> = (0..CONNECTIONS).map(|_| db.connect()).collect();
    let mut ids: Vec<_> = conns.iter_mut().map(connection_id).collect();
    for (who, step) in steps {
        let conn = &mut conns[who];
        match step {
            Step::TryAcquire { name } => {
                let taken = lock(&names, name).try_acquire(conn).unwrap();
                let taken = taken.map(diesel_locks::LockGuard::leak).is_some();
                prop_assert_eq!(taken, model.acquire(&names[name], who));
            }
            Step::AcquireAndDrop { name } => {
                let free = model.holder(&names[name]).is_none_or(|holder| holder == who);
                match lock(&names, name).try_acquire(conn).unwrap() {
                    Some(mut guard) => prop_assert!(free && guard.is_still_held().unwrap()),
                    None => prop_assert!(!free),
                }
            }
            Step::With { name } => {
                let free = model.holder(&names[name]).is_none_or(|holder| holder == who);
                let lock = lock(&names, name);
                let ran = lock.try_with(conn, |conn| lock.holding_connection_id(conn)).unwrap();
                prop_assert_eq!(ran, free.then_some(Some(ids[who])));
            }
            Step::Release { name } => match lock(&names, name).release(conn) {
                Ok(()) => prop_assert!(model.release(&names[name], who)),
                Err(Error::NotHeld { .. }) => prop_assert!(!model.release(&names[name], who)),
                Err(error) => panic!("{error:?}"),
            },
            Step::ReleaseAll => {
                prop_assert_eq!(Lock::release_all(conn).unwrap(), model.release_all(who));
            }
            Step::Kill => {
                admin.kill_connection(ids[who]);
                admin.until_gone(ids[who]);
                prop_assert!(lock(&names, 0).is_held(conn).is_err());
                model.release_all(who);
                *conn = db.connect();
                ids[who] = connection_id(conn);
            }
            Step::Table { table, write, commit } => {
                let tables = TableLock::new();
                let tables = if write {
                    tables.write_table(TABLES[table])
                } else {
                    tables.read_table(TABLES[table])
                };
                let guard = tables.acquire(conn).unwrap();
                if commit { guard.release() } else { guard.rollback() }.unwrap();
            }
        }
        for (index, name) in names.iter().enumerate() {
            let lock = lock(&names, index);
            let holder = model.holder(name).map(|holder| ids[holder]);
            let asking = (who + 1) % CONNECTIONS;
            prop_assert_eq!(lock.holding_connection_id(&mut conns[asking]).unwrap(), holder);
            prop_assert_eq!(lock.is_held(&mut conns[who]).unwrap(), holder.is_some());
        }
    }
    for (who, conn) in conns.iter_mut().enumerate() {
        let held = server::count_and_release_locks(conn);
        prop_assert_eq!(held, model.release_all(who));
    }
    Ok(())
}

#[test]
fn any_order_of_calls_does_what_a_small_model_says() {
    let db = Database::with_tables();
    let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..40), |steps| run(&db, steps))
        .unwrap();
}
