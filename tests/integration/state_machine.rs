//! Locks acquired and released in any order by several connections, compared with a small model.

mod model;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_locks::{Error, Lock, LockConnection, LockGuard, TableLock, TableLockGuard};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::model::Model;
use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id};
use crate::support::watchdog;

const CONNECTIONS: usize = 4;

/// The tables that are locked, and the statements that write to them.
const TABLES: [(&str, &str); 2] = [
    ("audit_log", "INSERT INTO audit_log (message) VALUES ('written')"),
    ("places", "INSERT INTO places (name) VALUES ('written')"),
];

/// The statement that writes without a table lock.
const INSERT: &str = "INSERT INTO customers (name, restaurant_id) VALUES ('written', 1)";

/// The last name is longer than either server accepts.
fn names() -> [String; 6] {
    let long = format!("{}'é", "long".repeat(60));
    ["job".into(), "JOB".into(), "it's \"`50%`\\".into(), "größe".into(), "カギ".into(), long]
}

#[derive(Debug, Clone, Copy)]
enum Step {
    TryAcquire { name: usize },
    AcquireAndDrop { name: usize },
    TryWith { name: usize },
    Transaction { name: usize, commit: bool },
    Release { name: usize },
    ReleaseAll,
    LockTable { table: usize, write: bool },
    UnlockTable { commit: bool },
    Kill,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let name = || 0..names().len();
    let step = prop_oneof![
        6 => name().prop_map(|name| Step::TryAcquire { name }),
        2 => name().prop_map(|name| Step::AcquireAndDrop { name }),
        2 => name().prop_map(|name| Step::TryWith { name }),
        2 => (name(), any::<bool>()).prop_map(|(name, commit)| Step::Transaction { name, commit }),
        4 => name().prop_map(|name| Step::Release { name }),
        1 => Just(Step::ReleaseAll),
        2 => (0..TABLES.len(), any::<bool>())
            .prop_map(|(table, write)| Step::LockTable { table, write }),
        2 => any::<bool>().prop_map(|commit| Step::UnlockTable { commit }),
        1 => Just(Step::Kill),
    ];
    (0..CONNECTIONS, step)
}

/// A connection, alone or inside a guard.
enum Client {
    Plain(Box<MysqlConnection>),
    WithTables(TableLockGuard<Box<MysqlConnection>>),
}

impl LockConnection for Client {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        Some(self)
    }
}

impl Deref for Client {
    type Target = MysqlConnection;

    fn deref(&self) -> &MysqlConnection {
        match self {
            Self::Plain(conn) => conn,
            Self::WithTables(guard) => guard,
        }
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut MysqlConnection {
        match self {
            Self::Plain(conn) => conn,
            Self::WithTables(guard) => guard,
        }
    }
}

struct Machine<'d> {
    db: &'d Database,
    admin: Admin,
    names: [String; 6],
    model: Model,
    clients: Vec<(Client, u64)>,
}

impl<'d> Machine<'d> {
    fn new(db: &'d Database) -> Self {
        let mut admin = Admin::new();
        let mut model = Model::default();
        model.rows = rows(db, &mut admin);
        let clients = (0..CONNECTIONS).map(|_| connect(db)).collect();
        Self { db, admin, names: names(), model, clients }
    }

    fn take(&mut self, who: usize, step: Step) -> Result<(), TestCaseError> {
        let Self { names, model, clients, .. } = self;
        let lock = |name: usize| Lock::new(&names[name]).shortened();
        let (conn, id) = &mut clients[who];
        match step {
            Step::TryAcquire { name } => {
                let taken = lock(name).try_acquire(conn).unwrap().map(LockGuard::leak).is_some();
                prop_assert_eq!(taken, model.acquire(&names[name], who));
            }
            Step::AcquireAndDrop { name } => {
                let waited = lock(name).timeout(Duration::from_millis(20)).acquire(conn);
                match waited {
                    Ok(mut guard) => {
                        prop_assert!(model.is_free_for(&names[name], who));
                        prop_assert!(guard.is_still_held().unwrap());
                    }
                    Err(error) => {
                        prop_assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
                        prop_assert!(!model.is_free_for(&names[name], who));
                    }
                }
            }
            Step::TryWith { name } => {
                let lock = lock(name);
                let ran = lock.try_with(conn, |conn| lock.holding_connection_id(conn)).unwrap();
                let free = model.is_free_for(&names[name], who);
                prop_assert_eq!(ran, free.then_some(Some(*id)));
            }
            Step::Transaction { name, commit } => {
                let lock = lock(name).timeout(Duration::ZERO);
                let ended = lock.transaction(conn, |conn| {
                    conn.batch_execute(INSERT)?;
                    if commit { Ok(()) } else { Err(Error::NoTables) }
                });
                let as_expected = match &ended {
                    Err(Error::InTransaction { .. }) => model.has_locked_tables(who),
                    Err(Error::Timeout { .. }) => !model.is_free_for(&names[name], who),
                    ended => ended.is_ok() == commit && model.is_free_for(&names[name], who),
                };
                prop_assert!(as_expected, "{ended:?}");
                model.rows += i64::from(ended.is_ok());
            }
            Step::Release { name } => match lock(name).release(conn) {
                Ok(()) => prop_assert!(model.release(&names[name], who)),
                Err(Error::NotHeld { .. }) => prop_assert!(!model.release(&names[name], who)),
                Err(error) => panic!("{error:?}"),
            },
            Step::ReleaseAll => {
                prop_assert_eq!(Lock::release_all(conn).unwrap(), model.release_all(who));
            }
            Step::LockTable { table, write } => return self.lock_table(who, table, write),
            Step::UnlockTable { commit } => self.unlock_table(who, commit),
            Step::Kill => {
                self.admin.kill_connection(*id);
                self.admin.until_gone(*id);
                prop_assert!(lock(0).is_held(conn).is_err());
                clients[who] = connect(self.db);
                model.end(who);
            }
        }
        Ok(())
    }

