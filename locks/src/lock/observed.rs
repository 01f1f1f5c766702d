//! Who holds a named lock, who waits for it, and which locks are held.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use diesel::RunQueryDsl;
use diesel::mysql::MysqlConnection;

use super::Lock;
use super::ask::{error_for, settled};
use crate::client::{Client, describe};
use crate::error::Error;
use crate::fault::{Fault, State};
use crate::server::facts::text;
use crate::server::survey::survey;
use crate::statement::Meaning;
use crate::statement::observe::{HeldRow, HeldWithPrefix, NameCase, Process, Waiting};

/// The connection that holds a named lock, as far as this user may see: without the privilege
/// `PROCESS` most servers tell of other users' connections no more than their number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// What `CONNECTION_ID()` says there; what `KILL` takes.
    pub connection_id: u64,
    /// Its user.
    pub user: Option<String>,
    /// Where it comes from: host and, mostly, port.
    pub host: Option<String>,
    /// Its default database.
    pub database: Option<String>,
    /// What it is doing: the server's `STATE`, or else its `COMMAND`, such as `Sleep` for one that
    /// holds the lock and does nothing.
    pub state: Option<String>,
    /// How long it has been doing that, in whole seconds.
    pub in_state: Option<Duration>,
    /// The statement that it is running, if it is running one: its first 1024 characters.
    pub statement: Option<String>,
}

impl Holder {
    fn new(connection_id: u64, client: Client) -> Self {
        let Client { user, host, database, state, in_state, statement } = client;
        Self { connection_id, user, host, database, state, in_state, statement }
    }
}

/// One line: `connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = (self.user.as_deref(), self.host.as_deref());
        describe(f, self.connection_id, user, host, self.database.as_deref())?;
        if let Some(state) = &self.state {
            write!(f, ": {state}")?;
        }
        if let Some(in_state) = self.in_state {
            write!(f, " for {in_state:?}")?;
        }
        Ok(())
    }
}

/// A connection that waits for a named lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// What `CONNECTION_ID()` says there; what `KILL` takes.
    pub connection_id: u64,
    /// Its user.
    pub user: Option<String>,
    /// Where it comes from.
    pub host: Option<String>,
    /// Its default database.
    pub database: Option<String>,
    /// How long it has been waiting, in whole seconds.
    pub waited: Option<Duration>,
    /// The statement by which it waits: its first 1024 characters.
    pub statement: Option<String>,
}

impl Waiter {
    fn new(connection_id: u64, client: Client) -> Self {
        let Client { user, host, database, state: _, in_state: waited, statement } = client;
        Self { connection_id, user, host, database, waited, statement }
    }
}

/// One line: `connection 7 of app at 10.0.0.5 in shop: waiting for 3s`.
impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = (self.user.as_deref(), self.host.as_deref());
        describe(f, self.connection_id, user, host, self.database.as_deref())?;
        f.write_str(": waiting")?;
        if let Some(waited) = self.waited {
            write!(f, " for {waited:?}")?;
        }
        Ok(())
    }
}

/// MariaDB lists so many characters of a name, and takes more.
const LISTED: usize = 64;

pub(super) fn held_with_prefix(
    prefix: &str,
    conn: &mut MysqlConnection,
) -> Result<BTreeMap<String, u64>, Error> {
    let facts = survey(conn)?;
    let listing = facts
        .held_locks()
        .map_err(|remedy| Error::Unsupported { what: "a list of held locks".to_owned(), remedy })?;
    if prefix.contains('\0') {
        // The servers refuse such names.
        return Ok(BTreeMap::new());
    }
    let case = facts.name_case();
    let rows = HeldWithPrefix { listing, case, prefix }
        .load::<HeldRow>(conn)
        .map_err(|error| Fault::of(error, conn).into_error("the list of held locks"))?;
    let (database, held) = read_held(rows);
    let beginning = format!("{}.{prefix}", database.ok_or(Error::NoDatabase)?);
    // On MySQL no lock can have a name that it does not list.
    if case == NameCase::Kept && !is_listed(&beginning) {
        return Err(not_listed("a list of the locks whose names begin so", &beginning));
    }
    Ok(held)
}

/// The database, and the locks. A connection that has just ended has no number any more.
fn read_held(rows: Vec<HeldRow>) -> (Option<String>, BTreeMap<String, u64>) {
    let mut here = None;
    let mut held = BTreeMap::new();
    for (database, name, id) in rows {
        here = here.or_else(|| text(database));
        if let (Some(name), Some(id)) = (text(name), id) {
            held.insert(name, id);
        }
    }
    (here, held)
}