    fn lock_table(&mut self, who: usize, table: usize, write: bool) -> Result<(), TestCaseError> {
        let (name, insert) = TABLES[table];
        let lock = TableLock::new().timeout(Duration::from_secs(1));
        let lock = if write { lock.write_table(name) } else { lock.read_table(name) };
        let (client, id) = self.clients.swap_remove(who);
        let client = match client {
            Client::WithTables(mut guard) => {
                let refused = lock.acquire(&mut guard).map(drop);
                prop_assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
                Client::WithTables(guard)
            }
            Client::Plain(conn) => match lock.acquire_owned(conn) {
                Ok(mut guard) => {
                    prop_assert!(self.model.lock_table(table, write, who));
                    prop_assert_eq!(guard.batch_execute(insert).is_ok(), write);
                    Client::WithTables(guard)
                }
                Err(failed) => {
                    let (error, conn) = failed.into_parts();
                    prop_assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
                    prop_assert!(!self.model.lock_table(table, write, who));
                    Client::Plain(conn)
                }
            },
        };
        self.put_back(who, (client, id));
        Ok(())
    }

    fn unlock_table(&mut self, who: usize, commit: bool) {
        let (mut client, id) = self.clients.swap_remove(who);
        if let Client::WithTables(guard) = client {
            let ended = if commit { guard.release() } else { guard.rollback() };
            client = Client::Plain(ended.unwrap());
            self.model.unlock_table(who, commit);
        }
        self.put_back(who, (client, id));
    }

    /// Undoes `swap_remove`.
    fn put_back(&mut self, who: usize, client: (Client, u64)) {
        self.clients.push(client);
        let last = self.clients.len() - 1;
        self.clients.swap(who, last);
    }

    /// Checks that the holder of each lock is the one in the model, from any connection.
    fn check(&mut self, through: usize) -> Result<(), TestCaseError> {
        for name in &self.names {
            let lock = Lock::new(name).shortened();
            let holder = self.model.holder(name).map(|holder| self.clients[holder].1);
            let (conn, _) = &mut self.clients[through];
            prop_assert_eq!(lock.holding_connection_id(conn).unwrap(), holder);
            prop_assert_eq!(lock.is_held(conn).unwrap(), holder.is_some());
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), TestCaseError> {
        for who in 0..CONNECTIONS {
            let held = server::count_and_release_locks(&mut self.clients[who].0);
            prop_assert_eq!(held, self.model.release_all(who));
            self.unlock_table(who, true);
        }
        prop_assert_eq!(rows(self.db, &mut self.admin), self.model.rows);
        Ok(())
    }
}

fn connect(db: &Database) -> (Client, u64) {
    let mut conn = db.connect();
    let id = connection_id(&mut conn);
    (Client::Plain(Box::new(conn)), id)
}

/// Counts the rows of all tables.
fn rows(db: &Database, admin: &mut Admin) -> i64 {
    let counts = ["audit_log", "places", "customers"]
        .map(|table| format!("(SELECT COUNT(*) FROM `{}`.{table})", db.name()));
    diesel::select(sql::<BigInt>(&counts.join(" + "))).get_result(&mut admin.0).unwrap()
}

#[test]
fn any_order_of_calls_agrees_with_a_small_model() {
    watchdog(|| {
        let db = Database::with_tables();
        let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
        TestRunner::new(config)
            .run(&prop::collection::vec(step(), 1..40), |steps| {
                let mut machine = Machine::new(&db);
                for (who, step) in steps {
                    machine.take(who, step)?;
                    machine.check((who + 1) % CONNECTIONS)?;
                }
                machine.end()
            })
            .unwrap();
    });
}