/// Whether a server that holds such a lock lists it by its name.
fn is_listed(name: &str) -> bool {
    name.chars().count() <= LISTED && name.chars().all(|c| c <= '\u{ffff}')
}

fn not_listed(what: &str, name: &str) -> Error {
    Error::Unsupported {
        what: format!("{what} ({name})"),
        remedy: format!(
            "the server lists the first {LISTED} characters of a full name, and none outside of \
             the Basic Multilingual Plane: use a shorter one"
        ),
    }
}

pub(super) fn holder(lock: &Lock<'_>, conn: &mut MysqlConnection) -> Result<Option<Holder>, Error> {
    let (_, holder) = settled(lock, conn)?;
    holder.map(|id| Ok(Holder::new(id, client(id, conn)?))).transpose()
}

/// Fails where the connection is lost or the question was killed, and not where nothing can be found
/// out.
fn client(id: u64, conn: &mut MysqlConnection) -> Result<Client, Error> {
    for deprecated in [false, true] {
        match (Process { id, deprecated }).get_result(conn) {
            Ok((true, row)) => return Ok(Client::read(row)),
            Ok((false, _)) => {}
            Err(error) => {
                let fault = Fault::of(error, conn);
                match fault.state {
                    // The next one is for everybody: if that fails, it was killed.
                    State::Unknown if !deprecated => {}
                    State::Gone
                    | State::Unknown
                    | State::Known(Meaning::Interrupted | Meaning::StatementLimit) => {
                        return Err(fault.into_error("the process list"));
                    }
                    State::Known(_) => {}
                }
            }
        }
    }
    Ok(Client::default())
}

pub(super) fn waiters(lock: &Lock<'_>, conn: &mut MysqlConnection) -> Result<Vec<Waiter>, Error> {
    let (name, _) = settled(lock, conn)?;
    let facts = survey(conn)?;
    let what = "a list of who waits for a lock";
    facts.waiting_too().map_err(|remedy| Error::Unsupported { what: what.to_owned(), remedy })?;
    let case = facts.name_case();
    if !name.is_shortened() && !is_listed(name.as_string()) {
        return Err(not_listed(what, name.as_string()));
    }
    let rows = Waiting { name: &name, case }
        .load(conn)
        .map_err(|error| error_for(&name, Fault::of(error, conn)))?;
    Ok(rows.into_iter().map(|(id, row)| Waiter::new(id, Client::read(row))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_listed_lock_with_a_holder_is_read(
            held in prop::collection::btree_map(".{0,20}", any::<u64>(), 0..10),
            gone in prop::collection::vec(".{0,20}", 0..3),
        ) {
            let bytes = |name: &String| Some(name.clone().into_bytes());
            let shop = || Some(b"shop".to_vec());
            let mut rows: Vec<HeldRow> =
                held.iter().map(|(name, id)| (shop(), bytes(name), Some(*id))).collect();
            rows.extend(gone.iter().map(|name| (shop(), bytes(name), None)));
            // Where none is held there is one row.
            rows.push((shop(), None, None));
            prop_assert_eq!(read_held(rows), (Some("shop".to_owned()), held));
        }

        #[test]
        fn a_listed_name_has_few_characters_all_of_the_basic_plane(name in "[a-zé\u{10000}]{0,70}") {
            let few = name.chars().count() <= 64;
            prop_assert_eq!(is_listed(&name), few && !name.contains('\u{10000}'));
        }
    }

    #[test]
    fn a_holder_and_a_waiter_are_one_line() {
        let client = || Client {
            user: Some("app".to_owned()),
            host: Some("10.0.0.5:4711".to_owned()),
            database: Some("shop".to_owned()),
            state: Some("Sleep".to_owned()),
            in_state: Some(Duration::from_secs(12)),
            statement: None,
        };
        assert_eq!(
            Holder::new(7, client()).to_string(),
            "connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s"
        );
        assert_eq!(
            Waiter::new(7, client()).to_string(),
            "connection 7 of app at 10.0.0.5:4711 in shop: waiting for 12s"
        );
        assert_eq!(Holder::new(7, Client::default()).to_string(), "connection 7");
        assert_eq!(Waiter::new(7, Client::default()).to_string(), "connection 7: waiting");
    }
}
